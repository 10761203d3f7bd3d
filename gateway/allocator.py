"""The heap of a process that runs for months. glibc keeps freed pieces below the top of its heap for ever, so that 500
streams would leave their size behind: what is free is given back now and then (elsewhere there is nothing to do). And what
the start has made is not searched for garbage again and again."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable

EVERY_S = 30.0


def keep_what_is_there() -> None:
    """Call it once a process has started: modules, settings and routes stay as long as it runs, and each search for
    garbage would look through them all. That is half of what the collector costs a short call."""
    gc.collect()
    gc.freeze()


def _trimmer() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return None
    return found


async def trim_for_ever(every_s: float = EVERY_S) -> None:
    """Trim every `every_s` seconds, in a thread: a large heap takes some milliseconds."""
    trim = _trimmer()
    while trim is not None:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(trim, 0)
