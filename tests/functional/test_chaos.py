"""Ten accounts behind three proxies under load; every second something else breaks at one of them, and now and then Google
blocks a proxy."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.accounts.health import FAILURES
from gateway.clock import steady
from gateway.simulator import Fault, filler
from gateway.simulator.log import Log
from tests.functional.conftest import Launch, Live

ACCOUNTS, EGRESSES, CALLERS = 10, 3, 8
FAULTS = (
    ("generate", Fault("500")),
    ("generate", Fault("503", retry_after=1)),
    ("generate", Fault("429", retry_after=2)),
    ("generate", Fault("1037")),
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
# What a blocked address gets: the number in the answer, or captcha pages wherever it asks.
BLOCKS = (
    ("generate", Fault("1060")),
    ("*", Fault("captcha")),
    ("*", Fault("captcha_page")),
    ("*", Fault("consent")),
)
RIGHT = {
    "quota_exceeded",
    "upstream_unavailable",
    "upstream_timeout",
    "upstream_changed",
    "egress_blocked",
    "account_expired",
    "no_account",
    "overloaded",
}
LONGEST_COOLDOWN_S = max(row.most_s for row in FAILURES)
QUICK: dict[str, Any] = {
    "upstream": {"first_byte_timeout_s": 5.0, "stall_timeout_s": 5.0, "tail_timeout_s": 2.0, "init_timeout_s": 10.0},
    "pool": {"rotation_interval_s": 5, "usage_interval_s": 5},
}


class Clock:
    """Time that goes on, and leaps where a test has no two hours to wait."""

    def __init__(self) -> None:
        self._steady = steady()
        self._leapt = 0.0

    def __call__(self) -> float:
        return self._steady() + self._leapt

    def leap(self, seconds: float) -> None:
        self._leapt += seconds


@dataclass(slots=True)
class Block:
    """A time in which Google blocked a proxy: the accounts behind it, and when it began and ended."""

    accounts: set[str]
    begun: float
    ended: float


@dataclass(slots=True)
class Chaos:
    """What happened: how calls ended (ok, or the error's code), and the blocks."""

    ends: Counter[str] = field(default_factory=Counter)
    blocks: list[Block] = field(default_factory=list)


async def chaos(live: Live, clock: Clock, seconds: float, seed: int) -> Chaos:
    """Let things break for so long, under load."""
    chance, seen = random.Random(seed), Chaos()
    live.site.log = Log(most=1_000_000)
    over = asyncio.get_running_loop().time() + seconds

    def goes_on() -> bool:
        return asyncio.get_running_loop().time() < over

    async def call_again_and_again() -> None:
        while goes_on():
            stream = chance.random() < 0.5
            reply = await live.client.chat("[[sim chars=600 frames=12 pace_ms=10]]", stream=stream)
            last = reply.body[-1] if stream and reply.status == 200 else reply.body
            if "error" in last:
                seen.ends[last["error"]["code"]] += 1
            else:
                assert reply.text == filler(600, "ascii")
                seen.ends["ok"] += 1

    async def break_something() -> None:
        while goes_on():
            endpoint, fault = chance.choice(FAULTS)
            name = chance.choice(live.site.accounts).name
            live.site.fault(name, endpoint, fault, times=chance.randint(1, 3))
            await asyncio.sleep(1.0)

    async def block_a_proxy() -> None:
        while goes_on():
            await asyncio.sleep(chance.uniform(1.0, 3.0))
            seen.blocks.append(await blocked(live, chance))
            clock.leap(LONGEST_COOLDOWN_S)  # the block's time, and that of whatever else rests

    async with asyncio.TaskGroup() as group:
        for _ in range(CALLERS):
            group.create_task(call_again_and_again())
        group.create_task(break_something())
        group.create_task(block_a_proxy())
    return seen


async def blocked(live: Live, chance: random.Random) -> Block:
    """Let Google block one of the proxies for a few seconds."""
    behind: dict[str, set[str]] = {}
    for account in live.gateway.pool.accounts:
        behind.setdefault(account.egress.name, set()).add(account.name)
    names = behind[chance.choice(sorted(behind))]
    endpoint, fault = chance.choice(BLOCKS)
    begun = time.time()
    for name in names:
        live.site.clear_faults(name)
        live.site.fault(name, endpoint, fault, times=None)
    await asyncio.sleep(chance.uniform(2.0, 4.0))
    for name in names:
        live.site.clear_faults(name)
    return Block(names, begun, time.time())


async def whole_again(live: Live, clock: Clock) -> None:
    """Wait, with calls that try what rests, until every account has served once more."""
    live.site.clear_faults()
    clock.leap(LONGEST_COOLDOWN_S)
    before, missing = len(live.site.log.generates), {account.name for account in live.site.accounts}
    while missing:
        replies = await asyncio.gather(*(live.client.chat("hello") for _ in range(ACCOUNTS)))
        assert {reply.status for reply in replies} == {200}
        missing -= {entry.account for entry in live.site.log.generates[before:]}


def check(live: Live, seen: Chaos) -> None:
    """Nothing that had no fault of its own was cut, nobody got an error of the wrong kind, and a blocked proxy was left
    alone as soon as it was known to be."""
    ends = seen.ends
    assert set(ends) - {"ok"} <= RIGHT, ends
    entries = live.site.log.generates
    hurt = [entry for entry in entries if entry.fault is None and entry.outcome != "whole"]
    assert not hurt, hurt[:3]
    assert sum(ends.values()) - ends["ok"] <= sum(entry.fault is not None for entry in entries)
    assert ends["ok"] > 0.8 * sum(ends.values()), ends
    assert {"captcha", "captcha_page", "consent", "1060"} & {entry.fault for entry in entries}
    for block in seen.blocks:
        theirs = [e for e in entries if e.account in block.accounts and block.begun <= e.at < block.ended]
        known = next((e.ended_at for e in theirs if e.fault is not None and e.ended_at), block.ended)
        assert not [e for e in theirs if e.at > known + 1.0], "a blocked proxy was asked again"


@pytest.mark.timeout(120)
async def test_faults_cost_no_call_but_their_own_and_the_pool_is_whole_again(launch: Launch) -> None:
    clock = Clock()
    async with launch(accounts=ACCOUNTS, egresses=EGRESSES, clock=clock, settings=QUICK) as live:
        seen = await chaos(live, clock, 30.0, seed=7)
        async with asyncio.timeout(60):
            await whole_again(live, clock)
        check(live, seen)
