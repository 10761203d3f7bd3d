"""Background tasks, all through one `spawn`: it keeps the reference, and a failure is logged instead of lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger(__name__)
_running: set[asyncio.Task[Any]] = set()
_endless: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, Any], what: str, *, endless: bool = False) -> asyncio.Task[Any]:
    """Run `work` in the background. `what` says in a few words what it does. What is `endless` is cancelled by who spawned
    it: `settle` does not wait for it."""
    task = asyncio.get_running_loop().create_task(work, name=what)
    (_endless if endless else _running).add(task)
    task.add_done_callback(_ended)
    return task


def _ended(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    _endless.discard(task)
    if not task.cancelled() and (exc := task.exception()) is not None:
        log.error("background task failed: %s", task.get_name(), exc_info=exc)


async def settle() -> None:
    """Wait for everything that was spawned on this loop; for the end of the program."""
    loop = asyncio.get_running_loop()
    mine = [task for task in _running if task.get_loop() is loop and task is not asyncio.current_task()]
    await asyncio.gather(*mine, return_exceptions=True)
