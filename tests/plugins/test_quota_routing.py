"""Which of the free accounts a call gets, and that it is told why."""

from __future__ import annotations

from collections import Counter

from gateway.errors import UpstreamUnavailable
from gateway.hookspecs import hookimpl
from gateway.model import UsageWindow
from gateway.testing import Client, Script, ScriptedUpstream, make_client
from gateway.upstream.protocol import Allowance
from plugins import api_key, quota_routing, retry


def routing(**settings: object) -> tuple[str, quota_routing.Plugin]:
    return "quota_routing", quota_routing.Plugin(quota_routing.Settings.model_validate(settings))


def used(**shares: dict[str, float]) -> dict[str, Allowance]:
    return {
        name: Allowance(tuple(UsageWindow(window, share) for window, share in windows.items()))
        for name, windows in shares.items()
    }


async def informed(client: Client) -> None:
    """Wait until the gateway knows how much of each account is used."""
    keeper = client.gateway.keeper
    await keeper.settled()
    await keeper.tick()
    await keeper.settled()


async def test_the_least_used_account_answers() -> None:
    upstream = ScriptedUpstream(allowances=used(a={"5h": 0.8}, b={"5h": 0.2, "week": 0.3}, c={"5h": 0.1, "week": 0.7}))
    async with make_client(plugins=[routing(sticky_s=0)], upstream=upstream, accounts=3) as client:
        await informed(client)
        for _ in range(3):
            await client.chat("hello")
        assert [account for account, _ in upstream.asked] == ["b", "b", "b"]


async def test_the_quota_of_the_kind_of_model_counts() -> None:
    upstream = ScriptedUpstream(allowances=used(a={"pro": 0.9, "flash": 0.1}, b={"pro": 0.2, "flash": 0.6}))
    async with make_client(plugins=[routing(sticky_s=0)], upstream=upstream, accounts=2) as client:
        await informed(client)
        await client.chat("hello", model="gemini-2.5-pro")
        await client.chat("hello", model="gemini-2.5-flash")
        assert [account for account, _ in upstream.asked] == ["b", "a"]


async def test_a_conversation_keeps_its_account_until_that_is_nearly_used_up() -> None:
    upstream = ScriptedUpstream()
    async with make_client(plugins=[routing()], upstream=upstream, accounts=3) as client:
        await informed(client)
        turns = [{"role": "user", "content": "My name is Ada."}]
        for _ in range(4):
            await client.chat("", messages=turns)
            turns += [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "and?"}]
        (home,) = {account for account, _ in upstream.asked}
        await client.chat("another conversation")
        assert upstream.asked[-1][0] != home
        account = client.gateway.pool.find(home)
        assert account is not None
        account.allowance = used(x={"5h": 0.95})["x"]
        await client.chat("", messages=turns)
        assert upstream.asked[-1][0] != home


async def test_two_keys_do_not_share_a_conversation_and_each_has_its_accounts() -> None:
    keys = [{"name": n, "key": f"sk-{n}", "accounts": accounts} for n, accounts in (("one", ["a"]), ("two", ["b", "c"]))]
    guard = "api_key", api_key.Plugin(api_key.Settings.model_validate({"keys": keys}))
    upstream = ScriptedUpstream()
    async with make_client(plugins=[guard, routing()], upstream=upstream, accounts=3) as client:
        for key in ("one", "two", "two", "two"):
            assert (await client.chat("hello", headers={"Authorization": f"Bearer sk-{key}"})).status == 200
        found = Counter(account for account, _ in upstream.asked)
        assert found["a"] == 1 and found["b"] + found["c"] == 3


async def test_a_decision_is_explained_to_who_asks_where_that_is_allowed() -> None:
    asking = {"x-gateway-explain": "1"}
    async with make_client(plugins=[routing(explain=True)], accounts=2) as client:
        reply = await client.chat("hello", headers=asking)
        assert reply.headers["x-gateway-route"] == f"{client.upstream.asked[0][0]}: least used of 2 free, 0% used"
        assert "x-gateway-route" not in (await client.chat("hello")).headers
    async with make_client(plugins=[routing()], accounts=2) as client:
        assert "x-gateway-route" not in (await client.chat("hello", headers=asking)).headers


async def test_a_failover_is_chosen_too_and_leaves_out_what_was_tried() -> None:
    upstream = ScriptedUpstream(by_account={"a": [Script(UpstreamUnavailable("500"))]})
    again = "retry", retry.Plugin(retry.Settings())
    async with make_client(plugins=[again, routing(explain=True)], upstream=upstream, accounts=2) as client:
        reply = await client.chat("hello", headers={"x-gateway-explain": "1"})
        assert (reply.status, [account for account, _ in upstream.asked]) == (200, ["a", "b"])
        assert reply.headers["x-gateway-route"].startswith("b: least used of 1 free")


async def test_a_router_that_fails_or_talks_nonsense_is_skipped() -> None:
    class Broken:
        @hookimpl
        async def choose_account(self, call: object) -> str | None:
            raise ValueError("oops")

    class Nonsense:
        @hookimpl
        async def choose_account(self, call: object) -> str | None:
            return "nobody"

    async with make_client(plugins=[("broken", Broken()), ("nonsense", Nonsense())], accounts=2) as client:
        assert (await client.chat("hello")).status == 200
        assert client.gateway.hooks.errors["broken", "choose_account"] == 1
