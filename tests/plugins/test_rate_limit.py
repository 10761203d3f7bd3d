"""How often: exact in any window, and a refusal says when to come back."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.errors import AccountExpired, Forbidden, UpstreamUnavailable
from gateway.hookspecs import hookimpl
from gateway.model import Call, Image, ImageReady
from gateway.state.memory import MemoryStore
from gateway.state.store import Window
from gateway.testing import Client, Script, ScriptedUpstream, make_client
from plugins import rate_limit
from plugins.api_key import Plugin as ApiKey
from plugins.api_key import Settings as ApiKeySettings
from plugins.retry import Plugin as Retry
from plugins.retry import Settings as RetrySettings
from tests.waiting import until


def limiter(**settings: float) -> tuple[str, rate_limit.Plugin]:
    table = {"global_per_hour": 0, "model_interval_s": 0, **settings}
    return "rate_limit", rate_limit.Plugin(rate_limit.Settings.model_validate(table))


def test_the_shipped_rules_are_sixty_an_hour_and_one_call_a_model_every_five_seconds() -> None:
    shipped = rate_limit.Settings()
    assert (shipped.global_per_hour, shipped.model_interval_s) == (60, 5)


async def test_the_refusal_is_a_429_with_the_seconds_in_body_and_header() -> None:
    now = [1000.0]
    async with make_client(plugins=[limiter(model_interval_s=5)], state=MemoryStore(lambda: now[0])) as client:
        assert (await client.chat("hello")).status == 200
        now[0] += 1.5
        refused = await client.chat("hello")
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "4"
        assert "4 s" in refused.body["error"]["message"]
        assert (await client.chat("hello", model="gemini-2.5-pro")).status == 200
        now[0] += 3.5
        assert (await client.chat("hello")).status == 200


async def test_a_refusal_counts_nothing_and_nothing_is_sent_upstream() -> None:
    now = [0.0]
    async with make_client(plugins=[limiter(global_per_hour=2)], state=MemoryStore(lambda: now[0])) as client:
        statuses = [(await client.chat("hello")).status for _ in range(4)]
        assert statuses == [200, 200, 429, 429]
        assert len(client.upstream.asked) == 2
        now[0] = 3600.0
        assert (await client.chat("hello")).status == 200


class Renaming:
    """Gives calls an id of its own, as a plugin that takes over a caller's does; and refuses them when they are counted."""

    @hookimpl
    async def prepare_call(self, call: Call) -> Call:
        return replace(call, id="the caller's")

    @hookimpl
    async def admit(self, call: Call) -> None:
        raise Forbidden("not today")


async def test_a_refused_call_costs_nothing_whatever_its_id_has_become() -> None:
    async with make_client(plugins=[limiter(global_per_hour=2), ("renaming", Renaming())]) as client:
        statuses = [(await client.chat("hello")).status for _ in range(4)]
        assert statuses == [403] * 4 and not client.upstream.asked


async def test_a_burst_gets_exactly_what_the_rule_allows() -> None:
    async with make_client(plugins=[limiter(global_per_hour=10)]) as client:
        replies = await asyncio.gather(*(client.chat("hello") for _ in range(40)))
        assert sorted(reply.status for reply in replies) == [200] * 10 + [429] * 30


async def test_a_key_has_limits_of_its_own() -> None:
    keys = [{"name": "slow", "key": "sk-slow", "limits": {"per_minute": 1}}, {"name": "fast", "key": "sk-fast"}]
    plugins = [("api_key", ApiKey(ApiKeySettings.model_validate({"keys": keys}))), limiter()]
    async with make_client(plugins=plugins) as client:
        assert [await status(client, "sk-slow") for _ in range(2)] == [200, 429]
        assert [await status(client, "sk-fast") for _ in range(3)] == [200, 200, 200]


async def status(client: Client, key: str) -> int:
    return (await client.chat("hello", headers={"Authorization": f"Bearer {key}"})).status


