"""What replicas tell each other of an account beside its cookies: its use and its cooldowns. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import orjson

from gateway.model import UsageWindow
from gateway.upstream.protocol import Allowance

# Nothing here outlives the longest window that it speaks of.
KEPT_S = 8 * 86_400.0


@dataclass(frozen=True, slots=True)
class Knowledge:
    """`read` is when the site told `allowance`; `models` until when each exhausted model is out, `guessed` those of them
    for which that is a guess. Seconds since 1970."""

    read: float | None = None
    allowance: Allowance = field(default_factory=Allowance)
    models: Mapping[str, float] = field(default_factory=dict)
    guessed: tuple[str, ...] = ()


def encode(knowledge: Knowledge) -> bytes:
    """`knowledge` as a record of the state store."""
    return orjson.dumps(asdict(knowledge))


def decode(record: bytes | None) -> Knowledge:
    """What `encode` was given; nothing where there is no record, or one that this version does not understand."""
    try:
        table = orjson.loads(record or b"{}")
        told = table.get("allowance", {})
        windows = tuple(UsageWindow(**window) for window in told.get("windows", ()))
        allowance = Allowance(windows, bool(told.get("blocked")), str(told.get("flag", "")))
        models = {str(name): float(until) for name, until in table.get("models", {}).items()}
        return Knowledge(table.get("read"), allowance, models, tuple(map(str, table.get("guessed", ()))))
    except (ValueError, TypeError, AttributeError):
        return Knowledge()


def instant(record: bytes | None) -> float:
    """A time that was stored as text; 0.0 where there is none."""
    try:
        return float(record or b"0")
    except ValueError:
        return 0.0


def reset_of(allowance: Allowance, now: float) -> float | None:
    """When what is used up comes back: the latest reset of a full window, None where no window is full."""
    ends = [w.resets_at for w in allowance.windows if w.used >= _FULL and w.resets_at is not None and w.resets_at > now]
    return max(ends, default=None)


_FULL = 0.99
