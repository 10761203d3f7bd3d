"""A gateway as a process: signals, reload, drain, exit status.

    SIGTERM, SIGINT    end in order: /ready says no, nothing more is accepted, calls end within server.shutdown_grace_s,
                       what is left gets an error event. Exit status 0.
    the same again     end at once. Exit status 128 + the signal's number.
    SIGHUP             read gateway.toml again, as a change of the file does."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from config.loader import ConfigError, Loaded
from gateway.allocator import keep_what_is_there, return_large_blocks
from gateway.app import Running
from gateway.background import spawn
from gateway.threads import hand_over_soon
from gateway.watchdog import watchdog

log = logging.getLogger(__name__)
EXIT_CONFIG = 2
_LOOK_EVERY_S = 2.0
_FIRST_SYSTEMD_FD = 3
# What the supervisor of several processes tells each of them: its socket, its number (from 1), the page's one-time link.
LISTEN_FD, WORKER, PAGE_LINK = "GATEWAY_LISTEN_FD", "GATEWAY_WORKER", "GATEWAY_PAGE_LINK"


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where it exists (not on Windows)."""
    return_large_blocks()
    hand_over_soon()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    return uvloop.run(work)


def until_told(start: Callable[[], AbstractAsyncContextManager[Running]], watch: tuple[Path, ...] = ()) -> int:
    """Serve what `start` opens until a signal ends it; reload when one of the files in `watch` changes. Returns the exit
    status."""

    async def serve() -> int:
        told = asyncio.Event()
        _on_signals(lambda number: _told(told, number), signal.SIGINT, signal.SIGTERM)
        if LISTEN_FD in os.environ:
            asyncio.get_running_loop().add_reader(sys.stdin.fileno(), _orphaned, told)
        async with start() as gateway, _reloading(gateway, watch):
            log.info("serving at %s", gateway.url)
            keep_what_is_there()
            with watchdog():
                await told.wait()
            log.info("stopping: /ready says no, running calls may end")
        log.info("stopped")
        return 0

    return run_loop(serve())


def _on_signals(handle: Callable[[int], None], *numbers: int) -> None:
    loop = asyncio.get_running_loop()
    for number in numbers:
        try:
            loop.add_signal_handler(number, handle, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda number, frame: loop.call_soon_threadsafe(handle, number))


def _told(event: asyncio.Event, number: int) -> None:
    if event.is_set():
        log.warning("a second signal: ending at once")
        logging.shutdown()
        os._exit(128 + number)
    event.set()


def _orphaned(event: asyncio.Event) -> None:
    """The supervisor of this worker is gone: nobody would stop it, or start it again."""
    asyncio.get_running_loop().remove_reader(sys.stdin.fileno())
    if not event.is_set():
        log.error("the supervisor is gone: stopping")
        event.set()


# --- reload -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _reloading(gateway: Running, files: tuple[Path, ...]) -> AsyncIterator[None]:
    if hasattr(signal, "SIGHUP"):
        _on_signals(lambda number: _spawn_reload(gateway, "SIGHUP"), signal.SIGHUP)
    async with _meanwhile(_watch(gateway, files)):
        yield


@asynccontextmanager
async def _meanwhile(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` in the background until the context is left."""
    task = spawn(work, "serve")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ignore_reload() -> None:
    """Let SIGHUP do nothing, instead of ending the process, until there is something to reload."""
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _spawn_reload(gateway: Running, why: str) -> None:
    spawn(reload(gateway, why), "reload")


async def reload(gateway: Running, why: str) -> bool:
    """Reload because of `why`. Whether it worked; if not, the log says why and the old settings hold."""
    try:
        await gateway.reload()
    except ConfigError as exc:
        log.error("not reloaded (%s), the old settings hold: %s", why, "; ".join(exc.problems))
        return False
    return True


async def _watch(gateway: Running, files: tuple[Path, ...]) -> None:
    """Reload once a change has settled: an editor may write a file in several steps."""
    loaded = before = await asyncio.to_thread(_look, files)
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        now = await asyncio.to_thread(_look, files)
        if now == before != loaded and gateway.settings.gateway.reload:
            loaded = now
            await reload(gateway, "the file has changed")
        before = now


def _look(files: tuple[Path, ...]) -> tuple[Any, ...]:
    found = []
    for file in files:
        try:
            stat = file.stat()
            found.append((stat.st_mtime_ns, stat.st_size, stat.st_ino))
        except OSError:
            found.append((0, 0, 0))
    return tuple(found)


def watched(loaded: Loaded) -> tuple[Path, ...]:
    """The files whose change is a reason to reload."""
    return tuple(file for file in (loaded.file, loaded.root / ".env") if file is not None)


# --- sockets that somebody else opened ----------------------------------------------------------------------------


def inherited_sockets(environ: Mapping[str, str]) -> list[socket.socket]:
    """Sockets that listen already: one from our own supervisor, or those of systemd (sd_listen_fds(3))."""
    if number := environ.get(LISTEN_FD):
        return [socket.socket(fileno=int(number))]
    if environ.get("LISTEN_PID") == str(os.getpid()):
        count = int(environ.get("LISTEN_FDS", "0"))
        return [socket.socket(fileno=_FIRST_SYSTEMD_FD + index) for index in range(count)]
    return []
