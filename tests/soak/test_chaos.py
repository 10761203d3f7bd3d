"""Ten minutes of random faults on ten accounts, and of blocks of their proxies (`make soak`); the short form is in
tests/functional."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from tests.functional.conftest import Launch, launch
from tests.functional.test_chaos import ACCOUNTS, EGRESSES, QUICK, Clock, chaos, check, whole_again
from tests.soak.test_mixed_load import SOAK_S, write_down

__all__ = ["launch"]
CHAOS_S = min(600.0, SOAK_S)


@pytest.mark.soak
@pytest.mark.timeout(0)
async def test_ten_minutes_of_faults_leave_a_whole_pool(launch: Launch) -> None:
    clock = Clock()
    async with launch(accounts=ACCOUNTS, egresses=EGRESSES, clock=clock, settings=QUICK) as live:
        seen = await chaos(live, clock, CHAOS_S, seed=11)
        faults = Counter(entry.fault for entry in live.site.log.generates)
        ends = {"calls": dict(seen.ends), "blocks": len(seen.blocks), "generations": {str(k): n for k, n in faults.items()}}
        write_down(".chaos", {"seconds": CHAOS_S, **ends})
        begun = asyncio.get_running_loop().time()
        async with asyncio.timeout(60):
            await whole_again(live, clock)
        write_down(".chaos", {"seconds": CHAOS_S, **ends, "whole again, s": asyncio.get_running_loop().time() - begun})
        check(live, seen)
