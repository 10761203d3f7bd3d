"""How much memory the process holds, against a high-water mark: above it new work is refused early, instead of everything
dying late."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from gateway.errors import Overloaded

_LOOK_EVERY_S = 0.1
_SHARE = 0.85
_RETRY_AFTER_S = 5.0
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_STATM = Path("/proc/self/statm")


class HighWater:
    """`limit` in bytes of resident memory, None for no limit. `resident` measures it; `clock` gives seconds."""

    def __init__(
        self,
        limit: int | None,
        *,
        resident: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._resident = resident or resident_bytes
        self._clock = clock
        self._look_at = 0.0
        self._held = 0

    def check(self) -> None:
        """Raises Overloaded while the process holds more than it should. Cheap: looks ten times a second at most."""
        if self._limit is None:
            return
        now = self._clock()
        if now >= self._look_at:
            self._look_at = now + _LOOK_EVERY_S
            self._held = self._resident()
        if self._held > self._limit:
            hint = f"{self._held >> 20} MiB of memory are in use, the mark is {self._limit >> 20} MiB"
            raise Overloaded("The gateway is short of memory", retry_after=_RETRY_AFTER_S, hint=hint)


def resident_bytes() -> int:
    """The resident memory of this process; 0 where the system does not tell (proc(5), only on Linux)."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def mark(configured_mb: int, limits: tuple[str, ...] = _CGROUP_LIMITS) -> int | None:
    """The high-water mark in bytes: what is configured, else 85 % of what the container may have, else None."""
    if configured_mb:
        return configured_mb * 1_000_000
    for file in limits:
        try:
            allowed = int(Path(file).read_text("ascii"))
        except (OSError, ValueError):
            continue  # no such controller, or "max"
        if allowed < 1 << 50:  # cgroup v1 says "no limit" with a huge number
            return int(allowed * _SHARE)
    return None
