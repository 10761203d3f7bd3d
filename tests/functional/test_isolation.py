"""One failing call costs nobody else anything; a caller who leaves frees everything at once."""

from __future__ import annotations

import asyncio
import gc
import os
import statistics
from pathlib import Path

import aiohttp
import pytest

from gateway.simulator import Fault, filler
from gateway.upstream.gemini_web.session import Session
from gateway.upstream.reply import ReplyReader
from tests.functional.conftest import Launch, Live
from tests.waiting import until

FAULTS = [
    Fault("1037"),
    Fault("1060"),
    Fault("1013"),
    Fault("1050"),
    Fault("1097"),
    Fault("500"),
    Fault("429"),
    Fault("401"),
    Fault("reset"),
    Fault("garbage"),
    Fault("empty"),
    Fault("reject"),
    Fault("truncate"),
    Fault("no_completion"),
    Fault("reset_mid"),
    Fault("lying_length"),
    Fault("bad_chunk"),
    Fault("captcha"),
    Fault("captcha_page"),
    Fault("login"),
    Fault("stall"),
    Fault("hang"),
]


def name(fault: Fault) -> str:
    return {"code": str(fault.code), "http": str(fault.status)}.get(fault.name, fault.name)


# Short, but longer than a busy machine keeps the whole process waiting.
QUICK = {"upstream": {"first_byte_timeout_s": 2.5, "stall_timeout_s": 2.5, "tail_timeout_s": 0.5}}


@pytest.mark.parametrize("fault", FAULTS, ids=name)
async def test_five_streams_stay_whole_while_a_sixth_fails(launch: Launch, fault: Fault) -> None:
    async with launch(settings=QUICK) as live:
        prompt = "[[sim chars=1200 frames=40 pace_ms=15]]"
        streams = [asyncio.create_task(live.client.chat(prompt, stream=True)) for _ in range(5)]
        await until(lambda: sum(e.sent > 0 for e in live.site.log.generates) == 5)
        live.site.fault("a", "generate", fault, times=None)
        sixth = await live.client.chat("and this one fails", stream=True)
        replies = await asyncio.gather(*streams)
        assert [reply.text for reply in replies] == [filler(1200, "ascii")] * 5
        assert sixth.status != 200 or "error" in sixth.body[-1] or sixth.text


async def test_two_hundred_callers_who_leave_free_the_account_and_the_transfer(launch: Launch) -> None:
    async with launch(settings={"pool": {"max_concurrency": 4}}) as live:
        before = descriptors()
        loop = asyncio.get_running_loop()
        took = []
        for turn in range(1, 51):
            await asyncio.gather(*(leave_after_first_piece(live) for _ in range(4)))
            left = loop.time()
            await until(lambda: live.gateway.pool.views()[0].in_flight == 0)
            await until(lambda turn=turn: sum(e.outcome == "aborted" for e in live.site.log.generates) == 4 * turn)
            took.append(loop.time() - left)
        assert statistics.median(took) < 0.1
        assert (await live.client.chat("still here?")).status == 200
        assert descriptors() - before < 40


async def test_leaving_before_the_first_byte_frees_the_account_too(launch: Launch) -> None:
    async with launch() as live:
        live.site.fault("a", "generate", Fault("hang"), times=1)
        task = asyncio.create_task(live.client.chat("hello", stream=True))
        await until(lambda: bool(live.site.log.generates))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: live.gateway.pool.views()[0].in_flight == 0, within_s=0.5)
        assert (await live.client.chat("still here?")).status == 200


async def test_what_calls_leave_behind_is_gone_without_a_search_for_garbage(launch: Launch) -> None:
    """A burst would else stand in memory until the interpreter searches, which may be long after."""
    async with launch(settings={"pool": {"max_concurrency": 8}}, idle_s=0.3) as live:
        gc.collect()
        gc.disable()
        try:
            await asyncio.gather(*(leave_after_first_piece(live) for _ in range(4)))
            await until(lambda: not alive(Session) and not alive(ReplyReader))
            later = "[[sim chars=200 frames=10 pace_ms=15]]"  # put back when the first of them wait already
            replies = await asyncio.gather(*(live.client.chat(text, stream=True) for text in ("hello", later) * 2))
            assert all(reply.status == 200 for reply in replies)
            await until(lambda: not alive(Session) and not alive(ReplyReader))
        finally:
            gc.enable()


def alive(kind: type) -> int:
    return sum(isinstance(found, kind) for found in gc.get_objects())


async def leave_after_first_piece(live: Live) -> None:
    body = {
        "model": "gemini-2.5-flash",
        "stream": True,
        "messages": [{"role": "user", "content": "[[sim chars=4000 frames=200 pace_ms=20]]"}],
    }
    timeout = aiohttp.ClientTimeout(total=20)
    async with live.client.http.post("/v1/chat/completions", json=body, timeout=timeout) as response:
        async for line in response.content:
            if b'"content":"' in line and b'"content":""' not in line:
                break
        response.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
