"""Each hook's way of combining and its policy when a plugin fails, seen through the running gateway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.errors import Overloaded, PluginFailed, Unauthenticated
from gateway.hookspecs import Generate, Services, hookimpl
from gateway.model import Call, Event, Outcome, Principal, RequestHead, TextDelta
from gateway.testing import Script, make_client


class Failing:
    """Raises in the hook that it was made for."""

    def __init__(self, hook: str, error: Exception | None = None) -> None:
        self._hook = hook
        self._error = error or ZeroDivisionError("a secret of the plugin")

    def _trip(self, hook: str) -> None:
        if hook == self._hook:
            raise self._error

    @hookimpl
    async def authenticate(self, head: RequestHead) -> Principal | None:
        self._trip("authenticate")
        return None

    @hookimpl
    async def prepare_call(self, call: Call) -> Call:
        self._trip("prepare_call")
        return call

    @hookimpl
    async def admit(self, call: Call) -> None:
        self._trip("admit")

    @hookimpl
    async def wrap_generate(self, call: Call, generate: Generate) -> AsyncIterator[Event]:
        async for event in generate(call):
            self._trip("wrap_generate")
            yield event

    @hookimpl
    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        self._trip("call_finished")


@pytest.mark.parametrize("hook", ["authenticate", "prepare_call", "admit", "wrap_generate"])
async def test_a_plugin_that_raises_costs_that_one_request_a_500_and_says_nothing(hook: str) -> None:
    async with make_client(plugins=[("bad", Failing(hook))]) as client:
        reply = await client.chat("hello")
        assert (reply.status, reply.body["error"]["code"]) == (500, "plugin_failed")
        assert "secret" not in str(reply.body)
        assert client.gateway.hooks.errors["bad", hook] == 1
        async with client.http.get("/health") as response:
            assert response.status == 200


@pytest.mark.parametrize("error", [ZeroDivisionError(), PluginFailed("of its own"), Overloaded("away")], ids=repr)
async def test_a_plugin_that_fails_to_take_notice_is_in_nobodys_way(error: Exception) -> None:
    seen = Noticing()
    async with make_client(plugins=[("bad", Failing("call_finished", error)), ("good", seen)]) as client:
        assert (await client.chat("hello")).status == 200
        assert (await seen.outcome()).status == 200
        assert client.gateway.hooks.errors["bad", "call_finished"] == 1


class Noticing:
    """Remembers the outcome of a call."""

    def __init__(self) -> None:
        self._found: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def outcome(self) -> Outcome:
        return await asyncio.wait_for(asyncio.shield(self._found), 10)

    @hookimpl
    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        if not self._found.done():
            self._found.set_result(outcome)


class Endless:
    @hookimpl
    async def admit(self, call: Call) -> None:
        await asyncio.Event().wait()


async def test_a_hook_that_never_returns_is_ended_by_its_budget() -> None:
    settings = {"gateway": {"hook_timeout_s": 0.05}}
    async with make_client(plugins=[("slow", Endless())], settings=settings) as client:
        assert (await client.chat("hello")).status == 500


class Tagging:
    """Adds its letter to every text on the way out, and to the model's name on the way in."""

    def __init__(self, letter: str) -> None:
        self._letter = letter

    @hookimpl
    async def prepare_call(self, call: Call) -> Call:
        call.extras["order"] = call.extras.get("order", "") + self._letter
        return replace(call)

    @hookimpl
    async def wrap_generate(self, call: Call, generate: Generate) -> AsyncIterator[Event]:
        async for event in generate(call):
            yield TextDelta(event.text + self._letter) if isinstance(event, TextDelta) else event


async def test_the_first_of_the_list_is_outermost_and_first() -> None:
    plugins = [("a", Tagging("a")), ("b", Tagging("b"))]
    async with make_client(plugins=plugins, script=[Script("x")]) as client:
        assert (await client.chat("hello")).text == "xba"
        assert client.upstream.asked[0][1].extras["order"] == "ab"


class Mine:
    def __init__(self, name: str, answer: Principal | None) -> None:
        self._name = name
        self._answer = answer

    @hookimpl
    async def authenticate(self, head: RequestHead) -> Principal | None:
        if head.headers.get("x-who") == f"bad-{self._name}":
            raise Unauthenticated("mine, and bad")
        return self._answer


async def test_the_first_authenticator_that_knows_the_caller_decides() -> None:
    answers = {"silent": None, "first": Principal("one"), "last": Principal("two")}
    plugins = [(name, Mine(name, answer)) for name, answer in answers.items()]
    async with make_client(plugins=plugins) as client:
        await client.chat("hello")
        assert client.upstream.asked[0][1].principal.name == "one"
        assert (await client.chat("hello", headers={"x-who": "bad-silent"})).status == 401
        assert (await client.chat("hello", headers={"x-who": "bad-last"})).status == 200


class Opening:
    def __init__(self, log: list[str], name: str) -> None:
        self._log = log
        self._name = name

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self._log.append(f"open {self._name}")
        yield
        self._log.append(f"close {self._name}")


async def test_what_plugins_open_is_closed_in_reverse() -> None:
    log: list[str] = []
    async with make_client(plugins=[("a", Opening(log, "a")), ("b", Opening(log, "b"))]) as client:
        await client.chat("hello")
    assert log == ["open a", "open b", "close b", "close a"]


class Twice:
    """Asks twice, and leaves the first answer in the middle."""

    @hookimpl
    async def wrap_generate(self, call: Call, generate: Generate) -> AsyncIterator[Event]:
        async for _ in generate(call):
            break
        async for event in generate(call):
            yield event


async def test_an_answer_that_a_plugin_leaves_gives_its_account_back() -> None:
    async with make_client(plugins=[("twice", Twice())], script=[Script("one", "two")]) as client:
        assert (await client.chat("hello")).text == "onetwo"
        assert client.upstream.closed == 1
        assert client.gateway.pool.views()[0].in_flight == 0
