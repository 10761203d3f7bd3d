"""What `make demo` runs: three simulated accounts, one API key, no limits, and a state folder that goes away again.

The demo ignores gateway.toml and the environment, so that it works the same everywhere."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from config.loader import load
from config.settings import Settings
from gateway.simulator.accounts import make_accounts
from gateway.simulator.proxy import Simulator
from gateway.simulator.site import Site

KEY = "sk-demo"
ROOT = Path(__file__).parent.parent


@asynccontextmanager
async def demo_settings(port: int | None) -> AsyncIterator[tuple[Settings, Path, str]]:
    """A simulated site, and the settings of a gateway in front of it: (settings, root, API key)."""
    shipped = load(ROOT / "config" / "profiles" / "demo.toml", environ={}).settings
    site = Site(make_accounts(3, "pro"))
    with tempfile.TemporaryDirectory(prefix="gateway-demo-") as folder:
        async with Simulator(site) as simulator:
            accounts = [
                {
                    "name": account.name,
                    "secure_1psid": account.psid,
                    "secure_1psidts": account.psidts,
                    "proxy": simulator.proxy_url,
                }
                for account in site.accounts
            ]
            table = shipped.model_dump(exclude={"accounts", "state", "upstream"})
            table["accounts"] = accounts
            table["state"] = {"dir": folder}
            table["upstream"] = {"ca_file": str(simulator.ca_file)}
            if port is not None:
                table["server"] = {**table["server"], "port": port}
            yield Settings.model_validate(table), ROOT, KEY
