"""A real Chromium against the gateway on the offline site. Without a Chromium (`apt-get install chromium`) these tests
fail, they do not skip."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright

from config.settings import Settings
from gateway import reference
from gateway.app import Running, running
from gateway.demo import demo_settings
from gateway.simulator import Account, Simulator, Site
from gateway.upstream.gemini_web import GeminiWeb

ARTEFACTS = Path(__file__).parent / "artefacts"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
ADMIN_KEY, API_KEY = "adm-browser-tests", "sk-browser-tests"


def chromium() -> str:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "Chromium is not installed: apt-get install chromium, or set CHROMIUM to its path"
    return found


@dataclass(slots=True)
class Live:
    """A gateway with an admin key and two of the site's three accounts; the third one, `spare`, is yet to be brought."""

    gateway: Running
    site: Site
    proxy: str

    @property
    def url(self) -> str:
        return self.gateway.url

    @property
    def spare(self) -> Account:
        return self.site.accounts[2]

    def cookies(self, psid: str | None = None) -> str:
        """The spare account's cookies as a `Cookie:` header has them."""
        return f"Cookie: __Secure-1PSID={psid or self.spare.psid}; __Secure-1PSIDTS={self.spare.psidts}; NID=1"


@pytest.fixture
async def live(tmp_path: Path) -> AsyncIterator[Live]:
    site = Site([Account(name, tier="pro") for name in ("amber", "birch", "cedar")], pace_ms=0)
    async with Simulator(site) as simulator:
        accounts = [
            {"name": a.name, "secure_1psid": a.psid, "secure_1psidts": a.psidts, "proxy": simulator.proxy_url}
            for a in site.accounts[:2]
        ]
        table = {
            "server": {"port": 0},
            "admin": {"key": ADMIN_KEY},
            "gateway": {"plugins": list(reference.PLUGINS)},
            "accounts": accounts,
            "upstream": {"ca_file": str(simulator.ca_file)},
            "state": {"dir": str(tmp_path / "state")},
            "plugins": {
                "api_key": {"keys": [{"name": "tests", "key": API_KEY, "limits": {"per_hour": 100}}]},
                "rate_limit": {"global_per_hour": 0, "model_interval_s": 0},
            },
        }
        async with running(
            Settings.model_validate(table),
            reference.ROOT,
            upstream=lambda s, d: GeminiWeb(s, d, simulated=True),
            simulated=True,
        ) as gateway:
            await asyncio.gather(*(a.signing_in for a in gateway.pool.accounts if a.signing_in))
            yield Live(gateway, site, simulator.proxy_url)


@pytest.fixture
async def demo() -> AsyncIterator[str]:
    """The demo's address: no key is needed to look."""
    async with (
        demo_settings(0) as (settings, root, _),
        running(settings, root, upstream=lambda s, d: GeminiWeb(s, d, simulated=True), simulated=True) as gateway,
    ):
        yield gateway.url


@dataclass(slots=True)
class Watch:
    """What a page complained of. `expected` are parts of addresses whose refusal is part of the test: Chromium reports
    every answer of 400 and above as an error."""

    expected: set[str] = field(default_factory=set)
    complaints: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        page.on("console", lambda said: self._said(said.type, said.text, said.location.get("url", "")))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda sent: self._sent(sent.url))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _said(self, kind: str, text: str, url: str) -> None:
        refused = text.startswith("Failed to load resource") and any(part in url for part in self.expected)
        if kind == "error" and not refused:
            self.complaints.append(f"{text} {url}")

    def _sent(self, url: str) -> None:
        if not url.startswith(("http://127.0.0.1:", "data:", "blob:http://127.0.0.1:")):
            self.complaints.append(f"a request to {url}")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    ARTEFACTS.mkdir(exist_ok=True)
    async with async_playwright() as playwright:
        launched = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield launched
        await launched.close()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def page(browser: Browser, watch: Watch) -> AsyncIterator[Page]:
    """A page that fails its test on a console error, an exception, a dialog or a request to somewhere else."""
    context = await browser.new_context(locale="en", viewport={"width": 1280, "height": 900})
    made = await context.new_page()
    made.set_default_timeout(15_000)
    watch.over(made)
    yield made
    await context.close()
    assert not watch.complaints


@pytest.fixture
async def signed_in(page: Page, live: Live) -> Page:
    """The page, opened by the one-time link of the console."""
    await page.goto(live.gateway.page)
    await page.get_by_text("Ready to serve").wait_for()
    return page
