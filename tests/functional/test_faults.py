"""What the caller gets for each fault of the site: the status, the code, when to come back, and how often it was asked."""

from __future__ import annotations

import pytest

from gateway.simulator import Fault
from tests.functional.conftest import Launch

QUICK = {"upstream": {"first_byte_timeout_s": 1.5, "stall_timeout_s": 1.5, "tail_timeout_s": 0.5}}
ONCE, BUDGET = 1, 3

# fault, status, code, seconds to wait, requests upstream, with one account
BEFORE_CONTENT = [
    (Fault("1037"), 429, "quota_exceeded", "3600", ONCE),
    (Fault("1185"), 429, "quota_exceeded", "90", ONCE),
    (Fault("429", retry_after=30), 429, "quota_exceeded", "30", ONCE),
    (Fault("1060"), 503, "egress_blocked", "7200", ONCE),
    (Fault("captcha"), 503, "egress_blocked", "7200", ONCE),
    (Fault("captcha_page"), 503, "egress_blocked", "7200", ONCE),
    (Fault("consent"), 503, "egress_blocked", "7200", ONCE),
    (Fault("401"), 503, "no_account", "30", ONCE),
    (Fault("login"), 503, "no_account", "30", ONCE),
    (Fault("reject"), 503, "no_account", "30", ONCE),
    (Fault("1050"), 502, "upstream_changed", None, ONCE),
    (Fault("garbage"), 502, "upstream_changed", None, ONCE),
    (Fault("1013"), 502, "upstream_unavailable", None, BUDGET),
    (Fault("1152"), 502, "upstream_unavailable", None, BUDGET),
    (Fault("500"), 502, "upstream_unavailable", None, BUDGET),
    (Fault("503"), 502, "upstream_unavailable", None, BUDGET),
    (Fault("empty"), 502, "upstream_unavailable", None, BUDGET),
    (Fault("empty_answer"), 502, "upstream_unavailable", None, BUDGET),
    (Fault("hang"), 504, "upstream_timeout", None, ONCE),
    (Fault("hang_after_headers"), 504, "upstream_timeout", None, ONCE),
]
AFTER_CONTENT = ["truncate", "no_completion", "reset_mid", "bad_chunk", "stall"]
HARMLESS = ["1096", "garbage_frame", "dribble", "lying_length"]


def name(value: object) -> str | None:
    if isinstance(value, Fault):
        return {"code": str(value.code), "http": str(value.status)}.get(value.name, value.name)
    return None


@pytest.mark.parametrize(("fault", "status", "code", "wait", "asked"), BEFORE_CONTENT, ids=name)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_fault_before_content_is_a_plain_error(
    launch: Launch, fault: Fault, status: int, code: str, wait: str | None, asked: int, stream: bool
) -> None:
    async with launch(settings=QUICK) as live:
        live.site.fault("a", "generate", fault, times=None)
        reply = await live.client.chat("hello", stream=stream)
        assert (reply.status, reply.body["error"]["code"]) == (status, code)
        assert reply.headers.get("Retry-After") == wait
        assert len(live.site.log.generates) == asked
        assert live.gateway.pool.views()[0].in_flight == 0


@pytest.mark.parametrize("fault", [row[0] for row in BEFORE_CONTENT if row[2] != "egress_blocked"], ids=name)
async def test_another_account_answers_before_the_first_content(launch: Launch, fault: Fault) -> None:
    async with launch(accounts=2, settings=QUICK) as live:
        live.site.fault("a", "generate", fault, times=None)
        reply = await live.client.chat("[[sim text=saved]]", stream=True)
        assert (reply.status, reply.text) == (200, "saved")
        assert [entry.account for entry in live.site.log.generates] == ["a", "b"]


@pytest.mark.parametrize("fault", AFTER_CONTENT)
async def test_after_content_the_stream_ends_with_an_error_and_nothing_is_sent_again(launch: Launch, fault: str) -> None:
    async with launch(accounts=2, settings=QUICK) as live:
        live.site.fault("a", "generate", Fault(fault), times=None)
        reply = await live.client.chat("[[sim chars=400 frames=8]]", stream=True)
        assert reply.status == 200
        assert reply.text
        assert reply.body[-1]["error"]["code"] in ("upstream_unavailable", "upstream_timeout")
        assert len(live.site.log.generates) == 1


@pytest.mark.parametrize("fault", AFTER_CONTENT)
async def test_a_whole_reply_that_broke_off_is_an_error_and_never_half_an_answer(launch: Launch, fault: str) -> None:
    async with launch(accounts=2, settings=QUICK) as live:
        live.site.fault("a", "generate", Fault(fault), times=None)
        reply = await live.client.chat("[[sim chars=400 frames=8]]")
        assert reply.status in (502, 504)
        assert len(live.site.log.generates) == 1


@pytest.mark.parametrize("fault", HARMLESS)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_oddities_that_lose_nothing_go_unnoticed(launch: Launch, fault: str, stream: bool) -> None:
    async with launch(settings=QUICK) as live:
        live.site.fault("a", "generate", Fault(fault), times=None)
        reply = await live.client.chat('[[sim text="the whole answer, 你好 🎉, to its end"]]', stream=stream)
        assert (reply.status, reply.text) == (200, "the whole answer, 你好 🎉, to its end")


@pytest.mark.parametrize("fault", ["429", "500", "hang", "reset", "guest_page", "garbage"])
async def test_an_account_that_cannot_sign_in_is_out_and_the_other_serves(launch: Launch, fault: str) -> None:
    settings = {"upstream": {"init_timeout_s": 1.0}}
    async with launch(accounts=2, settings=settings) as live:
        for endpoint in ("app", "status"):
            live.site.fault("a", endpoint, Fault(fault), times=None)
        live.gateway.keeper.sign_in(live.gateway.pool.accounts[0])
        await live.ready()
        assert (await live.client.chat("hello")).status == 200
        assert live.gateway.pool.views()[0].reason or live.gateway.pool.views()[0].state == "ready"


async def test_a_huge_frame_and_an_endless_answer_end_within_bounds(launch: Launch) -> None:
    async with launch(settings={"upstream": {**QUICK["upstream"], "total_timeout_s": 2.0}}) as live:
        live.site.fault("a", "generate", Fault("huge_frame", size=40_000_000), times=1)
        reply = await live.client.chat("hello")
        assert reply.status in (502, 504)
        live.site.fault("a", "generate", Fault("endless"), times=1)
        reply = await live.client.chat("hello")
        assert reply.status in (502, 504)
