"""The control API, and the simulator as a process of its own."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientSession
from curl_cffi.requests import AsyncSession, Response
from curl_cffi.requests.exceptions import RequestException
from gemini_webapi import GeminiClient

from gateway.simulator import Account, Simulator, Site, filler

from .by_hand import ask


@pytest.fixture
async def control(sim: Simulator) -> AsyncIterator[ClientSession]:
    async with ClientSession(sim.proxy_url) as opened:
        yield opened


async def call(control: ClientSession, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    async with control.request(method, path, json=body) as reply:
        return reply.status, await reply.json()


async def test_faults_are_planned_and_cleared(control: ClientSession, session: AsyncSession[Response], site: Site) -> None:
    wanted = {"account": "a", "endpoint": "generate", "fault": "429", "retry_after": 9, "times": 2}
    assert await call(control, "POST", "/_sim/fault", wanted) == (200, {"planned": 1})
    reply = await ask(session, site.account("a"), "hi")
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "9")
    assert await call(control, "DELETE", "/_sim/faults") == (200, {"planned": 0})
    assert (await ask(session, site.account("a"), "hi")).status_code == 200


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({"fault": "earthquake"}, 400, "unknown fault"),
        ({"fault": "500", "endpoint": "nowhere"}, 400, "unknown endpoint"),
        ({"fault": "500", "account": "z"}, 400, "no account"),
        ({"fault": "500", "tmies": 2}, 400, "tmies"),
        ({}, 404, "fault"),
        ([], 400, "object"),
    ],
)
async def test_mistakes_are_told(control: ClientSession, body: Any, status: int, words: str) -> None:
    code, answer = await call(control, "POST", "/_sim/fault", body)
    assert code == status and words in answer["error"]


async def test_the_log_is_shown_filtered_and_cleared(
    control: ClientSession, session: AsyncSession[Response], site: Site
) -> None:
    await ask(session, site.account("b"), "hello")
    _, shown = await call(control, "GET", "/_sim/log?endpoint=generate&account=b&last=5")
    [entry] = shown["entries"]
    assert (entry["prompt"], entry["outcome"], entry["account"]) == ("hello", "whole", "b")
    await call(control, "DELETE", "/_sim/log")
    assert (await call(control, "GET", "/_sim/log"))[1] == {"entries": []}


async def test_accounts_are_shown_changed_and_added(control: ClientSession, site: Site) -> None:
    _, shown = await call(control, "GET", "/_sim/accounts")
    assert [account["name"] for account in shown["accounts"]] == ["a", "b"]
    assert shown["accounts"][0]["cookies"] == site.account("a").cookies
    _, changed = await call(control, "POST", "/_sim/accounts/a", {"expired": True, "status": 1040, "limit": 3})
    assert (changed["expired"], site.account("a").status, site.account("a").limit) == (True, 1040, 3)
    before = site.account("a").psidts
    _, renewed = await call(control, "POST", "/_sim/accounts/a", {"renew": True})
    assert not renewed["expired"] and renewed["cookies"]["__Secure-1PSIDTS"] != before
    assert (await call(control, "POST", "/_sim/accounts", {"name": "c", "tier": "free"}))[0] == 200
    assert site.account("c").tier == "free"
    assert (await call(control, "POST", "/_sim/accounts/z", {}))[0] == 404
    assert (await call(control, "POST", "/_sim/accounts/a", {"psidd": 1}))[0] == 400


async def test_settings_are_shown_and_changed(control: ClientSession, site: Site) -> None:
    assert (await call(control, "POST", "/_sim/settings", {"pace_ms": 5}))[1]["pace_ms"] == 5
    assert site.settings.pace_ms == 5 and (await call(control, "GET", "/_sim/settings"))[1]["pace_ms"] == 5
    assert (await call(control, "POST", "/_sim/settings", {"pace": 5}))[0] == 400


async def test_other_paths_say_what_there_is(control: ClientSession) -> None:
    code, answer = await call(control, "GET", "/")
    assert code == 404 and "POST /_sim/fault" in answer["routes"]


async def test_the_process_serves_the_library_and_ends_when_told(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-W", "error", "-m", "gateway.simulator", "--accounts", "2", "--pace-ms", "0",
        "--ca-file", str(tmp_path / "ca.pem"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert process.stdout and process.stderr
    ready = orjson.loads(await process.stdout.readline())
    assert ready["ca_file"] == str(tmp_path / "ca.pem") and [a["name"] for a in ready["accounts"]] == ["a", "b"]
    cookies = ready["accounts"][1]["cookies"]
    client = GeminiClient(
        cookies["__Secure-1PSID"], cookies["__Secure-1PSIDTS"], proxy=ready["proxy_url"], verify=ready["ca_file"]
    )
    await client.init(auto_refresh=False)
    output = await client.generate_content("[[sim chars=3000 frames=20]]", current_retry=0)
    assert output.text == filler(3000)
    await client.close()
    await _meet_a_reset(ready)
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def _meet_a_reset(ready: dict[str, Any]) -> None:
    """The process runs on uvloop, whose sockets are others."""
    cookies = ready["accounts"][0]["cookies"]
    account = Account("a", psid=cookies["__Secure-1PSID"], psidts=cookies["__Secure-1PSIDTS"])
    async with AsyncSession(proxy=ready["proxy_url"], verify=ready["ca_file"]) as session:
        for name in ("reset", "reset_mid", "bad_chunk", "close"):
            with pytest.raises(RequestException):
                await ask(session, account, f"[[sim chars=100 frames=5 fault={name}]]")
        assert (await ask(session, account, "hi")).status_code == 200
    async with ClientSession(ready["proxy_url"]) as control:
        _, shown = await call(control, "GET", "/_sim/log?endpoint=generate&account=a")
    assert [entry["outcome"] for entry in shown["entries"]] == ["cut"] * 4 + ["whole"]
