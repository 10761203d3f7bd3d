"""Web pages in the owner's browser: whose names and origins are taken, with a key and without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.testing import Client, make_client

ASK = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with make_client() as made:
        yield made


async def status(client: Client, method: str, path: str, **headers: str) -> int:
    async with client.http.request(method, path, json=ASK if method == "POST" else None, headers=headers) as response:
        await response.read()
        return response.status


FOREIGN = ["https://evil.example", "http://127.0.0.1.evil.example", "null", "https://localhost.evil.example"]


@pytest.mark.parametrize("origin", FOREIGN)
async def test_a_foreign_page_cannot_ask_without_a_key(client: Client, origin: str) -> None:
    for body in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        assert await status(client, "POST", "/v1/chat/completions", Origin=origin, **{"Content-Type": body}) == 403
    assert not client.upstream.asked


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:8080", "chrome-extension://abc"])
async def test_the_owners_own_pages_can(client: Client, origin: str) -> None:
    assert await status(client, "POST", "/v1/chat/completions", Origin=origin) == 200


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:1", "https://127.0.0.1", "http://evil.example"])
async def test_on_api_only_our_own_page_does_without_a_key(client: Client, origin: str) -> None:
    ours = client.url.removeprefix("http://")
    for method, path, let_in in (("POST", "/api/reload", 400), ("GET", "/api/accounts", 200)):  # 400: there is no file here
        assert await status(client, method, path, Origin=origin) == 403
        assert await status(client, method, path, Origin=f"http://{ours}") == let_in
        assert await status(client, method, path, Origin="chrome-extension://abc") == let_in
        assert await status(client, method, path) == let_in


@pytest.mark.parametrize("origin", ["http://[x", "http://x]", "http://[zz]", "http://\u2100.example"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/api/reload", "/api/session"])
async def test_an_origin_that_is_none_is_the_callers_fault(client: Client, path: str, origin: str) -> None:
    assert await status(client, "POST", path, Origin=origin) == 400


@pytest.mark.parametrize("origin", ["null", "http://evil.example"])
async def test_pages_that_may_ask_may_not_change_the_gateway(origin: str) -> None:
    async with make_client(settings={"server": {"cors_origins": ["*", "null"]}}) as client:
        assert await status(client, "POST", "/v1/chat/completions", Origin=origin) == 200
        assert await status(client, "GET", "/api/accounts", Origin=origin) == 403


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8100", "127.0.0.1.nip.io", "169.254.169.254", "[::2]:80"])
async def test_a_name_that_was_rebound_to_us_is_misdirected(client: Client, host: str) -> None:
    assert await status(client, "POST", "/v1/chat/completions", Host=host) == 421
    for path in ("/api/info", "/api/accounts"):
        assert await status(client, "GET", path, Host=host) == 421
    assert await status(client, "POST", "/api/reload", Host=host) == 421
    assert await status(client, "GET", "/health", Host=host) == 200


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8100", "127.0.0.1", "[::1]:8100", "gateway.localhost"])
async def test_our_own_names_are_ours(client: Client, host: str) -> None:
    assert await status(client, "GET", "/api/accounts", Host=host) == 200


OFF_LOOPBACK: dict[str, Any] = {"server": {"host": "0.0.0.0"}, "admin": {"key": "adm-secret"}}


async def test_off_loopback_an_address_or_a_key_is_enough_and_a_mere_name_is_not() -> None:
    key = {"Authorization": "Bearer adm-secret"}
    async with make_client(settings=OFF_LOOPBACK) as client:
        assert await status(client, "GET", "/api/accounts", Host="nas.example", **key) == 200
        assert await status(client, "GET", "/api/info", Host="192.168.1.5:8100") == 200
        assert await status(client, "GET", "/api/info", Host="nas.example") == 421
    named = {**OFF_LOOPBACK, "server": {"host": "0.0.0.0", "public_url": "https://nas.example"}}
    async with make_client(settings=named) as client:
        assert await status(client, "GET", "/api/info", Host="nas.example") == 200


async def test_no_origin_is_reflected_to_who_is_not_listed() -> None:
    async with make_client(settings={"server": {"cors_origins": ["https://app.example"]}}) as client:
        for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
            async with client.http.get("/v1/models", headers={"Origin": origin}) as response:
                assert response.headers.get("Access-Control-Allow-Origin") == allowed
                assert "Access-Control-Allow-Credentials" not in response.headers
        async with client.http.get("/api/info", headers={"Origin": "https://app.example"}) as response:
            assert "Access-Control-Allow-Origin" not in response.headers
