"""The machine's clock is set, by an hour or a day, forward or back, while the gateway runs. Nothing ends before its time,
and nothing lives for ever."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from config.settings import Settings
from gateway.app import Running, running
from gateway.errors import AccountExhausted
from gateway.model import Image, ImageReady
from gateway.testing import Script, ScriptedUpstream
from tests.http.test_picture_abuse import GOOD

HOUR, DAY = 3600.0, 86_400.0
JUMPS = [pytest.param(seconds, id=f"{seconds / HOUR:+g} h") for seconds in (HOUR, -HOUR, 2 * DAY, -2 * DAY)]
ASK = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "hello"}]}
RAW = {"Content-Type": "text/plain", "X-Goog-Upload-Protocol": "raw"}
Jump = Callable[[float], None]


@pytest.fixture
def jump(monkeypatch: pytest.MonkeyPatch) -> Jump:
    """Sets the wall clock of this process forward by some seconds."""
    real = time.time

    def set_clock(seconds: float) -> None:
        monkeypatch.setattr(time, "time", lambda: real() + seconds)

    return set_clock


@asynccontextmanager
async def served(
    folder: Path, upstream: ScriptedUpstream, accounts: int = 1, **plugins: object
) -> AsyncIterator[tuple[Running, aiohttp.ClientSession]]:
    table = {
        "server": {"port": 0, "allow_anonymous": True},
        "admin": {"key": "adm-clock"},
        "accounts": [{"name": chr(97 + n), "secure_1psid": f"scripted-{n}"} for n in range(accounts)],
        "plugins": {"rate_limit": {"global_per_hour": 0, "model_interval_s": 0}, **plugins},
    }
    made = Settings.model_validate(table)
    async with running(
        made, folder, upstream=lambda settings, state: upstream, source=lambda: made
    ) as gateway, aiohttp.ClientSession(gateway.url) as http:
        yield gateway, http


async def asked(http: aiohttp.ClientSession) -> int:
    async with http.post("/v1/chat/completions", json=ASK) as response:
        await response.read()
        return response.status


@pytest.mark.parametrize("seconds", JUMPS)
async def test_limits_count_what_was_asked_within_the_true_hour(tmp_path: Path, jump: Jump, seconds: float) -> None:
    rules = {"global_per_hour": 2, "model_interval_s": 0}
    async with served(tmp_path, ScriptedUpstream(), rate_limit=rules) as (_, http):
        assert [await asked(http), await asked(http)] == [200, 200]
        jump(seconds)
        async with http.post("/v1/chat/completions", json=ASK) as response:
            assert response.status == 429
            assert 3500 < int(response.headers["Retry-After"]) <= 3600


@pytest.mark.parametrize("seconds", JUMPS)
async def test_a_cooldown_lasts_as_long_as_it_should(tmp_path: Path, jump: Jump, seconds: float) -> None:
    spent = AccountExhausted("used up", retry_after=1800)
    upstream = ScriptedUpstream(by_account={"a": [Script(spent)], "b": [Script("Hello")]})
    async with served(tmp_path, upstream, accounts=2) as (_, http):
        for _ in range(4):
            assert await asked(http) == 200
        assert [account for account, _ in upstream.asked].count("a") == 1
        jump(seconds)
        for _ in range(4):
            assert await asked(http) == 200
        assert [account for account, _ in upstream.asked].count("a") == 1


@pytest.mark.parametrize("seconds", JUMPS)
async def test_pictures_and_files_are_kept_for_their_time(tmp_path: Path, jump: Jump, seconds: float) -> None:
    upstream = ScriptedUpstream([Script(ImageReady(Image(GOOD, "image/png", 40, 30)))])
    async with served(tmp_path, upstream) as (_, http):
        body = {"prompt": "a cat", "response_format": "url"}
        async with http.post("/v1/images/generations", json=body) as response:
            first = (await response.json())["data"][0]["url"]
        async with http.post("/upload/v1beta/files", data=b"words", headers=RAW) as response:
            name = (await response.json())["file"]["name"]
        jump(seconds)
        async with http.post("/v1/images/generations", json=body) as response:  # which makes room
            second = (await response.json())["data"][0]["url"]
        for address in (first, second, f"/v1beta/{name}"):
            async with http.get(address) as response:
                assert response.status == 200, address


@pytest.mark.parametrize("seconds", JUMPS)
async def test_a_session_on_the_page_goes_on_and_no_cookie_is_renewed_early(
    tmp_path: Path, jump: Jump, seconds: float
) -> None:
    upstream = ScriptedUpstream()
    async with served(tmp_path, upstream) as (gateway, http):
        async with http.post("/api/session", json={"key": "adm-clock"}) as response:
            assert response.status == 200
            session = {"Cookie": "; ".join(f"{name}={morsel.value}" for name, morsel in response.cookies.items())}
        await gateway.keeper.tick()
        await gateway.keeper.settled()
        renewed = len(upstream.rotated)
        jump(seconds)
        await gateway.keeper.tick()
        await gateway.keeper.settled()
        assert len(upstream.rotated) == renewed
        async with http.get("/api/accounts", headers=session) as response:
            assert response.status == 200
