"""One request on its way through the simulated site: its account, its log entry, and how a reply is written."""

import asyncio
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote_to_bytes

from aiohttp import web

from gateway.simulator.accounts import Account
from gateway.simulator.log import Entry
from gateway.simulator.site import Site

_LARGEST_BODY = 200_000_000
_LONG_FORM = 256_000
_ESCAPES = re.compile(rb"(?:%[0-9A-Fa-f]{2})++")
_LINGER_0 = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Visit:
    """A request, with everything that the handlers ask of it. `extra_cookies` are Set-Cookie lines for the reply."""

    site: Site
    request: web.BaseRequest
    account: Account
    entry: Entry
    extra_cookies: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Host name without a port, in lower case."""
        return self.request.host.partition(":")[0].lower()

    async def welcome(self) -> None:
        """Answer `Expect: 100-continue`, without which a client keeps a large body back for a second."""
        if self.request.headers.get("Expect", "").lower() == "100-continue":
            await self.request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.request.writer.output_size = 0

    async def body(self) -> bytes:
        """The whole body, bounded."""
        await self.welcome()
        pieces, size = [], 0
        async for piece in self.request.content.iter_any():
            size += len(piece)
            if size > _LARGEST_BODY:
                raise web.HTTPRequestEntityTooLarge(_LARGEST_BODY, size)
            pieces.append(piece)
        return b"".join(pieces)

    async def form(self) -> dict[str, str]:
        """The urlencoded form of the body; a long one is decoded in a thread."""
        body = await self.body()
        if len(body) > _LONG_FORM:
            return await asyncio.to_thread(decode_form, body)
        return decode_form(body)

    async def reply(self, response: web.Response) -> web.StreamResponse:
        """Send a whole response and close the log entry."""
        for line in self.extra_cookies:
            response.headers.add("Set-Cookie", line)
        self.entry.status = response.status
        self.entry.sent = len(response.body) if isinstance(response.body, bytes) else 0
        await response.prepare(self.request)
        await response.write_eof()
        self.entry.end("whole")
        return response

    async def start(self, content_type: str) -> web.StreamResponse:
        """Send the headers of a streamed reply."""
        response = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-cache"})
        for line in self.extra_cookies:
            response.headers.add("Set-Cookie", line)
        self.entry.status = response.status
        response.enable_chunked_encoding()
        await response.prepare(self.request)
        return response

    def drop(self, *, reset: bool) -> web.Response:
        """End the connection, by a TCP reset or an orderly end. What is returned reaches nobody."""
        self.entry.end("cut")
        if (transport := self.request.transport) is not None:
            if reset:
                hard_close(transport)
            else:
                transport.close()
        return web.Response()


def hard_close(transport: asyncio.BaseTransport) -> None:
    """Close a connection with a TCP reset."""
    if (opened := transport.get_extra_info("socket")) is not None:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
    cast(asyncio.WriteTransport, transport).abort()


def decode_form(body: bytes) -> dict[str, str]:
    """The fields of an urlencoded form; of a repeated field the last."""
    pairs = (field.partition(b"=") for field in body.replace(b"+", b" ").split(b"&"))
    return {_unquoted(name): _unquoted(value) for name, _, value in pairs}


def _unquoted(text: bytes) -> str:
    if len(text) < _LONG_FORM:
        return unquote_to_bytes(text).decode("utf-8", "replace")
    # A run of escapes at a time: prompts of megabytes are mostly such runs, where the script is not Latin.
    return _ESCAPES.sub(lambda run: bytes.fromhex(run[0].replace(b"%", b"").decode()), text).decode("utf-8", "replace")


def decode_cookies(header: str) -> dict[str, str]:
    """The cookies of a Cookie header, by name."""
    pairs = (item.strip().partition("=") for item in header.split(";"))
    return {name: value for name, found, value in pairs if found}


def query_of(request: web.BaseRequest) -> Mapping[str, str]:
    """The query parameters."""
    return request.rel_url.query
