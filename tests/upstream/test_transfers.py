"""Where an account's cookies may go: to Google's hosts, over TLS, whatever an answer of the site names."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import UpstreamChanged
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
