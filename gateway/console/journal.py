"""What happened lately: counters of the last hour and the last few hundred requests. In memory, of this process; no prompt,
no key, no cookie. Knows no HTTP.

A request is kept as the JSON that the page gets: one object, not twenty, and nothing left to do for a look."""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from gateway.model import Call, Outcome

STEP_S, STEPS = 30, 120
_MOST_LINES, _MOST_FAILURES, _MOST_SAMPLES, _MOST_KEYS = 500, 30, 64, 1000
_MOST_TEXT = 300


@dataclass(slots=True)
class Bucket:
    """`STEP_S` seconds of traffic. `first_s` are times to the first content: at most `_MOST_SAMPLES` of them, of the
    latest requests."""

    requests: int = 0
    errors: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    first_s: array[float] = field(default_factory=lambda: array("d"))
    _sampled: int = 0
    _plain: list[float | None] | None = None

    def add(self, outcome: Outcome) -> None:
        """Count one request."""
        self._plain = None
        self.requests += 1
        self.errors += outcome.error is not None
        self.tokens_in += outcome.usage.prompt
        self.tokens_out += outcome.usage.output + outcome.usage.thoughts
        if outcome.first_content_s is None:
            return
        if len(self.first_s) < _MOST_SAMPLES:
            self.first_s.append(outcome.first_content_s)
        else:
            self.first_s[self._sampled % _MOST_SAMPLES] = outcome.first_content_s  # the oldest
        self._sampled += 1

    def plain(self) -> list[float | None]:
        """[requests, errors, tokens in, tokens out, median and 95th percentile of the time to the first content]."""
        if self._plain is None:
            self._plain = self._counted()
        return self._plain

    def _counted(self) -> list[float | None]:
        ordered = sorted(self.first_s)
        median = round(ordered[len(ordered) // 2], 3) if ordered else None
        slowest = round(ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)], 3) if ordered else None
        return [self.requests, self.errors, self.tokens_in, self.tokens_out, median, slowest]


@dataclass(slots=True)
class KeyUse:
    """What one key did since the start."""

    requests: int = 0
    errors: int = 0
    tokens: int = 0
    last: float = 0.0


class Journal:
    """`clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._begun = clock()
        self._buckets: dict[int, Bucket] = {}
        self._lines: deque[bytes] = deque(maxlen=_MOST_LINES)
        self._failures: deque[bytes] = deque(maxlen=_MOST_FAILURES)
        self._keys: dict[str, KeyUse] = {}
        self.written = 0

    def add(self, call: Call, outcome: Outcome) -> None:
        """Write down one request."""
        now = self._clock()
        self._bucket(int(now // STEP_S)).add(outcome)
        self._count_key(call.principal.name, outcome, now)
        line = orjson.dumps(_line(call, outcome, now))
        self.written += 1
        self._lines.append(line)
        if outcome.error is not None and outcome.error != "ClientLeft":
            self._failures.append(line)

    def _bucket(self, step: int) -> Bucket:
        if step not in self._buckets:
            self._buckets = {old: bucket for old, bucket in self._buckets.items() if old > step - STEPS}
            self._buckets[step] = Bucket()
        return self._buckets[step]

    def _count_key(self, name: str, outcome: Outcome, now: float) -> None:
        if name not in self._keys and len(self._keys) >= _MOST_KEYS:
            return
        use = self._keys.setdefault(name, KeyUse())
        use.requests += 1
        use.errors += outcome.error is not None
        use.tokens += outcome.usage.total
        use.last = now

    @property
    def uptime_s(self) -> float:
        """Seconds since the start."""
        return self._clock() - self._begun

    # --- looking --------------------------------------------------------------------------------------------------

    def hour(self) -> dict[str, Any]:
        """The last hour: `buckets` of `step_s` seconds, oldest first, the last one still open (Bucket.plain)."""
        last = int(self._clock() // STEP_S)
        empty = Bucket().plain()
        steps = range(last - STEPS + 1, last + 1)
        return {
            "step_s": STEP_S,
            "ends": (last + 1) * STEP_S,
            "buckets": [self._buckets[step].plain() if step in self._buckets else empty for step in steps],
        }

    def lines(self, after: int = 0) -> list[orjson.Fragment]:
        """The requests that were written down after number `after`, oldest first, to be put into JSON."""
        new = min(self.written - after, len(self._lines))
        return [orjson.Fragment(line) for line in islice(self._lines, len(self._lines) - new, None)]

    def failures(self) -> list[orjson.Fragment]:
        """The latest requests that went wrong, newest first, to be put into JSON."""
        return [orjson.Fragment(line) for line in reversed(self._failures)]

    def use_of(self, key: str) -> KeyUse:
        """What the key of this name did since the start."""
        return self._keys.get(key, KeyUse())


def _line(call: Call, outcome: Outcome, now: float) -> dict[str, Any]:
    head = call.head
    return {
        "t": round(now, 3),
        "id": head.request_id if head else call.id,
        "method": head.method if head else "",
        "path": head.path[:_MOST_TEXT] if head else "",
        "dialect": call.dialect,
        "status": outcome.status,
        "ms": round(outcome.duration_s * 1000, 1),
        "first_ms": round(outcome.first_content_s * 1000, 1) if outcome.first_content_s is not None else None,
        "key": call.principal.name,
        "model": call.model[:128],
        "served": call.served_model,
        "account": call.account,
        "tries": call.attempts,
        "tokens_in": outcome.usage.prompt,
        "tokens_out": outcome.usage.output + outcome.usage.thoughts,
        "error": outcome.error,
        "reason": outcome.reason[:_MOST_TEXT],
    }
