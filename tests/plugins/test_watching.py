"""What operators see: metrics with bounded labels, access lines that cannot be forged, and other names for models."""

from __future__ import annotations

import asyncio
import logging
import shlex
import socket
from pathlib import Path

import aiohttp
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from yarl import URL

from config.settings import Settings
from gateway.app import running
from gateway.errors import UpstreamUnavailable
from gateway.model import UsageWindow
from gateway.testing import Client, Script, ScriptedUpstream, make_client
from gateway.upstream.protocol import Allowance, Rotation
from plugins import access_log, metrics, model_aliases

ASK = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "hello"}]}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def counting(**settings: str) -> tuple[str, metrics.Plugin]:
    return "metrics", metrics.Plugin(metrics.Settings.model_validate(settings))


async def scraped(client: Client) -> dict[tuple[str, ...], float]:
    async with client.http.get("/metrics") as response:
        assert response.status == 200
        text = await response.text()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {(sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value for sample in samples}


async def test_each_request_is_counted_by_how_it_ended() -> None:
    script = [Script("Hello"), Script("x", UpstreamUnavailable("reset")), Script("Hello")]
    async with make_client(plugins=[counting()], script=script) as client:
        await client.chat("hello")
        await client.chat("hello", stream=True)
        await client.chat("hello", model="nothing-like-it")
        await client.chat("hello", temperature=9)
        found = await scraped(client)
    name = "gateway_requests_total"
    assert found[name, "openai", "gemini-2.5-flash", "ok"] == 1
    assert found[name, "openai", "gemini-2.5-flash", "UpstreamUnavailable"] == 1
    assert found[name, "openai", "-", "UnknownModel"] == 1
    assert found[name, "openai", "-", "InvalidRequest"] == 1
    assert found["gateway_attempts_total", "a"] == 2
    assert found["gateway_first_content_seconds_count", "openai", "gemini-2.5-flash"] == 2
    assert found["gateway_request_seconds_count", "openai", "gemini-2.5-flash"] == 1
    assert found["gateway_tokens_total", "out", "gemini-2.5-flash"] >= 1
    assert found["gateway_accounts", "ready"] == 1
    assert found["gateway_leases", "a"] == 0
    assert found["gateway_queue",] == 0


async def test_no_text_of_a_caller_becomes_a_label() -> None:
    async with make_client(plugins=[counting()]) as client:
        for number in range(50):
            await client.chat("hello", model=f"made-up-{number}")
        names = [key for key in await scraped(client) if key[0] == "gateway_requests_total"]
    assert names == [("gateway_requests_total", "openai", "-", "UnknownModel")]


async def test_metrics_may_have_a_key_or_a_listener_of_their_own() -> None:
    async with make_client(plugins=[counting(key="m-key")]) as client:
        async with client.http.get("/metrics") as response:
            assert response.status == 401
        async with client.http.get("/metrics", headers={"Authorization": "Bearer m-key"}) as response:
            assert response.status == 200
    async with make_client(plugins=[counting(listen="127.0.0.1:0")]) as client, client.http.get("/metrics") as response:
        assert response.status == 404


@pytest.mark.parametrize("said", [b"", b"GET /metrics HTTP/1.1\r\nX-A: "], ids=["nothing", "half a head"])
async def test_who_connects_to_the_listener_of_metrics_and_asks_nothing_is_let_go(said: bytes) -> None:
    port, hasty = free_port(), {"server": {"header_timeout_s": 0.2}}
    async with make_client(plugins=[counting(listen=f"127.0.0.1:{port}")], settings=hasty):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        async with asyncio.timeout(20):
            await reader.read()  # until it is closed
        writer.close()


@pytest.mark.parametrize("format", ["text", "json"])
async def test_an_access_line_says_who_what_how_and_no_prompt(format: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gateway.access")
    plugin = access_log.Plugin(access_log.Settings.model_validate({"format": format}))
    async with make_client(plugins=[("access_log", plugin)], script=[Script("my secret answer")]) as client:
        await client.chat("my secret question", stream=True)
        await client.chat("my secret question", model="forged\nline key=admin")
        await client.chat("my secret question", model="x")
        forging = URL(f"{client.url}/v1beta/models/x%0Aid=1%20key=admin:generateContent", encoded=True)
        async with client.http.post(forging, json={}) as response:
            assert response.status == 400
    lines = [record.getMessage() for record in caplog.records if record.name == "gateway.access"]
    assert len(lines) == 4
    assert all("\n" not in line and "secret" not in line and "forged" not in line for line in lines)
    if format == "json":
        first = orjson.loads(lines[0])
        assert (first["status"], first["model"], first["account"], first["key"]) == (
            200,
            "gemini-2.5-flash",
            "a",
            "anonymous",
        )
        assert first["tokens_out"] > 0 and first["first_ms"] >= 0
    else:
        read = [dict(field.split("=", 1) for field in shlex.split(line)) for line in lines]
        assert {line["key"] for line in read} == {"anonymous"} and len({line["id"] for line in read}) == 4
        assert "status=200" in lines[0] and "account=a" in lines[0] and "error=" not in lines[0]
    assert "InvalidRequest" in lines[1] and "UnknownModel" in lines[2]


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("models/gemini-3.1-pro-preview", "gemini-3.0-pro"),
        ("gpt-4o", "gemini-2.5-flash"),
        ("claude-haiku-4-5-20251001", "gemini-2.5-flash"),
        ("claude-opus-4-8", "gemini-2.5-pro"),
        ("gemini-2.5-flash", "gemini-2.5-flash"),
        ("google/gemini-flash-latest", "gemini-2.5-flash"),
    ],
)
async def test_tools_get_the_names_that_they_ask_for(asked: str, served: str) -> None:
    aliases = model_aliases.Settings(aliases={"gpt-4o": "gemini-2.5-flash"})
    async with make_client(plugins=[("model_aliases", model_aliases.Plugin(aliases))]) as client:
        assert (await client.chat("hello", model=asked)).status == 200
        assert client.upstream.asked[0][1].model == served


