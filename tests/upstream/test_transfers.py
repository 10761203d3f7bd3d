"""Where an account's cookies may go: to Google's hosts, over TLS, whatever an answer of the site names. And how a transfer
ends whose caller has left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import UpstreamChanged
from gateway.upstream.gemini_web.client import Client, Tokens
from gateway.upstream.gemini_web.session import Session, transfers

REFUSED = (
    "https://127.0.0.1:{port}/x",
    "http://127.0.0.1:{port}/x",
    "https://lh3.google.com@127.0.0.1:{port}/x",
    "https://127.0.0.1:{port}\\@lh3.google.com/x",
    "https://lh3.google.com:{port}/x",
    "http://lh3.google.com/x",
    "https://google.com.example.com/x",
    "https://evilgoogle.com/x",
    "https://example.com/lh3.google.com",
    "file:///etc/passwd",
)


@pytest.mark.parametrize("url", REFUSED)
async def test_nothing_but_google_is_asked_whatever_an_answer_names(url: str) -> None:
    asked: list[object] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(writer.get_extra_info("peername"))
        writer.close()

    shared = transfers()
    session = Session(shared, None, True)
    async with await asyncio.start_server(note, "127.0.0.1", 0) as server:
        address = url.format(port=server.sockets[0].getsockname()[1])
        with pytest.raises(UpstreamChanged, match="not Google's"):
            await session.hop(address, {}, 2)
        with pytest.raises(UpstreamChanged, match="not Google's"):
            await session.request("GET", address)
    await session.close()
    await shared.close()
    assert asked == []


class Coinciding(Session):
    """Its one chunk comes in the moment in which `asking` is cancelled, and then nothing more."""

    asking: asyncio.Task[None]

    @asynccontextmanager
    async def _stream(self, method: Any, url: str, kwargs: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(status_code=200, aiter_content=self._chunks)

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        self.asking.cancel()
        yield b")]}'\n\n"
        await asyncio.Event().wait()


async def test_a_caller_who_leaves_as_a_chunk_comes_has_left() -> None:
    shared = transfers()
    session = Coinciding(shared, None, True)
    client = Client(Tokens("token", "build", "session", "en", "push"), session)

    async def ask() -> None:
        async for _ in client._generate(prompt="hello", current_retry=0):
            raise AssertionError("nothing was said")

    session.asking = asyncio.create_task(ask())
    async with asyncio.timeout(20):
        await asyncio.wait([session.asking])
    assert session.asking.cancelled()
    await session.close()
    await shared.close()
