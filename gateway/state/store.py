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


class StateStore(Protocol):
    """Records shared by replicas."""

    async def take(self, windows: Sequence[Window], cost: int = 1) -> float:
        """Count `cost` in every window, if all of them have room. Returns 0.0, or the seconds until they would; then
        nothing was counted. Sliding logs: exact in any window, checked and counted atomically in one round trip."""

    async def open(self) -> None:
        """Connect. A store that is away now does not refuse the start."""

    async def close(self) -> None:
        """Let go of connections and tasks."""
