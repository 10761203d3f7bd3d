"""Addresses that callers name: the public internet and nothing else, bounded in every way."""

from __future__ import annotations

import asyncio
import base64
import io
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import PIL.Image
import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from config.settings import Server
from gateway.errors import InvalidRequest
from gateway.http.fetch import Fetcher, is_public
from gateway.http.held import Held
from gateway.model import Blob, Image, ImageReady
from gateway.testing import Client, Script, make_client

buffer = io.BytesIO()
PIL.Image.new("RGB", (1024, 64)).save(buffer, "PNG")
PICTURE = buffer.getvalue()
SCRIPT = [Script(ImageReady(Image(PICTURE, "image/png", 1024, 64)))]
SMALL = {"max_image_mb": 0.1, "fetch_timeout_s": 1}


@asynccontextmanager
async def gateway(**server: Any) -> AsyncIterator[Client]:
    async with make_client(script=SCRIPT, settings={"server": {**SMALL, **server}}) as client:
        yield client


@asynccontextmanager
async def canary(answer: Callable[[web.Request], Any]) -> AsyncIterator[tuple[str, list[str]]]:
    """A server on loopback, and the paths that it was asked for."""
    asked: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        asked.append(request.path)
        made = answer(request)  # type: ignore[arg-type]
        return await made if asyncio.iscoroutine(made) else made  # type: ignore[no-any-return]

    runner = web.ServerRunner(web.Server(handle, handler_cancellation=True), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"127.0.0.1:{runner.addresses[0][1]}", asked
    await runner.cleanup()


async def edit(client: Client, url: str) -> tuple[int, dict[str, Any]]:
    async with client.http.post("/v1/images/edit", json={"prompt": "blue", "image": url}) as response:
        return response.status, await response.json()


def picture(request: web.Request) -> web.Response:
    return web.Response(body=PICTURE, content_type="image/png")


HOSTS = (
    "127.0.0.1", "localhost", "127.1", "0", "0.0.0.0", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "[::]",
    "[::ffff:127.0.0.1]", "[0:0:0:0:0:ffff:7f00:1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "①②⑦.⓪.⓪.①", "127。0。0。1",
    "localhost.", "LOCALHOST", "example.com@127.0.0.1", "127.0.0.1%00.example.com", "10.0.0.1", "192.168.1.1",
    "172.16.0.1", "100.64.0.1", "169.254.169.254", "[fd00:ec2::254]", "[fe80::1%25lo]", "224.0.0.1", "255.255.255.255",
)  # fmt: skip


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("host", HOSTS)
async def test_no_spelling_of_a_private_address_is_connected_to(scheme: str, host: str) -> None:
    async with canary(picture) as (address, asked), gateway() as client:
        port = address.partition(":")[2]
        for path in (f"{scheme}://{host}:{port}/x.png", f"{scheme}:\\\\{host}:{port}/x", f"{scheme}://{host}:{port}#@a.b"):
            status, body = await edit(client, path)
            assert status == 400, body
            assert body["error"]["param"] == "image"
        assert asked == []


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "gopher://127.0.0.1/", "dict://127.0.0.1/", "ftp://127.0.0.1/", "javascript:alert(1)",
        "data:", "https://", "https:///x", "https://:80/", "//127.0.0.1/", "https://a b/", "https://[::1", "https://x\n.y/",
        "https://" + "a" * 9000, "https://a..b/",
    ],
)  # fmt: skip
async def test_other_schemes_and_broken_addresses_are_refused(url: str) -> None:
    async with gateway() as client:
        status, body = await edit(client, url)
        assert (status, body["error"]["param"]) == (400, "image")
        messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
        async with client.http.post("/v1/chat/completions", json={"model": "gemini-2.5-flash", "messages": messages}) as r:
            assert r.status == 400
            assert (await r.json())["error"]["param"] == "messages.0.content.0.image_url.url"
        parts = [{"text": "x"}, {"fileData": {"fileUri": url}}]
        path = "/gemini/v1beta/models/gemini-2.5-flash:generateContent"
        async with client.http.post(path, json={"contents": [{"parts": parts}]}) as r:
            assert (r.status, (await r.json())["error"]["status"]) == (400, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True), ("64:ff9b::808:808", True),
        ("::ffff:10.0.0.1", False), ("64:ff9b::a00:1", False), ("2002:a00:1::", False), ("2002:808:808::", True),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False), ("::7f00:1", False), ("224.0.0.1", False), ("ff02::1", False),
        ("192.0.2.1", False), ("240.0.0.1", False), ("fe80::1%eth0", False),
    ],
)  # fmt: skip
def test_what_counts_as_public(address: str, public: bool) -> None:
    assert is_public(address) is public


async def test_where_private_addresses_are_allowed_a_picture_is_fetched_and_named_by_us() -> None:
    async with canary(picture) as (address, asked), gateway(fetch_private=True) as client:
        status, _ = await edit(client, f"http://{address}/some/where.exe")
        assert (status, asked) == (200, ["/some/where.exe"])
        (_, call) = client.upstream.asked[-1]
        (file,) = [part for part in call.messages[0].parts if isinstance(part, Blob)]
        assert (file.name, file.mime, file.data) == ("file-1.png", "image/png", PICTURE)


