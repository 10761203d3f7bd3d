"""A page that stays open: the gateway is started again, reads other settings, or no longer knows who looks."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from config.settings import Settings
from gateway import reference
from gateway.app import Running, running
from gateway.testing import ScriptedUpstream
from tests.browser.conftest import ADMIN_KEY, Live, Watch
from tests.browser.test_page import go

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


class Owner:
    """Who starts and stops a gateway with a scripted upstream, and writes its settings."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.table: dict[str, Any] = {
            "accounts": [{"name": "amber", "secure_1psid": "one"}],
            "gateway": {"plugins": ["api_key", "openai_api"]},
            "state": {"dir": str(folder)},
        }

    async def start(self, port: int = 0) -> Running:
        """On a free port, or on `port`."""
        self.table["server"] = {"port": port}
        upstream = ScriptedUpstream()
        return await self._stack.enter_async_context(
            running(
                Settings.model_validate(self.table),
                reference.ROOT,
                upstream=lambda settings, folder: upstream,
                source=lambda: Settings.model_validate(self.table),
            )
        )

    async def stop(self) -> None:
        """What was started."""
        await self._stack.aclose()


async def test_a_page_follows_again_when_the_gateway_was_started_anew(page: Page, watch: Watch, tmp_path: Path) -> None:
    watch.expected.update({"/api/events", "/api/session"})
    async with AsyncExitStack() as stack:
        owner = Owner(tmp_path, stack)
        gateway = await owner.start()
        await page.goto(f"{gateway.url}/#/overview")
        await expect(page.get_by_text("1 of 1 accounts are ready")).to_be_visible()
        await owner.stop()
        await expect(page.get_by_text("The connection is lost; trying again.")).to_be_visible()
        owner.table["accounts"].append({"name": "birch", "secure_1psid": "two"})
        await owner.start(port=int(gateway.url.rpartition(":")[2]))
        await expect(page.get_by_text("2 of 2 accounts are ready")).to_be_visible()
        await expect(page.get_by_text("The connection is lost; trying again.")).to_be_hidden()
        await go(page, "Accounts")
        await page.get_by_role("article", name="birch").get_by_role("button", name="Pause").click()
        await expect(page.get_by_role("article", name="birch").get_by_text("paused", exact=True)).to_be_visible()


async def test_a_page_shows_what_a_reload_brought_at_once(page: Page, tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        owner = Owner(tmp_path, stack)
        gateway = await owner.start()
        await page.goto(f"{gateway.url}/#/accounts")
        await expect(page.get_by_role("article", name="amber")).to_be_visible()
        owner.table["accounts"] = [{"name": "birch", "secure_1psid": "two"}]
        await gateway.reload()
        await expect(page.get_by_role("article", name="birch")).to_be_visible(timeout=5_000)
        await expect(page.get_by_role("article", name="amber")).to_have_count(0)
        await go(page, "Plugins and settings")
        row = page.locator(".settings tr").filter(has_text="queue_size")
        await expect(row.locator(".value")).to_have_text("64")
        owner.table["pool"] = {"queue_size": 7}
        await gateway.reload()
        await expect(row.locator(".value")).to_have_text("7", timeout=5_000)
        await expect(page.get_by_text("Other settings hold now.")).to_be_visible()


async def test_whoever_guesses_the_key_is_told_to_wait(page: Page, live: Live, watch: Watch) -> None:
    watch.expected.add("/api/session")
    await page.goto(live.url)
    for _ in range(10):
        async with page.expect_response("**/api/session"):
            await page.get_by_label("Admin key").fill("a guess")
            await page.keyboard.press("Enter")
    await page.get_by_label("Admin key").fill(ADMIN_KEY)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("Too many attempts. Wait a minute.")


async def test_a_page_whose_session_was_ended_elsewhere_asks_again_and_goes_on_where_it_was(
    signed_in: Page, live: Live, watch: Watch
) -> None:
    watch.expected.add("/api/")
    await go(signed_in, "Accounts")
    live.gateway.sessions.guard("adm-another-key", is_open=False)
    await signed_in.get_by_label("Admin key").fill("adm-another-key")
    await signed_in.keyboard.press("Enter")
    await expect(signed_in.get_by_role("heading", level=1)).to_have_text("Accounts")
