"""New settings for a gateway that serves: all of them or none, and no request notices more than that."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from config.loader import ConfigError
from config.settings import Settings
from gateway.app import running
from gateway.hookspecs import Services, hookimpl
from gateway.plugin_loader import from_instances
from gateway.testing import Script, ScriptedUpstream, _Dialects
from tests.operations.conftest import ASK, Start
from tests.waiting import until

OTHER = {"Authorization": "Bearer sk-another-key"}


async def status(http: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> int:
    async with http.post(f"{url}/v1/chat/completions", json=ASK, headers=headers) as response:
        await response.read()
        return response.status


def changed(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    beside = file.with_suffix(".new")
    beside.write_text(text.replace(old, new))
    beside.chmod(0o600)
    beside.replace(file)


async def test_a_changed_file_is_read_again_by_itself(start: Start, http: aiohttp.ClientSession) -> None:
    async with start() as process:
        await process.ready(http)
        assert await status(http, process.url, OTHER) == 401
        ours = 'key = "sk-operations" }'
        changed(process.file, ours, ours + ', { name = "two", key = "sk-another-key" }')
        await process.says("reloaded")
        assert await status(http, process.url, OTHER) == 200


async def test_a_broken_file_keeps_the_old_settings_and_says_why(start: Start, http: aiohttp.ClientSession) -> None:
    async with start(gateway={"reload": False}) as process:
        await process.ready(http)
        good = process.file.read_text()
        for broken, why in (
            (good + "[server\n", "not reloaded"),
            (good + "[upstrem]\n", "did you mean 'upstream'?"),
            (good.replace('"retry"', '"retri"'), "did you mean 'retry'?"),
            (good.replace("[server]", "[server]\nport = 1\nmax_connections = 50"), "only a restart can change this"),
        ):
            process.file.write_text(broken)
            process.signal(signal.SIGHUP)
            await process.says(why)
            assert await status(http, process.url, {}) == 200
        assert not any("sk-operations" in line for line in process.said)


async def test_the_admin_key_reloads_over_http_and_sees_the_mistakes(start: Start, http: aiohttp.ClientSession) -> None:
    async with start(admin={"key": "adm-operations"}, gateway={"reload": False}) as process:
        await process.ready(http)
        admin = {"Authorization": "Bearer adm-operations"}
        async with http.post(f"{process.url}/api/reload") as response:
            assert response.status == 403
        async with http.post(f"{process.url}/api/reload", headers=admin) as response:
            assert (response.status, await response.json()) == (200, {"reloaded": True})
        process.file.write_text(process.file.read_text() + "[server.prot]\n")
        async with http.post(f"{process.url}/api/reload", headers=admin) as response:
            assert response.status == 400
            assert "server.prot: unknown setting" in (await response.json())["error"]["message"]


async def test_no_request_is_lost_while_it_reloads_under_load(start: Start, http: aiohttp.ClientSession) -> None:
    statuses: list[int] = []
    over = asyncio.Event()

    async def load() -> None:
        while not over.is_set():
            statuses.append(await status(http, process.url, {}))

    async with start(gateway={"reload": False}) as process:
        await process.ready(http)
        changed(process.file, "[server]", "[pool]\nqueue_size = 100\n[server]")
        loads = [asyncio.create_task(load()) for _ in range(6)]
        for number in range(1, 6):
            # Every other time the pool changes, and all accounts sign in anew.
            if number % 2:
                changed(process.file, f"queue_size = {99 + number}", f"queue_size = {101 + number}")
            process.signal(signal.SIGHUP)
            await process.says("new settings hold", times=number)
            await until(lambda number=number: len(statuses) >= 6 * number)
        over.set()
        await asyncio.gather(*loads)
    assert len(statuses) > 20
    assert set(statuses) == {200}


class Lifetime:
    """Notes when it is opened and closed."""

    def __init__(self, log: list[str]) -> None:
        self.log = log

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self.log.append("open")
        yield
        self.log.append("closed")


class Fragile:
    """Refuses to start when told so."""

    def __init__(self) -> None:
        self.broken = False

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        if self.broken:
            raise RuntimeError("the disk is gone")
        yield


def settings(**server: Any) -> Settings:
    account = {"name": "a", "secure_1psid": "scripted"}
    return Settings.model_validate({"server": {"port": 0, **server}, "accounts": [account]})


async def test_old_plugins_are_closed_after_their_last_call(tmp_path: Path) -> None:
    log: list[str] = []
    go_on = asyncio.Event()
    upstream = ScriptedUpstream([Script("one", go_on, "two")])
    plugins = from_instances([("lifetime", Lifetime(log)), ("wire formats", _Dialects())])
    async with running(
        settings(), tmp_path, upstream=lambda s, d: upstream, plugins=plugins, source=lambda: settings(max_json_mb=1)
    ) as gateway, aiohttp.ClientSession(gateway.url) as http:
        async with http.post("/v1/chat/completions", json={**ASK, "stream": True}) as response:
            await response.content.readuntil(b"one")
            pool = gateway.pool
            await gateway.reload()
            assert log == ["open", "open"]
            assert gateway.pool is pool  # nothing about accounts has changed
            go_on.set()
            assert b"two" in await response.content.read()
        await until(lambda: log == ["open", "open", "closed"])
    assert log == ["open", "open", "closed", "closed"]


async def test_what_is_answered_in_the_background_outlives_a_reload(tmp_path: Path) -> None:
    log: list[str] = []
    go_on = asyncio.Event()
    upstream = ScriptedUpstream([Script("one", go_on, "two"), Script("three", asyncio.Event())])
    plugins = from_instances([("lifetime", Lifetime(log)), ("wire formats", _Dialects())])
    async with running(
        settings(), tmp_path, upstream=lambda s, d: upstream, plugins=plugins, source=lambda: settings(max_json_mb=1)
    ) as gateway, aiohttp.ClientSession(f"{gateway.url}/v1/") as http:

        async def ask(method: str, path: str, **body: Any) -> dict[str, Any]:
            async with http.request(method, path, json=body or None) as response:
                answer: dict[str, Any] = await response.json()
                return answer

        ids = []
        for asked in (1, 2):
            question = {"model": "gemini-2.5-flash", "input": "Hi", "background": True}
            ids.append((await ask("POST", "responses", **question))["id"])
            await until(lambda asked=asked: len(upstream.asked) == asked)
        await gateway.reload()
        assert (await ask("POST", f"responses/{ids[1]}/cancel"))["status"] == "cancelled"
        assert log == ["open", "open"]
        go_on.set()
        await until(lambda: log == ["open", "open", "closed"])
        assert (await ask("GET", f"responses/{ids[0]}"))["status"] == "completed"


class Slow(Lifetime):
    """Opens only when it may."""

    def __init__(self, log: list[str]) -> None:
        super().__init__(log)
        self.may = asyncio.Event()
        self.may.set()

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self.log.append("opening")
        await self.may.wait()
        self.log.append("open")
        yield
        self.log.append("closed")


@pytest.mark.parametrize("opens", [True, False], ids=["opens in time", "never opens"])
async def test_a_reload_that_the_end_overtakes_leaves_nothing_open(tmp_path: Path, opens: bool) -> None:
    first, log = [], []  # type: ignore[var-annotated]
    slow = Slow(log)
    plugins = from_instances([("first", Lifetime(first)), ("slow", slow), ("wire formats", _Dialects())])
    upstream = ScriptedUpstream([Script("one", go_on := asyncio.Event(), "two")])
    async with AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(
            running(settings(), tmp_path, upstream=lambda s, d: upstream, plugins=plugins, source=settings)
        )
        async with (
            aiohttp.ClientSession(gateway.url) as http,
            http.post("/v1/chat/completions", json={**ASK, "stream": True}) as response,
        ):
            await response.content.readuntil(b"one")
            slow.may.clear()
            reloading = asyncio.create_task(gateway.reload())
            await until(lambda: log.count("opening") == 2)
            closing = asyncio.create_task(stack.aclose())
            await until(lambda: gateway.boundary.stopping)
            if opens:
                slow.may.set()
                with pytest.raises(ConfigError, match="stopping"):
                    await reloading
            go_on.set()
            assert b"two" in await response.content.read()
        await closing
        assert reloading.done()
    assert log.count("open") == log.count("closed") == 1 + opens
    assert first == ["open", "open", "closed", "closed"]


async def test_calls_from_before_a_reload_are_drained_as_well(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    upstream = ScriptedUpstream([Script("one", go_on, "two")])
    plugins = from_instances([("wire formats", _Dialects())])
    async with running(
        settings(), tmp_path, upstream=lambda s, d: upstream, plugins=plugins, source=settings
    ) as gateway, aiohttp.ClientSession(gateway.url) as http:
        async with http.post("/v1/chat/completions", json={**ASK, "stream": True}) as response:
            await response.content.readuntil(b"one")
            await gateway.reload()
            draining = asyncio.create_task(gateway.drain())
            await until(lambda: gateway.boundary.stopping)
            go_on.set()
            assert (await response.content.read()).rstrip().endswith(b"[DONE]")
        await draining


async def test_a_plugin_that_cannot_start_leaves_everything_as_it_was(tmp_path: Path) -> None:
    fragile, log = Fragile(), []  # type: ignore[var-annotated]
    plugins = from_instances([("lifetime", Lifetime(log)), ("fragile", fragile), ("wire formats", _Dialects())])
    async with running(
        settings(), tmp_path, upstream=lambda s, d: ScriptedUpstream(), plugins=plugins, source=settings
    ) as gateway, aiohttp.ClientSession(gateway.url) as http:
        fragile.broken = True
        with pytest.raises(ConfigError, match="cannot be started: RuntimeError"):
            await gateway.reload()
        assert log == ["open", "open", "closed"]
        async with http.post("/v1/chat/completions", json=ASK) as response:
            assert response.status == 200
        fragile.broken = False
        await gateway.reload()
