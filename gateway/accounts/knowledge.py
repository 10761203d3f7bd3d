"""What replicas tell each other of an account beside its cookies: its use, its cooldowns, its blocked egress. Pure."""

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
    """`read` is when the site told `allowance`; `models` until when each exhausted model is out; `blocked_until` the same
    for the egress. Seconds since 1970."""

    read: float | None = None
    allowance: Allowance = field(default_factory=Allowance)
    models: Mapping[str, float] = field(default_factory=dict)
    blocked_until: float = 0.0


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
        return Knowledge(table.get("read"), allowance, models, float(table.get("blocked_until", 0.0)))
    except (ValueError, TypeError, AttributeError):
        return Knowledge()


def reset_of(allowance: Allowance, now: float) -> float | None:
    """When what is used up comes back: the latest reset of a full window, None where no window is full."""
    ends = [w.resets_at for w in allowance.windows if w.used >= _FULL and w.resets_at is not None and w.resets_at > now]
    return max(ends, default=None)


_FULL = 0.99
