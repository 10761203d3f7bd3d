"""Who attacks the admin page and its addresses from outside: files that are not the page's, other sites' forms, answers
that a browser would take for markup."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from yarl import URL

from gateway.testing import Client, make_client

SECRET = "adm-of-the-owner"
UPS = (
    *("../", "..%2f", "%2e%2e/", "%2e%2e%2f", "..%5c", "..\\", "....//", "%252e%252e%252f"),
    *("..%c0%af", "..%00/", "./../", "/"),
)
SOURCES = ("gateway.toml", "setup.cfg", "config/settings.py", "plugins/api_key.py")
FILES = (*SOURCES, ".env", ".git/config", "etc/passwd", "state/admin_key")
BAIT = "<script>alert(1)</script>"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with make_client(settings={"admin": {"key": SECRET}}) as made:
        yield made


async def got(client: Client, target: str, **headers: str) -> tuple[int, str, str]:
    """(status, type, body) of a GET for the target as it is written."""
    url = URL(f"{client.url}{target}", encoded=True)
    async with client.http.get(url, headers=headers, allow_redirects=False) as response:
        return response.status, response.content_type, (await response.read()).decode("utf-8", "replace")


@pytest.mark.parametrize("up", UPS)
async def test_no_way_of_writing_it_leads_out_of_the_pages_folder(client: Client, up: str) -> None:
    for base in ("/static/", "/docs/"):
        for file in FILES:
            for depth in (1, 3, 8):
                status, _, body = await got(client, base + up * depth + file)
                assert 400 <= status < 500, (base, up, file)
                assert "root:" not in body and "[server]" not in body and "hookimpl" not in body


HIDDEN = ["/.env", "/.git/config", "/config/", "/plugins/", "/gateway.toml", "/static/views/", "/state/"]


@pytest.mark.parametrize("path", HIDDEN)
async def test_nothing_but_the_page_lies_at_the_root_and_no_folder_is_listed(client: Client, path: str) -> None:
    assert (await got(client, path))[0] == 404


async def test_a_thousand_ranges_of_one_file_are_no_large_answer(client: Client) -> None:
    ranges = "bytes=" + ",".join("0-" for _ in range(1500))
    status, _, body = await got(client, "/static/main.js", Range=ranges)
    assert status in (200, 206, 400, 416, 431) and len(body) < 50_000


ELSEWHERE = ["//evil.example", "//evil.example/..", "/\\evil.example", "/%2f%2fevil.example", "///evil.example/"]


@pytest.mark.parametrize("path", ELSEWHERE)
async def test_nobody_is_sent_to_another_site(client: Client, path: str) -> None:
    assert (await got(client, path))[0] in (400, 404)


@pytest.mark.parametrize("path", [f"/v1/{BAIT}", f"/api/accounts/{BAIT}", f"/gemini/v1beta/models/{BAIT}:generateContent"])
async def test_what_stands_in_an_address_never_comes_back_as_markup(client: Client, path: str) -> None:
    key = {"Authorization": f"Bearer {SECRET}"}
    status, kind, _ = await got(client, path.replace("<", "%3C").replace(">", "%3E"), Accept="text/html", **key)
    assert status >= 400 and kind == "application/json"


@pytest.mark.parametrize("path", ["/api/accounts", "/api/cookies", "/api/keys", "/api/session"])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
async def test_a_form_of_another_site_changes_nothing(client: Client, path: str, kind: str) -> None:
    body = b'{"name": "x", "SECURE_1PSID": "g.a1", "key": "adm-of-the-owner"}'
    for more in ({}, {"Authorization": f"Bearer {SECRET}"}):
        headers = {"Content-Type": kind, "Origin": "https://evil.example", **more}
        async with client.http.post(path, data=body, headers=headers) as response:
            assert response.status in (401, 403, 415)
            assert "Set-Cookie" not in response.headers


BAD_COOKIES = ["a; b", "a\r\nX: y", "a\0b", "caf\u00e9", "x" * 300_000, "../../etc/passwd"]


@pytest.mark.parametrize("value", BAD_COOKIES, ids=range(len(BAD_COOKIES)))
async def test_a_value_that_is_no_cookie_is_refused_and_not_shown(client: Client, value: str) -> None:
    key = {"Authorization": f"Bearer {SECRET}"}
    body = {"SECURE_1PSID": value, "SECURE_1PSIDTS": "sidts-1"}
    async with client.http.post("/api/cookies", json=body, headers=key) as response:
        text = await response.text()
    assert response.status == 400 and value not in text
    async with client.http.post("/api/cookies", json={"SECURE_1PSID": [value]}, headers=key) as response:
        assert response.status == 400


async def test_what_is_open_to_everybody_tells_nothing_about_the_accounts() -> None:
    account = {"name": "me@example.com", "secure_1psid": "g.a000-secret", "proxy": "http://user:hunter2@proxy.example:1"}
    async with make_client(settings={"admin": {"key": SECRET}, "accounts": [account]}) as client:
        for path in ("/health", "/ready", "/api/info", "/openapi.json", "/"):
            _, _, body = await got(client, path)
            assert not any(word in body for word in ("me@example.com", "g.a000", "hunter2", "proxy.example", SECRET))


async def test_what_the_api_says_is_kept_by_nobody(client: Client) -> None:
    for path in ("/api/session", "/api/accounts", "/api/overview"):
        async with client.http.get(path, headers={"Authorization": f"Bearer {SECRET}"}) as response:
            assert response.status == 200 and response.headers["Cache-Control"] == "no-store"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
