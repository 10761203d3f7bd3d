"""How long an event loop lets others wait, and why. A timer that is due every few milliseconds looks each time how late it
is, and what the loop's own thread did meanwhile by the kernel's count (proc(5), schedstat): it ran (`own`: a step of ours
that is too long), it waited for a free core (`core`: the machine's affair), or it slept though it was due (`lock`: another
thread held the interpreter)."""

from __future__ import annotations

import asyncio
import statistics
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

EVERY_S = 0.004
_SAMPLED_S = 0.002
LATE_S = 0.01
_NOTED_S = 0.003


class Steps:
    """Measures every step of the standard library's loop by the CPU time of the loop's thread: what other work the machine
    has, and who waits for whom, is not in it. uvloop runs the same steps of ours, but hides them."""

    def __init__(self) -> None:
        self._loops_thread = threading.get_ident()
        self.longest: list[tuple[float, str]] = []
        self.steps = 0
        run = asyncio.Handle._run

        def measured(handle: asyncio.Handle) -> None:
            begun = time.thread_time()
            try:
                run(handle)
            finally:
                self._note(time.thread_time() - begun, handle)

        asyncio.Handle._run = measured  # type: ignore[method-assign]

    def _note(self, seconds: float, handle: asyncio.Handle) -> None:
        self.steps += 1
        if seconds > _NOTED_S:
            self.longest.append((round(seconds * 1000, 1), _what(handle)))

    def result(self) -> dict[str, Any]:
        """How many steps there were, and the longest, in ms; then it begins anew."""
        found = {"steps": self.steps, "longest": sorted(self.longest, reverse=True)[:12]}
        self.steps, self.longest = 0, []
        return found


def _what(handle: asyncio.Handle) -> str:
    callback: Any = handle._callback
    task = getattr(callback, "__self__", None)
    return repr(task.get_coro())[:200] if isinstance(task, asyncio.Task) else repr(callback)[:200]


class Beat:
    """Measures from its making until `result`. With `sample`, another thread notes where a late loop stands: that costs
    time itself, so its numbers are for finding, not for tables."""

    def __init__(self, *, sample: bool = False) -> None:
        self._loop = asyncio.get_running_loop()
        self._stat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat").open("rb", buffering=0)  # noqa: SIM115
        self._thread = threading.get_ident()
        self._over = threading.Event()
        self.lines: Counter[str] = Counter()
        self.start()
        if sample:
            threading.Thread(target=self._sample, daemon=True).start()

    def start(self) -> None:
        """Forget what was measured before."""
        self.late: list[tuple[float, float, float]] = []
        self._ran, self._waited = self._read()
        self._due = self._loop.time() + EVERY_S
        self._timer = self._loop.call_at(self._due, self._look)

    def _read(self) -> tuple[float, float]:
        self._stat.seek(0)
        ran, waited, _ = self._stat.read().split()
        return int(ran) / 1e9, int(waited) / 1e9

    def _look(self) -> None:
        now = time.monotonic()
        ran, waited = self._read()
        self.late.append((now - self._due, ran - self._ran, waited - self._waited))
        self._ran, self._waited = ran, waited
        self._due = now + EVERY_S
        self._timer = self._loop.call_at(self._due, self._look)

    def restart(self) -> None:
        self._timer.cancel()
        self.start()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLED_S):
            late = time.monotonic() - self._due
            if late > LATE_S:
                for thread, frame in sys._current_frames().items():
                    if thread != threading.get_ident():
                        self.lines[("loop: " if thread == self._thread else "thread: ") + _where(frame)] += 1

    def result(self) -> dict[str, Any]:
        """Milliseconds: the longest wait, its 99.9th percentile, and the longest share of each kind in one wait."""
        self._timer.cancel()
        self._over.set()
        late = sorted(one[0] * 1000 for one in self.late)
        return {
            "beats": len(late),
            "median": statistics.median(late),
            "p999": late[int(len(late) * 0.999)],
            "longest": late[-1],
            "own": max(min(ran, was) for was, ran, _ in self.late) * 1000,
            "core": max(min(waited, was) for was, _, waited in self.late) * 1000,
            "lock": max(was - ran - waited for was, ran, waited in self.late) * 1000,
            "over_20": sum(one > 20 for one in late),
            "worst": [[round(x * 1000, 1) for x in one] for one in sorted(self.late, reverse=True)[:8]],
            "lines": self.lines.most_common(25),
        }


def _where(frame: FrameType | None) -> str:
    found: list[str] = []
    while frame is not None and len(found) < 5:
        found.append(f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(found)

