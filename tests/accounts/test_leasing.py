"""Which account a call gets, how long it waits, and what it is told when there is none."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from gateway.accounts.health import State
from gateway.errors import AccountExhausted, AccountExpired, EgressBlocked, UpstreamUnavailable
from gateway.state.redis import RedisStore
from gateway.testing import Client, Script, ScriptedUpstream, make_client
from plugins.metrics import STATES
from plugins.metrics import Plugin as Metrics
from plugins.metrics import Settings as MetricsSettings
from tests.waiting import until


def asked(client: Client) -> list[str]:
    return [account for account, _ in client.upstream.asked]


async def held(client: Client, count: int, number: int) -> list[asyncio.Task[object]]:
    """`count` calls that are answered by a script which waits, begun and in flight."""
    tasks: list[asyncio.Task[object]] = [asyncio.create_task(client.chat("hello")) for _ in range(count)]
    await until(lambda: len(client.upstream.asked) == number)
    return tasks


async def test_calls_spread_over_the_accounts_evenly() -> None:
    gate = asyncio.Event()
    async with make_client(script=[Script(gate, "x")], accounts=3) as client:
        tasks = await held(client, 9, 9)
        assert Counter(asked(client)) == {"a": 3, "b": 3, "c": 3}
        gate.set()
        await asyncio.gather(*tasks)


async def test_beyond_the_cap_calls_wait_their_turn_and_beyond_the_queue_they_are_told() -> None:
    gate = asyncio.Event()
    settings = {"pool": {"max_concurrency": 2, "queue_size": 3, "queue_timeout_s": 20}}
    async with make_client(script=[Script(gate, "x")], settings=settings) as client:
        tasks = [asyncio.create_task(client.chat("hello")) for _ in range(5)]
        await until(lambda: client.gateway.pool.queued == 3)
        refused = await client.chat("hello")
        assert (refused.status, refused.body["error"]["code"]) == (503, "overloaded")
        assert int(refused.headers["Retry-After"]) == 10
        gate.set()
        assert {reply.status for reply in await asyncio.gather(*tasks)} == {200}
        assert len(client.upstream.asked) == 5


async def test_waiting_ends_in_time() -> None:
    settings = {"pool": {"max_concurrency": 1, "queue_timeout_s": 0.05}}
    async with make_client(script=[Script(asyncio.Event(), "x")], settings=settings) as client:
        (first,) = await held(client, 1, 1)
        late = await client.chat("hello")
        assert (late.status, late.body["error"]["code"]) == (503, "overloaded")
        first.cancel()


async def test_whoever_leaves_the_queue_leaves_no_gap() -> None:
    gate = asyncio.Event()
    settings = {"pool": {"max_concurrency": 1}}
    async with make_client(script=[Script(gate, "x")], settings=settings) as client:
        tasks = await held(client, 1, 1)
        leaving = [asyncio.create_task(client.chat("hello")) for _ in range(5)]
        staying = asyncio.create_task(client.chat("hello"))
        await until(lambda: client.gateway.pool.queued == 6)
        for task in leaving:
            task.cancel()
        await until(lambda: client.gateway.pool.queued == 1)
        gate.set()
        await asyncio.gather(*tasks)
        assert (await staying).status == 200
        assert client.gateway.pool.views()[0].in_flight == 0


async def test_an_exhausted_account_serves_its_other_models() -> None:
    script = {"a": [Script(AccountExhausted("used up", retry_after=600)), Script("still here")]}
    async with make_client(upstream=ScriptedUpstream(by_account=script)) as client:
        first = await client.chat("hello", model="gemini-2.5-pro")
        assert (first.status, first.headers["Retry-After"]) == (429, "600")
        again = await client.chat("hello", model="gemini-2.5-pro")
        assert (again.status, len(client.upstream.asked)) == (429, 1)
        assert 590 <= int(again.headers["Retry-After"]) <= 600
        assert (await client.chat("hello")).text == "still here"


async def test_a_blocked_address_takes_out_all_accounts_behind_it_and_no_other() -> None:
    proxies = {"a": "http://one:1", "b": "http://one:1", "c": "http://two:1"}
    accounts = [{"name": name, "secure_1psid": f"x-{name}", "proxy": proxy} for name, proxy in proxies.items()]
    blocked = ScriptedUpstream([Script("free")], by_account={"a": [Script(EgressBlocked("captcha", retry_after=7200))]})
    async with make_client(upstream=blocked, settings={"accounts": accounts}) as client:
        assert (await client.chat("hello")).status == 503
        for _ in range(4):
            assert (await client.chat("hello")).text == "free"
        assert asked(client) == ["a", "c", "c", "c", "c"]
        assert [view.state for view in client.gateway.pool.views()] == ["cooling", "cooling", "ready"]


async def test_when_all_are_cooling_one_serves_as_the_probe() -> None:
    script = {"a": [*[Script(UpstreamUnavailable("500"))] * 3, Script("back")]}
    async with make_client(upstream=ScriptedUpstream(by_account=script)) as client:
        assert [(await client.chat("hello")).status for _ in range(3)] == [502] * 3
        assert client.gateway.pool.views()[0].state == "cooling"
        assert (await client.chat("hello")).text == "back"
        assert client.gateway.pool.views()[0].state == "ready"


async def test_a_pool_whose_cookies_are_all_dead_says_so_and_is_not_asked_in_a_loop() -> None:
    dead = AccountExpired("signed out")
    async with make_client(upstream=ScriptedUpstream(sign_in_errors={"a": dead})) as client:
        for _ in range(5):
            reply = await client.chat("hello")
            assert (reply.status, reply.body["error"]["code"]) == (503, "no_account")
            assert int(reply.headers["Retry-After"]) > 0
        assert not client.upstream.asked
        async with client.http.get("/ready") as response:
            assert response.status == 503
            assert "signed out" in (await response.json())["reason"]
        async with client.http.get("/health") as response:
            assert (response.status, await response.json()) == (200, {"status": "degraded"})


async def test_a_start_without_any_account_works_and_says_what_to_do() -> None:
    async with make_client(settings={"accounts": []}) as client:
        assert (await client.chat("hello")).status == 503
        async with client.http.get("/ready") as response:
            assert "no account" in (await response.json())["reason"]


@pytest.mark.parametrize(("field", "limit"), [("egress_per_minute", 3), ("egress_per_hour", 3)])
async def test_an_address_has_a_budget(field: str, limit: int) -> None:
    async with make_client(settings={"pool": {field: limit}}, accounts=2) as client:
        statuses = [(await client.chat("hello")).status for _ in range(5)]
        assert statuses == [200] * 3 + [503] * 2


async def test_a_budget_is_kept_while_redis_is_away() -> None:
    away = RedisStore("redis://127.0.0.1:1")
    async with make_client(settings={"pool": {"egress_per_minute": 3}}, state=away) as client:
        statuses = [(await client.chat("hello")).status for _ in range(5)]
        assert statuses == [200] * 3 + [503] * 2


async def test_a_call_goes_out_through_the_egress_that_has_budget_left() -> None:
    accounts = [{"name": name, "secure_1psid": f"x-{name}", "proxy": f"http://{name}:1"} for name in "ab"]
    async with make_client(settings={"accounts": accounts, "pool": {"egress_per_hour": 2}}) as client:
        replies = await asyncio.gather(*(client.chat("hello") for _ in range(6)))
        assert sorted(reply.status for reply in replies) == [200] * 4 + [503] * 2
        assert sorted(asked(client)) == ["a", "a", "b", "b"]
        refused = next(reply for reply in replies if reply.status == 503)
        assert 3590 < int(refused.headers["Retry-After"]) <= 3600
        assert [view.in_flight for view in client.gateway.pool.views()] == [0, 0]


async def test_another_proxy_frees_an_account_from_the_block_of_its_old_one() -> None:
    accounts = [{"name": "a", "secure_1psid": "x-a", "proxy": "http://one:1"}]
    script = {"a": [Script(EgressBlocked("captcha", retry_after=7200))]}
    async with make_client(upstream=ScriptedUpstream(by_account=script), settings={"accounts": accounts}) as client:
        assert (await client.chat("hello")).status == 503
        async with client.http.patch("/api/accounts/a", json={"proxy": "http://two:1"}) as response:
            assert response.status == 200
        await client.gateway.keeper.tick()
        await client.gateway.keeper.settled()
        assert client.gateway.pool.views()[0].state == "ready"


async def test_an_account_that_google_is_not_reached_for_is_called_unreachable_everywhere() -> None:
    broken = ScriptedUpstream(sign_in_errors={"a": UpstreamUnavailable("The connection to Gemini broke")})
    async with make_client(plugins=[("metrics", Metrics(MetricsSettings()))], upstream=broken) as client:
        await client.gateway.keeper.settled()
        async with client.http.get("/api/accounts/a") as response:
            account = (await response.json())["account"]
        assert (account["state"], account["reason"]) == ("unreachable", "The connection to Gemini broke")
        async with client.http.get("/metrics") as response:
            assert 'gateway_accounts{state="unreachable"} 1.0' in await response.text()
        async with client.http.get("/ready") as response:
            assert (await response.json())["reason"] == "unreachable: The connection to Gemini broke"
        broken.sign_in_errors.clear()
        client.gateway.keeper.sign_in(client.gateway.pool.accounts[0])
        assert (await client.chat("hello")).status == 200


def test_the_metrics_know_every_state() -> None:
    assert set(STATES) == set(State)


async def test_a_disabled_account_is_left_alone() -> None:
    accounts = [{"name": "a", "secure_1psid": "x-a", "enabled": False}, {"name": "b", "secure_1psid": "x-b"}]
    async with make_client(settings={"accounts": accounts}) as client:
        await client.chat("hello")
        assert asked(client) == ["b"]
        assert client.gateway.pool.views()[0].state == "disabled"


async def test_a_lone_account_that_goes_on_failing_rests_ever_longer() -> None:
    script = {"a": [Script(UpstreamUnavailable("500"))]}
    async with make_client(upstream=ScriptedUpstream(by_account=script)) as client:
        rests = []
        for _ in range(7):
            assert (await client.chat("hello")).status == 502
            rests.append(client.gateway.pool.accounts[0].health.strikes)
        assert rests == [1, 2, 3, 4, 5, 6, 7]
        assert client.gateway.pool.views()[0].state == "cooling"


async def test_while_one_call_finds_out_whether_an_account_serves_again_the_others_wait() -> None:
    gate = asyncio.Event()
    script = {"a": [*[Script(UpstreamUnavailable("500"))] * 3, Script(gate, "back"), Script("too")]}
    async with make_client(upstream=ScriptedUpstream(by_account=script)) as client:
        for _ in range(3):
            await client.chat("hello")
        (probe,) = await held(client, 1, 4)
        other = asyncio.create_task(client.chat("hello"))
        await until(lambda: client.gateway.pool.queued)
        gate.set()
        assert ((await probe).text, (await other).text) == ("back", "too")  # type: ignore[attr-defined]


async def test_an_answer_that_the_gateway_cuts_short_is_a_success_of_the_account() -> None:
    script = {"a": [*[Script(UpstreamUnavailable("500"))] * 3, Script("one STOP two")]}
    async with make_client(upstream=ScriptedUpstream(by_account=script)) as client:
        for _ in range(3):
            await client.chat("hello")
        assert (await client.chat("hello", stop=["STOP"])).text == "one "
        view = client.gateway.pool.views()[0]
        assert view.state == "ready" and view.last_success is not None


async def test_nobody_learns_names_of_accounts_from_ready() -> None:
    accounts = [{"name": "me@example.com", "secure_1psid": "x-a"}]
    dead = ScriptedUpstream(sign_in_errors={"me@example.com": AccountExpired("signed out")})
    async with make_client(upstream=dead, settings={"accounts": accounts}) as client:
        await client.chat("hello")
        async with client.http.get("/ready") as response:
            said = await response.text()
    assert "signed out" in said and "example.com" not in said
