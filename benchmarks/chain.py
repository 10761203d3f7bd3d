"""What the chain itself costs (key, limits, metrics, access log, retry, translation) with a scripted upstream, as a share
of what a bare aiohttp handler does in the same CPU time. Baselines: `bare.py`, with the gateway's loop and JSON, and as
aiohttp's documentation has it."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from pathlib import Path

import aiohttp

from benchmarks.bare import EVENTS, PIECE
from benchmarks.processes import Child, served, started

ROUNDS = 7
HEADERS = {"Authorization": "Bearer sk-bench"}
BODY = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Hello"}]}
PLUGINS = ["metrics", "access_log", "api_key", "model_aliases", "rate_limit", "retry", "openai_api", "gemini_api"]


async def measure() -> list[str]:
    """Lines of a table: what, bare per CPU second, gateway per CPU second, ratio of medians, target."""
    lines = ["| what | bare aiohttp, per CPU s | gateway, per CPU s | ratio | target |", "|---|---|---|---|---|"]
    async with started(["-m", "benchmarks.bare"]) as tuned, started(["-m", "benchmarks.bare", "documented"]) as documented:
        for name, bare, path, script, count, scale, target in (
            ("whole replies", tuned, "/whole", ["Hello"], 1000, 1, 0.35),
            ("whole replies, handler as documented", documented, "/whole", ["Hello"], 1000, 1, 0.35),
            ("SSE events", tuned, "/stream", [PIECE] * EVENTS, 60, EVENTS, 0.5),
            ("SSE events, handler as documented", documented, "/stream", [PIECE] * EVENTS, 60, EVENTS, 0.5),
        ):
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "settings.json"
                file.write_text(json.dumps(_settings(script)))
                async with served(file) as gateway:
                    ours, theirs = await _rounds(bare, gateway, path, count)
            mine, other = (statistics.median(samples) * scale for samples in (ours, theirs))
            lines.append(f"| {name} | {other:,.0f} | {mine:,.0f} | {mine / other:.2f} | {target} |")
    return lines


def _settings(script: list[str]) -> dict[str, object]:
    return {
        "server": {"port": 0},
        "gateway": {"plugins": PLUGINS},
        "accounts": [{"name": "a", "secure_1psid": "scripted", "max_concurrency": 64}],
        "script": script,
        "plugins": {
            "api_key": {"keys": [{"name": "bench", "key": "sk-bench"}]},
            "rate_limit": {"global_per_hour": 100_000_000, "model_interval_s": 0},
        },
    }


async def _rounds(bare: Child, gateway: Child, path: str, count: int) -> tuple[list[float], list[float]]:
    """Replies per CPU second of the serving process, gateway and bare, in alternating rounds; the first is not counted."""
    ours, theirs = [], []
    body = BODY | ({"stream": True} if path == "/stream" else {})
    async with aiohttp.ClientSession(headers=HEADERS) as http:
        for turn in range(ROUNDS + 1):
            mine = await _per_cpu_s(http, gateway, gateway.ready["url"] + "/v1/chat/completions", body, count)
            other = await _per_cpu_s(http, bare, bare.ready["url"] + path, body, count)
            if turn:
                ours.append(mine)
                theirs.append(other)
    return ours, theirs


async def _per_cpu_s(http: aiohttp.ClientSession, child: Child, url: str, body: dict[str, object], count: int) -> float:
    begun = child.cpu_s()
    gate = asyncio.Semaphore(8)

    async def one() -> None:
        async with gate, http.post(url, json=body) as response:
            assert response.status == 200, await response.text()
            await response.read()

    await asyncio.gather(*(one() for _ in range(count)))
    return count / (child.cpu_s() - begun)


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure())))
