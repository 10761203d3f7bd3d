"""When to renew the cookies of an account, and how long they will last otherwise. Pure: history + result + now -> history.

A rotation is due an interval after the last attempt, give or take a tenth, so that accounts do not move in step; the
jitter follows from the history, so that replicas agree on it. Observed lives of an unrenewed __Secure-1PSIDTS go from
half an hour to days; what an account showed of itself counts more than that."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

from gateway.upstream.protocol import Rotated, Rotation

JITTER = 0.1
SOONEST_S = 60.0
THROTTLED_FIRST_S, THROTTLED_MOST_S = 120.0, 1200.0
FAILED_AGAIN_S = 120.0
TYPICAL_LIFE_S = 3 * 3600.0
MOST_LIVES = 8
# Above this a clock was set back after the note was made.
FUTURE_S = 60.0


@dataclass(frozen=True, slots=True)
class History:
    """What is remembered of an account's cookies, in seconds since 1970. `entered` is when a person gave them, `renewed`
    when __Secure-1PSIDTS last changed, `attempted` when a rotation was last asked for, `result` what came of it and
    `retry_after` what Google then asked for; `throttled` counts 429s in a row. `lives` are for how long an unrenewed
    value worked until the account was signed out, `survived` the longest that one worked and was renewed after all."""

    entered: float = 0.0
    renewed: float = 0.0
    attempted: float = 0.0
    result: str = ""
    retry_after: float = 0.0
    throttled: int = 0
    lives: tuple[float, ...] = ()
    survived: float = 0.0

    @property
    def fresh_since(self) -> float:
        """Since when the present __Secure-1PSIDTS is in use."""
        return max(self.entered, self.renewed)


def due_at(history: History, name: str, interval_s: float) -> float:
    """When the next rotation of the account `name` is due."""
    last = max(history.attempted, history.entered)
    wait, least = interval_s, 0.0
    match history.result:
        case Rotation.THROTTLED:
            rest = max(history.retry_after, THROTTLED_FIRST_S) * 2.0 ** min(history.throttled - 1, 10)
            wait, least = min(rest, THROTTLED_MOST_S), history.retry_after
        case Rotation.FAILED:
            wait = min(FAILED_AGAIN_S, interval_s)
    return last + max(least, wait * (1 + JITTER * _swing(f"{name} {last:.3f}")))


def is_due(history: History, name: str, *, interval_s: float, now: float) -> bool:
    """Whether a rotation is due now. A note from the future does not hold it up: the clock was set back."""
    return now >= due_at(history, name, interval_s) or max(history.attempted, history.entered) > now + FUTURE_S


def may_hurry(history: History, name: str, now: float) -> bool:
    """Whether a rotation out of turn may help an account that does not sign in: not right after another one, and not
    while Google wants to be asked less."""
    if history.result == Rotation.THROTTLED:
        return now >= due_at(history, name, 0.0)
    return not now - SOONEST_S < history.attempted <= now


def after(history: History, rotated: Rotated, now: float) -> History:
    """The history after an attempt."""
    throttled = history.throttled + 1 if rotated.result is Rotation.THROTTLED else 0
    history = replace(
        history,
        attempted=now,
        result=str(rotated.result),
        retry_after=rotated.retry_after or 0.0,
        throttled=throttled,
    )
    if rotated.result is Rotation.RENEWED:
        return renewed(history, now)
    return history


def renewed(history: History, now: float) -> History:
    """The history after Google gave a new __Secure-1PSIDTS."""
    return replace(history, renewed=now, survived=max(history.survived, now - history.fresh_since))


def died(history: History, now: float) -> History:
    """The history after the account was found signed out."""
    return replace(history, lives=(*history.lives, max(0.0, now - history.fresh_since))[-MOST_LIVES:])


def attention_by(history: History, *, interval_s: float, now: float) -> float | None:
    """When the account will probably need new cookies, by what it showed so far; None while renewing works. An estimate
    that passes without a death moves on: the cookies proved to live longer."""
    age = now - history.fresh_since
    if age <= 2.5 * interval_s:
        return None
    life = min(history.lives) if history.lives else max(TYPICAL_LIFE_S, history.survived)
    return history.fresh_since + max(life, 1.25 * age)


def _swing(text: str) -> float:
    """A number between -1 and 1 that follows from `text`."""
    return zlib.crc32(text.encode()) / 0x7FFFFFFF - 1
