"""The protocol of the state store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Window:
    """A rule: at most `limit` in any span of `seconds`, counted under `key`."""

    key: str
    limit: int
    seconds: float


class StateAway(Exception):
    """The store cannot be reached now. Counting goes on locally (`take`); records cannot."""


class StateStore(Protocol):
    """What replicas share: counters that go on locally while the store is away, and records, which raise StateAway then.
    `key` is any text; values are bytes."""

    async def take(self, windows: Sequence[Window], cost: int = 1) -> float:
        """Count `cost` in every window, if all of them have room. Returns 0.0, or the seconds until they would; then
        nothing was counted. Sliding logs: exact in any window, checked and counted atomically in one round trip."""

    async def get(self, key: str) -> bytes | None:
        """The record under `key`; None when there is none or its time is over."""

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """Keep `value` under `key`, for `seconds` or until it is deleted."""

    async def delete(self, key: str) -> None:
        """Forget the record under `key`, if there is one."""

    async def open(self) -> None:
        """Connect. A store that is away now does not refuse the start."""

    async def close(self) -> None:
        """Let go of connections and tasks."""
