"""A real S3 server (SeaweedFS, from its wheel) over TLS, and endpoints that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trustme

WEED = Path(sys.executable).with_name("weed")
KEY, SECRET, BUCKET = "R2KEY", "r2-secret-of-the-tests", "img"


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where the server listens, and the CA to trust."""

    url: str
    ca_file: Path

    def settings(self, **others: Any) -> dict[str, Any]:
        """Settings of the plugin that work."""
        return {
            "endpoint_url": self.url,
            "bucket": BUCKET,
            "access_key_id": KEY,
            "secret_access_key": SECRET,
            "public_base_url": f"{self.url}/{BUCKET}",
            "ca_file": str(self.ca_file),
            **others,
        }


@contextmanager
def seaweed(folder: Path) -> Iterator[Bucket]:
    """The server with the bucket `img`: the identity of the tests may read and write there, anybody may read."""
    authority = trustme.CA()
    ca_file, leaf_file, key_file = folder / "ca.pem", folder / "leaf.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    leaf = authority.issue_cert("127.0.0.1", "localhost")
    leaf_file.write_bytes(b"".join(pem.bytes() for pem in leaf.cert_chain_pems))
    leaf.private_key_pem.write_to_path(str(key_file))
    identities = [
        {"name": "admin", "credentials": [{"accessKey": "ADMIN", "secretKey": SECRET}], "actions": ["Admin"]},
        {
            "name": "rw",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": [f"{action}:{BUCKET}" for action in ("Read", "Write", "List")],
        },
        {"name": "anonymous", "actions": [f"Read:{BUCKET}"]},
    ]
    (folder / "s3.json").write_text(json.dumps({"identities": identities}))
    ports = _free_ports(8)
    names = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc")
    options = [f"-{name}={port}" for name, port in zip(names, ports, strict=False)]
    options += [f"-s3.port={ports[6]}", f"-s3.port.grpc={ports[7]}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    options += [f"-s3.cert.file={leaf_file}", f"-s3.key.file={key_file}", f"-s3.config={folder / 's3.json'}"]
    options += [f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-volume.max=20"]
    options += ["-master.volumeSizeLimitMB=64", f"-s3.localSocket={folder / 's3.sock'}"]
    with (folder / "weed.log").open("wb") as log:
        server = subprocess.Popen([WEED, "server", *options], stdout=log, stderr=log)
    try:
        url = f"https://127.0.0.1:{ports[6]}"
        _wait(url, ca_file, folder / "weed.log")
        _make_bucket(url, ca_file)
        yield Bucket(url, ca_file)
    finally:
        server.kill()  # its folder is thrown away
        server.wait(20)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for made in sockets:
        made.bind(("127.0.0.1", 0))
    ports = [made.getsockname()[1] for made in sockets]
    for made in sockets:
        made.close()
    return ports


def _wait(url: str, ca_file: Path, log: Path) -> None:
    context = ssl.create_default_context(cafile=str(ca_file))
    end = time.monotonic() + 45
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, context=context, timeout=2)
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text("utf-8", "replace")[-3000:])


def _make_bucket(url: str, ca_file: Path) -> None:
    from aiobotocore.session import get_session

    async def make() -> None:
        session = get_session()
        async with session.create_client(
            "s3", region_name="auto", endpoint_url=url, aws_access_key_id="ADMIN", aws_secret_access_key=SECRET,
            verify=str(ca_file),
        ) as client:  # fmt: skip
            await client.create_bucket(Bucket=BUCKET)

    asyncio.run(make())


TRICKLE = b"HTTP/1.1 200 OK\r\nX-Trickle: "


@asynccontextmanager
async def misbehaving(answer: bytes | None, bucket: Bucket) -> AsyncIterator[str]:
    """An endpoint with the certificate of `bucket` that sends `answer` to whatever comes; None: that takes all and says
    nothing; TRICKLE: that never ends to say it, a byte at a time."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if answer is None:
                while await reader.read(65_536):
                    pass
                return
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            while answer is TRICKLE and not writer.is_closing():
                writer.write(b"x")
                await writer.drain()
                await _a_moment(reader)
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(bucket.ca_file.with_name("leaf.pem"), bucket.ca_file.with_name("key.pem"))
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _a_moment(reader: asyncio.StreamReader) -> None:
    """Read what comes, for a little while."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.05):
            await reader.read(1)
