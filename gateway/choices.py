"""Several answers to one question: as many runs, some of them side by side, each with a lease of its own. Their events come
marked with the answer that they belong to; one Finished with all that they cost ends them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from gateway.hookspecs import Generate
from gateway.model import Call, Chosen, Event, Finished, Tried, Usage

_Item = tuple[int, Event] | BaseException
# Runs of one call at once: one caller shall not fill the queue for accounts.
_AT_ONCE = 8


async def several(run: Generate, call: Call) -> AsyncGenerator[Event, None]:
    """`call.choices` runs, a few at once. The first error ends all of them."""
    room = asyncio.Semaphore(_AT_ONCE)
    queue: asyncio.Queue[_Item] = asyncio.Queue(maxsize=64)
    calls = [_one(call, index) for index in range(call.choices)]
    tasks = [asyncio.create_task(_feed(run, one, index, queue, room)) for index, one in enumerate(calls)]
    usage, running = Usage(), call.choices
    try:
        while running:
            item = await queue.get()
            if isinstance(item, BaseException):
                raise item
            index, event = item
            _note(call, calls[index])
            if isinstance(event, Finished):
                running -= 1
                usage = _sum(usage, event.usage)
            yield Chosen(index, event)
        yield Finished(usage=usage)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        call.attempts = sum(one.attempts for one in calls)
        for one in calls:
            call.usage = _sum(call.usage or Usage(), one.usage) if one.usage else call.usage


async def _feed(run: Generate, call: Call, index: int, queue: asyncio.Queue[_Item], room: asyncio.Semaphore) -> None:
    try:
        async with room, aclosing(run(call)) as events:
            async for event in events:
                await queue.put((index, event))
    except Exception as exc:  # noqa: BLE001 - handed to the reader of the queue, who raises it
        await queue.put(exc)


def _one(call: Call, index: int) -> Call:
    """The call of one answer: what a run writes down is its own; ids that are made from the call's differ."""
    return replace(call, id=f"{call.id}{index:x}", choices=1, tried=Tried(), extras={})


def _note(call: Call, one: Call) -> None:
    call.account, call.served_model = one.account or call.account, one.served_model or call.served_model
    call.guest = call.guest or one.guest


def _sum(one: Usage, other: Usage) -> Usage:
    """The prompt counts once, as in the original."""
    return Usage(other.prompt, one.output + other.output, one.thoughts + other.thoughts)
