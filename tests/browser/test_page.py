"""The front page in a real Chromium: at a glance, does it serve, and what goes into a client."""

from __future__ import annotations

import pytest
from playwright.async_api import Page, expect

from tests.browser.conftest import ARTEFACTS

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_the_page_says_whether_it_serves_and_how_to_reach_it(page: Page, url: str, width: int, scheme: str) -> None:
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(url)
    await expect(page.get_by_role("status")).to_contain_text("Ready to serve")
    await expect(page.get_by_role("status")).to_contain_text("SIMULATED")
    await expect(page.get_by_text(f"{url}/v1", exact=True)).to_be_visible()
    await expect(page.get_by_text(f"{url}/gemini", exact=True)).to_be_visible()
    await expect(page.get_by_text("rate_limit", exact=False)).to_be_visible()
    assert not await page.evaluate("document.documentElement.scrollWidth > innerWidth")
    await page.screenshot(path=ARTEFACTS / f"front-{scheme}-{width}.png")
