"""What changes by itself, to whoever looks: server-sent events. What a topic says is made once a tick, however many
look."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from gateway.console.journal import Journal
from gateway.errors import GatewayError, InvalidRequest, Overloaded

TICK_S = 1.0
# A stream ends after so many ticks and the page opens the next: a reload of the settings is not held up by an open page.
_LONGEST_TICKS = 60
# Who lost the right to look sees nothing more after so many.
_AUTHORISE_TICKS = 5
_MOST_STREAMS = 50
_AGAIN_MS = 300
_CLIENT_LEFT = 499


class Topic:
    """One thing to look at: `make` returns its plain data, every `ticks` ticks."""

    def __init__(self, name: str, make: Callable[[], Any], ticks: int = 1) -> None:
        self._name = name
        self._make = make
        self._ticks = ticks
        self._made_at = -ticks
        self._data = b""

    def event(self, tick: int) -> bytes:
        """The event as it is at `tick`."""
        if tick - self._made_at >= self._ticks:
            self._made_at = tick
            self._data = _event(self._name, self._make())
        return self._data


class Live:
    """`/api/events?topics=...`: `settings` first (another word: others hold than before), each topic when it changed, and
    `log` line by line. When `over`, a stream ends and the page opens another, which finds what is in front then."""

    def __init__(
        self,
        topics: Mapping[str, Topic],
        journal: Journal,
        *,
        authorise: Callable[[web.Request], Awaitable[None]],
        settings: str,
        over: Callable[[], bool],
    ) -> None:
        self._topics = topics
        self._journal = journal
        self._authorise = authorise
        self._opening = b"retry: %d\n\n" % _AGAIN_MS + _event("settings", settings)
        self._over = over
        self._open = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Follow the topics of the query (`overview,accounts,log`) as server-sent events."""
        await self._authorise(request)
        names = [name for name in request.query.get("topics", "overview").split(",") if name]
        if unknown := [name for name in names if name not in self._topics and name != "log"]:
            raise InvalidRequest(f"topics: there is no {unknown[0][:40]!r}", param="topics")
        if self._open >= _MOST_STREAMS:
            raise Overloaded("Too many pages look at once", retry_after=10)
        self._open += 1
        try:
            return await self._follow(request, names)
        except ConnectionError:
            return web.Response(status=_CLIENT_LEFT)
        finally:
            self._open -= 1

    async def _follow(self, request: web.Request, names: list[str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        response.content_type = "text/event-stream"
        await response.prepare(request)
        await response.write(self._opening)
        loop = asyncio.get_running_loop()
        sent, after = dict.fromkeys(names, b""), 0
        for tick in range(1, _LONGEST_TICKS):
            if self._over() or (tick % _AUTHORISE_TICKS == 0 and not await self._may_go_on(request)):
                break
            news, after = self._news(sent, after, int(loop.time() / TICK_S))
            await response.write(news or b": \n\n")
            await asyncio.sleep(TICK_S)
        return response

    async def _may_go_on(self, request: web.Request) -> bool:
        try:
            await self._authorise(request)
        except GatewayError:
            return False
        return True

    def _news(self, sent: dict[str, bytes], after: int, tick: int) -> tuple[bytes, int]:
        pieces = []
        for name in sent:
            if name == "log":
                pieces += [_event("log", self._journal.lines(after))] if self._journal.written > after else []
            elif (event := self._topics[name].event(tick)) != sent[name]:
                sent[name] = event
                pieces.append(event)
        return b"".join(pieces), self._journal.written


def _event(name: str, value: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (name.encode(), orjson.dumps(value))
