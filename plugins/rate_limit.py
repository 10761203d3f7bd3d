"""Limits the calls: in all per hour, the pace per model, and what each key may. Sliding logs in the state store, so that
replicas on one Redis count together. A refusal says when to come back, in the body and in Retry-After. Only what Gemini was
asked counts."""

from __future__ import annotations

import itertools
import math
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import InvalidRequest, RateLimited
from gateway.hookspecs import Services, hookimpl
from gateway.model import Call
from gateway.state.store import StateStore, Window

NAME = "rate_limit"
_SPANS = {"per_minute": 60.0, "per_hour": 3600.0, "per_day": 86_400.0}


class Settings(BaseModel):
    """0 switches a rule off."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    global_per_hour: int = Field(60, ge=0, description="Calls an hour, of all callers together.")
    model_interval_s: float = Field(5, ge=0, le=86_400, description="Seconds between two calls of one model.")


@dataclass(frozen=True, slots=True)
class _Taken:
    """What a call was counted for."""

    windows: list[Window]
    cost: int
    ticket: str


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._of_all = (Window("global", settings.global_per_hour, 3600.0),) if settings.global_per_hour else ()
        self._store: StateStore | None = None
        # Tickets that no other replica has.
        self._drawn, self._numbers = f"{secrets.token_hex(12)}-", itertools.count()

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self._store = gateway.state
        yield

    @hookimpl
    async def admit(self, call: Call) -> None:
        cost = max(call.choices, call.pictures.count if call.pictures else 1)  # each is a question of its own
        windows = self._windows(call, cost)
        if not windows or self._store is None:
            return
        if (least := min([window.limit for window in windows])) < cost:
            raise InvalidRequest(f"n: at most {least} answers at once, by the rate limit", param="n")
        taken = _Taken(windows, cost, f"{self._drawn}{next(self._numbers)}")
        wait = await self._store.take(windows, cost, ticket=taken.ticket)
        if wait > 0:
            seconds = math.ceil(wait)
            raise RateLimited(f"Rate limit reached, try again in {seconds} s", retry_after=seconds)
        call.extras[NAME] = taken

    @hookimpl
    async def call_finished(self, call: Call) -> None:
        """What ended before Gemini was asked costs nothing: no account was free, or the caller left the queue."""
        taken = call.extras.get(NAME)
        if taken is not None and call.attempts < taken.cost and self._store is not None:
            await self._store.give_back(taken.windows, taken.cost - call.attempts, ticket=taken.ticket)

    def _windows(self, call: Call, cost: int) -> list[Window]:
        windows = list(self._of_all)
        if self._settings.model_interval_s:
            windows.append(Window(f"model:{call.model}", cost, self._settings.model_interval_s))
        for rule, limit in call.principal.limits.items():
            windows.append(Window(f"key:{call.principal.name}:{rule}", int(limit), _SPANS[rule]))
        return windows
