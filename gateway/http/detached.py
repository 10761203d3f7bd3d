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
from gateway.errors import GatewayError, Internal, InvalidRequest, Overloaded, UpstreamTimeout
from gateway.http.records import Records
from gateway.model import Call, Event, Principal, Reply
from gateway.threads import in_thread
from gateway.wire.dialect import Detaching

log = logging.getLogger(__name__)
_MOST = 64
# A record that is not final after that long belongs to a process that has ended: it goes away.
MOST_S = 900.0


class Detached:
    """The calls that are being answered in the background, by this process."""

    def __init__(self, calls: Calls, records: Records) -> None:
        self._calls = calls
        self._records = records
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    async def begin(
        self,
        dialect: Detaching,
        call: Call,
        *,
        saw: Callable[[Event], None],
        over: Callable[[Call, BaseException | None], None],
    ) -> bytes:
        """Start to answer `call`; returns the receipt. `saw` is told of each event, `over` of the end. Raises Overloaded,
        or InvalidRequest where nothing is kept."""
        if not self._records.kept:
            raise InvalidRequest("background: responses are not kept here (state.keep_responses_days)", param="background")
        if len(self._running) >= _MOST:
            raise Overloaded("Too many calls are answered in the background", retry_after=5)
        receipt = await self._stand(dialect, call, "queued")
        key = (call.principal.name, call.id)
        task = spawn(self._answer(dialect, call, saw, over), "answer in the background", endless=True)
        self._running[key] = task
        task.add_done_callback(lambda _: self._running.pop(key, None))
        return receipt

    async def cancel(self, principal: Principal, id: str) -> None:
        """Stop answering the call `id`, if it is being answered here. When this returns its record says so."""
        task = self._running.get((principal.name, id))
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _answer(self, dialect: Detaching, call: Call, saw: Callable[[Event], None], over: Callable[..., Any]) -> None:
        error: BaseException | None = None
        try:
            async with asyncio.timeout(MOST_S):
                await self._stand(dialect, call, "in_progress")
                await self._whole(dialect, call, saw)
        except asyncio.CancelledError as exc:
            error = exc
            dialect.stand(call, "cancelled")
        except Exception as exc:  # noqa: BLE001 - nobody waits: the record says what went wrong
            error = _told(exc)
            dialect.stand(call, "failed", error)
        await self._records.keep(dialect, call)
        over(call, error)

    async def _whole(self, dialect: Detaching, call: Call, saw: Callable[[Event], None]) -> None:
        reply = Reply()
        async with aclosing(self._calls.run(call)) as events:
            async for event in events:
                saw(event)
                reply.add(event)
        await in_thread(dialect.encode_whole, reply, call)

    async def _stand(self, dialect: Detaching, call: Call, status: str) -> bytes:
        dialect.stand(call, status)
        await self._records.keep(dialect, call, seconds=MOST_S)
        return dialect.encode_record("get", call.id, dialect.record(call) or b"", {})


def _told(exc: Exception) -> GatewayError:
    if isinstance(exc, GatewayError):
        return exc
    if isinstance(exc, TimeoutError):
        return UpstreamTimeout("The answer took too long")
    log.error("a call in the background failed", exc_info=exc)
    return Internal("Internal error, see the log", hint=type(exc).__name__)
