"""Calls whose caller does not wait (`background` of OpenAI's responses): a receipt goes out at once, the answer into the
records, where the caller looks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from gateway.background import spawn
from gateway.calls import Calls
from gateway.errors import BodyTooLarge, GatewayError, Internal, InvalidRequest, Overloaded, Stopping, UpstreamTimeout
from gateway.http.records import Records
from gateway.model import Call, Event, Principal, Reply
from gateway.threads import in_thread
from gateway.wire.dialect import Detaching

log = logging.getLogger(__name__)
_MOST, _MOST_OF_ONE = 64, 32
_MOST_S = 900.0
# A record that is not final after that long belongs to a process that has ended: it goes away.
_PENDING_S = _MOST_S + 60


class Errands:
    """What this process answers in the background, before and after a reload. `unwanted` are those that their caller has
    cancelled."""

    def __init__(self) -> None:
        self.running: dict[tuple[str, str], asyncio.Task[None]] = {}
        self.unwanted: set[tuple[str, str]] = set()

    def ended(self, key: tuple[str, str]) -> None:
        """One is over."""
        self.running.pop(key, None)
        self.unwanted.discard(key)


class Detached:
    """Answers in the background. `watch` is told of each task: it ends in order with the requests, before what it uses."""

    def __init__(
        self, calls: Calls, records: Records, errands: Errands, watch: Callable[[asyncio.Task[Any]], None]
    ) -> None:
        self._calls = calls
        self._records = records
        self._errands = errands
        self._watch = watch

    def begin(
        self,
        dialect: Detaching,
        call: Call,
        *,
        saw: Callable[[Event], None],
        over: Callable[[Call, BaseException | None], None],
    ) -> asyncio.Future[bytes]:
        """Start to answer `call`. What comes is the receipt; who does not wait for it does not want the answer. `saw` is
        told of each event, `over` of the end. Raises Overloaded, or InvalidRequest where nothing is kept; the receipt may
        raise a GatewayError, too."""
        if not self._records.kept:
            raise InvalidRequest("background: responses are not kept here (state.keep_responses_days)", param="background")
        key = (call.principal.name, call.id)
        own = sum(name == key[0] for name, _ in self._errands.running)
        if len(self._errands.running) >= _MOST or own >= _MOST_OF_ONE:
            raise Overloaded("Too many calls are answered in the background", retry_after=5)
        receipt: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        task = spawn(self._answer(dialect, call, receipt, saw, over), "answer in the background", endless=True)
        self._errands.running[key] = task
        task.add_done_callback(lambda _: self._errands.ended(key))
        receipt.add_done_callback(lambda _: task.cancel() if receipt.cancelled() else None)
        self._watch(task)
        return receipt

    async def cancel(self, principal: Principal, id: str) -> None:
        """Stop answering the call `id`, if it is being answered here. When this returns its record says so."""
        key = (principal.name, id)
        task = self._errands.running.get(key)
        if task is None:
            return
        if key not in self._errands.unwanted:  # a second time would cut off what the first has to write down
            self._errands.unwanted.add(key)
            task.cancel()
        await asyncio.wait([task])

    async def _answer(
        self,
        dialect: Detaching,
        call: Call,
        receipt: asyncio.Future[bytes],
        saw: Callable[[Event], None],
        over: Callable[[Call, BaseException | None], None],
    ) -> None:
        error: BaseException | None = None
        try:
            async with asyncio.timeout(_MOST_S):
                told = await self._receipt(dialect, call)
                if not receipt.done():
                    receipt.set_result(told)
                dialect.stand(call, "in_progress")
                await self._records.keep(dialect, call, seconds=_PENDING_S)
                await self._whole(dialect, call, saw)
        except asyncio.CancelledError as exc:
            error = exc
            self._cut_off(dialect, call)
        except Exception as exc:  # noqa: BLE001 - nobody waits: the record says what went wrong
            error = _told(exc)
            dialect.stand(call, "failed", error)
            if not receipt.done():
                receipt.set_exception(error)
        try:
            await self._final(dialect, call)
        finally:
            over(call, error)

    def _cut_off(self, dialect: Detaching, call: Call) -> None:
        if (call.principal.name, call.id) in self._errands.unwanted:
            dialect.stand(call, "cancelled")
        else:
            dialect.stand(call, "failed", Stopping("The gateway was shut down before the answer was there"))

    async def _whole(self, dialect: Detaching, call: Call, saw: Callable[[Event], None]) -> None:
        reply = Reply()
        async with aclosing(self._calls.run(call)) as events:
            async for event in events:
                saw(event)
                reply.add(event)
        await in_thread(dialect.encode_whole, reply, call)

    async def _final(self, dialect: Detaching, call: Call) -> None:
        try:
            if await self._records.has(dialect, call):  # else it was deleted meanwhile, maybe at another process
                await self._records.put(dialect, call)
        except BodyTooLarge as exc:
            dialect.stand(call, "failed", exc)
            await self._records.keep(dialect, call)
        except Overloaded as exc:
            log.warning("an answer is not kept: %s", exc.for_the_log)

    async def _receipt(self, dialect: Detaching, call: Call) -> bytes:
        dialect.stand(call, "queued")
        await self._records.put(dialect, call, seconds=_PENDING_S)
        return dialect.encode_record("get", call.id, dialect.record(call) or b"", {})


def _told(exc: Exception) -> GatewayError:
    if isinstance(exc, GatewayError):
        return exc
    if isinstance(exc, TimeoutError):
        return UpstreamTimeout("The answer took too long")
    log.error("a call in the background failed", exc_info=exc)
    return Internal("Internal error, see the log", hint=type(exc).__name__)
