"""The sockets: an HTTP CONNECT proxy on loopback that ends TLS itself and hands the requests inside to the site."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self, cast

from aiohttp import web

from gateway.simulator import control, routes
from gateway.simulator.certificates import HOSTS, Authority, make_authority
from gateway.simulator.log import Entry
from gateway.simulator.site import Site
from gateway.simulator.visit import hard_close

_LONGEST_HEAD = 65536
_BACKLOG = 1024
_READ_SIZE = 2**18
_ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


class Simulator:
    """The site on a port of 127.0.0.1, as an async context manager.

    `proxy_url` and `ca_file` are what a client needs. `ca_file` is a file of a temporary folder that is removed at the
    end, or the path that was given, which stays.
    """

    def __init__(self, site: Site, *, port: int = 0, ca_file: Path | str | None = None) -> None:
        self.site = site
        self.port = port
        self.ca_file = Path(ca_file) if ca_file else Path()
        self._given = ca_file is not None
        self._resources = contextlib.AsyncExitStack()
        self._fronts: set[_Front] = set()
        self.authority: Authority

    @property
    def proxy_url(self) -> str:
        """The proxy that a client must use; the control API answers plain requests on it."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self.authority = await asyncio.to_thread(self._make_files)
        self.inside = web.Server(
            lambda request: routes.serve(self.site, request),
            handler_cancellation=True,
            access_log=None,
            read_bufsize=_READ_SIZE,
        )
        self.outside = web.Server(lambda request: control.serve(self.site, request), access_log=None)
        loop = asyncio.get_running_loop()
        listening = await loop.create_server(lambda: _Front(self), "127.0.0.1", self.port, backlog=_BACKLOG)
        self._resources.callback(listening.close)
        self.port = listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._resources.aclose()
        await asyncio.gather(*(front.end() for front in list(self._fronts)))
        await self.inside.shutdown(0.2)
        await self.outside.shutdown(0.2)
        await self.site.gallery.close()
        if not self._given:
            await asyncio.to_thread(self._folder.cleanup)

    def _make_files(self) -> Authority:
        authority = make_authority()
        if not self._given:
            self._folder = tempfile.TemporaryDirectory(prefix="simulator-")
            self.ca_file = Path(self._folder.name) / "ca.pem"
        self.ca_file.write_bytes(authority.ca_pem)
        return authority

    def allows(self, host: str) -> bool:
        """Whether a tunnel to this host may be opened."""
        return host in HOSTS or host.endswith(".googleusercontent.com")


class _Front(asyncio.Protocol):
    """A fresh connection: reads the first request head. A CONNECT becomes TLS on the same socket, anything else is
    plain HTTP for the control API."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._tunnel: asyncio.Task[None] | None = None
        self._ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only
        self._simulator._fronts.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost()

    def lost(self) -> None:
        """The connection is gone, whoever owns it by then."""
        self._simulator._fronts.discard(self)
        if not self._ended.done():
            self._ended.set_result(None)

    async def end(self) -> None:
        """Close the connection at once and wait until it is closed."""
        if self._transport is not None:
            self._transport.abort()
        if self._tunnel is not None:
            self._tunnel.cancel()  # a loop may leave start_tls waiting for a transport that was aborted
            await asyncio.wait([self._tunnel], timeout=1.0)
        await asyncio.wait([self._ended], timeout=1.0)

    def data_received(self, data: bytes) -> None:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            if len(self._head) > _LONGEST_HEAD:
                self._refuse(431, "Request Header Fields Too Large")
            return
        method, _, rest = bytes(self._head[:end]).partition(b" ")
        if method == b"CONNECT":
            self._connect(rest.partition(b" ")[0].decode("ascii", "replace"), bytes(self._head[end + 4 :]))
        else:
            self._hand_over(self._simulator.outside())

    def _hand_over(self, protocol: asyncio.Protocol) -> None:
        assert self._transport is not None
        watched = _Watched(protocol, self.lost)
        self._transport.set_protocol(watched)
        watched.connection_made(self._transport)
        watched.data_received(bytes(self._head))

    def _connect(self, target: str, early: bytes) -> None:
        host, _, port = target.rpartition(":")
        site = self._simulator.site
        entry = site.log.add(Entry("", host.lower(), "CONNECT", target, endpoint="connect"))
        fault = site.faults.take(None, ["connect"])
        if fault is not None:
            entry.fault = fault.name
        entry.status = 200
        if not self._simulator.allows(host.lower()) or port != "443" or early:
            entry.status = 403
            self._refuse(403, "Forbidden")
        elif fault is not None and fault.name in ("reset", "close"):
            self._drop(reset=fault.name == "reset")
        elif fault is not None and fault.name in ("hang", "hang_after_headers"):
            pass
        elif fault is not None:
            entry.status = fault.status
            self._refuse(fault.status, "Fault")
        else:
            self._tunnel = asyncio.get_running_loop().create_task(self._open_tunnel())
        entry.end("whole" if entry.fault is None else "cut")

    def _refuse(self, status: int, words: str) -> None:
        assert self._transport is not None
        head = f"HTTP/1.1 {status} {words}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        self._transport.write(head.encode())
        self._transport.close()

    def _drop(self, *, reset: bool) -> None:
        assert self._transport is not None
        if reset:
            hard_close(self._transport)
        else:
            self._transport.close()

    async def _open_tunnel(self) -> None:
        assert self._transport is not None
        self._transport.write(_ESTABLISHED)
        watched = _Watched(self._simulator.inside(), self.lost)
        try:
            secured = await asyncio.get_running_loop().start_tls(
                self._transport, watched, self._simulator.authority.context, server_side=True
            )
        except (OSError, ConnectionError):
            self.lost()
            return
        if secured is None:
            self.lost()
            return
        watched.connection_made(secured)


class _Watched(asyncio.Protocol):
    """Passes everything on to another protocol and tells when the connection is lost.

    Data that comes before `connection_made` is kept until then: `start_tls` may deliver the client's first request
    before it returns the transport.
    """

    def __init__(self, protocol: asyncio.Protocol, lost: Callable[[], None]) -> None:
        self._protocol = protocol
        self._lost = lost
        self._early: list[bytes] | None = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._protocol.connection_made(transport)
        early, self._early = self._early or [], None
        for data in early:
            self._protocol.data_received(data)

    def data_received(self, data: bytes) -> None:
        if self._early is not None:
            self._early.append(data)
        else:
            self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        try:
            if self._early is None:
                self._protocol.connection_lost(exc)
        finally:
            self._lost()