async def test_what_is_known_of_each_account_is_measured() -> None:
    allowance = Allowance((UsageWindow("5h", 0.25), UsageWindow("week", 0.5)))
    upstream = ScriptedUpstream(rotations={"a": [Rotation.RENEWED]}, allowances={"a": allowance})
    async with make_client(plugins=[counting()], upstream=upstream) as client:
        keeper = client.gateway.keeper
        await keeper.settled()
        await keeper.rotate(client.gateway.pool.accounts[0])
        await keeper.tick()
        await keeper.settled()
        await client.chat("hello")
        found = await scraped(client)
        now = client.gateway.pool.clock()
    assert found["gateway_account_used_ratio", "a", "5h"] == 0.25
    assert found["gateway_account_used_ratio", "a", "week"] == 0.5
    assert found["gateway_account_rotations", "a", "renewed"] == 1
    for name in ("last_success", "cookies_entered", "cookies_renewed"):
        assert 0 <= now - found[f"gateway_account_{name}_timestamp_seconds", "a"] < 60
    assert found["gateway_account_attention_timestamp_seconds", "a"] == 0


async def test_counts_go_on_through_a_reload_and_a_request_that_runs_meanwhile_is_counted_once(tmp_path: Path) -> None:
    """The plugin is read again with its listener of its own: whichever of the two is asked, the numbers are the same."""
    port = free_port()
    go_on = asyncio.Event()
    upstream = ScriptedUpstream([Script("Hello"), Script("one", go_on, "two"), Script("Hello")])
    table = {
        "server": {"port": 0},
        "gateway": {"plugins": ["metrics", "openai_api"]},
        "accounts": [{"name": "a", "secure_1psid": "scripted"}],
        "plugins": {"metrics": {"listen": f"127.0.0.1:{port}"}},
    }
    made = Settings.model_validate(table)
    async with running(
        made, tmp_path, upstream=lambda s, d: upstream, source=lambda: made
    ) as gateway, aiohttp.ClientSession(gateway.url) as http:
        async with http.post("/v1/chat/completions", json=ASK) as response:
            await response.read()
        async with http.post("/v1/chat/completions", json={**ASK, "stream": True}) as stream:
            await stream.content.readuntil(b"one")
            await gateway.reload()
            async with http.post("/v1/chat/completions", json=ASK) as response:
                await response.read()
            assert {await requests_counted(port) for _ in range(8)} == {2}
            go_on.set()
            await stream.content.read()
        async with asyncio.timeout(10):
            while await requests_counted(port) < 3:
                await asyncio.sleep(0)
        assert await requests_counted(port) == 3


async def requests_counted(port: int) -> float:
    """What a scrape on a connection of its own says."""
    async with aiohttp.ClientSession() as http, http.get(f"http://127.0.0.1:{port}/metrics") as response:
        families = text_string_to_metric_families(await response.text())
    return sum(s.value for family in families for s in family.samples if s.name == "gateway_requests_total")
