"""What the page is told: traffic of the last hour, the latest requests and errors, plugins, settings; live, and to nobody
else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import orjson
import pytest

from config.loader import load
from config.settings import Settings
from gateway.app import running
from gateway.console import insight
from gateway.console.journal import STEP_S, STEPS, Journal
from gateway.errors import AccountExpired
from gateway.model import Call, Outcome, Usage
from gateway.testing import Client, Script, ScriptedUpstream, make_client
from gateway.wire.tokens import count
from plugins.api_key import Settings as ApiKeySettings

GUARDED = ["/api/overview", "/api/events", "/api/logs", "/api/plugins", "/api/settings", "/api/keys", "/api/originals/x/0"]


@pytest.mark.parametrize("path", GUARDED)
async def test_without_the_admin_key_nobody_looks(path: str) -> None:
    async with make_client(settings={"admin": {"key": "adm-owner"}}) as client, client.http.get(path) as response:
        assert response.status == 401
        assert response.headers["Content-Type"].startswith("application/json")


async def told(client: Client, path: str) -> dict[str, object]:
    async with client.http.get(path) as response:
        assert response.status == 200 and response.headers["Cache-Control"] == "no-store"
        return dict(await response.json())


async def test_a_request_shows_up_in_the_counters_and_in_the_log() -> None:
    async with make_client() as client:
        await client.chat("a secret prompt")
        await client.chat("hi", model="<img src=x onerror=alert(1)>")
        overview = await told(client, "/api/overview")
        lines = (await told(client, "/api/logs"))["lines"]
    assert overview["serving"] is True and overview["states"] == {"ready": 1}
    assert overview["hour"]["buckets"][-1][:2] == [2, 1] or overview["hour"]["buckets"][-2][:2] == [2, 1]  # type: ignore[index]
    assert [line["status"] for line in lines] == [200, 400]  # type: ignore[attr-defined]
    assert overview["failures"][0]["reason"].startswith("model:")  # type: ignore[index]
    assert "secret" not in json.dumps([overview, lines])


async def test_an_error_of_googles_is_told_in_words_with_its_request_id() -> None:
    async with make_client(script=[Script(AccountExpired("The account's cookies are dead", hint="account a"))]) as client:
        reply = await client.chat("hi")
        overview = await told(client, "/api/overview")
    failure = overview["failures"][0]  # type: ignore[index]
    assert failure["id"] == reply.headers["X-Request-ID"]
    assert failure["error"] == "AccountExpired" and "cookies are dead" in failure["reason"]


async def event(response: aiohttp.ClientResponse, name: str) -> object:
    """The next event of that name."""
    while line := await response.content.readline():
        if line == f"event: {name}\n".encode():
            return json.loads((await response.content.readline())[6:])
    raise AssertionError("the stream ended")


async def test_whoever_looks_sees_requests_as_they_end() -> None:
    async with make_client() as client, client.http.get("/api/events?topics=overview,log,accounts,plugins") as response:
        assert response.content_type == "text/event-stream"
        assert (await event(response, "overview"))["serving"] is True  # type: ignore[index]
        assert (await event(response, "accounts"))[0]["name"] == "a"  # type: ignore[index]
        asked = await client.chat("hi")
        lines = await event(response, "log")
        assert lines[0]["id"] == asked.headers["X-Request-ID"]  # type: ignore[index]


@pytest.mark.parametrize("choices", [1, 2])
async def test_of_an_answer_that_the_caller_left_the_log_says_what_was_sent(choices: int) -> None:
    endless = Script("The first words of a long answer", asyncio.Event())
    async with make_client(script=[endless]) as client, client.http.get("/api/events?topics=log") as events:
        body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Go on"}], "stream": True}
        async with client.http.post("/v1/chat/completions", json=body | {"n": choices}) as reply:
            for _ in range(choices):
                while b"first words" not in await reply.content.readline():
                    pass
        (line,) = await event(events, "log")  # type: ignore[misc]
    assert line["status"] == 499 and line["tokens_in"] > 0
    assert line["tokens_out"] == pytest.approx(choices * count("The first words of a long answer"), abs=1)


async def all_tried(client: Client) -> None:
    """Every account has been signed in, or cannot be."""
    tried = [account.signing_in for account in client.gateway.pool.accounts if account.signing_in]
    await asyncio.gather(*tried)


async def test_the_overview_names_the_accounts_that_need_something_and_ready_does_not() -> None:
    dead = AccountExpired("The account's cookies are dead", hint="account a")
    upstream = ScriptedUpstream(sign_in_errors={"b": dead})
    async with make_client(upstream=upstream, accounts=2) as client:
        await all_tried(client)
        overview = await told(client, "/api/overview")
        assert overview["serving"] is True
        (need,) = overview["needs"]  # type: ignore[misc]
        assert need["name"] == "b" and need["state"] == "expired" and need["reason"]
    upstream = ScriptedUpstream(sign_in_errors={"a": dead})
    async with make_client(upstream=upstream) as client:
        await all_tried(client)
        overview = await told(client, "/api/overview")
        async with client.http.get("/ready") as response:
            public = await response.json()
    assert overview["serving"] is False and [need["name"] for need in overview["needs"]] == ["a"]  # type: ignore[attr-defined]
    assert public["reason"] == overview["reason"] and "account a" not in public["reason"]


async def test_an_open_page_is_told_when_other_settings_hold(tmp_path: Path) -> None:
    table = {"server": {"port": 0}, "accounts": [{"name": "old", "secure_1psid": "one"}]}
    upstream = ScriptedUpstream()
    async with running(
        Settings.model_validate(table),
        tmp_path,
        upstream=lambda settings, folder: upstream,
        plugins=[],
        source=lambda: Settings.model_validate(table),
    ) as gateway, aiohttp.ClientSession(gateway.url) as http:
        async with http.get("/api/events?topics=accounts") as before:
            words = [await event(before, "settings")]
            assert [account["name"] for account in await event(before, "accounts")] == ["old"]  # type: ignore[attr-defined]
            table["accounts"] = [{"name": "new", "secure_1psid": "two"}]
            table["pool"] = {"queue_size": 7}
            table["server"] = {"port": 0}
            await gateway.reload()
            await before.read()  # it ends by itself, at the next tick
        async with http.get("/api/events?topics=accounts") as after:
            words.append(await event(after, "settings"))
            assert [account["name"] for account in await event(after, "accounts")] == ["new"]  # type: ignore[attr-defined]
        async with http.get("/api/events?topics=overview") as again:
            words.append(await event(again, "settings"))
    assert words[0] != words[1] == words[2]


async def test_an_unknown_topic_is_refused_by_name() -> None:
    async with make_client() as client, client.http.get("/api/events?topics=secrets") as response:
        assert response.status == 400 and "secrets" in (await response.json())["error"]["message"]


# --- the journal --------------------------------------------------------------------------------------------------


def test_the_hour_moves_on() -> None:
    now = [1000.0 * STEP_S]
    journal = Journal(lambda: now[0])
    journal.add(Call("1", 0, "openai"), Outcome(200, None, 1.0, 0.25, Usage(3, 4, 5)))
    assert journal.hour()["buckets"][-1] == [1, 0, 3, 9, 0.25, 0.25]
    now[0] += (STEPS - 1) * STEP_S
    assert journal.hour()["buckets"][0] == [1, 0, 3, 9, 0.25, 0.25]
    now[0] += STEP_S
    assert journal.hour()["buckets"] == [[0, 0, 0, 0, None, None]] * STEPS


def test_times_to_the_first_content_are_those_of_the_latest_answers() -> None:
    journal = Journal(lambda: 0.0)
    for number in range(1000):
        answered = Outcome(200, None, 1.0, 10.0 if number < 500 else 0.1)
        journal.add(Call("1", 0, "openai"), answered)
        journal.add(Call("2", 0, "openai"), Outcome(429, "RateLimited", 0.0))
    assert journal.hour()["buckets"][-1] == [2000, 1000, 0, 0, 0.1, 0.1]


def test_the_journal_does_not_grow() -> None:
    now = [0.0]
    journal = Journal(lambda: now[0])
    for number in range(3000):
        now[0] += STEP_S
        journal.add(Call(str(number), 0, "openai", model="m" * 999), Outcome(500, "Internal", 1.0, reason="r" * 9999))
    lines = orjson.loads(orjson.dumps(journal.lines()))
    assert len(lines) == 500 and len(journal.failures()) == 30
    assert [len(journal.lines(after)) for after in (2990, 3000, 4000)] == [10, 0, 0]
    assert journal.hour()["buckets"] == [[1, 1, 0, 0, None, None]] * STEPS
    assert all(len(line["reason"]) <= 300 and len(line["model"]) <= 128 for line in lines)


# --- settings -----------------------------------------------------------------------------------------------------


def test_each_setting_says_where_its_value_came_from(tmp_path: Path) -> None:
    (tmp_path / "gateway.toml").write_text('[server]\nport = 9000\n[state]\nurl = "redis://:hunter2@db/0"\n')
    (tmp_path / ".env").write_text("GATEWAY__POOL__QUEUE_SIZE=5\n")
    environ = {
        "GATEWAY_SECRET": "a secret for the tests",
        "GATEWAY__SERVER__HOST": "127.0.0.2",
        "API_KEY": "sk-secret",
        "GATEWAY__ADMIN__KEY": "adm-secret",
    }
    settings = load(tmp_path / "gateway.toml", environ).settings
    rows = {
        f"{section['name']}.{row['name']}": row for section in insight.sections(settings) for row in section["settings"]
    }
    assert rows["server.port"]["origin"] == "gateway.toml"
    assert rows["pool.queue_size"]["origin"] == ".env: GATEWAY__POOL__QUEUE_SIZE"
    assert rows["server.host"]["origin"] == "environment: GATEWAY__SERVER__HOST"
    assert rows["server.workers"]["origin"] == "default"
    assert rows["server.port"]["about"] and rows["server.port"]["default"] == 8100
    assert settings.origins["plugins.api_key.keys"] == "environment: API_KEY"
    shown = json.dumps(rows)
    assert "hunter2" not in shown and "adm-secret" not in shown and rows["admin.key"]["value"] == "***"


async def test_the_plugins_are_shown_with_what_they_cost() -> None:
    from plugins.access_log import Plugin, Settings

    async with make_client(plugins=[("access_log", Plugin(Settings()))]) as client:
        await client.chat("hi")
        await told(client, "/api/overview")
        plugin = (await told(client, "/api/plugins"))["plugins"][0]  # type: ignore[index]
    assert plugin["name"] == "access_log" and plugin["about"].startswith("One line a request")
    (hook,) = plugin["hooks"]
    assert hook["hook"] == "call_finished" and hook["errors"] == 0


def test_no_key_is_among_the_settings_that_are_shown() -> None:
    settings = ApiKeySettings.model_validate({"keys": [{"name": "me", "key": "sk-secret"}]})
    assert "sk-secret" not in json.dumps(list(insight._fields(settings, "plugins.api_key", {})))
