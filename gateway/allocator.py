"""The heap of a process that runs for months. glibc keeps freed pieces below the top of its heap for ever, so that 500
streams would leave their size behind, and it learns from each large block to keep the next one, in every thread, so that
pictures would: large blocks are returned as they are freed, the rest now and then (elsewhere there is nothing to do). And
what the start has made is not searched for garbage again and again."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from collections.abc import Callable
from urllib.parse import urlsplit

EVERY_S = 30.0
_PATIENCE = 10
# mallopt(3). Setting one of the thresholds ends glibc's own adjustment of both (up to 32 and 64 MB).
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT_BYTES, _ARENAS = 4_000_000, 2
_SEARCH_EVERY = 5000  # objects more than before (gc.set_threshold), some hundred running calls


def keep_what_is_there() -> None:
    """Call it once a process has started: modules, settings and routes stay as long as it runs, and each search for
    garbage would look through them all. And search less often: nearly all that a call makes is freed without a search."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_SEARCH_EVERY, 20, 20)


def return_large_blocks() -> None:
    """Call it before there are threads. Blocks from 4 MB on come from the system and go back to it at once; no more than
    that stays free at the top of an arena, and all threads share two of these."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return
    for name, value in ((_M_MMAP_THRESHOLD, _KEPT_BYTES), (_M_TRIM_THRESHOLD, _KEPT_BYTES), (_M_ARENA_MAX, _ARENAS)):
        mallopt(name, value)


def _trimmer() -> Callable[[int], int] | None:
    try:
        found: Callable[[int], int] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return None
    return found


async def trim_for_ever(quiet: Callable[[], bool], every_s: float = EVERY_S) -> None:
    """Trim every `every_s` seconds if it is `quiet` (no call runs), and every tenth time anyway: it takes some ten
    milliseconds for what a burst left, in which whoever needs memory waits, the loop in spite of the thread. What is kept
    for the next use goes first: it is strewn over the heap, and little of it holds back much."""
    trim = _trimmer()
    waited = 0
    while trim is not None:
        await asyncio.sleep(every_s)
        waited += 1
        if not quiet() and waited < _PATIENCE:
            continue
        urlsplit.cache_clear()  # type: ignore[attr-defined] # curl_cffi takes addresses apart by it, and none comes again
        if quiet():  # then there is next to nothing to search
            gc.collect()  # which lets go of the interpreter's spare tuples, lists and dicts, too
        waited = 0
        await asyncio.to_thread(trim, 0)
