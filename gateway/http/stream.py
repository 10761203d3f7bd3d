"""The only writer of a StreamResponse. Headers leave with the first content, or with the first keep-alive; one timer per
stream sends keep-alives. A client that does not read is `connections`' affair."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from config.settings import Server
from gateway.background import spawn
from gateway.errors import GatewayError
from gateway.model import Call, Event, Finished, ImageReady
from gateway.threads import in_thread
from gateway.wire.dialect import Dialect

LARGE = 262_144


async def send_large(
    request: web.Request, body: bytes, headers: dict[str, str], *, content_type: str = "application/json"
) -> web.StreamResponse:
    """`body` as a whole reply, in steps between which the loop serves others. Raises ConnectionError."""
    response = web.StreamResponse(headers=headers)
    response.content_type = content_type
    response.content_length = len(body)
    await response.prepare(request)
    whole = memoryview(body)
    try:
        for at in range(0, len(body), LARGE):
            await response.write(whole[at : at + LARGE])
            await asyncio.sleep(0)
        await response.write_eof()
    except BaseException:
        if request.transport is not None:
            request.transport.abort()  # nothing else may follow in the place of what is missing
        raise
    return response


class _Stream(web.StreamResponse):
    # aiohttp's own switch for it: headers wait for the first write, which follows at once, and share its packet.
    _send_headers_immediately = False


class EventWriter:
    """Writes one call's events in its dialect. `headers` are read when they leave, so that what is known only with the
    first content (the model that answers) is in them."""

    def __init__(
        self,
        request: web.Request,
        dialect: Dialect,
        call: Call,
        server: Server,
        *,
        headers: Callable[[], dict[str, str]],
    ) -> None:
        self._headers = headers
        self._request = request
        self._dialect = dialect
        self._call = call
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._response: web.StreamResponse | None = None
        self._starting = asyncio.Lock()
        self._written_at = self._loop.time()
        self._writing = False
        self._timer = self._loop.call_at(self._written_at + server.ping_s, self._look)
        self._over = False
        self._opening: bytes | None = None
        self._last = b""

    @property
    def started(self) -> bool:
        """Whether the headers have left: from then on errors are in-stream."""
        return self._response is not None

    async def send(self, event: Event) -> None:
        """Encode and write `event`. What `Finished` becomes leaves with the end of the response, in one write."""
        if self._opening is None:
            self._open()
        if isinstance(event, ImageReady):  # megabytes of base64
            data = await in_thread(self._dialect.encode_event, event, self._call)
        else:
            data = self._dialect.encode_event(event, self._call)
        if isinstance(event, Finished):
            self._last = data
        elif data:
            await self._write(data)

    def fail(self, error: GatewayError) -> None:
        """Say in-stream that the answer ended badly."""
        self._last = self._dialect.encode_late_error(error, self._call)

    async def end(self) -> web.StreamResponse:
        """Close the response."""
        self._over = True
        data = self._last
        if self._response is None:
            data = await self._start() + data
        assert self._response is not None
        await self._response.write_eof(data)
        self.stop()
        return self._response

    def stop(self) -> None:
        """No more keep-alives."""
        self._over = True
        self._timer.cancel()

    async def _write(self, data: bytes) -> None:
        response = self._response
        if response is None:
            data = await self._start() + data
            response = self._response
            assert response is not None
        now = self._loop.time()
        self._writing = True
        await response.write(data)
        self._written_at, self._writing = now, False

    async def _start(self) -> bytes:
        """Send the headers, once; returns what the dialect opens its streams with."""
        async with self._starting:
            if self._response is not None:
                return b""
            response = _Stream(headers=self._headers())
            response.content_type = self._dialect.stream_content_type(self._call)
            if response.content_type.startswith("text/"):
                response.charset = "utf-8"
            response.headers["Cache-Control"] = "no-cache"
            response.headers["X-Accel-Buffering"] = "no"
            await response.prepare(self._request)
            self._response = response
            return self._open()

    def _open(self) -> bytes:
        """What the stream opens with, encoded once and before its first event: dialects number their events."""
        if self._opening is None:
            self._opening = self._dialect.encode_start(self._call)
        return self._opening

    def _look(self) -> None:
        """The timer: keep the connection alive. While a write waits for the client to read, nothing more is written."""
        now = self._loop.time()
        if self._writing:
            due = now + self._server.ping_s
        elif now - self._written_at >= self._server.ping_s:
            spawn(self._ping(), "keep a stream alive")
            due = now + self._server.ping_s
        else:
            due = self._written_at + self._server.ping_s
        self._timer = self._loop.call_at(due, self._look)

    async def _ping(self) -> None:
        try:
            if not self._over:
                await self._write(self._dialect.encode_keep_alive(self._call))
        except ConnectionError:
            return  # the caller left; the handler is being told
