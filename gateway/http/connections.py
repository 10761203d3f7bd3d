"""Connections as aiohttp holds them, with what it leaves open: how many there may be, callers who never read, and JSON
instead of text for requests that cannot be parsed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from typing import Any, cast

from aiohttp import web
from aiohttp.http import RawRequestMessage

from gateway.errors import HeadersTooLarge, InvalidRequest
from gateway.version import __version__
from gateway.wire.openai_chat import OpenAIChat

log = logging.getLogger(__name__)
# Files, Redis, upstream sessions and pipes need descriptors too.
_RESERVED_DESCRIPTORS = 200
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\nConnection: close\r\n"
    b"X-Content-Type-Options: nosniff\r\nContent-Length: %d\r\n\r\n%b"
)
_FULL_BODY = (
    b'{"error":{"message":"The gateway has too many connections","type":"server_error","param":null,"code":"overloaded"}}'
)


_USER_AGENT = re.compile(rb"(?<=\r\n)user-agent(?=:)", re.IGNORECASE)
_SPARE_AGENT = b"x-ua-extra"


class Connection(web.RequestHandler):
    """One connection. Each wait for a caller to read ends after `write_stall_s` without progress."""

    __slots__ = ("_left_before", "_stall", "_wire", "_write_stall_s")

    def __init__(self, manager: web.Server, *, write_stall_s: float, **kwargs: Any) -> None:
        super().__init__(manager, **kwargs)
        self._write_stall_s = write_stall_s
        self._wire: asyncio.Transport | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._left_before = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)  # uvloop's do not inherit from it
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_watching()
        self._wire = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """aiohttp refuses a request that names its User-Agent twice, as pydantic-ai does over google-genai 2. What comes
        while aiohttp waits for a request, or before the first one, is a head."""
        if not self._messages and (self._waiter is not None or not self._request_count):
            data = one_user_agent(data)
        super().data_received(data)
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            self._break_off_bodies()

    def _break_off_bodies(self) -> None:
        """aiohttp could not parse what came. Where that was the body of a request before, it lets whoever reads that body
        wait for its end, which never comes."""
        bodies = [payload for _, payload in self._messages]
        if self._current_request is not None:
            bodies.append(self._current_request.content)
        for body in bodies:
            if not body.is_eof():
                body.set_exception(web.RequestPayloadError("the body cannot be parsed"))

    async def start(self) -> None:
        """aiohttp's loop over the requests of the connection."""
        try:
            await super().start()
        finally:
            self._watch()  # closing waits for the caller to read what is left, without a limit of its own

    # --- callers who do not read ----------------------------------------------------------------------------------

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_watching()

    def force_close(self) -> None:
        """Close now; what was written still goes out."""
        super().force_close()
        self._watch()

    def _watch(self) -> None:
        if self._wire is not None and self._stall is None and (size := self._wire.get_write_buffer_size()):
            self._left_before = size
            self._stall = self._loop.call_later(self._write_stall_s, self._look)

    def _stop_watching(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _look(self) -> None:
        self._stall = None
        if self._wire is None:
            return
        size = self._wire.get_write_buffer_size()
        if size and size >= self._left_before:
            self._wire.abort()
        else:
            self._watch()

    # --- requests that cannot be parsed ---------------------------------------------------------------------------

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """The reply to a request that aiohttp could not parse, in JSON and without an echo of it."""
        if request.writer.output_size > 0:
            raise ConnectionError("the reply has begun already")
        if status >= 500:
            log.error("a request failed outside of its handler", exc_info=exc)
        too_large = exc is not None and type(exc).__name__ in ("LineTooLong", "LineTooLongError")
        error = HeadersTooLarge("The request's head is too large") if too_large else None
        body = OpenAIChat().encode_error(error or InvalidRequest("The request is malformed"))
        headers = {"X-Content-Type-Options": "nosniff", "Server": f"gemini-gateway/{__version__}"}
        response = web.Response(
            status=431 if too_large else status, body=body, content_type="application/json", headers=headers
        )
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """aiohttp's log of a failed connection: one line at most, a stranger must not fill the disk."""
        exc = kw.get("exc_info")
        log.warning("a connection failed: %s", type(exc).__name__ if isinstance(exc, BaseException) else args[0])


def one_user_agent(head: bytes) -> bytes:
    """The bytes of a request with each further User-Agent in its head under another name, of the same length: whatever
    comes in, no byte moves."""
    end = head.find(b"\r\n\r\n")
    found = [match.span() for match in _USER_AGENT.finditer(head, 0, end if end >= 0 else len(head))]
    for start, stop in found[1:]:
        head = head[:start] + _SPARE_AGENT + head[stop:]
    return head


class Listener(web.Server):
    """Makes connections and bounds their number. When `most` are open, the one that has been idle for the longest makes
    room; when none is idle, the new one is told to come back."""

    def __init__(self, handler: Any, *, request_factory: Any, most: int, handler_cancellation: bool, **kwargs: Any) -> None:
        super().__init__(handler, request_factory=request_factory, handler_cancellation=handler_cancellation)
        self._options = kwargs
        self._most = most
        self._open = 0
        self._waiting: dict[web.RequestHandler, None] = {}  # ordered: the longest idle first

    def __call__(self) -> web.RequestHandler:
        return Connection(self, loop=asyncio.get_running_loop(), **self._options)

    @property
    def open(self) -> int:
        """Connections that are open."""
        return self._open

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open += 1
        if self._open > self._most and not self._make_room():
            transport.write(_FULL % (len(_FULL_BODY), _FULL_BODY))
            handler.force_close()
            return
        self._waiting[handler] = None

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._open -= 1
        self._waiting.pop(handler, None)

    def _make_room(self) -> bool:
        for handler in self._waiting:
            del self._waiting[handler]
            handler.force_close()
            return True
        return False

    def busy(self, handler: web.RequestHandler) -> None:
        """A request of this connection is being served."""
        self._waiting.pop(handler, None)

    def idle(self, handler: web.RequestHandler) -> None:
        """No request of this connection is being served any more."""
        if handler.connected:
            self._waiting[handler] = None

    def close_idle(self) -> None:
        """Close the connections that no request runs on."""
        for handler in list(self._waiting):
            handler.force_close()
        self._waiting.clear()


def most_connections(configured: int) -> int:
    """How many connections there may be: what is configured, or what the limit on open files leaves. Raises the soft
    limit to the hard one first."""
    try:
        import resource
    except ImportError:  # Windows
        return configured
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = configured + _RESERVED_DESCRIPTORS
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
            soft = more
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return configured
    most = max(soft - _RESERVED_DESCRIPTORS, soft // 2)
    log.warning("server.max_connections: only %d of %d, the limit on open files is %d", most, configured, soft)
    return most
