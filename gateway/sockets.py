"""Listening sockets of plugins. They outlive a reload: who listens on an address again gets the socket that is there, and
no connection that waits on it is cut off."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(slots=True)
class _Shared:
    socket: socket.socket
    users: int = 0


class Sockets:
    """Opens each address once, for as long as somebody uses it."""

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], _Shared] = {}

    @contextmanager
    def bound(self, host: str, port: int) -> Iterator[socket.socket]:
        """A socket of one's own on `host`:`port`, to listen on and to close. Other processes may have the same address
        (SO_REUSEPORT). Raises OSError."""
        shared = self._open.get((host, port))
        if shared is None:
            shared = self._open[host, port] = _Shared(_opened(host, port))
        shared.users += 1
        try:
            yield shared.socket.dup()
        finally:
            shared.users -= 1
            if not shared.users:
                self._open.pop((host, port)).socket.close()


def _opened(host: str, port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind((host, port))
        made.setblocking(False)
    except OSError:
        made.close()
        raise
    return made
