"""Notices when the event loop stands still: a plugin that computes or sleeps there holds up every caller. Says which line
that was."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

log = logging.getLogger(__name__)
_BEAT_S = 0.25


@contextmanager
def watchdog(limit_s: float = 1.0) -> Iterator[None]:
    """Log whenever the running loop does nothing for longer than `limit_s`, until the context is left."""
    dog = _Watchdog(limit_s)
    dog.start()
    try:
        yield
    finally:
        dog.stop()


class _Watchdog:
    """A thread that looks at a time which the loop keeps fresh."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._loops_thread = threading.get_ident()
        self._beaten = time.monotonic()
        self._over = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        self._beaten = time.monotonic()
        self._timer = self._loop.call_later(_BEAT_S, self._beat)

    def _watch(self) -> None:
        told = 0.0
        while not self._over.wait(_BEAT_S):
            beaten = self._beaten
            late = time.monotonic() - beaten - _BEAT_S
            if late > self._limit_s and told != beaten:
                told = beaten
                where = _line(sys._current_frames().get(self._loops_thread))
                log.warning("nobody is served: the event loop has stood still for %.1f s, in %s", late, where)


def _line(frame: FrameType | None) -> str:
    """Where `frame` is, with the file and function that called it."""
    found: list[str] = []
    while frame is not None and len(found) < 3:
        found.append(f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return " < ".join(found) or "?"
