"""Another account before the first content, within a budget; never after it."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import (
    AccountExhausted,
    AccountExpired,
    EgressBlocked,
    GatewayError,
    InvalidRequest,
    UpstreamChanged,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.model import ThoughtDelta
from gateway.testing import Client, Script, ScriptedUpstream, make_client
from plugins.retry import Plugin, Settings
from tests.waiting import until


def retry(**settings: float) -> tuple[str, Plugin]:
    return "retry", Plugin(Settings.model_validate(settings))


def asked(client: Client) -> list[str]:
    return [account for account, _ in client.upstream.asked]


@pytest.mark.parametrize(
    "error",
    [
        AccountExhausted("used up"),
        AccountExpired("signed out"),
        UpstreamUnavailable("500"),
        UpstreamTimeout("silent"),
        UpstreamChanged("what?"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_another_account_answers(error: GatewayError) -> None:
    upstream = ScriptedUpstream([Script("saved")], by_account={"a": [Script(error)]})
    async with make_client(plugins=[retry()], upstream=upstream, accounts=2) as client:
        reply = await client.chat("hello", stream=True)
        assert (reply.status, reply.text, asked(client)) == (200, "saved", ["a", "b"])


async def test_without_the_plugin_there_is_one_attempt() -> None:
    upstream = ScriptedUpstream([Script("saved")], by_account={"a": [Script(UpstreamUnavailable("500"))]})
    async with make_client(upstream=upstream, accounts=2) as client:
        assert ((await client.chat("hello")).status, asked(client)) == (502, ["a"])


@pytest.mark.parametrize("content", ["text", ThoughtDelta("hm")], ids=["text", "thought"])
async def test_after_content_nothing_is_sent_again(content: str | ThoughtDelta) -> None:
    upstream = ScriptedUpstream([Script("saved")], by_account={"a": [Script(content, UpstreamUnavailable("reset"))]})
    async with make_client(plugins=[retry()], upstream=upstream, accounts=2) as client:
        assert (await client.chat("hello")).status == 502
        reply = await client.chat("hello", stream=True)
        assert "error" in reply.body[-1] or reply.text == "saved"
        assert asked(client).count("a") <= 2


async def test_a_permanent_failure_costs_at_most_the_attempts() -> None:
    upstream = ScriptedUpstream([Script(UpstreamUnavailable("500"))])
    async with make_client(plugins=[retry(attempts=3)], upstream=upstream) as client:
        assert ((await client.chat("hello")).status, asked(client)) == (502, ["a", "a", "a"])


async def test_a_mistake_of_the_caller_is_not_tried_elsewhere() -> None:
    upstream = ScriptedUpstream([Script(InvalidRequest("no"))])
    async with make_client(plugins=[retry()], upstream=upstream, accounts=3) as client:
        assert ((await client.chat("hello")).status, asked(client)) == (400, ["a"])


async def test_a_blocked_egress_is_left_out_with_all_behind_it() -> None:
    blocked = [Script(EgressBlocked("captcha", retry_after=7200))]
    upstream = ScriptedUpstream([Script("saved")], by_account={"a": blocked, "b": blocked})
    proxies = ["http://p1:1", "http://p1:1", "http://p2:1"]
    accounts = [{"name": n, "secure_1psid": f"x-{n}", "proxy": p} for n, p in zip("abc", proxies, strict=True)]
    async with make_client(plugins=[retry()], upstream=upstream, settings={"accounts": accounts}) as client:
        reply = await client.chat("hello")
        assert (reply.text, asked(client)) == ("saved", ["a", "c"])


async def test_an_outage_is_not_made_worse() -> None:
    gate = asyncio.Event()
    upstream = ScriptedUpstream([Script(gate, UpstreamUnavailable("500"))])
    settings = {"pool": {"max_concurrency": 100}}
    async with make_client(plugins=[retry(attempts=3, budget=0.1)], upstream=upstream, settings=settings) as client:
        calls = [asyncio.create_task(client.chat("hello")) for _ in range(40)]
        await until(lambda: len(upstream.asked) == 40)
        gate.set()
        assert {reply.status for reply in await asyncio.gather(*calls)} <= {502, 503}
        assert len(upstream.asked) <= 40 + 4 * 2 * 2


@pytest.mark.parametrize("attempts", [1, 2])
async def test_whoever_is_refused_at_the_last_attempt_is_told_when_the_first_account_is_back(attempts: int) -> None:
    script = {"a": [Script(AccountExhausted("used up", retry_after=900))], "b": [Script(AccountExhausted("used up"))]}
    async with make_client(
        plugins=[retry(attempts=attempts)], upstream=ScriptedUpstream(by_account=script), accounts=2
    ) as client:
        replies = [await client.chat("hello") for _ in range(3 - attempts)]
        assert {reply.status for reply in replies} == {429}
        assert 890 <= int(replies[-1].headers["Retry-After"]) <= 900


async def test_whoever_is_refused_while_another_account_is_well_may_come_back_at_once() -> None:
    script = {name: [Script(AccountExhausted("used up"))] for name in "ab"}
    async with make_client(
        plugins=[retry(attempts=2)], upstream=ScriptedUpstream([Script("saved")], by_account=script), accounts=3
    ) as client:
        refused = await client.chat("hello")
        assert (refused.status, refused.headers["Retry-After"]) == (429, "1")
        assert (await client.chat("hello")).text == "saved"
