"""Several answers to one question."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from gateway.choices import several
from gateway.model import Call, Chosen, Event, Finished, TextDelta


async def test_a_hundred_answers_run_a_few_at_once() -> None:
    running, most = 0, 0
    turn = asyncio.Event()

    async def run(call: Call) -> AsyncGenerator[Event, None]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        if running == 8:
            turn.set()
        await turn.wait()
        yield TextDelta("x")
        yield Finished()
        running -= 1

    events = [event async for event in several(run, Call("id", 0, "openai", choices=100))]
    chosen = [event for event in events if isinstance(event, Chosen)]
    assert sorted(event.index for event in chosen if isinstance(event.event, Finished)) == list(range(100))
    assert isinstance(events[-1], Finished)
    assert most == 8
