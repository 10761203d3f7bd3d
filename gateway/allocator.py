"""Gives memory back to the system after a burst. glibc keeps freed pieces below the top of its heap for ever; 500 streams
would leave their size behind. Elsewhere there is nothing to do."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

EVERY_S = 30.0


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
