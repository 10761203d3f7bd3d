"""How many calls may go out through an egress. Counted in the state store: replicas on one Redis count together, and each
by itself at its share while Redis is away."""

from __future__ import annotations

from collections.abc import Callable

from config.settings import Pool as PoolSettings
from gateway.accounts.account import Egress
from gateway.state.store import StateStore, Window


class Budget:
    """The budget that `settings` give every egress. `clock` is the one of `Egress.full_until`."""

    def __init__(self, settings: PoolSettings, store: StateStore, clock: Callable[[], float]) -> None:
        limits = (("minute", settings.egress_per_minute, 60.0), ("hour", settings.egress_per_hour, 3600.0))
        self._limits = [limit for limit in limits if limit[1]]
        self._store = store
        self._clock = clock

    async def spend(self, egress: Egress) -> bool:
        """Count a call against the budget of `egress`, if there is room; else note until when there is none. One round
        trip to the store where there are budgets, none where there are not."""
        windows = [Window(f"egress:{egress.name}:{span}", most, seconds) for span, most, seconds in self._limits]
        wait = await self._store.take(windows) if windows else 0.0
        if wait > 0:
            egress.full_until = self._clock() + wait
        return wait <= 0
