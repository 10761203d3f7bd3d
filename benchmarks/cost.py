"""What a call costs the gateway (whole process, everything from socket to socket), as a share of what the unmodified
library alone takes for the same answer from the same simulator. Baseline: `direct.py`."""

from __future__ import annotations

import asyncio
import json
import statistics
import tempfile
from pathlib import Path

import aiohttp

from benchmarks.processes import Child, served, started

CASES = (
    ("short reply", "[[sim chars=40 frames=1]]", 200, 0.7),
    ("4 KB in 200 frames", "[[sim chars=4096 frames=200]]", 20, 0.25),
    ("64 KB in 200 frames", "[[sim chars=65536 frames=200]]", 4, 0.1),
)
ROUNDS = 5


async def measure() -> list[str]:
    """Lines of a table: case, library ms, gateway ms, ratio of medians, target."""
    lines = ["| reply | library alone, ms CPU | gateway, ms CPU | ratio | target |", "|---|---|---|---|---|"]
    async with started(["-m", "gateway.simulator", "--accounts", "2", "--pace-ms", "0"]) as site:
        account, other = site.ready["accounts"][:2]
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "settings.json"
            file.write_text(json.dumps(_settings(site, account)))
            arguments = [site.ready["proxy_url"], site.ready["ca_file"], *other["cookies"].values()]
            async with served(file) as gateway, direct(arguments) as library:
                for name, prompt, count, target in CASES:
                    lines.append(await _case(gateway, library, name, prompt, count, target))
    return lines


def _settings(site: Child, account: dict[str, str]) -> dict[str, object]:
    plugins = ["metrics", "access_log", "api_key", "model_aliases", "rate_limit", "retry", "openai_api", "gemini_api"]
    return {
        "server": {"port": 0},
        "gateway": {"plugins": plugins},
        "accounts": [
            {
                "name": "a",
                "secure_1psid": account["cookies"]["__Secure-1PSID"],
                "secure_1psidts": account["cookies"]["__Secure-1PSIDTS"],
                "proxy": site.ready["proxy_url"],
            }
        ],
        "upstream": {"ca_file": site.ready["ca_file"]},
        "plugins": {
            "api_key": {"keys": [{"name": "bench", "key": "sk-bench"}]},
            "rate_limit": {"global_per_hour": 1_000_000, "model_interval_s": 0},
        },
    }


class direct:
    """The baseline process, asked over its stdin."""

    def __init__(self, arguments: list[str]) -> None:
        self._arguments = arguments

    async def __aenter__(self) -> direct:
        import sys

        from benchmarks.processes import ROOT

        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "benchmarks.direct",
            *self._arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
        )
        assert self._process.stdout is not None
        await self._process.stdout.readline()
        return self

    async def cpu_s(self, prompt: str, count: int) -> float:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"prompt": prompt, "count": count, "parallel": 1}).encode() + b"\n")
        return float(json.loads(await self._process.stdout.readline())["cpu_s"])

    async def __aexit__(self, *exc: object) -> None:
        self._process.terminate()
        await self._process.wait()


async def _case(gateway: Child, library: direct, name: str, prompt: str, count: int, target: float) -> str:
    ours, theirs = [], []
    headers = {"Authorization": "Bearer sk-bench"}
    async with aiohttp.ClientSession(gateway.ready["url"], headers=headers) as http:
        for turn in range(ROUNDS + 1):
            begun = gateway.cpu_s()
            for _ in range(count):
                await _ask(http, prompt)
            mine = gateway.cpu_s() - begun
            other = await library.cpu_s(prompt, count)
            if turn:
                ours.append(mine / count * 1000)
                theirs.append(other / count * 1000)
    mine, other = statistics.median(ours), statistics.median(theirs)
    return f"| {name} | {other:.2f} | {mine:.2f} | {mine / other:.2f} | {target} |"


async def _ask(http: aiohttp.ClientSession, prompt: str) -> None:
    body = {"model": "gemini-2.5-flash", "stream": True, "messages": [{"role": "user", "content": prompt}]}
    async with http.post("/v1/chat/completions", json=body) as response:
        assert response.status == 200, await response.text()
        async for _ in response.content.iter_any():
            pass


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure())))