async def test_model_lists_and_refused_requests_cost_nothing() -> None:
    async with make_client(plugins=[limiter(global_per_hour=1)]) as client:
        for path in ("/v1/models", "/api/models", "/gemini/v1beta/models"):
            async with client.http.get(path) as response:
                assert response.status == 200
        assert (await client.chat("hello", model="nothing-like-it")).status == 404
        assert (await client.chat("hello", temperature=9)).status == 400
        assert (await client.chat("hello")).status == 200


async def test_three_pictures_count_as_three_calls_and_keep_the_pace_of_one() -> None:
    now = [0.0]
    picture = Script(ImageReady(Image(b"x", "image/png", 1024, 1024)))
    plugins, store = [limiter(global_per_hour=4, model_interval_s=5)], MemoryStore(lambda: now[0])
    async with make_client(plugins=plugins, state=store, script=[picture]) as client:

        async def ask(n: int) -> int:
            async with client.http.post("/v1/images/generations", json={"prompt": "a boat", "n": n}) as response:
                return response.status

        assert await ask(3) == 200
        assert await ask(1) == 429
        now[0] += 5
        assert await ask(2) == 429
        assert await ask(1) == 200


async def test_more_answers_than_ever_fit_are_a_mistake_of_the_caller() -> None:
    async with make_client(plugins=[limiter(global_per_hour=3)]) as client:
        reply = await client.chat("hello", n=4)
        assert (reply.status, reply.body["error"]["param"]) == (400, "n")
        assert (await client.chat("hello", n=3)).status == 200


async def test_calls_that_no_account_could_take_cost_nothing() -> None:
    dead = ScriptedUpstream(sign_in_errors={"a": AccountExpired("signed out")})
    async with make_client(plugins=[limiter(global_per_hour=2)], upstream=dead) as client:
        assert [(await client.chat("hello")).status for _ in range(4)] == [503] * 4
        await settled(client)
        assert await used(client) == 0


async def test_a_full_queue_costs_nothing_and_what_is_asked_costs_one() -> None:
    gate = asyncio.Event()
    settings = {"pool": {"max_concurrency": 1, "queue_size": 1}}
    async with make_client(plugins=[limiter(global_per_hour=9)], script=[Script(gate, "x")], settings=settings) as client:
        calls = [asyncio.create_task(client.chat("hello")) for _ in range(5)]
        await until(lambda: sum(call.done() for call in calls) == 3)
        gate.set()
        assert sorted([(await call).status for call in calls]) == [200, 200, 503, 503, 503]
        await settled(client)
        assert await used(client) == 2


async def test_of_several_answers_those_that_were_never_asked_for_cost_nothing() -> None:
    settings, never = {"pool": {"max_concurrency": 1, "queue_size": 0}}, [Script(asyncio.Event())]
    async with make_client(plugins=[limiter(global_per_hour=9)], script=never, settings=settings) as client:
        assert (await client.chat("hello", n=3)).status == 503
        await settled(client)
        assert await used(client) == 1


async def test_an_answer_that_fails_upstream_costs_one_however_often_it_was_tried() -> None:
    script = [Script(UpstreamUnavailable("500"))]
    plugins = [limiter(global_per_hour=9), ("retry", Retry(RetrySettings()))]
    async with make_client(plugins=plugins, script=script, accounts=3) as client:
        assert (await client.chat("hello")).status == 502
        assert len(client.upstream.asked) == 3
        await settled(client)
        assert await used(client) == 1


async def used(client: Client) -> int:
    """What the rule for all callers has counted."""
    return (await client.gateway._store.used([Window("global", 9, 3600.0)]))[0]


async def settled(client: Client) -> None:
    """Plugins are told of finished calls apart from the reply."""
    await until(lambda: "tell plugins of a finished call" not in {task.get_name() for task in asyncio.all_tasks()})
