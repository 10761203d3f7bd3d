"""Threads for work that costs CPU. There are few, and they stand back behind the event loop: a flood of large bodies and
pictures waits in line instead of taking the cores and the interpreter's lock from everybody's small requests.

What runs here should hold the lock for short whiles only (pieces, not one call over megabytes): nobody can take it away."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")
_BULK_THREADS = 2
_NICE = 5
SWITCH_INTERVAL_S = 0.001


def workers(count: int, name: str) -> ThreadPoolExecutor:
    """`count` threads at most, of lower priority than the loop's where the system knows that of threads (Linux)."""
    return ThreadPoolExecutor(count, thread_name_prefix=name, initializer=_stand_back)


async def in_thread(work: Callable[..., T], *arguments: object) -> T:
    """The result of `work(*arguments)`: translating large bodies. What it raises is raised."""
    return await asyncio.get_running_loop().run_in_executor(_bulk(), work, *arguments)


def hand_over_soon() -> None:
    """Let a thread that computes hand the interpreter to a waiting loop after a millisecond, not after five."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)


@cache
def _bulk() -> ThreadPoolExecutor:
    return workers(_BULK_THREADS, "bulk")


def _stand_back() -> None:
    if sys.platform == "linux":  # elsewhere the number means the process
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + _NICE))
