"""Every view at two widths in two themes: nothing sticks out, axe-core finds nothing serious, and a picture is kept to look
at."""

from __future__ import annotations

from importlib.resources import files

import pytest
from playwright.async_api import Browser, Page

from tests.browser.conftest import ADMIN_KEY, ARTEFACTS, Live
from tests.browser.test_page import ask

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]
AXE = (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")
VIEWS = {
    "overview": ".chart",
    "accounts": ".account",
    "playground": ".composer",
    "keys": ".keys tbody tr",
    "plugins": ".section",
    "logs": ".line",
}


async def serious(page: Page) -> list[str]:
    """What axe-core finds that keeps people out."""
    await page.evaluate(AXE)
    found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{violation['id']}: {[node['html'][:120] for node in violation['nodes']][:3]}"
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    ]


async def looked_at(page: Page, name: str) -> list[str]:
    problems = await serious(page)
    if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
        problems.append("something sticks out")
    await page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)
    return [f"{name}: {problem}" for problem in problems]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
async def test_every_view_can_be_read(browser: Browser, live: Live, width: int, scheme: str, language: str) -> None:
    for prompt in ("one", "two [[sim chars=300]]", "three [[sim fault=1060]]"):
        await ask(live, prompt)
    context = await browser.new_context(
        color_scheme="dark" if scheme == "dark" else "light",
        locale="zh-CN" if language == "zh" else "en",
        viewport={"width": width, "height": 900},
        bypass_csp=True,  # axe-core brings a script of its own
        reduced_motion="reduce",
    )
    page = await context.new_page()
    await page.goto(live.url)
    await page.locator("form").wait_for()
    problems = await looked_at(page, f"sign-in-{language}-{scheme}-{width}")
    await page.locator("input").fill(ADMIN_KEY)
    await page.keyboard.press("Enter")
    for view, settled in VIEWS.items():
        await page.goto(f"{live.url}/#/{view}")
        await page.locator(f".view-{view} {settled}").first.wait_for()
        problems += await looked_at(page, f"{view}-{language}-{scheme}-{width}")
    await context.close()
    assert problems == []
