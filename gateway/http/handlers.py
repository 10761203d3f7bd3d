"""One generate handler for all dialects, and the model lists. Between the socket and `calls.py`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from aiohttp import web

from config.settings import Server
from gateway.background import spawn
from gateway.calls import Calls
from gateway.errors import GatewayError, Internal, NotSupported, Unauthenticated, UnknownModel
from gateway.hooks import Hooks
from gateway.http.boundary import REQUEST_ID, Boundary, read_json
from gateway.http.detached import Detached, Errands
from gateway.http.files import Files
from gateway.http.held import Held, Share
from gateway.http.incoming import Incoming
from gateway.http.multipart import read_form
from gateway.http.records import Records
from gateway.http.stored_files import StoredFiles
from gateway.http.stream import LARGE, EventWriter, send_large
from gateway.model import (
    ANONYMOUS,
    Call,
    Event,
    Finished,
    Outcome,
    Principal,
    Reply,
    RequestHead,
    Usage,
)
from gateway.threads import in_thread
from gateway.wire import pictures
from gateway.wire.dialect import Counting, Detaching, Dialect, Listing, ModelCard, Recording, Request, Route
from gateway.wire.fields import MODEL_NAME
from gateway.wire.filing import Filing

log = logging.getLogger(__name__)
Choice = tuple[Dialect, Route]
_CLIENT_LEFT = 499
_DECODE_IN_THREAD_FROM = 256_000
_SMALL_BODY = 1_000_000


class _Progress:
    """What is measured of one request."""

    __slots__ = ("begun", "error", "first_content", "handed_over", "reason", "status", "usage")

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.first_content: float | None = None
        self.usage: Usage | None = None
        self.status = 200
        self.error: str | None = None
        self.reason = ""
        self.handed_over = False

    def saw(self, event: Event) -> None:
        if isinstance(event, Finished):
            self.usage = event.usage
        elif self.first_content is None:
            self.first_content = time.monotonic() - self.begun

    def failed(self, exc: BaseException) -> None:
        left = isinstance(exc, (asyncio.CancelledError, ConnectionError))
        self.status = _CLIENT_LEFT if left else exc.status if isinstance(exc, GatewayError) else 500
        self.error = "ClientLeft" if left else type(exc).__name__ if isinstance(exc, GatewayError) else "Internal"
        if isinstance(exc, GatewayError):
            self.reason = exc.for_the_log

    def outcome(self, call: Call) -> Outcome:
        """How `call` ended. An answer without its end counts as far as it came."""
        duration = time.monotonic() - self.begun
        usage = self.usage or call.usage or Usage()
        return Outcome(self.status, self.error, duration, self.first_content, usage, self.reason)


class Handlers:
    """Makes aiohttp handlers for the routes of dialects. `cards` lists the models that can be asked for; `anonymous`
    says whether callers without a key are served at all."""

    def __init__(
        self,
        hooks: Hooks,
        calls: Calls,
        boundary: Boundary,
        server: Server,
        records: Records,
        *,
        errands: Errands,
        files: Files,
        stored: StoredFiles,
        incoming: Incoming,
        cards: Callable[[], Sequence[ModelCard]],
        anonymous: bool,
        simulated: bool,
    ) -> None:
        self._hooks = hooks
        self._calls = calls
        self._boundary = boundary
        self._server = server
        self._records = records
        self._detached = Detached(calls, records, errands, boundary.watch)
        self._incoming = incoming
        self._cards = cards
        self._anonymous = anonymous
        self._files = files
        self._stored = stored
        self._held = Held(round(server.max_held_mb * 1e6))
        self._common = {"x-gateway-simulated": "true"} if simulated else {}

    def handler(self, choices: Sequence[Choice]) -> Callable[[web.Request], Any]:
        """A handler for one address, which one or several dialects serve."""
        operations = {
            "generate": self._generate,
            "count": self._count,
            "models": self._models,
            "model": self._model,
            "record": self._record,
            "file": self._file,
        }

        async def handle(request: web.Request) -> web.StreamResponse:
            for dialect, route in choices:
                head = head_of(request, dialect)
                if route.claims(head):
                    break
            operation = operations.get(route.operation, self._unsupported)
            try:
                return await operation(request, dialect, route, head)
            except GatewayError as exc:  # the address alone does not tell whose shape an error takes
                return self._boundary.error(request, exc, dialect)

        return handle

    # --- who ------------------------------------------------------------------------------------------------------

    async def authenticate(self, head: RequestHead) -> Principal:
        """The caller. Raises Unauthenticated, Forbidden, Misdirected."""
        principal = await self._hooks.authenticate(head)
        if principal is None:
            if not self._anonymous:
                raise Unauthenticated("A key is needed, and none that this gateway takes came along")
            self._boundary.check_anonymous(head)
            principal = ANONYMOUS
        return principal

    # --- generate -------------------------------------------------------------------------------------------------

    async def _generate(
        self, request: web.Request, dialect: Dialect, route: Route, head: RequestHead
    ) -> web.StreamResponse:
        progress = _Progress()
        principal, call = ANONYMOUS, None
        try:
            principal = await self.authenticate(head)
            with self.holding(request) as share:
                call = await self._decoded(request, dialect, route, head, principal)
                share.keep(size if (size := request.content.total_bytes) > _SMALL_BODY else 0)
                with self._boundary.interruptible:
                    call = await self._calls.prepare(call)
                    call = await self._incoming.ready(await self._stored.ready(call, share), share)
                    if call.background:
                        return await self._background(dialect, call, share, progress)
                    if call.stream:
                        return await self._stream(request, dialect, call, progress)
                    return await self._whole(request, dialect, call, progress)
        except GatewayError as exc:
            progress.failed(exc)
            return self._boundary.error(request, exc, dialect)
        except BaseException as exc:
            progress.failed(exc)
            raise
        finally:
            if call is None:
                call = Call(head.request_id, int(time.time()), dialect.name, head=head, principal=principal)
            if not progress.handed_over:
                self._finished(call, progress)

    def holding(self, request: web.Request) -> Share:
        """The share of what the body of `request` will take, where it is a large one; the most where it does not say.
        Raises Overloaded."""
        most = round(self._server.max_image_mb * 1e6)
        size = request.content_length if request.content_length is not None else most
        share = self._held.share()
        share.take(min(size, most) if size > _SMALL_BODY else 0)
        return share

    async def _decoded(
        self, request: web.Request, dialect: Dialect, route: Route, head: RequestHead, principal: Principal
    ) -> Call:
        """The call that the body asks for. Raises a GatewayError."""
        if route.form and request.content_type.startswith("multipart/"):
            body = await read_form(request, self._server)
        else:
            body = await read_json(request, self._server)
        asked = Request(head, route, request.match_info, body, head.request_id, int(time.time()))
        size = request.content_length
        if size is not None and size <= _DECODE_IN_THREAD_FROM:
            decoded = dialect.decode(asked)
        else:
            decoded = await in_thread(dialect.decode, asked)
        decoded.head, decoded.principal = head, principal
        return await self._records.recall(dialect, decoded)

    async def _background(
        self, dialect: Dialect, call: Call, share: Share, progress: _Progress
    ) -> web.StreamResponse:
        assert isinstance(dialect, Detaching)
        kept = share.passed_on()

        def over(ended: Call, error: BaseException | None) -> None:
            if error is not None:
                progress.failed(error)
            kept.give_back()
            self._finished(ended, progress)

        try:
            receipt = self._detached.begin(dialect, call, saw=progress.saw, over=over)
        except GatewayError:
            kept.give_back()
            raise
        progress.handed_over = True
        return web.Response(body=await receipt, content_type="application/json", headers=self._headers(call))

    def _finished(self, call: Call, progress: _Progress) -> None:
        """Tell plugins, in a task of its own: it runs to its end also when the caller has left."""
        spawn(self._hooks.call_finished(call, progress.outcome(call)), "tell plugins of a finished call")

    async def _whole(
        self, request: web.Request, dialect: Dialect, call: Call, progress: _Progress
    ) -> web.StreamResponse:
        reply = Reply()
        async for event in self._calls.run(call):
            progress.saw(event)
            reply.add(event)
        headers = self._headers(call)
        images = [image for one in (reply, *reply.choices) for image in one.images]
        if images:
            headers["x-gateway-pictures"] = _header_safe(pictures.header(images))
            body = await in_thread(dialect.encode_whole, reply, call)
        else:
            body = dialect.encode_whole(reply, call)
        await self._records.keep(dialect, call)
        if len(body) <= LARGE:
            return web.Response(body=body, content_type="application/json", headers=headers)
        try:
            return await send_large(request, body, headers)
        except ConnectionError as exc:
            progress.failed(exc)
            return web.Response(status=_CLIENT_LEFT)

    async def _stream(
        self, request: web.Request, dialect: Dialect, call: Call, progress: _Progress
    ) -> web.StreamResponse:
        writer = EventWriter(request, dialect, call, self._server, headers=lambda: self._headers(call))
        try:
            async with aclosing(self._calls.run(call)) as events:
                with self._boundary.interruptible:
                    await self._pump(events, writer, progress)
            await self._records.keep(dialect, call)
            return await writer.end()
        except GatewayError as exc:
            if not writer.started:
                raise
            progress.failed(exc)
            writer.fail(exc)
            return await writer.end()
        except ConnectionError as exc:
            progress.failed(exc)
            return web.Response(status=_CLIENT_LEFT)
        finally:
            writer.stop()

    async def _pump(self, events: AsyncIterator[Event], writer: EventWriter, progress: _Progress) -> None:
        try:
            async for event in events:
                progress.saw(event)
                await writer.send(event)
        except (GatewayError, ConnectionError):
            raise
        except Exception as exc:
            if not writer.started:
                raise
            log.exception("a stream failed")
            raise Internal("Internal error, see the log", hint=type(exc).__name__) from exc

    def _headers(self, call: Call) -> dict[str, str]:
        headers = dict(self._common)
        if call.served_model:
            headers["x-gateway-model"] = _header_safe(call.served_model)
        if call.guest:
            headers["x-gateway-guest"] = "true"
        if call.ignored:
            headers["x-gateway-ignored"] = ", ".join(call.ignored)
        for name, value in call.reply_headers.items():
            headers[name] = _header_safe(value)
        if call.warnings:
            headers["x-gateway-warnings"] = _header_safe("; ".join(call.warnings)[:1000])
        return headers

    # --- tokens, records and files --------------------------------------------------------------------------------

    async def _count(
        self, request: web.Request, dialect: Dialect, route: Route, head: RequestHead
    ) -> web.StreamResponse:
        assert isinstance(dialect, Counting)
        principal = await self.authenticate(head)
        call = await self._calls.resolve(await self._decoded(request, dialect, route, head, principal))
        body = dialect.encode_count(call.prompt_tokens, call)
        return web.Response(body=body, content_type="application/json", headers=self._headers(call))

    async def _record(
        self, request: web.Request, dialect: Dialect, route: Route, head: RequestHead
    ) -> web.StreamResponse:
        assert isinstance(dialect, Recording)
        principal = await self.authenticate(head)
        if route.action == "list":
            assert isinstance(dialect, Listing)
            listed = await self._records.listed(dialect, principal, head.query)
            return web.Response(body=listed, content_type="application/json")
        id = request.match_info["id"]
        if route.action in ("cancel", "delete"):
            await self._detached.cancel(principal, id)
        change = await read_json(request, self._server) if route.action == "update" else None
        body = await self._records.answer(dialect, route, principal, id, head.query, change)
        return web.Response(body=body, content_type="application/json")

    async def _file(
        self, request: web.Request, dialect: Dialect, route: Route, head: RequestHead
    ) -> web.StreamResponse:
        assert isinstance(dialect, Filing)
        principal = await self.authenticate(head)
        with self.holding(request) if route.action == "upload" else self._held.share() as share:
            try:
                return await self._files.answer(request, dialect, route.action, owner=principal.name, share=share)
            except ConnectionError:
                return web.Response(status=_CLIENT_LEFT)

    # --- models ---------------------------------------------------------------------------------------------------

    async def _models(
        self, request: web.Request, dialect: Dialect, route: Route, head: RequestHead
    ) -> web.StreamResponse:
        principal = await self.authenticate(head)
        body = dialect.encode_models(self._visible(principal), head.query)
        return web.Response(body=body, content_type="application/json")

    async def _model(
        self, request: web.Request, dialect: Dialect, route: Route, head: RequestHead
    ) -> web.StreamResponse:
        principal = await self.authenticate(head)
        name = request.match_info["model"]
        cards = {card.name: card for card in self._visible(principal)}
        if name not in cards and MODEL_NAME.fullmatch(name):
            asked = Call(head.request_id, int(time.time()), dialect.name, model=name, principal=principal, head=head)
            if (other := cards.get((await self._hooks.prepare_call(asked)).model)) is not None:
                cards[name] = replace(other, name=name)  # another name that plugins know, such as an alias
        if name in cards:
            return web.Response(body=dialect.encode_model(cards[name]), content_type="application/json")
        raise UnknownModel("There is no such model here", param="model")

    def _visible(self, principal: Principal) -> list[ModelCard]:
        return [card for card in self._cards() if principal.models is None or card.name in principal.models]

    async def _unsupported(
        self, request: web.Request, dialect: Dialect, route: Route, head: RequestHead
    ) -> web.StreamResponse:
        await self.authenticate(head)
        reason = "The Gemini web offers nothing that could serve this address"
        raise NotSupported(f"{reason}: {route.instead}" if route.instead else reason)


def head_of(request: web.Request, dialect: Dialect) -> RequestHead:
    """The request before its body is read."""
    return RequestHead(
        method=request.method,
        path=request.path,
        headers=request.headers,
        query=request.query,
        peer=request.remote or "",
        request_id=request[REQUEST_ID],
        dialect=dialect.name,
    )


def _header_safe(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(char for char in text if char.isascii() and char.isprintable())
