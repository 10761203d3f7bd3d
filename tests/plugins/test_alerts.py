"""Who is told what, in which form, and how often: with a webhook that listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from gateway.errors import AccountExpired, AccountRejected
from gateway.model import AccountView
from gateway.state.memory import MemoryStore
from gateway.testing import Client, ScriptedUpstream, make_client
from plugins import alerts

DEAD = AccountExpired("The Gemini account is signed out: its cookies have expired")


class Webhook:
    """A server that keeps what is sent to it, and answers with `statuses` in turn."""

    def __init__(self) -> None:
        self.url = ""
        self.statuses: list[int] = []
        self.asked = 0
        self.got: asyncio.Queue[Any] = asyncio.Queue()

    async def receive(self, request: web.Request) -> web.Response:
        self.asked += 1
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.got.put_nowait(await request.json())
        return web.Response(status=status)


@pytest.fixture
async def webhook() -> AsyncIterator[Webhook]:
    hook = Webhook()
    app = web.Application()
    app.router.add_post("/hook", hook.receive)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hook.url = "http://{}:{}/hook".format(*runner.addresses[0][:2])
    yield hook
    await runner.cleanup()


def telling(webhook: Webhook, **settings: Any) -> tuple[str, alerts.Plugin]:
    return "alerts", alerts.Plugin(alerts.Settings.model_validate({"url": webhook.url, "check_s": 0.05, **settings}))


@asynccontextmanager
async def gateway(webhook: Webhook, upstream: ScriptedUpstream, **options: Any) -> AsyncIterator[Client]:
    settings = options.pop("alerts", {"least_ready": 0})
    async with make_client(plugins=[telling(webhook, **settings)], upstream=upstream, **options) as client:
        yield client


async def recover(client: Client, name: str) -> None:
    """The account signs in again."""
    client.upstream.sign_in_errors.clear()
    account = client.gateway.pool.find(name)
    assert account is not None
    client.gateway.keeper.sign_in(account, anew=True)


async def test_an_account_that_needs_cookies_is_told_once_and_so_is_its_recovery(webhook: Webhook) -> None:
    async with gateway(webhook, ScriptedUpstream(sign_in_errors={"a": DEAD}), accounts=2) as client:
        told = await webhook.got.get()
        assert (told["event"], told["account"], told["title"]) == ("attention", "a", "a needs attention")
        assert told["text"].endswith("it needs new cookies")
        await recover(client, "a")
        assert (await webhook.got.get())["event"] == "recovered"
        assert webhook.asked == 2


async def test_two_replicas_tell_of_one_trouble_once(webhook: Webhook) -> None:
    shared = MemoryStore()
    upstream = ScriptedUpstream(sign_in_errors={"a": AccountRejected("terms wait to be accepted")})
    async with gateway(webhook, upstream, state=shared) as one, gateway(webhook, upstream, state=shared) as other:
        await webhook.got.get()
        await recover(one, "a")
        await recover(other, "a")
        assert (await webhook.got.get())["event"] == "recovered"
        assert webhook.asked == 2


async def test_a_pool_that_shrinks_under_the_number_is_told(webhook: Webhook) -> None:
    upstream = ScriptedUpstream(sign_in_errors={"a": DEAD})
    async with gateway(webhook, upstream, accounts=2, alerts={"least_ready": 2}):
        told = [await webhook.got.get(), await webhook.got.get()]
        assert {message["event"] for message in told} == {"attention", "pool"}
        assert any("1 of 2 accounts can serve" in message["text"] for message in told)


async def test_a_webhook_that_stumbles_gets_the_message_again(webhook: Webhook) -> None:
    webhook.statuses = [500, 503]
    settings = {"least_ready": 0, "retry_s": 0.01}
    async with gateway(webhook, ScriptedUpstream(sign_in_errors={"a": DEAD}), alerts=settings):
        assert (await webhook.got.get())["event"] == "attention"
        assert webhook.asked == 3


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"template": "bark"}, {"title": "T", "body": "x", "group": "gemini-gateway"}),
        ({"template": "telegram", "chat_id": "42"}, {"chat_id": "42", "text": "T\nx"}),
        ({"template": "slack"}, {"text": "*T*\nx"}),
        ({}, {"event": "attention", "account": "a", "title": "T", "text": "x", "time": 7}),
    ],
    ids=["bark", "telegram", "slack", "generic"],
)
def test_each_service_gets_its_own_form(settings: dict[str, str], expected: dict[str, object]) -> None:
    made = alerts.Settings.model_validate({"url": "https://example.com/x", **settings})
    assert alerts.payload(alerts.Alert("attention", "a", "T", "x"), made, 7.3) == expected


def test_cookies_that_are_about_to_end_are_told_ahead() -> None:
    made = alerts.Settings.model_validate({"url": "https://example.com/x", "ahead_s": 3600})
    view = AccountView("a", "ready", "", "direct", "pro", (), 0, 8, attention_by=10_000.0)
    assert not alerts.troubles([view], made, 6000.0)
    (alert,) = alerts.troubles([view], made, 7000.0).values()
    assert "in 50 min" in alert.text


@pytest.mark.parametrize("wrong", [{"url": "ftp://x"}, {"url": "https://x", "template": "telegram"}, {}])
def test_settings_that_cannot_work_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        alerts.Settings.model_validate(wrong)
