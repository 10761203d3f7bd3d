"""The listening side: sockets, connections and their limits. It lives as long as the process; the application behind it may
be exchanged while it listens (reload), and it is what ends in order (drain)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from config.loader import ConfigError
from config.settings import Server
from gateway.http.boundary import Boundary
from gateway.http.connections import Listener, most_connections

log = logging.getLogger(__name__)
_SAY_GOODBYE_S = 5.0  # for streams that were cut off to write their error event
_BACKLOG = 1024
# What a client sent just before the socket closed is a request like any other: time for it to get to its handler.
_LAST_ARRIVALS_S = 0.05


@dataclass(slots=True, eq=False)
class Stage:
    """An application in front of which the front may stand. `running` are its requests; `left` is set when it is no
    longer in front and the last of them has ended."""

    server: web.Server
    boundary: Boundary
    running: set[asyncio.Task[Any]] = field(default_factory=set)
    left: asyncio.Event = field(default_factory=asyncio.Event)
    in_front: bool = True

    def __post_init__(self) -> None:
        self.boundary.watcher = self.watch

    def watch(self, task: asyncio.Task[Any]) -> None:
        """Count `task` among its requests."""
        self.running.add(task)
        task.add_done_callback(self.ended)

    def leave(self) -> None:
        """Take no more requests."""
        self.in_front = False
        self.boundary.replaced = True
        self._look()

    def ended(self, task: asyncio.Task[Any]) -> None:
        """One of its requests has ended."""
        self.running.discard(task)
        self._look()

    def _look(self) -> None:
        if not self.in_front and not self.running:
            self.left.set()


class Front:
    """Listens as `server` says, and hands each request to the stage that is in front at that moment."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stage: Stage | None = None
        self._stages: list[Stage] = []  # that one, and those before it that still have requests
        self._listener = Listener(
            self._handle,
            request_factory=self._request,
            most=most_connections(server.max_connections),
            write_stall_s=server.write_stall_s,
            handler_cancellation=True,
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=server.header_timeout_s,
            lingering_time=2.0,  # for a caller who still sends a body that was refused to read the answer
            max_line_size=16_384,
            max_field_size=16_384,
        )
        self._runner = web.ServerRunner(self._listener, shutdown_timeout=1.0)
        self._sockets: list[socket.socket] = []

    # --- requests -------------------------------------------------------------------------------------------------

    def show(self, stage: Stage) -> None:
        """Put `stage` in front: from the next request on it serves. The one before keeps the requests it has."""
        before, self._stage = self._stage, stage
        if before is not None:
            before.leave()
        self._stages = [*(other for other in self._stages if not other.left.is_set()), stage]

    def _request(self, *args: Any) -> web.BaseRequest:
        assert self._stage is not None
        return self._stage.server.request_factory(*args)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        stage, task = self._stage, asyncio.current_task()
        assert stage is not None and task is not None
        stage.running.add(task)
        self._listener.busy(request.protocol)
        task.add_done_callback(partial(self._served, stage, request.protocol))
        return await stage.server.request_handler(request)

    def _served(self, stage: Stage, protocol: web.RequestHandler, task: asyncio.Task[Any]) -> None:
        self._listener.idle(protocol)
        stage.ended(task)

    # --- listening ------------------------------------------------------------------------------------------------

    async def listen(self, sockets: Sequence[socket.socket] = ()) -> str:
        """Accept connections, on `sockets` that listen already or on the configured address. Returns the URL. Raises
        ConfigError."""
        await self._runner.setup()
        host, port = self._server.host, self._server.port
        try:
            self._sockets = [*sockets] or await _opened(host, port)
            for opened in self._sockets:
                await web.SockSite(self._runner, opened.dup(), backlog=_BACKLOG).start()
        except OSError as exc:
            raise ConfigError([f"server.port: cannot listen on {host}:{port}: {exc.strerror}"]) from exc
        host, port = self._runner.addresses[0][:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def say_goodbye(self) -> None:
        """From now on /ready says no, and every reply is the last one on its connection."""
        for stage in self._stages:
            stage.boundary.stopping = True

    async def drain(self, grace_s: float) -> None:
        """Accept nothing more, let what runs end within `grace_s` seconds, then cut it off. Returns when all is over."""
        self.say_goodbye()
        for site in list(self._runner.sites):
            await site.stop()
        for connection in self._last_connections():
            await asyncio.get_running_loop().connect_accepted_socket(self._listener, connection)
        await asyncio.sleep(_LAST_ARRIVALS_S)
        self._listener.close_idle()
        if self._stage is not None:
            self._stage.leave()
        await self._until_left(grace_s)
        await self._cut_off()
        await self._runner.cleanup()

    def _last_connections(self) -> list[socket.socket]:
        """Close the sockets, and take what waits on them: the kernel would reset it, and with it a request that is under
        way already."""
        found = []
        for listening in self._sockets:
            listening.setblocking(False)
            with contextlib.suppress(OSError), listening:
                while True:
                    found.append(listening.accept()[0])
        self._sockets = []
        return found

    async def _cut_off(self) -> None:
        running = [task for stage in self._stages for task in stage.running]
        if not running:
            return
        log.warning("%d requests did not end in time and are cut off", len(running))
        for stage in self._stages:
            stage.boundary.cutting_off = True
        for task in running:
            task.cancel()
        await self._until_left(_SAY_GOODBYE_S)

    async def _until_left(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for stage in self._stages:
                    await stage.left.wait()


async def _opened(host: str, port: int) -> list[socket.socket]:
    """A socket for each address that `host` stands for. Raises OSError."""
    look_up = asyncio.get_running_loop().getaddrinfo
    infos = await look_up(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    found: list[socket.socket] = []
    try:
        for family, address in dict.fromkeys((info[0], info[4]) for info in infos):
            found.append(socket.create_server(address[:2], family=family, backlog=_BACKLOG))
    except OSError:
        for opened in found:
            opened.close()
        raise
    return found
