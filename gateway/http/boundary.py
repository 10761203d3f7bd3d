"""What every request passes first and last: its id, the limits on it, and errors in the wire format of its address."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any
from urllib.parse import urlsplit

from aiohttp import HttpVersion10, HttpVersion11, web

from config.settings import Server
from gateway.errors import (
    BodyTooLarge,
    Forbidden,
    GatewayError,
    HeadersTooLarge,
    Internal,
    InvalidRequest,
    MethodNotAllowed,
    Misdirected,
    NotFound,
    RequestTimeout,
    Stopping,
    UnsupportedMedia,
)
from gateway.http.large_json import parsed
from gateway.http.memory import HighWater, mark
from gateway.model import RequestHead
from gateway.threads import in_thread
from gateway.version import __version__
from gateway.wire.dialect import Dialect, OwnStatus

log = logging.getLogger(__name__)
REQUEST_ID = web.RequestKey("request_id", str)
HIGH_WATER = web.RequestKey("high_water", HighWater)
request_id: ContextVar[str] = ContextVar("request_id", default="-")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_MB = 1_000_000
_THREAD_FROM = 256_000
_RESTART_S = 5.0
_ID_BYTES, _IDS_AT_ONCE = 8, 256
CREDENTIALS = ("Authorization", "x-api-key", "x-goog-api-key")
# A name is at most 255 bytes long (RFC 1035, 2.3.4), and has these characters (RFC 3986, 3.2.2).
_HOST = re.compile(r"(\[[\w:.%~-]{2,100}\]|[\w.~%!$&'()*+,;=-]{0,255})(:[0-9]{0,5})?", re.ASCII)
_CORS_EXPOSE = (
    "x-request-id, x-gateway-model, x-gateway-ignored, x-gateway-warnings, x-gateway-pictures, retry-after"
)
_CORS_ALLOW = "authorization, content-type, x-api-key, x-goog-api-key, anthropic-version, x-goog-api-client"


class Boundary:
    """The outermost middleware. `dialect_of` tells by the path which wire format an error takes. `stopping` makes every
    reply the last one on its connection; with `cutting_off`, requests that are cancelled end with Stopping. Another one is
    in front of a gateway where this one is `replaced`. `watcher` counts tasks that belong to its requests."""

    def __init__(self, server: Server, dialect_of: Callable[[str], Dialect]) -> None:
        self._server = server
        self._dialect_of = dialect_of
        self._high_water = HighWater(mark(server.max_memory_mb))
        self._ids = Ids()
        self.interruptible = Interruptible(self)
        self.stopping = False
        self.cutting_off = False
        self.replaced = False
        self.watcher: Callable[[asyncio.Task[Any]], None] = lambda task: None

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Let `task`, which goes on behind a request, count as one: it ends before what it uses is closed."""
        self.watcher(task)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Around each request: its id, the checks of its head, and errors in the wire format of its address."""
        request[REQUEST_ID] = id = self._ids.new()
        request[HIGH_WATER] = self._high_water
        token = request_id.set(id)
        try:
            if (fault := fault_in_head(request)) is not None:
                response = self.error(request, fault)
                response.force_close()  # who wrote such a head may mean another end of the request
                return response
            if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                return self._preflight(request)
            self._check(request)
            with self.interruptible:
                return await handler(request)
        except GatewayError as exc:
            return self.error(request, exc)
        except web.HTTPException as exc:
            return self._aiohttp_error(request, exc)
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("request %s failed", request[REQUEST_ID])
            return self.error(request, Internal(f"Internal error, see the log under {request[REQUEST_ID]}"))
        finally:
            request_id.reset(token)

    def _check(self, request: web.Request) -> None:
        headers = request.headers
        if any(len(headers.getall(name, ())) > 1 for name in CREDENTIALS) or len(headers.getall("Host", ())) != 1:
            raise InvalidRequest("The request has a header twice, or no Host")
        if not is_origin(headers.get("Origin", "null")):
            raise InvalidRequest("The Origin header is malformed")
        allowed = self._server.allowed_hosts
        if allowed and hostname(headers["Host"]) not in allowed:
            raise Misdirected("The Host header names another server")
        if request.path.startswith("/api/") and not self._may_be_asked_as(hostname(headers["Host"]), request):
            raise Misdirected("The Host header names another server (set server.public_url or server.allowed_hosts)")
        if request.method == "POST" and not request.path.startswith("/api/"):
            self._high_water.check()

    def error(self, request: web.Request, exc: GatewayError, dialect: Dialect | None = None) -> web.Response:
        """`exc` as a reply in the wire format of the request's address."""
        dialect = dialect or self._dialect_of(request.path)
        exc.request_id = request[REQUEST_ID]
        status = dialect.status(exc) if isinstance(dialect, OwnStatus) else exc.status
        response = web.Response(
            status=status, body=dialect.encode_error(exc), content_type="application/json", headers=_hints(exc)
        )
        if exc.status >= 500:
            log.warning("request %s: %s %s %s", request[REQUEST_ID], exc.status, exc.code, exc.for_the_log)
        if request.can_read_body and not request.content.is_eof():
            response.force_close()  # the rest of the body is not read
        return response

    def _aiohttp_error(self, request: web.Request, exc: web.HTTPException) -> web.StreamResponse:
        match exc:
            case web.HTTPNotFound() | web.HTTPForbidden():  # the latter: a folder of /static
                return self.error(request, NotFound("There is nothing at this address"))
            case web.HTTPMethodNotAllowed():
                response = self.error(request, MethodNotAllowed("This address does not take this method"))
                response.headers["Allow"] = ", ".join(sorted(exc.allowed_methods))
                return response
            case web.HTTPRequestHeaderFieldsTooLarge():
                return self.error(request, HeadersTooLarge("The request's headers are too large"))
            case web.HTTPRequestEntityTooLarge():
                return self.error(request, BodyTooLarge("The request's body is too large"))
            case _ if exc.status < 400:
                raise exc
            case _:
                return self.error(request, InvalidRequest("The request is malformed"))

    # --- browsers -------------------------------------------------------------------------------------------------

    async def dress(self, request: web.Request, response: web.StreamResponse) -> None:
        """Headers that every reply gets; an `on_response_prepare` signal."""
        headers = response.headers
        headers["Server"] = f"gemini-gateway/{__version__}"
        headers["X-Content-Type-Options"] = "nosniff"
        if self.stopping:
            response.force_close()
            headers["Connection"] = "close"
        if REQUEST_ID in request:
            headers["x-request-id"] = headers["request-id"] = request[REQUEST_ID]  # OpenAI's name, Anthropic's name
        if self._server.cors_origins and (origin := request.headers.get("Origin")) and self._may_read(origin, request):
            headers["Access-Control-Allow-Origin"] = origin
            headers["Access-Control-Expose-Headers"] = _CORS_EXPOSE
            headers["Vary"] = "Origin"

    def _may_read(self, origin: str, request: web.Request) -> bool:
        origins = self._server.cors_origins
        return not request.path.startswith("/api/") and ("*" in origins or origin in origins)

    def _preflight(self, request: web.Request) -> web.StreamResponse:
        if not self._may_read(request.headers.get("Origin", ""), request):
            raise Forbidden("This origin may not call the gateway (server.cors_origins)")
        headers = {
            "Access-Control-Allow-Methods": "GET, POST, DELETE",
            "Access-Control-Allow-Headers": request.headers.get("Access-Control-Request-Headers", _CORS_ALLOW)[:1000],
            "Access-Control-Max-Age": "600",
        }
        return web.Response(status=204, headers=headers)

    def check_anonymous(self, head: RequestHead) -> None:
        """A caller without a key may be a web page in the owner's browser: refuse foreign origins and Host names (DNS
        rebinding). With a key neither matters: a page does not know it."""
        if not self._is_us(hostname(head.headers.get("Host", ""))):
            raise Misdirected("The Host header names another server; use a key, or set server.allowed_hosts")
        origin = head.headers.get("Origin", "")
        allowed = self._server.cors_origins
        # "null" is a sandboxed frame, which any page can make; other schemes are the owner's own browser extensions.
        if origin and (origin == "null" or origin.startswith("http")) and origin not in allowed and "*" not in allowed:
            page = hostname(urlsplit(origin).netloc)
            if not page or not self._is_us(page):
                raise Forbidden("This origin may not call the gateway without a key (server.cors_origins)")

    def check_own_page(self, head: RequestHead) -> None:
        """Refuse the pages of others, those of other ports of this machine among them: what they could change without a key
        is more than an answer. A program sends no origin, and the owner's browser extensions have none on the web."""
        origin = head.headers.get("Origin", "")
        page = urlsplit(origin).netloc
        ours = (head.headers.get("Host", "").lower(), urlsplit(self._server.public_url or "").netloc.lower())
        if (origin == "null" or origin.startswith("http")) and (not page or page not in ours):
            raise Forbidden("Only the gateway's own page may do this without a key")

    def _is_us(self, host: str) -> bool:
        server = self._server
        ours = {server.host, hostname(urlsplit(server.public_url or "").netloc), *server.allowed_hosts}
        return bool(host) and (host in ours or is_loopback(host))

    def _may_be_asked_as(self, host: str, request: web.Request) -> bool:
        """Whether /api takes requests under the name `host`. A page that rebinds its name to our address has no key,
        and needs a name: so off loopback, addresses and requests with a key are taken too."""
        if self._is_us(host):
            return True
        return not is_loopback(self._server.host) and (is_address(host) or "Authorization" in request.headers)


