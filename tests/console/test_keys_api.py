"""Keys over HTTP: made, used, limited, revoked, while the gateway serves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.testing import Client, make_client
from plugins.api_key import Plugin as ApiKey
from plugins.api_key import Settings as ApiKeySettings
from plugins.rate_limit import Plugin as RateLimit
from plugins.rate_limit import Settings as RateLimitSettings

ADMIN = {"Authorization": "Bearer adm-owner"}
LIMITS = RateLimitSettings(global_per_hour=0, model_interval_s=0)
KEYS = ApiKeySettings.model_validate({"keys": [{"name": "me", "key": "sk-me"}]})


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    plugins = [("api_key", ApiKey(KEYS)), ("rate_limit", RateLimit(LIMITS))]
    async with make_client(plugins=plugins, settings={"admin": {"key": "adm-owner"}}) as made:
        yield made


async def ask(client: Client, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with client.http.request(method, path, json=body, headers=ADMIN) as response:
        return response.status, await response.json()


async def call(client: Client, key: str) -> int:
    return (await client.chat("hi", headers={"Authorization": f"Bearer {key}"})).status


async def test_a_new_key_serves_at_once_and_a_revoked_one_no_more(client: Client) -> None:
    status, made = await ask(client, "POST", "/api/keys", {"name": "team"})
    assert status == 201
    assert await call(client, made["key"]) == 200
    assert (await ask(client, "DELETE", f"/api/keys/{made['id']}"))[0] == 200
    assert await call(client, made["key"]) == 401
    async with client.http.get("/api/keys", headers=ADMIN) as response:
        assert made["key"] not in await response.text()
    assert (await ask(client, "DELETE", f"/api/keys/{made['id']}"))[0] == 404


async def test_the_limits_of_a_key_hold_and_their_use_is_shown(client: Client) -> None:
    _, made = await ask(client, "POST", "/api/keys", {"name": "slow", "limits": {"per_hour": 2}})
    assert [await call(client, made["key"]) for _ in range(3)] == [200, 200, 429]
    _, told = await ask(client, "GET", "/api/keys")
    shown = next(key for key in told["keys"] if key["name"] == "slow")
    assert shown["used"] == {"per_hour": 2} and shown["requests"] == 3 and shown["errors"] == 1
    assert shown["hint"] == made["key"][-4:]


async def test_the_models_of_a_key_can_be_changed(client: Client) -> None:
    _, made = await ask(client, "POST", "/api/keys", {"name": "pro", "models": ["gemini-2.5-pro"]})
    assert await call(client, made["key"]) == 403
    status, changed = await ask(client, "PATCH", f"/api/keys/{made['id']}", {"models": None})
    assert status == 200 and changed["models"] is None and "key" not in changed


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "<b>"}, "name"),
        ({"name": "x" * 65}, "name"),
        ({"name": "ok", "models": "all"}, "models"),
        ({"name": "ok", "models": ["a b"]}, "models"),
        ({"name": "ok", "limits": {"per_year": 1}}, "limits.per_year"),
        ({"name": "ok", "limits": {"per_day": -1}}, "limits.per_day"),
        ({"name": "ok", "limits": {"per_day": True}}, "limits.per_day"),
        ({"name": "ok", "key": "mine"}, "key"),
    ],
)
async def test_a_wrong_field_is_named(client: Client, body: dict[str, Any], param: str) -> None:
    status, told = await ask(client, "POST", "/api/keys", body)
    assert (status, told["error"]["param"]) == (400, param)


async def test_an_api_key_may_make_no_keys(client: Client) -> None:
    async with client.http.post("/api/keys", json={"name": "x"}, headers={"Authorization": "Bearer sk-me"}) as response:
        assert response.status == 403
    async with client.http.post("/api/keys", data="name=x", headers=ADMIN) as response:
        assert response.status == 415


async def test_the_first_key_closes_the_door_to_callers_without_one() -> None:
    plugins = [("api_key", ApiKey(ApiKeySettings()))]
    async with make_client(plugins=plugins) as client:
        assert (await client.chat("hi")).status == 200
        async with client.http.post("/api/keys", json={"name": "first"}) as response:
            made = await response.json()
        assert await call(client, made["key"]) == 200
        assert (await client.chat("hi")).status == 401
