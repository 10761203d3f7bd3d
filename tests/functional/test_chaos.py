"""Ten accounts under load, and every second something else breaks at one of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from gateway.simulator import Fault, filler
from tests.functional.conftest import Launch, Live

ACCOUNTS, CALLERS = 10, 8
FAULTS = (
    ("generate", Fault("500")),
    ("generate", Fault("503", retry_after=1)),
    ("generate", Fault("429", retry_after=2)),
    ("generate", Fault("401")),
    ("generate", Fault("reset")),
    ("generate", Fault("reset_mid")),
    ("generate", Fault("truncate")),
    ("generate", Fault("bad_chunk")),
    ("generate", Fault("1013")),
    ("generate", Fault("1097")),
    ("generate", Fault("garbage")),
    ("generate", Fault("empty")),
    ("generate", Fault("reject")),
    ("generate", Fault("stall")),
    ("generate", Fault("hang")),
    ("usage", Fault("500")),
    ("rotate", Fault("429")),
    ("status", Fault("500")),
    ("app", Fault("reset")),
)
RIGHT = {"quota_exceeded", "upstream_unavailable", "upstream_timeout", "upstream_changed", "no_account", "overloaded"}
QUICK = {
    "upstream": {"first_byte_timeout_s": 5.0, "stall_timeout_s": 5.0, "tail_timeout_s": 2.0, "init_timeout_s": 10.0},
    "pool": {"rotation_interval_s": 5, "usage_interval_s": 5},
}


async def chaos(live: Live, seconds: float, seed: int) -> Counter[str]:
    """Let things break for so long, under load. Returns how the calls ended: ok, or the error's code."""
    chance, ends = random.Random(seed), Counter[str]()
    over = asyncio.get_running_loop().time() + seconds

    async def call_again_and_again() -> None:
        while asyncio.get_running_loop().time() < over:
            stream = chance.random() < 0.5
            reply = await live.client.chat("[[sim chars=600 frames=12 pace_ms=10]]", stream=stream)
            last = reply.body[-1] if stream and reply.status == 200 else reply.body
            if "error" in last:
                ends[last["error"]["code"]] += 1
            else:
                assert reply.text == filler(600, "ascii")
                ends["ok"] += 1

    async def break_something() -> None:
        while asyncio.get_running_loop().time() < over:
            endpoint, fault = chance.choice(FAULTS)
            name = chance.choice(live.site.accounts).name
            live.site.fault(name, endpoint, fault, times=chance.randint(1, 3))
            await asyncio.sleep(min(1.0, seconds / 10))

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(call_again_and_again())
        group.create_task(break_something())
    return ends


async def whole_again(live: Live) -> None:
    """Wait, with calls that try what rests, until every account serves."""
    live.site.clear_faults()
    while any(view.state != "ready" for view in live.gateway.pool.views()):
        await asyncio.gather(*(live.client.chat("hello") for _ in range(ACCOUNTS)))
        await asyncio.sleep(0.1)


def check(live: Live, ends: Counter[str]) -> None:
    """Nothing that had no fault of its own was cut, and nobody got an error of the wrong kind."""
    assert set(ends) - {"ok"} <= RIGHT, ends
    entries = live.site.log.generates
    hurt = [entry for entry in entries if entry.fault is None and entry.outcome != "whole"]
    assert not hurt, hurt[:3]
    assert sum(ends.values()) - ends["ok"] <= sum(entry.fault is not None for entry in entries)
    assert ends["ok"] > 0.8 * sum(ends.values()), ends


@pytest.mark.timeout(120)
async def test_faults_cost_no_call_but_their_own_and_the_pool_is_whole_again(launch: Launch) -> None:
    async with launch(accounts=ACCOUNTS, settings=QUICK) as live:
        ends = await chaos(live, 12.0, seed=7)
        async with asyncio.timeout(60):
            await whole_again(live)
        check(live, ends)
