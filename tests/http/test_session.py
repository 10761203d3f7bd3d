"""Signing in on the page: with the key or the console's link, once; what changes something needs the token beside the
cookie; strangers and other sites get nowhere."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.errors import Unauthenticated
from gateway.http.session import LINK_S, Sessions, new_link
from gateway.model import RequestHead
from gateway.state.memory import MemoryStore
from gateway.testing import Client, make_client
from plugins.api_key import Plugin as ApiKey
from plugins.api_key import Settings as ApiKeySettings

KEY = "adm-kéy-of-the-owner"
KEYS = ApiKeySettings.model_validate({"keys": [{"name": "me", "key": "sk-me"}]})


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with make_client(plugins=[("api_key", ApiKey(KEYS))], settings={"admin": {"key": KEY}}) as made:
        yield made


@dataclass(slots=True)
class Signed:
    cookie: str
    csrf: str
    attributes: str

    @property
    def both(self) -> dict[str, str]:
        return {"Cookie": self.cookie, "x-csrf-token": self.csrf}


async def sign_in(client: Client, **credentials: str) -> Signed:
    async with client.http.post("/api/session", json=credentials or {"key": KEY}) as response:
        assert response.status == 200, await response.text()
        set_cookie = response.headers["Set-Cookie"]
        return Signed(set_cookie.partition(";")[0], (await response.json())["csrf"], set_cookie)


async def status(client: Client, method: str, path: str, headers: dict[str, str], json: Any = None) -> int:
    async with client.http.request(method, path, headers=headers, json=json) as response:
        return response.status


async def test_the_key_signs_in_and_the_cookie_is_for_this_site_alone(client: Client) -> None:
    assert await status(client, "GET", "/api/accounts", {}) == 401
    signed = await sign_in(client)
    assert "HttpOnly" in signed.attributes and "SameSite=Strict" in signed.attributes
    assert await status(client, "GET", "/api/accounts", {"Cookie": signed.cookie}) == 200


@pytest.mark.parametrize("credentials", [{"key": "x"}, {"key": "sk-me"}, {"token": "x"}, {"key": KEY[:-1]}])
async def test_nothing_else_signs_in(client: Client, credentials: dict[str, str]) -> None:
    async with client.http.post("/api/session", json=credentials) as response:
        assert response.status == 401
        assert "Set-Cookie" not in response.headers


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"key": 5}', b'{"key": ""}', b"{"])
async def test_a_malformed_sign_in_is_the_callers_mistake(client: Client, body: bytes) -> None:
    async with client.http.post("/api/session", data=body, headers={"Content-Type": "application/json"}) as response:
        assert response.status == 400


async def test_the_link_of_the_console_opens_once(client: Client) -> None:
    page = client.gateway.page
    token = page.partition("#token=")[2]
    await sign_in(client, token=token)
    assert await status(client, "POST", "/api/session", {}, {"token": token}) == 401
    assert client.gateway.page == f"{client.url}/"


async def test_what_an_open_page_follows_ends_soon_after_the_session_was_ended_elsewhere(client: Client) -> None:
    signed = await sign_in(client)
    async with client.http.get("/api/events?topics=accounts", headers={"Cookie": signed.cookie}) as events:
        assert await events.content.readline()
        async with client.http.delete("/api/session", headers=signed.both) as response:
            assert response.status == 200
        async with asyncio.timeout(10):
            await events.read()


async def test_one_link_opens_the_page_of_whichever_process_it_reaches_and_only_once() -> None:
    store, link = MemoryStore(), new_link(time.time())
    one, other = Sessions(store, link=link), Sessions(store, link=link)
    for sessions in (one, other):
        sessions.guard(KEY, is_open=True)
    assert await other.begin(link=link)
    with pytest.raises(Unauthenticated):
        await one.begin(link=link)


async def test_where_nobody_signs_in_each_of_several_processes_takes_the_same_token() -> None:
    one, other = (Sessions(MemoryStore(), link="9999999999-the-link") for _ in range(2))
    for sessions in (one, other):
        sessions.guard(None, is_open=True)
    token = await one.csrf(RequestHead("GET", "/", {}, {}, "", "r", "openai"))
    assert token and token != "9999999999-the-link"
    head = RequestHead("POST", "/api/keys", {"x-csrf-token": token}, {}, "", "r", "openai")
    assert await other.allows(head)


def test_the_link_of_the_console_ends_by_itself() -> None:
    now = [0.0]
    sessions = Sessions(MemoryStore(), lambda: now[0])
    assert sessions.link is None
    sessions.guard(KEY, is_open=True)
    assert sessions.link is not None
    now[0] = LINK_S
    assert sessions.link is None


async def test_to_change_something_takes_the_token_too(client: Client) -> None:
    signed = await sign_in(client)
    body = {"name": "new"}
    assert await status(client, "POST", "/api/keys", {"Cookie": signed.cookie}, body) == 403
    assert await status(client, "POST", "/api/keys", {"Cookie": signed.cookie, "x-csrf-token": "x"}, body) == 403
    assert await status(client, "POST", "/api/keys", {**signed.both, "Origin": "http://evil.example"}, body) == 403
    assert await status(client, "POST", "/api/keys", {**signed.both, "Origin": client.url}, body) == 201


async def test_signing_out_ends_the_session_everywhere(client: Client) -> None:
    signed = await sign_in(client)
    assert await status(client, "DELETE", "/api/session", {"Cookie": signed.cookie}) == 403
    assert await status(client, "DELETE", "/api/session", signed.both) == 200
    assert await status(client, "GET", "/api/accounts", {"Cookie": signed.cookie}) == 401


async def test_guessing_is_slowed_down(client: Client) -> None:
    answers = [await status(client, "POST", "/api/session", {}, {"key": f"guess-{n}"}) for n in range(12)]
    assert answers == [401] * 10 + [429] * 2
    assert await status(client, "POST", "/api/session", {}, {"key": KEY}) == 429, "the right one would tell by passing"
    assert await status(client, "GET", "/api/accounts", {"Authorization": f"Bearer {KEY}"}) == 200


async def test_the_page_asks_models_in_the_name_of_who_is_signed_in(client: Client) -> None:
    signed = await sign_in(client)
    assert (await client.chat("hi")).status == 401
    assert (await client.chat("hi", headers={"Cookie": signed.cookie})).status == 401, "another site's form has the cookie"
    assert (await client.chat("hi", headers=signed.both)).status == 200
    assert client.upstream.asked[-1][1].principal.name == "admin page"
    bad_key = {**signed.both, "Authorization": "Bearer sk-wrong"}
    assert (await client.chat("hi", headers=bad_key)).status == 401, "a key that came along is what counts"


async def test_without_an_admin_key_the_page_is_open_on_this_machine_but_not_to_other_sites() -> None:
    async with make_client(plugins=[("api_key", ApiKey(KEYS))]) as client:
        async with client.http.get("/api/session") as response:
            told = await response.json()
        assert told["signed_in"] and told["open"]
        for headers in ({"Origin": "http://evil.example"}, {"Host": "evil.example"}):
            async with client.http.get("/api/session", headers=headers) as response:
                assert response.status in (403, 421)
                assert told["csrf"] not in await response.text()
        assert (await client.chat("hi", headers={"x-csrf-token": told["csrf"]})).status == 200
        evil = {"x-csrf-token": told["csrf"], "Origin": "http://evil.example"}
        assert (await client.chat("hi", headers=evil)).status == 401


async def test_with_another_admin_key_old_sessions_are_over() -> None:
    store = MemoryStore()
    sessions = Sessions(store)
    sessions.guard("adm-old", is_open=False)
    cookie, csrf = await sessions.begin(key="adm-old")
    head = RequestHead("GET", "/", {"Cookie": f"gateway_session_80={cookie}", "Host": "a:80"}, {}, "", "r", "openai")
    assert await sessions.csrf(head) == csrf
    sessions.guard("adm-new", is_open=False)
    assert await sessions.csrf(head) is None
    again = Sessions(store)
    again.guard("adm-old", is_open=False)
    assert await again.csrf(head) == csrf, "replicas and restarts know each other's sessions"
