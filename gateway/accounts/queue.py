"""Calls that wait for an account, oldest first. Knows no accounts: it is told what to try."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.accounts.catalogue import PublicModel
from gateway.accounts.choosing import Choice
from gateway.errors import GatewayError, Overloaded
from gateway.model import Call


@dataclass(slots=True, eq=False)
class _Waiter:
    call: Call
    model: PublicModel
    turn: asyncio.Future[Choice]


class Queue:
    """At most `size` calls, each for at most `timeout_s`. `give_back` is called with a choice whose taker has left in the
    moment in which it came."""

    def __init__(self, size: int, timeout_s: float, give_back: Callable[[Choice], None]) -> None:
        self._size = size
        self._timeout_s = timeout_s
        self._give_back = give_back
        self._waiting: deque[_Waiter] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    async def wait(self, call: Call, model: PublicModel) -> Choice:
        """The account that becomes free for the call. Raises Overloaded, or what `serve` was told."""
        if len(self._waiting) >= self._size:
            raise Overloaded("Too many calls wait for an account", retry_after=max(1.0, self._timeout_s / 2))
        waiter = _Waiter(call, model, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._timeout_s):
                return await waiter.turn
        except BaseException as exc:
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._give_back(waiter.turn.result())
            if isinstance(exc, TimeoutError):
                raise Overloaded("No account became free in time", retry_after=max(1.0, self._timeout_s / 2)) from None
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def serve(self, attempt: Callable[[Call, PublicModel], Choice | None]) -> None:
        """Let each that waits try: `attempt` returns what it gets, None to wait on, or raises why there is no more
        hope."""
        for waiter in list(self._waiting):
            if waiter.turn.done():
                self._waiting.remove(waiter)
                continue
            try:
                choice = attempt(waiter.call, waiter.model)
            except GatewayError as exc:
                self._waiting.remove(waiter)
                waiter.turn.set_exception(exc)
            else:
                if choice is not None:
                    self._waiting.remove(waiter)
                    waiter.turn.set_result(choice)