async def _endless(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    while True:
        await response.write(b"x" * 65_536)


async def _silent(request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


def _redirect_to(url: str) -> Callable[[web.Request], web.Response]:
    return lambda request: web.Response(status=302, headers={"Location": url})


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (_endless, "at most"),
        (_silent, "in time"),
        (lambda request: web.Response(body=b"x" * 200_000), "at most"),
        (lambda request: web.Response(text="<html>"), "picture"),
        (lambda request: web.Response(body=b"<svg/>", content_type="image/png"), "picture"),
        (lambda request: web.Response(body=PICTURE, headers={"Content-Encoding": "gzip"}), "compressed"),
        (lambda request: web.Response(status=404), "answered 404"),
        (lambda request: _redirect_to(str(request.url))(request), "redirects too often"),
        (_redirect_to("file:///etc/passwd"), "https"),
        (_redirect_to(""), "redirects too often"),
    ],
    ids=["endless", "silent", "large", "page", "svg", "gzip", "404", "circle", "file", "nowhere"],
)
async def test_a_bad_answer_is_the_callers_mistake_and_bounded(answer: Callable[[web.Request], Any], said: str) -> None:
    async with canary(answer) as (address, _), gateway(fetch_private=True) as client:
        status, body = await edit(client, f"http://{address}/")
        assert status == 400 and said in body["error"]["message"]


async def test_a_caller_without_a_call_to_make_makes_us_fetch_nothing() -> None:
    async with canary(picture) as (address, asked), gateway(fetch_private=True) as client:
        body = {"prompt": "x", "image": f"http://{address}/", "model": "gemini-nothing"}
        async with client.http.post("/v1/images/edit", json=body) as response:
            assert response.status == 404
        assert asked == []


async def test_data_urls_need_no_network() -> None:
    async with gateway() as client:
        status, _ = await edit(client, "data:image/png;base64," + base64.b64encode(PICTURE).decode())
        assert status == 200


# --- all files of one request -------------------------------------------------------------------------------------

LARGE = PICTURE + b"\0" * 60_000  # what is behind a picture's end is fetched, and then dropped


def large(request: web.Request) -> web.Response:
    return web.Response(body=LARGE, content_type="image/png")


async def edit_several(client: Client, address: str, count: int) -> tuple[int, dict[str, Any], str | None]:
    body = {"prompt": "blue", "image": [f"http://{address}/{number}" for number in range(count)]}
    async with client.http.post("/v1/images/edit", json=body) as response:
        return response.status, await response.json(), response.headers.get("Retry-After")


async def test_more_addresses_than_allowed_are_refused_before_the_first_is_asked() -> None:
    async with canary(picture) as (address, asked), gateway(fetch_private=True, fetch_files=2) as client:
        assert (await edit_several(client, address, 2))[0] == 200
        asked.clear()
        status, body, _ = await edit_several(client, address, 3)
        assert (status, body["error"]["param"], asked) == (400, "image.2", [])
        assert "at most 2 files" in body["error"]["message"]


async def test_the_files_of_one_request_are_bounded_together() -> None:
    async with canary(large) as (address, _), gateway(fetch_private=True, fetch_mb=0.1) as client:
        assert (await edit_several(client, address, 1))[0] == 200
        status, body, _ = await edit_several(client, address, 2)
        assert status == 400 and body["error"]["param"] in ("image.0", "image.1")
        assert "together" in body["error"]["message"]


async def test_fetched_files_count_as_held_until_their_request_is_over() -> None:
    async with canary(large) as (address, _), gateway(fetch_private=True, max_held_mb=0.1) as client:
        for _ in range(3):
            assert (await edit_several(client, address, 1))[0] == 200
            status, body, retry_after = await edit_several(client, address, 2)
            assert (status, body["error"]["code"], retry_after) == (503, "overloaded", "5")


# --- public servers that lead inside ------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_public_server_that_leads_inside_is_not_followed(status: int) -> None:
    """127.0.0.2 stands for the public internet here: it may be connected to, and says where to go on."""
    async with canary(picture) as (inside, asked):
        public, led = await _leading_to(f"http://{inside}/x.png", status)
        async with public:
            address = "http://{}:{}/".format(*public.sockets[0].getsockname())
            fetcher = Fetcher(
                Server(fetch_private=True, fetch_timeout_s=5), reachable=lambda address: address == "127.0.0.2"
            )
            with Held(1).share() as share, pytest.raises(InvalidRequest, match="public internet") as raised:
                await fetcher.fetch(address, "image", fetcher.basket(share))
            await fetcher.close()
    assert (raised.value.param, len(led), asked) == ("image", 1, [])


async def _leading_to(url: str, status: int) -> tuple[asyncio.Server, list[bytes]]:
    """A server at 127.0.0.2 that leads to `url`, and the requests that it got."""
    led: list[bytes] = []

    async def lead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        led.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(f"HTTP/1.1 {status} Over there\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    return await asyncio.start_server(lead, "127.0.0.2", 0), led


# --- names that change their address ------------------------------------------------------------------------------


class Rebinding(AbstractResolver):
    """A name server that says one address after the other, the last one for ever."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self.asked = 0

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked += 1
        address = self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]
        return [ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing to do."""


@pytest.mark.parametrize("private", [False, True])
async def test_a_name_that_turns_inside_after_it_was_looked_up_is_not_connected_to(private: bool) -> None:
    """The one who checks first and connects then is told the public address first. Where private addresses are allowed
    the same name leads inside: it is the refusal at connecting that stops it."""
    reached: list[object] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reached.append(writer.get_extra_info("peername"))
        writer.close()

    resolver = Rebinding("8.8.8.8", "127.0.0.1")
    server = await asyncio.start_server(note, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    fetcher = Fetcher(Server(fetch_private=private, fetch_timeout_s=5), resolver=resolver)
    async with server:
        (looked_up,) = await resolver.resolve("rebinding.example", port)
        assert is_public(looked_up["host"])
        with Held(1).share() as share, pytest.raises(InvalidRequest) as raised:
            await fetcher.fetch(f"https://rebinding.example:{port}/x.png", "image", fetcher.basket(share))
        await fetcher.close()
    assert ("public internet" in raised.value.message) is not private
    assert bool(reached) is private and resolver.asked == 2