class Ids:
    """Makes ids of requests: 64 random bits each, of which the system is asked for some hundred at once."""

    def __init__(self) -> None:
        self._ready: list[str] = []

    def new(self) -> str:
        """One that nobody had."""
        if not self._ready:
            drawn = secrets.token_hex(_ID_BYTES * _IDS_AT_ONCE)
            size = 2 * _ID_BYTES
            self._ready = [drawn[at : at + size] for at in range(0, len(drawn), size)]
        return self._ready.pop()


class Interruptible:
    """Around the work of a request: what is cancelled because the gateway ends raises Stopping instead, so that the caller
    is told. Holds nothing of a request: one serves all of them, also one within another."""

    def __init__(self, boundary: Boundary) -> None:
        self._boundary = boundary

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: object) -> None:
        if exc is None or not self._boundary.cutting_off or not isinstance(exc, asyncio.CancelledError):
            return
        if (task := asyncio.current_task()) is not None:
            task.uncancel()
            raise Stopping("The gateway is shutting down", retry_after=_RESTART_S) from None


def hostname(host: str) -> str:
    """The name in a Host header, without its port."""
    return host.rsplit(":", 1)[0].strip("[]").lower() if not host.endswith("]") else host.strip("[]").lower()


def is_origin(text: str) -> bool:
    """Whether `text` can be taken apart as an origin: who judges it later need not fear that it cannot."""
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine talking to itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return is_address(host) and ipaddress.ip_address(host).is_loopback


