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
    """The store cannot be reached now. Counting goes on locally (`take`); records and leases cannot."""


class StateStore(Protocol):
    """What replicas share: counters that go on locally while the store is away, and records and leases, which raise
    StateAway then. `key` is any text; values are bytes."""

    async def take(self, windows: Sequence[Window], cost: int = 1, *, ticket: str = "") -> float:
        """Count `cost` in every window, if all of them have room. Returns 0.0, or the seconds until they would; then
        nothing was counted. Sliding logs: exact in any window, checked and counted atomically in one round trip. Who may
        want to give it back brings a `ticket` that nobody else has."""

    async def give_back(self, windows: Sequence[Window], count: int, *, ticket: str) -> None:
        """Count so many of those that were taken with `ticket` in these windows no longer."""

    async def used(self, windows: Sequence[Window]) -> list[int]:
        """How much is counted in each window now."""

    async def get(self, key: str) -> bytes | None:
        """The record under `key`; None when there is none or its time is over."""

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        """Keep `value` under `key`, for `seconds` or until it is deleted."""

    async def delete(self, key: str) -> None:
        """Forget the record under `key`, if there is one."""

    async def keys(self, prefix: str) -> list[str]:
        """The keys of all records that begin with `prefix`. Walks the store: not for the path of a call."""

    async def lease(self, key: str, owner: str, seconds: float) -> bool:
        """Whether `owner` holds the lease `key` from now on, for `seconds`: it was free, or its own already."""

    async def release(self, key: str, owner: str) -> None:
        """Give the lease back, if `owner` still holds it."""

    async def open(self) -> None:
        """Connect. A store that is away now does not refuse the start."""

    async def close(self) -> None:
        """Let go of connections and tasks."""
