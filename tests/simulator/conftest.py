"""What these tests share: a site, its sockets, and the real client library or a bare session behind its proxy."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from curl_cffi.requests import AsyncSession, Response
from gemini_webapi import GeminiClient
from loguru import logger

from gateway.simulator import Account, Simulator, Site

logger.disable("gemini_webapi")


@pytest.fixture(autouse=True)
def cookie_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEMINI_COOKIE_PATH", str(tmp_path / "cookies"))
    return tmp_path / "cookies"


@pytest.fixture
def site() -> Site:
    return Site([Account("a"), Account("b", tier="free")], pace_ms=0)


@pytest.fixture
async def sim(site: Site) -> AsyncIterator[Simulator]:
    async with Simulator(site) as simulator:
        yield simulator


@pytest.fixture
async def client_of(sim: Simulator) -> AsyncIterator[Callable[..., Awaitable[GeminiClient]]]:
    """The unmodified library, signed in as an account, or with the cookies that are given."""
    async with AsyncExitStack() as stack:

        async def sign_in(name: str = "a", *, start: bool = True, **cookies: str) -> GeminiClient:
            account = sim.site.account(name)
            given = {"secure_1psid": account.psid, "secure_1psidts": account.psidts, **cookies}
            client = GeminiClient(**given, proxy=sim.proxy_url, verify=str(sim.ca_file))
            stack.push_async_callback(client.close)
            if start:
                await client.init(auto_refresh=False, timeout=20, watchdog_timeout=5)
            return client

        yield sign_in


@pytest.fixture
async def session(sim: Simulator) -> AsyncIterator[AsyncSession[Response]]:
    """A bare HTTP session behind the proxy, without cookies. A test may close it: that is how a client leaves."""
    opened: AsyncSession[Response] = AsyncSession(proxy=sim.proxy_url, verify=str(sim.ca_file), timeout=20)
    yield opened
    if not opened._closed:
        await opened.close()
