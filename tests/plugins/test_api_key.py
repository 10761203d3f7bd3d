"""Who may call: keys where each client sends them, and nothing that looks like one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.errors import RateLimited, Unauthenticated
from gateway.model import RequestHead
from gateway.testing import make_client
from plugins.api_key import Plugin, Settings

KEY = "sk-right-kéy"


def plugin(**more: object) -> Plugin:
    return Plugin(Settings.model_validate({"keys": [{"name": "me", "key": KEY, **more}]}))


def head(
    dialect: str = "openai", query: dict[str, str] | None = None, peer: str = "1.2.3.4", **headers: str
) -> RequestHead:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return RequestHead("POST", "/v1/chat/completions", _Headers(named), query or {}, peer, "r", dialect)


class _Headers(dict[str, str]):
    """Names in any case, as in a real request."""

    def __init__(self, values: dict[str, str]) -> None:
        super().__init__({name.lower(): value for name, value in values.items()})

    def get(self, key: str, default: str | None = None) -> str | None:  # type: ignore[override]
        return super().get(key.lower(), default)


@pytest.mark.parametrize(
    "request_head",
    [
        head(Authorization=f"Bearer {KEY}"),
        head(Authorization=f"bearer  {KEY} "),
        head(x_api_key=KEY),
        head(x_goog_api_key=KEY),
        head("gemini", {"key": KEY}),
        head("gemini", {"key": KEY}, Authorization=f"Bearer {KEY}"),
    ],
)
async def test_the_key_is_taken_where_clients_send_it(request_head: RequestHead) -> None:
    principal = await plugin().authenticate(request_head)
    assert principal is not None and principal.name == "me"


@pytest.mark.parametrize(
    ("request_head", "place"),
    [
        (head(), "`Authorization: Bearer`"),
        (head("gemini"), "`x-goog-api-key`"),
        (head("anthropic"), "`x-api-key`"),
        (head("anthropic", Authorization="Bearer no"), "`Authorization: Bearer`"),
        (head("openai", x_api_key="no"), "`x-api-key`"),
        (head("gemini", {"key": "no"}), "`?key=`"),
        (head("gemini", x_goog_api_key="no"), "`x-goog-api-key`"),
    ],
)
async def test_who_is_refused_is_told_where_the_key_belongs_or_was(request_head: RequestHead, place: str) -> None:
    with pytest.raises(Unauthenticated) as refusal:
        await plugin().authenticate(request_head)
    assert place in refusal.value.message


WRONG = [
    head(),
    head("openai", {"key": KEY}),
    head("anthropic", {"key": KEY}),
    head("gemini", {"key": "x"}),
    head(Authorization=f"Basic {KEY}"),
    head(Authorization="Bearer"),
    head(Authorization="Bearer null"),
    head(Authorization=f"Bearer {KEY[:-1]}"),
    head(Authorization=f"Bearer {KEY}x"),
    head(Authorization=f"Bearer {KEY.upper()}"),
    head(Authorization="Bearer \udcff\udcfe"),
    head(Authorization="Bearer ' OR '1'='1"),
    head(Authorization="Bearer *"),
    head(Authorization="Bearer " + "x" * 7000),
    head(x_api_key=""),
    head(x_goog_api_key=KEY, Authorization="Bearer wrong"),
    head("gemini", {"key": "wrong"}, x_goog_api_key=KEY),
]


@pytest.mark.parametrize("request_head", WRONG)
async def test_anything_else_is_refused(request_head: RequestHead) -> None:
    with pytest.raises(Unauthenticated):
        await plugin().authenticate(request_head)


async def test_without_keys_the_plugin_knows_nobody_and_refuses_nobody() -> None:
    assert await Plugin(Settings()).authenticate(head(Authorization="Bearer anything")) is None


async def test_whoever_tries_keys_is_slowed_down_and_a_good_key_still_served() -> None:
    keys = plugin()
    for _ in range(30):
        with pytest.raises(Unauthenticated):
            await keys.authenticate(head(Authorization="Bearer guess"))
    with pytest.raises(RateLimited) as slowed:
        await keys.authenticate(head(Authorization="Bearer guess"))
    assert slowed.value.retry_after and 0 < slowed.value.retry_after <= 60
    assert await keys.authenticate(head(Authorization=f"Bearer {KEY}"))
    with pytest.raises(Unauthenticated):
        await keys.authenticate(head(Authorization="Bearer guess", peer="5.6.7.8"))


@pytest.mark.parametrize(
    "keys",
    [
        [{"name": "a", "key": ""}],
        [{"name": "a", "key": "  "}],
        [{"name": "a", "key": "x"}, {"name": "a", "key": "y"}],
        [{"name": "a", "key": "x"}, {"name": "b", "key": "x"}],
        [{"name": "no spaces", "key": "x"}],
    ],
)
def test_settings_that_would_open_a_door_are_refused(keys: list[dict[str, str]]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"keys": keys})


async def test_a_key_may_be_bound_to_models_and_accounts() -> None:
    keys = {"keys": [{"name": "me", "key": "sk-bound", "models": ["gemini-2.5-flash"], "accounts": ["b"]}]}
    async with make_client(plugins=[("api_key", Plugin(Settings.model_validate(keys)))], accounts=2) as client:
        bearer = {"Authorization": "Bearer sk-bound"}
        assert [(await client.chat("hello", headers=bearer)).status for _ in range(3)] == [200] * 3
        assert {account for account, _ in client.upstream.asked} == {"b"}
        assert (await client.chat("hello", model="gemini-2.5-pro", headers=bearer)).status == 403
        async with client.http.get("/v1/models") as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == "Bearer"