def is_address(host: str) -> bool:
    """Whether `host` is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _hints(exc: GatewayError) -> dict[str, str]:
    headers = {}
    if exc.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if exc.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(exc.retry_after)))
    if exc.status == 501 or (exc.retry_after or 0) > 120:
        headers["x-should-retry"] = "false"  # official SDKs would try again at once, and in vain
    return headers


def fault_in_head(request: web.Request) -> GatewayError | None:
    """What aiohttp lets pass of a request's first line and framing (RFC 9112, 2.3, 3.2 and 7): a version that is not
    HTTP/1, a Host that names none, a target that is addressed to another server, codings that nobody decodes."""
    host = request.headers.get("Host", "")
    if request.version not in (HttpVersion10, HttpVersion11):
        return InvalidRequest("HTTP/1.1 is spoken here")
    if request.headers.get("Transfer-Encoding", "chunked").lower() != "chunked":
        return InvalidRequest("Transfer-Encoding: only chunked is taken")
    if not _HOST.fullmatch(host):
        return InvalidRequest("The Host header is no name of a server, with or without a port")
    if not request.raw_path.startswith("/") and request.raw_path != "*":
        target = request.url
        if target.scheme not in ("http", "https") or target.raw_authority.lower() != host.lower():
            return Misdirected("The request's target names another server than its Host header")
    return None


# --- bodies -------------------------------------------------------------------------------------------------------


async def read_json(request: web.Request, server: Server) -> dict[str, Any]:
    """The body as a JSON object, within the limits of size, time and depth. Raises a GatewayError."""
    body = await read_body(request, round(server.max_image_mb * _MB), server.body_timeout_s)
    most = round(server.max_json_mb * _MB)
    if len(body) > _THREAD_FROM:
        return await in_thread(parsed, body, most)
    return parsed(body, most)


async def expect_later(request: web.Request) -> None:
    """Stands in for aiohttp's own expect handler, which says `100 Continue` before anybody looked at the key."""


async def say_continue(request: web.Request) -> None:
    """Ask for the body of a caller who waits to be asked (`Expect: 100-continue`)."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # what was written is no part of the reply


def check_body(request: web.Request, most: int) -> None:
    """Refuse a body by its head. Raises UnsupportedMedia if it is compressed, BodyTooLarge above `most` bytes."""
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise UnsupportedMedia("Compressed request bodies are not taken")
    if (request.content_length or 0) > most:
        raise BodyTooLarge(f"The request's body is larger than {most} bytes")


async def read_body(request: web.Request, most: int, timeout_s: float) -> bytes:
    """The whole body, at most `most` bytes. Raises BodyTooLarge or RequestTimeout."""
    check_body(request, most)
    if request.content.is_eof():  # it is all here already, as bodies of ordinary size are: no timer for it
        return _bounded(request.content.read_nowait(), most)
    await say_continue(request)
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s + most / _MB):
            while piece := await request.content.readany():
                size += len(piece)
                if size > most:
                    raise BodyTooLarge(f"The request's body is larger than {most} bytes")
                request[HIGH_WATER].check()
                pieces.append(piece)
    except TimeoutError:
        raise RequestTimeout("The request's body did not arrive in time") from None
    except web.HTTPException:
        raise
    except (ValueError, OSError, web.RequestPayloadError) as exc:
        raise InvalidRequest("The request's body is malformed") from exc
    return await in_thread(b"".join, pieces) if size > _THREAD_FROM else b"".join(pieces)


def _bounded(body: bytes, most: int) -> bytes:
    if len(body) > most:
        raise BodyTooLarge(f"The request's body is larger than {most} bytes")
    return body
