"""The embedded state store: one process, nothing to install. Its content ends with the process."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence

from gateway.state.store import Window

_SWEEP_EVERY = 1000
# Records that expire may fill so many bytes; then the oldest go first. Those that do not expire always stay.
MOST_PASSING_BYTES = 256_000_000

_Taken = tuple[float, str]  # when, and with which ticket


class MemoryStore:
    """`clock` gives seconds and never goes back."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._logs: dict[str, deque[_Taken]] = {}
        self._spans: dict[str, float] = {}
        self._taken = 0
        self._records: dict[str, tuple[bytes, float]] = {}
        self._passing = 0
        self._leases: dict[str, tuple[str, float]] = {}

    async def take(self, windows: Sequence[Window], cost: int = 1, *, ticket: str = "") -> float:
        now = self._clock()
        self._sweep(now)
        wait = max([self._wait(window, cost, now) for window in windows], default=0.0)
        if wait <= 0:
            for window in windows:
                self._logs[window.key].extend([(now, ticket)] * cost)
                self._spans[window.key] = window.seconds
        return max(wait, 0.0)

    async def give_back(self, windows: Sequence[Window], count: int, *, ticket: str) -> None:
        for window in windows:
            log = self._logs.get(window.key, deque())
            for taken in [taken for taken in log if taken[1] == ticket][:count]:
                log.remove(taken)

    async def used(self, windows: Sequence[Window]) -> list[int]:
        now = self._clock()
        return [sum(at > now - window.seconds for at, _ in self._logs.get(window.key, ())) for window in windows]

    def _wait(self, window: Window, cost: int, now: float) -> float:
        log = self._logs.setdefault(window.key, deque())
        while log and log[0][0] <= now - window.seconds:
            log.popleft()
        over = len(log) + cost - window.limit
        if over <= 0:
            return 0.0
        # The wait ends when the over-th oldest has left the window; a cost that never fits waits a whole one.
        return (log[over - 1][0] if over <= len(log) else now) + window.seconds - now

    def _sweep(self, now: float) -> None:
        """Forget logs that ran out, so that keys of callers long gone do not pile up."""
        self._taken += 1
        if self._taken % _SWEEP_EVERY:
            return
        for key in [key for key, log in self._logs.items() if not log or log[-1][0] <= now - self._spans.get(key, 0)]:
            del self._logs[key]
            self._spans.pop(key, None)

    async def get(self, key: str) -> bytes | None:
        value, end = self._records.get(key, (None, 0.0))
        if value is not None and end <= self._clock():
            self._forget(key)
            return None
        return value

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        self._forget(key)
        end = math.inf if seconds is None else self._clock() + seconds
        self._records[key] = value, end
        if seconds is not None:
            self._passing += len(value)
            self._make_room()

    async def delete(self, key: str) -> None:
        self._forget(key)

    async def keys(self, prefix: str) -> list[str]:
        now = self._clock()
        return [key for key, (_, end) in self._records.items() if key.startswith(prefix) and end > now]

    async def lease(self, key: str, owner: str, seconds: float) -> bool:
        now = self._clock()
        holder, end = self._leases.get(key, (owner, 0.0))
        if holder != owner and end > now:
            return False
        self._leases = {name: held for name, held in self._leases.items() if held[1] > now}
        self._leases[key] = owner, now + seconds
        return True

    async def release(self, key: str, owner: str) -> None:
        if self._leases.get(key, ("", 0.0))[0] == owner:
            del self._leases[key]

    def _forget(self, key: str) -> None:
        value, end = self._records.pop(key, (b"", math.inf))
        if end < math.inf:
            self._passing -= len(value)

    def _make_room(self) -> None:
        """Oldest first: a dict keeps the order in which records came."""
        if self._passing > MOST_PASSING_BYTES:
            passing = [key for key, (_, end) in self._records.items() if end < math.inf]
            for key in passing:
                if self._passing <= MOST_PASSING_BYTES:
                    return
                self._forget(key)

    async def open(self) -> None:
        """Nothing to do."""

    async def close(self) -> None:
        """Nothing to do."""
