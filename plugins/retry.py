"""Failover: another account before the first content, within a budget. After content nothing is sent again.

An attempt that failed in a way that another account may do better is repeated there (`call.tried` tells the pool which to
leave out). When there is no other account, a failure that may pass is tried once more on the same one after a moment.
The budget bounds retries to a share of the running calls, so that an outage is not made worse."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import GatewayError, UpstreamChanged, UpstreamTimeout, UpstreamUnavailable
from gateway.hookspecs import Generate, hookimpl
from gateway.model import Call, Event, Finished

_ALWAYS_ALLOWED = 3
_PAUSE_S = 0.25


class Settings(BaseModel):
    """How often, and how much in all."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    attempts: int = Field(3, ge=1, le=10, description="Attempts a call, the first one included.")
    budget: float = Field(0.2, ge=0, le=1, description="Retries at once, as a share of the running calls (at least 3).")


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._calls = 0
        self._retries = 0

    @hookimpl
    async def wrap_generate(self, call: Call, generate: Generate) -> AsyncIterator[Event]:
        self._calls += 1
        retrying = False
        failure: GatewayError | None = None
        try:
            while True:
                seen, attempts = False, call.attempts
                try:
                    async for event in generate(call):
                        seen = seen or not isinstance(event, Finished)
                        yield event
                    return
                except GatewayError as exc:
                    if seen:
                        raise
                    if call.attempts == attempts and failure is not None:
                        await self._nobody_left(call, failure, exc)
                        continue
                    if not self._another(call, exc, retrying):
                        raise
                    failure = exc
                    if not retrying:
                        retrying = True
                        self._retries += 1
        finally:
            self._calls -= 1
            self._retries -= retrying

    def _another(self, call: Call, exc: GatewayError, retrying: bool) -> bool:
        most = 2 if isinstance(exc, UpstreamChanged) else self._settings.attempts
        affordable = retrying or self._retries < max(_ALWAYS_ALLOWED, self._settings.budget * self._calls)
        return exc.elsewhere and call.attempts < most and affordable

    async def _nobody_left(self, call: Call, failure: GatewayError, verdict: GatewayError) -> None:
        """The pool has no further account (`verdict` says why). A failure that may pass is tried on the same accounts
        again; else whichever error tells the caller more ends the call."""
        if isinstance(failure, (UpstreamTimeout, UpstreamChanged)):
            raise failure
        if not isinstance(failure, UpstreamUnavailable):
            raise verdict from failure
        if not call.tried.accounts:
            raise failure
        call.tried.accounts.clear()
        await asyncio.sleep(_PAUSE_S * call.attempts * random.uniform(0.5, 1.5))
