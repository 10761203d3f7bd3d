"""Long runs. How long is the environment's SOAK_S (seconds, an hour by default), and how often a process is killed its
SOAK_KILLS (100 by default): `make soak SECONDS=600 KILLS=20`."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import statistics
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
import pytest

from tests.operations.conftest import KEY, Process, Start

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]
SOAK_S = float(os.environ.get("SOAK_S", "3600"))
KILLS = int(os.environ.get("SOAK_KILLS", "100"))
CALLERS = 12
ADMIN_KEY = "adm-soak"
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
PROMPT = "[[sim chars={chars} frames={frames} pace_ms={pace}]]"


@dataclass(slots=True)
class Seen:
    """What callers saw, and what the process was like meanwhile: (seconds since the start, value)."""

    outcomes: Counter[str] = field(default_factory=Counter)
    latencies: list[tuple[float, float]] = field(default_factory=list)
    health: list[tuple[float, float]] = field(default_factory=list)
    cpu: list[tuple[float, float]] = field(default_factory=list)
    memory: list[tuple[float, float]] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    @property
    def now(self) -> float:
        return time.monotonic() - self.begun

    @property
    def generated(self) -> int:
        """Requests that the metrics have to know of."""
        return sum(count for what, count in self.outcomes.items())


def question(chars: int, frames: int, pace: int = 2, **more: object) -> dict[str, object]:
    prompt = PROMPT.format(chars=chars, frames=frames, pace=pace)
    return {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": prompt}], **more}


async def one_call(http: aiohttp.ClientSession, url: str, seen: Seen, dice: random.Random) -> None:
    """One request of a kind that the dice choose."""
    kind = dice.choices(["stream", "whole", "leave", "picture", "unknown", "broken", "stranger"], [8, 8, 4, 1, 2, 2, 2])[0]
    address, begun = f"{url}/v1/chat/completions", time.monotonic()
    match kind:
        case "stream":
            async with http.post(address, json=question(800, 8, stream=True)) as response:
                assert (await response.read()).rstrip().endswith(b"[DONE]")
        case "whole":
            async with http.post(address, json=question(400, 4)) as response:
                assert response.status == 200
                await response.read()
        case "leave":
            async with http.post(address, json=question(4000, 40, pace=20, stream=True)) as response:
                await response.content.readany()
                response.close()
        case "picture":
            picture = {"model": "gemini-2.5-flash-image", "prompt": "a boat", "size": "1024x1024"}
            async with http.post(f"{url}/v1/images/generations", json=picture) as response:
                assert response.status == 200
                assert (await response.json())["data"][0]["b64_json"]
        case "unknown":
            async with http.post(address, json={**question(1, 1), "model": "gpt-none"}) as response:
                assert response.status == 404
        case "broken":
            async with http.post(address, data=b'{"model": ') as response:
                assert response.status == 400
        case "stranger":
            async with http.post(address, json=question(1, 1), headers={"Authorization": "Bearer wrong"}) as response:
                assert response.status in (401, 429)
    seen.outcomes[kind] += 1
    if kind == "whole":
        seen.latencies.append((seen.now, time.monotonic() - begun))


async def watch(http: aiohttp.ClientSession, process: Process, seen: Seen, over: asyncio.Event) -> None:
    alive = psutil.Process(process.process.pid)
    before, asked = sum(alive.cpu_times()[:2]), seen.generated
    while not over.is_set():
        begun = time.monotonic()
        async with http.get(f"{process.url}/health") as response:
            assert response.status == 200
        seen.health.append((seen.now, time.monotonic() - begun))
        seen.memory.append((seen.now, alive.memory_info().rss / 1e6))
        used, calls = sum(alive.cpu_times()[:2]), seen.generated
        if calls > asked:
            seen.cpu.append((seen.now, 1000 * (used - before) / (calls - asked)))
        before, asked = used, calls
        await asyncio.sleep(0.5)


def between(values: list[tuple[float, float]], start: float, end: float) -> list[float]:
    return [value for at, value in values if start * SOAK_S <= at < end * SOAK_S]


async def counted(http: aiohttp.ClientSession, url: str) -> int:
    async with http.get(f"{url}/metrics") as response:
        text = await response.text()
    return int(sum(float(value) for value in re.findall(r"^gateway_requests_total\{.*\} (\S+)$", text, re.MULTILINE)))


async def test_an_hour_of_everything_leaves_it_as_it_was(start: Start) -> None:
    seen, over, dice = Seen(), asyncio.Event(), random.Random(8)

    async def caller(http: aiohttp.ClientSession) -> None:
        while seen.now < SOAK_S:
            await one_call(http, process.url, seen, dice)

    headers = {"Authorization": f"Bearer {KEY}"}
    async with start() as process, aiohttp.ClientSession(headers=headers) as http:
        await process.ready(http)
        descriptors = psutil.Process(process.process.pid).num_fds()
        seen.begun = time.monotonic()
        watching = asyncio.create_task(watch(http, process, seen, over))
        await asyncio.gather(*(caller(http) for _ in range(CALLERS)))
        over.set()
        await watching
        async with asyncio.timeout(60):
            while await counted(http, process.url) < seen.generated:
                await asyncio.sleep(0.2)
            assert await counted(http, process.url) == seen.generated
        await http.close()
        async with asyncio.timeout(90):
            while psutil.Process(process.process.pid).num_fds() > descriptors + 20:
                await asyncio.sleep(0.5)
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0
    report(seen)
    assert not [line for line in process.said if "Traceback" in line or " ERROR " in line or "CRITICAL" in line]
    assert max(value for _, value in seen.health) < 1
    early, late = (statistics.median(between(seen.memory, *span)) for span in ((0.3, 0.6), (0.7, 1.0)))
    assert late <= early * 1.05
    early, late = (statistics.median(between(seen.cpu, *span)) for span in ((0.3, 0.6), (0.7, 1.0)))
    assert late <= early * 1.2
    if SOAK_S >= 600:  # a short run on a busy machine measures its neighbours
        early, late = (statistics.median(between(seen.latencies, *span)) for span in ((0.3, 0.6), (0.7, 1.0)))
        assert late <= early * 1.2


def report(seen: Seen) -> None:
    spans = ((0.0, 0.3), (0.3, 0.6), (0.7, 1.0))
    numbers: dict[str, object] = {
        "seconds": SOAK_S,
        "requests": dict(seen.outcomes),
        "memory_mb": [round(statistics.median(between(seen.memory, *span)), 1) for span in spans],
        "whole_reply_ms": [round(1000 * statistics.median(between(seen.latencies, *span)), 1) for span in spans],
        "cpu_ms_a_request": [round(statistics.median(between(seen.cpu, *span)), 2) for span in spans],
        "slowest_health_ms": round(1000 * max(value for _, value in seen.health), 1),
    }
    write_down("", numbers)


def write_down(suffix: str, numbers: dict[str, object]) -> None:
    if file := os.environ.get("SOAK_REPORT"):
        Path(file + suffix).write_text(json.dumps(numbers, indent=2) + "\n")
