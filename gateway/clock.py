"""Time that never jumps, and how times are written."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime


def steady() -> Callable[[], float]:
    """A clock of seconds since 1970 that starts right and then only ever goes on: somebody who sets the machine's clock
    ends no cooldown and delays no rotation. Sleep of the machine counts where the system can tell (Linux)."""
    tick = _since_boot if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    begun = time.time() - tick()
    return lambda: begun + tick()


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def rfc3339(seconds: float) -> str:
    """A time in seconds since 1970 as text: 2026-11-24T22:46:32.000000Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
