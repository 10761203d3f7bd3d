"""The real gateway with the real library against the offline site, in one process, under asyncio and uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from config.settings import PLUGINS, Settings
from gateway.app import Running, running
from gateway.plugin_loader import from_instances, load
from gateway.simulator import Account, Simulator, Site
from gateway.testing import Client
from gateway.upstream.gemini_web import GeminiWeb
from tests.functional.checked import SCHEMAS
from tests.functional.checked import Plugin as CheckedReplies

ROOT = Path(__file__).parent.parent.parent
KEY = "sk-functional"


@dataclass(slots=True)
class Live:
    """A gateway that serves: a client for it, the site behind it, and its insides to look at."""

    client: Client
    site: Site
    gateway: Running
    proxy_url: str
    ca_file: Path

    @property
    def url(self) -> str:
        return self.gateway.url

    async def ready(self) -> None:
        """Wait until every account has signed in or failed to."""
        tasks = [account.signing_in for account in self.gateway.pool.accounts if account.signing_in]
        await asyncio.gather(*tasks)


Launch = Callable[..., AbstractAsyncContextManager[Live]]


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    """`async with launch(accounts=2, settings={...}) as live`: accounts a, b, c, ... behind one proxy, or those that are
    given, behind `egresses` proxies in turn. `configured` are values of __Secure-1PSIDTS for the settings, by account,
    where the site has others. `clock` is the accounts' one, `idle_s` how long sessions are kept. Every launch of a test has
    the same state folder: a second one is a restart. At its end every reply must have fitted the original's own schema
    (checked.py)."""

    @asynccontextmanager
    async def start(
        accounts: int | list[Account] = 1,
        settings: dict[str, Any] | None = None,
        configured: dict[str, str] | None = None,
        egresses: int = 1,
        clock: Callable[[], float] | None = None,
        idle_s: float = 45.0,
        **site: Any,
    ) -> AsyncIterator[Live]:
        known = [Account(chr(97 + n), tier="pro") for n in range(accounts)] if isinstance(accounts, int) else accounts
        simulated = Site(known, **{"pace_ms": 0, **site})
        async with AsyncExitStack() as stack:
            proxies = [await stack.enter_async_context(Simulator(simulated)) for _ in range(egresses)]
            simulator = proxies[0]
            if egresses > 1:  # each has a CA of its own
                (tmp_path / "ca.pem").write_bytes(b"".join(proxy.ca_file.read_bytes() for proxy in proxies))
            ca_file = tmp_path / "ca.pem" if egresses > 1 else simulator.ca_file
            urls = [proxy.proxy_url for proxy in proxies]
            table = _table(simulated, urls, ca_file, tmp_path, settings or {}, configured or {})
            made = Settings.model_validate(table)
            checked = CheckedReplies()
            async with running(
                made,
                ROOT,
                upstream=lambda s, d: GeminiWeb(s, d, simulated=True, idle_s=idle_s),
                plugins=[*load(made, ROOT), *from_instances([("checked", checked)])],
                simulated=True,
                clock=clock,
            ) as gateway, aiohttp.ClientSession(gateway.url, headers={"Authorization": f"Bearer {KEY}"}) as http:
                client = Client(gateway, http, None)  # type: ignore[arg-type]
                live = Live(client, simulated, gateway, simulator.proxy_url, ca_file)
                await live.ready()
                yield live
                served = {dialect.name for dialect in gateway.hooks.dialects().found}
            assert checked.stands_in >= SCHEMAS.keys() & served, "some formats came after the one who looks at them"
            assert not checked.faults, checked.faults[:5]

    return start


def _table(
    site: Site, proxies: list[str], ca_file: Path, folder: Path, settings: dict[str, Any], configured: dict[str, str]
) -> dict[str, Any]:
    accounts = [
        {
            "name": a.name,
            "secure_1psid": a.psid,
            "secure_1psidts": configured.get(a.name, a.psidts),
            "proxy": proxies[number % len(proxies)],
        }
        for number, a in enumerate(site.accounts)
    ]
    table: dict[str, Any] = {
        "server": {"port": 0},
        "gateway": {"plugins": list(PLUGINS)},
        "accounts": accounts,
        "pool": {"guest_proxy": proxies[0]},
        "upstream": {"ca_file": str(ca_file)},
        "state": {"dir": str(folder / "state")},
        "plugins": {
            "api_key": {"keys": [{"name": "tests", "key": KEY}]},
            "rate_limit": {"global_per_hour": 0, "model_interval_s": 0},
        },
    }
    for name, section in settings.items():
        if name == "plugins":
            for plugin, values in section.items():
                table["plugins"][plugin] = {**table["plugins"].get(plugin, {}), **values}
        elif isinstance(section, dict):
            table[name] = {**table.get(name, {}), **section}
        else:
            table[name] = section
    return table
