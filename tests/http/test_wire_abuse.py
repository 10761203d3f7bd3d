"""Bytes on the socket that no client sends: one clear answer each, the connection closed where it must be, nothing hung."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from gateway.hookspecs import Routes, hookimpl
from gateway.testing import Client, make_client
from plugins.api_key import Plugin as ApiKey
from plugins.api_key import Settings as ApiKeySettings

KEYS = ApiKeySettings.model_validate({"keys": [{"name": "me", "key": "sk-me"}]})
QUICK = {"server": {"header_timeout_s": 1, "body_timeout_s": 1, "max_json_mb": 0.1, "max_image_mb": 0.2}}
ASK = b'{"model":"gemini-2.5-flash","messages":[{"role":"user","content":"hi"}]}'


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with make_client(plugins=[("api_key", ApiKey(KEYS))], settings=QUICK) as made:
        yield made


async def raw(client: Client, sent: bytes, *, eof: bool = False) -> tuple[list[int], bytes]:
    """The status lines and all bytes that come back until the server closes or falls silent."""
    host, port = client.url.removeprefix("http://").rsplit(":", 1)
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(sent)
    if eof:
        writer.write_eof()
    got = b""
    try:
        async with asyncio.timeout(20):
            while piece := await reader.read(65_536):
                got += piece
    except ConnectionError:
        pass
    writer.close()
    lines = [line for line in got.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return [int(line.split()[1]) for line in lines], got


def post(*headers: bytes, path: bytes = b"/v1/chat/completions", body: bytes = ASK, key: bytes = b"sk-me") -> bytes:
    head = [b"POST " + path + b" HTTP/1.1", b"Host: 127.0.0.1", b"Authorization: Bearer " + key, *headers]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


LAST = b"Connection: close"
LENGTH = b"Content-Length: %d" % len(ASK)
MALFORMED = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 64 + b"\r\n\r\n",
    "h2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "both lengths": post(LENGTH, b"Transfer-Encoding: chunked"),
    "two lengths": post(LENGTH, b"Content-Length: 5"),
    "list length": post(b"Content-Length: 5, 5"),
    "plus length": post(b"Content-Length: +5"),
    "negative length": post(b"Content-Length: -5"),
    "hex length": post(b"Content-Length: 0x5"),
    "xchunked": post(b"Transfer-Encoding: xchunked"),
    "chunked identity": post(b"Transfer-Encoding: chunked, identity"),
    "coded chunks": post(b"Transfer-Encoding: identity, chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(ASK), ASK)),
    "no coding": post(b"Transfer-Encoding: ", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(ASK), ASK)),
    "bad chunk": post(b"Transfer-Encoding: chunked", body=b"zz\r\nabc\r\n0\r\n\r\n"),
    "nul": post(LENGTH, b"X-A: a\x00b"),
    "obs-fold": post(LENGTH, b"X-A: a\r\n b"),
    "space before colon": post(LENGTH, b"X-A : a"),
    "nameless": post(LENGTH, b": a"),
    "no host": b"GET /v1/models HTTP/1.1\r\n\r\n",
    "two hosts": b"GET /v1/models HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "host with a wrong port": b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1:http\r\n\r\n",
    "http 2": b"GET /health HTTP/2.0\r\nHost: 127.0.0.1\r\n\r\n",
    "another server's address": b"GET http://evil.example/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "address with a user": b"GET http://a@127.0.0.1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "another scheme": b"GET gopher://127.0.0.1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n",
    "two keys": post(LENGTH, b"Authorization: Bearer sk-other"),
    "two keys of one name": post(LENGTH, b"x-api-key: sk-me", b"x-api-key: sk-other"),
    "long target": b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "large header": post(LENGTH, b"X-A: " + b"a" * 131_072),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_gets_one_answer_and_the_end(client: Client, name: str) -> None:
    statuses, got = await raw(client, MALFORMED[name], eof=True)
    assert len(statuses) <= 1
    assert b"aiohttp" not in got  # nor Python's version
    assert all(400 <= status < 505 and status not in (404, 500) for status in statuses)
    assert not client.upstream.asked
    assert (await client.chat("hello", headers={"Authorization": "Bearer sk-me"})).status == 200


NO_HOSTS = [b"a@127.0.0.1", b"x/health?", b"a b", b"\xe9vil", b"[::1", b"a" * 3000, b"127.0.0.1:http"]
HOSTS = [b"my_app", b"gateway.example:8100", b"[::1]:80", b"[fe80::1%25eth0]", b"xn--bcher-kva.example", b""]


@pytest.mark.parametrize("host", NO_HOSTS)
async def test_a_host_that_names_no_server_is_a_400_for_whoever_asks(client: Client, host: bytes) -> None:
    ask = b"GET /v1/models HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer sk-me\r\n%b\r\n\r\n"
    statuses, _ = await raw(client, ask % (host, LAST))
    assert statuses == [400]


@pytest.mark.parametrize("host", HOSTS)
async def test_a_host_that_may_name_a_server_serves_who_has_a_key(client: Client, host: bytes) -> None:
    ask = b"GET /v1/models HTTP/1.1\r\nHost: %b\r\nAuthorization: Bearer sk-me\r\n%b\r\n\r\n"
    statuses, _ = await raw(client, ask % (host, LAST))
    assert statuses == [200]


async def test_our_own_address_in_full_is_an_address(client: Client) -> None:
    host = client.url.removeprefix("http://").encode()
    statuses, _ = await raw(client, b"GET http://%b/health HTTP/1.1\r\nHost: %b\r\n%b\r\n\r\n" % (host, host, LAST))
    assert statuses == [200]


@pytest.mark.parametrize("kind", [b"application/json", b"multipart/form-data; boundary=b"])
@pytest.mark.parametrize("chunk", [b"-5\r\n{}", b"+2\r\n{}\r\n0\r\n\r\n", b"2\r\n{}0\r\n\r\n", b"2\n{}\n0\n\n"])
async def test_a_broken_chunk_is_told_at_once_and_not_when_the_time_for_bodies_is_over(kind: bytes, chunk: bytes) -> None:
    patient = {"server": {"body_timeout_s": 1000}}
    async with make_client(plugins=[("api_key", ApiKey(KEYS))], settings=patient) as client:
        reader, writer = await asyncio.open_connection(*client.url.removeprefix("http://").split(":"))
        writer.write(post(b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"Content-Type: " + kind, body=b""))
        assert b" 100 " in await reader.readuntil(b"\r\n\r\n")  # now the body is waited for
        writer.write(chunk)
        got = await reader.read()
        assert got.startswith(b"HTTP/1.1 400 ") and got.count(b"HTTP/1.1 ") == 1 and b"malformed" in got
        writer.close()


async def test_a_body_left_unread_is_not_the_next_request(client: Client) -> None:
    smuggled = b"GET /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer sk-me\r\n\r\n"
    length = b"Content-Length: %d" % len(smuggled)
    for first in (post(length, key=b"wrong", body=smuggled), post(length, path=b"/nothing", body=smuggled)):
        statuses, _ = await raw(client, first)
        assert statuses in ([401], [404])


async def test_a_body_that_stops_coming_is_a_408_and_one_that_is_too_large_a_413(client: Client) -> None:
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    (late, got), (large, _), (unknown, _), (chunked, _) = await asyncio.gather(  # each lingers a while before it closes
        raw(client, post(b"Content-Length: 100", body=b'{"model"')),
        raw(client, post(b"Content-Length: 10000000000", b"Expect: 100-continue", body=b"")),
        raw(client, post(b"Content-Length: 10000000000", b"Expect: 100-continue", body=b"", key=b"no")),
        raw(client, post(b"Transfer-Encoding: chunked", body=chunk * 8)),
    )
    assert late == [408]
    assert b'"code":"request_timeout"' in got
    assert large[-1] == 413
    assert unknown == [401]
    assert chunked == [413]


async def test_silence_and_half_a_head_end_in_time(client: Client) -> None:
    for sent in (b"", b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\n"):
        statuses, _ = await raw(client, sent)
        assert statuses in ([], [400], [408])


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZip", "deflate", "br", "zstd", "gzip, gzip"])
async def test_compressed_bodies_are_refused_unread(client: Client, encoding: str) -> None:
    statuses, got = await raw(client, post(LENGTH, LAST, b"Content-Encoding: " + encoding.encode()))
    assert statuses == [415]
    assert b"unsupported_media_type" in got
    statuses, _ = await raw(client, post(LENGTH, LAST, b"Content-Encoding: " + encoding.encode(), key=b"no"))
    assert statuses == [401]


async def test_unknown_methods_and_addresses_answer_in_the_callers_format(client: Client) -> None:
    headers = {"Authorization": "Bearer sk-me"}
    async with client.http.request("DELETE", "/v1/chat/completions", headers=headers) as response:
        assert (response.status, response.headers["Allow"]) == (405, "GET, POST")
        assert set((await response.json())["error"]) == {"message", "type", "param", "code"}
    async with client.http.get("/gemini/v1beta/nothing", headers=headers) as response:
        assert (response.status, (await response.json())["error"]["status"]) == (404, "NOT_FOUND")
    for path in ("/static/../gateway.toml", "/static/..%2fgateway.toml", "/.env", "/gateway.toml", "/static/"):
        async with client.http.get(path, headers=headers) as response:
            assert response.status == 404


JUNK = [b"", b"x", b"[]", b"null", b'{"a":1', b'{"a":1}{"b":2}', b"{'a':1}", b'{"a":NaN}', b'{"a":1e999}', b'{"a":"\xff"}']


@pytest.mark.parametrize("body", [*JUNK, b"[" * 100_000, b'{"a":' * 50_000])
@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/gemini/v1/models/x:generateContent", b"/v1/generate"])
async def test_a_body_that_is_no_json_object_is_a_400(client: Client, path: bytes, body: bytes) -> None:
    statuses, got = await raw(client, post(b"Content-Length: %d" % len(body), LAST, path=path, body=body))
    assert statuses == [400] or (statuses == [413] and len(body) > 100_000)
    assert len(got) < 1000


ODD = [None, True, 0, -1, 2**63, 1.5, 1e308, "", "x", "\u0000", [], [[]], {}, {"a": {}}, [None], "../../etc/passwd"]
FIELDS = ("model", "messages", "stream", "stream_options", "stop", "max_tokens", "n", "temperature", "tools", "logprobs")


@pytest.mark.parametrize("field", FIELDS)
async def test_no_odd_value_is_ever_our_fault(client: Client, field: str) -> None:
    for value in ODD:
        body = {**json.loads(ASK), field: value}
        async with client.http.post("/v1/chat/completions", json=body, headers={"Authorization": "Bearer sk-me"}) as reply:
            assert reply.status < 500, (field, value, await reply.text())


@pytest.mark.parametrize("number", ["9" * 5000, "²", "٣", "-1", "1.5"], ids=["huge", "super", "arabic", "less", "half"])
async def test_no_odd_number_is_ever_our_fault(client: Client, number: str) -> None:
    key = {"Authorization": "Bearer sk-me"}
    start = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
    form = aiohttp.FormData({"prompt": "x", "n": number})
    form.add_field("image", b"x", filename="x.png")
    for method, path, headers, body in (
        ("GET", "/v1/models", {"anthropic-version": "2023-06-01"}, None),
        ("GET", "/v1/chat/completions", {}, None),
        ("GET", "/v1beta/models", {}, None),
        ("POST", "/upload/v1beta/files", {**start, "X-Goog-Upload-Header-Content-Length": number}, None),
        ("POST", "/v1/images/edits", {}, form),
    ):
        query = {"limit": number, "pageSize": number} if method == "GET" else None
        async with client.http.request(method, path, headers={**key, **headers}, params=query, data=body) as reply:
            assert reply.status < 500, (method, path, number, await reply.text())


class Broken:
    """A dialect of a plugin that fails in a way that nobody foresaw."""

    @hookimpl
    def register_routes(self, routes: Routes) -> None:
        async def broken(request: web.Request) -> web.Response:
            raise ZeroDivisionError("secret detail")

        routes.add("GET", "/broken", broken)


@pytest.mark.parametrize("id", ["%0D%0AX-Evil:%201", "%1B%5B31mred", "%E2%80%AEx"])
async def test_an_echo_moves_no_terminal_and_forges_no_line(client: Client, id: str) -> None:
    address = URL(f"/v1/responses/{id}", encoded=True)
    async with client.http.get(address, headers={"Authorization": "Bearer sk-me"}) as response:
        assert response.status == 404 and "X-Evil" not in response.headers
        assert (await response.json())["error"]["message"].isprintable()


async def test_an_upload_is_not_begun_by_a_word_that_nobody_knows(client: Client) -> None:
    odd = {"Authorization": "Bearer sk-me", "X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "eval"}
    async with client.http.post("/upload/v1beta/files", headers=odd, json={}) as response:
        assert response.status == 400 and "X-Goog-Upload-URL" not in response.headers
        assert "X-Goog-Upload-Command" in (await response.json())["error"]["message"]


async def test_our_own_mistake_is_a_500_with_an_id_and_no_more() -> None:
    async with make_client(plugins=[("broken", Broken())]) as client, client.http.get("/broken") as response:
        error = (await response.json())["error"]
        assert (response.status, error["code"]) == (500, "internal_error")
        assert response.headers["x-request-id"] in error["message"]
        assert "secret" not in error["message"]


async def test_every_reply_carries_its_id_and_tells_browsers_not_to_guess(client: Client) -> None:
    async with client.http.get("/health") as first, client.http.get("/nothing") as second:
        assert first.headers["x-request-id"] != second.headers["x-request-id"]
        assert first.headers["X-Content-Type-Options"] == "nosniff"
