"""Ten minutes of random faults on ten accounts (`make soak`); the short form is in tests/functional."""

from __future__ import annotations

import asyncio

import pytest

from tests.functional.conftest import Launch, launch
from tests.functional.test_chaos import ACCOUNTS, QUICK, chaos, check, whole_again

__all__ = ["launch"]
LONGEST_COOLDOWN_S = 300.0


@pytest.mark.soak
async def test_ten_minutes_of_faults_leave_a_whole_pool(launch: Launch) -> None:
    async with launch(accounts=ACCOUNTS, settings=QUICK) as live:
        ends = await chaos(live, 600.0, seed=11)
        async with asyncio.timeout(LONGEST_COOLDOWN_S):
            await whole_again(live)
        check(live, ends)
