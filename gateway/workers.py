"""Several processes on one port. The supervisor opens one SO_REUSEPORT socket a worker and keeps it: the kernel spreads
connections over them, and what waits on the socket of a worker that died is served by its successor.

Workers share limits, cookies and keys through Redis like any replicas, and their metrics through files."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.multiprocess import mark_process_dead

from config.loader import ConfigError
from config.settings import Server
from gateway.serving import LISTEN_FD, PAGE_LINK, WORKER, ignore_reload, run_loop

log = logging.getLogger(__name__)
METRICS_DIR = "PROMETHEUS_MULTIPROC_DIR"  # prometheus_client's own name for it
_BACKLOG = 1024
# What waits on the socket of a worker that died waits for its successor: not for long, however often it dies.
_FIRST_PAUSE_S, _MOST_PAUSE_S = 0.5, 5.0
_STEADY_S = 60.0


@dataclass(slots=True, eq=False)
class Worker:
    """A place for a worker, and the process that holds it now."""

    number: int
    listening: socket.socket
    process: asyncio.subprocess.Process | None = None


class Supervisor:
    """Keeps one process of `command` running for each of `sockets`."""

    def __init__(
        self, command: Sequence[str], sockets: Sequence[socket.socket], metrics_dir: Path, *, link: str
    ) -> None:
        self._command = list(command)
        self._link = link
        self._workers = [Worker(number, listening) for number, listening in enumerate(sockets, 1)]
        self._metrics_dir = metrics_dir
        self._stopping = False

    @property
    def pids(self) -> list[int]:
        """The processes that run."""
        return [worker.process.pid for worker in self._workers if _runs(worker.process)]  # type: ignore[union-attr]

    async def run(self) -> int:
        """Until the signal to stop; the worst exit status of the workers."""
        shutil.rmtree(self._metrics_dir, ignore_errors=True)
        self._metrics_dir.mkdir(mode=0o700, parents=True)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._tell, signal.SIGHUP)
        return max(await asyncio.gather(*(self._keep(worker) for worker in self._workers)))

    def _stop(self, number: int) -> None:
        self._stopping = True
        self._tell(number)

    def _tell(self, number: int) -> None:
        for worker in self._workers:
            if worker.process is not None and _runs(worker.process):
                worker.process.send_signal(number)

    async def _keep(self, worker: Worker) -> int:
        pause = _FIRST_PAUSE_S
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            status = await self._run(worker)
            if self._stopping:
                return status if status >= 0 else 128 - status
            log.error("worker %d ended by itself (status %d) and is started again", worker.number, status)
            pause = _FIRST_PAUSE_S if loop.time() - begun > _STEADY_S else min(pause * 2, _MOST_PAUSE_S)
            await asyncio.sleep(pause)

    async def _run(self, worker: Worker) -> int:
        fd = worker.listening.fileno()
        own = {LISTEN_FD: str(fd), WORKER: str(worker.number), PAGE_LINK: self._link}
        environ = {**os.environ, **own, METRICS_DIR: str(self._metrics_dir)}
        # A session of its own: Ctrl-C in a terminal reaches the supervisor alone, and the workers through it, once. The
        # pipe to its stdin ends with the supervisor, however that ends.
        worker.process = await asyncio.create_subprocess_exec(
            *self._command,
            env=environ,
            pass_fds=[fd],
            start_new_session=True,
            stdin=asyncio.subprocess.PIPE,
            preexec_fn=ignore_reload,
        )
        if self._stopping:
            worker.process.send_signal(signal.SIGTERM)
        status = await worker.process.wait()
        mark_process_dead(worker.process.pid, str(self._metrics_dir))  # type: ignore[no-untyped-call]
        return status


def _runs(process: asyncio.subprocess.Process | None) -> bool:
    return process is not None and process.returncode is None


def open_sockets(server: Server) -> list[socket.socket]:
    """One listening socket a worker, all on the same port. Raises ConfigError."""
    family = socket.AF_INET6 if ":" in server.host else socket.AF_INET
    opened: list[socket.socket] = []
    port = server.port
    try:
        for _ in range(server.workers):
            listening = socket.socket(family, socket.SOCK_STREAM)
            opened.append(listening)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listening.bind((server.host, port))
            listening.listen(_BACKLOG)
            listening.setblocking(False)
            port = listening.getsockname()[1]
    except (OSError, AttributeError) as exc:
        for listening in opened:
            listening.close()
        reason = getattr(exc, "strerror", None) or "this system has no SO_REUSEPORT"
        raise ConfigError([f"server.port: cannot listen on {server.host}:{port}: {reason}"]) from exc
    return opened


def supervise(arguments: Sequence[str], sockets: Sequence[socket.socket], metrics_dir: Path, *, link: str) -> int:
    """Run `python -m gateway ARGUMENTS` once for each of `sockets`; `link` opens the admin page of all of them. Returns the
    exit status."""
    return run_loop(Supervisor([sys.executable, "-m", "gateway", *arguments], sockets, metrics_dir, link=link).run())
