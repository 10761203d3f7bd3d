"""Time that never jumps."""

from __future__ import annotations

import time
from collections.abc import Callable


def steady() -> Callable[[], float]:
    """A clock of seconds since 1970 that starts right and then only ever goes on: somebody who sets the machine's clock
    ends no cooldown and delays no rotation. Sleep of the machine counts where the system can tell (Linux)."""
    tick = _since_boot if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    begun = time.time() - tick()
    return lambda: begun + tick()


def _since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)
