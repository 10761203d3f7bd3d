"""The admin page in a real Chromium: what an owner does with it, from the first sign-in to a revoked key."""

from __future__ import annotations

import re

import aiohttp
import pytest
from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import ADMIN_KEY, API_KEY, Live, Watch

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


async def go(page: Page, view: str) -> None:
    await page.get_by_role("navigation").get_by_role("link", name=view, exact=True).click()
    await expect(page.get_by_role("heading", level=1, name=view)).to_be_visible()


async def ask(live: Live, prompt: str = "hi", key: str = API_KEY) -> int:
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": prompt}]}
    headers = {"Authorization": f"Bearer {key}"}
    async with aiohttp.ClientSession() as http, http.post(
        f"{live.url}/v1/chat/completions", json=body, headers=headers
    ) as response:
        await response.read()
        return response.status


async def test_an_owner_signs_in_and_out(page: Page, live: Live, watch: Watch) -> None:
    watch.expected.add("/api/session")
    await page.goto(live.url)
    await page.get_by_label("Admin key").fill("wrong")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_have_text("That is not the admin key.")
    await page.get_by_label("Admin key").fill(ADMIN_KEY)
    await page.keyboard.press("Enter")
    await expect(page.get_by_text("Ready to serve")).to_be_visible()
    (cookie,) = await page.context.cookies()
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict"
    await page.reload()
    await expect(page.get_by_text("Ready to serve")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("Admin key")).to_be_visible()
    assert not await page.context.cookies()


async def test_the_link_of_the_console_opens_the_page_and_does_not_stay_in_the_address(page: Page, live: Live) -> None:
    await page.goto(live.gateway.page)
    await expect(page.get_by_text("Ready to serve")).to_be_visible()
    assert "token" not in page.url


async def test_the_overview_says_at_a_glance_how_it_goes_and_follows(signed_in: Page, live: Live) -> None:
    page = signed_in
    await expect(page.get_by_text("2 of 2 accounts are ready")).to_be_visible()
    await expect(page.get_by_text("SIMULATED")).to_be_visible()
    assert await ask(live) == 200
    assert await ask(live, key="sk-<img src=x onerror=alert(1)>") == 401
    requests = page.get_by_role("region", name="Requests").or_(page.locator(".chart").first)
    await expect(requests.locator("strong")).to_have_text("2")
    await expect(page.get_by_text("No key, or a wrong one")).to_be_visible()
    for address in ("/v1", "/gemini"):
        await expect(page.get_by_text(f"{live.url}{address}", exact=True)).to_be_visible()


async def add(page: Page, live: Live, cookies: str) -> Locator:
    await page.get_by_role("button", name="Add an account").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Cookies of gemini.google.com").fill(cookies)
    await dialog.get_by_label("Name (optional)").fill("cedar")
    await dialog.get_by_label("Proxy (optional)").fill(live.proxy)
    await dialog.get_by_role("button", name="Add the account").click()
    return dialog


async def test_an_account_fails_with_a_wrong_cookie_and_works_with_a_right_one(
    signed_in: Page, live: Live, watch: Watch
) -> None:
    page = signed_in
    watch.expected.add("/api/accounts")
    await go(page, "Accounts")
    dialog = await add(page, live, live.cookies(psid="g.a000-nobody-knows-this-one"))
    await expect(dialog.get_by_role("alert")).not_to_be_empty()
    await expect(dialog.get_by_role("alert")).not_to_contain_text("Signing in")
    assert "nobody-knows" not in await dialog.get_by_role("alert").inner_text()
    await dialog.get_by_label("Cookies of gemini.google.com").fill(live.cookies())
    await dialog.get_by_role("button", name="Add the account").click()
    card = page.get_by_role("article", name="cedar")
    await expect(card.get_by_text("ready", exact=True)).to_be_visible()
    await expect(dialog).to_be_hidden()
    assert live.gateway.pool.find("cedar") is not None

    await card.get_by_role("button", name="Pause").click()
    await expect(card.get_by_text("paused", exact=True)).to_be_visible()
    await card.get_by_role("button", name="Resume").click()
    await expect(card.get_by_text("ready", exact=True)).to_be_visible()
    await card.get_by_role("button", name="Test", exact=True).click()
    await expect(page.get_by_text("cedar is signed in")).to_be_visible()
    await card.get_by_role("button", name="Delete cedar").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    await expect(card).to_be_hidden()
    assert live.gateway.pool.find("cedar") is None


async def say(page: Page, prompt: str) -> Locator:
    await page.get_by_label("Message").fill(prompt)
    await page.keyboard.press("Enter")
    return page.get_by_role("article", name="Answer").last


async def test_a_chat_streams_thinks_and_says_what_it_cost(signed_in: Page) -> None:
    await go(signed_in, "Playground")
    code = "```python\\ndef f(x):\\n    return x  # same\\n```"
    text = f"# Title\\n\\nSome **bold** text and `code`\\n\\n{code}\\n\\n- one\\n- two"
    answer = await say(signed_in, f'hello [[sim text="{text}" thoughts=40]]')
    await expect(answer.locator(".figures")).to_contain_text("tokens in")
    await expect(answer.locator("strong")).to_have_text("bold")
    await expect(answer.locator("pre .hl-word").first).to_have_text("def")
    await expect(answer.locator("li")).to_have_count(2)
    await expect(answer.locator(".thoughts-text")).to_be_hidden()
    await answer.get_by_text("Thoughts").click()
    await expect(answer.locator(".thoughts-text")).to_be_visible()
    await answer.get_by_role("button", name="Show as code").click()
    dialog = signed_in.get_by_role("dialog")
    words = {"curl": "--no-buffer", "openai-python": "chat.completions.create", "google-genai": "genai.Client"}
    for client, word in words.items():
        await dialog.get_by_role("tab", name=client).click()
        await expect(dialog.locator("pre")).to_contain_text(word)


async def test_a_stopped_chat_frees_its_account(signed_in: Page, live: Live) -> None:
    await go(signed_in, "Playground")
    answer = await say(signed_in, "go on [[sim chars=60000 frames=600 pace_ms=100]]")
    await expect(answer.locator(".prose")).not_to_be_empty()
    await signed_in.get_by_role("button", name="Stop").click()
    await expect(answer.locator(".figures")).to_contain_text("stopped")
    await expect(signed_in.get_by_role("button", name="Send")).to_be_visible()
    await go(signed_in, "Accounts")
    await expect(signed_in.get_by_text("0 / 8")).to_have_count(2)
    assert all(view.in_flight == 0 for view in live.gateway.pool.views())


async def test_a_key_is_made_shown_once_used_and_revoked(signed_in: Page, live: Live) -> None:
    page = signed_in
    await go(page, "API keys")
    await page.get_by_role("button", name="A new key").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("team")
    await dialog.get_by_label("Calls an hour").fill("2")
    await dialog.get_by_role("button", name="Make the key").click()
    key = await page.locator(".new-key code").inner_text()
    await page.get_by_role("button", name="I have it").click()
    assert [await ask(live, key=key) for _ in range(3)] == [200, 200, 429]
    assert key not in await page.content()
    await page.reload()
    row = page.get_by_role("row").filter(has_text="team")
    await expect(row).to_contain_text("2 / 2")
    assert key not in await page.content()
    await row.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    await expect(row).to_be_hidden()
    assert await ask(live, key=key) == 401


async def test_plugins_and_settings_say_where_values_come_from(signed_in: Page, live: Live) -> None:
    await ask(live)
    await go(signed_in, "Plugins and settings")
    plugin = signed_in.locator(".plugin").filter(has_text="access_log")
    await plugin.locator("summary").click()
    await expect(plugin.get_by_text("call_finished")).to_be_visible()
    await expect(plugin.locator(".settings")).to_contain_text("text (key=value) or json")
    await signed_in.get_by_placeholder("Filter settings").fill("ping")
    await expect(signed_in.locator(".settings tr").filter(has_text="ping_s")).to_contain_text("default")
    await expect(signed_in.locator(".settings tr").filter(has_text="max_json_mb")).to_be_hidden()
    for secret in (ADMIN_KEY, API_KEY):
        assert secret not in await signed_in.content()


async def test_logs_are_live_and_can_be_filtered(signed_in: Page, live: Live) -> None:
    await go(signed_in, "Logs")
    assert await ask(live) == 200
    assert await ask(live, key="sk-nobody") == 401
    await expect(signed_in.locator(".line")).to_have_count(2)
    await signed_in.get_by_label("Outcome").select_option("caller")
    await expect(signed_in.locator(".line:visible")).to_have_count(1)
    await expect(signed_in.locator(".line:visible")).to_contain_text("No key, or a wrong one")


async def test_the_language_is_switched_and_remembered(signed_in: Page) -> None:
    await signed_in.get_by_role("button", name="ZH").click()
    await expect(signed_in.get_by_role("heading", level=1)).to_have_text("概览")
    assert await signed_in.evaluate("document.documentElement.lang") == "zh-CN"
    await signed_in.reload()
    await expect(signed_in.get_by_role("heading", level=1)).to_have_text("概览")
    await signed_in.get_by_role("button", name="EN").click()
    await expect(signed_in.get_by_role("heading", level=1)).to_have_text("Overview")


async def test_the_keyboard_alone_is_enough(signed_in: Page) -> None:
    await signed_in.keyboard.press("Tab")
    await expect(signed_in.get_by_text("To the content")).to_be_focused()
    for _ in range(3):
        await signed_in.keyboard.press("Tab")
    await expect(signed_in.get_by_role("link", name="Accounts", exact=True).first).to_be_focused()
    await signed_in.keyboard.press("Enter")
    await expect(signed_in.get_by_role("heading", level=1)).to_have_text("Accounts")
    await signed_in.get_by_role("button", name="Add an account").press("Enter")
    await expect(signed_in.get_by_role("dialog")).to_be_visible()
    await signed_in.keyboard.press("Escape")
    await expect(signed_in.get_by_role("dialog")).to_be_hidden()
    await expect(signed_in.get_by_role("button", name="Add an account")).to_be_focused()


async def test_a_session_that_is_over_asks_to_sign_in_again(signed_in: Page, watch: Watch) -> None:
    watch.expected.add("/api/")
    await signed_in.context.clear_cookies()
    await signed_in.get_by_role("link", name="API keys").click()
    await expect(signed_in.get_by_label("Admin key")).to_be_visible()


async def test_the_reference_shows_every_address_and_tries_one(page: Page, live: Live) -> None:
    await page.goto(f"{live.url}/docs")
    asking = page.locator("#operations-OpenAI-post_v1_chat_completions")
    await expect(asking.get_by_role("link", name="/v1/chat/completions", exact=True)).to_be_visible()
    operation = page.locator("#operations-Gateway-get_health")
    await operation.get_by_role("button").first.click()
    await operation.get_by_role("button", name="Execute").click()
    await expect(operation.locator(".live-responses-table")).to_contain_text(re.compile('"status": *"ok"'))


async def test_the_demo_needs_no_key_to_look_and_to_try(page: Page, demo: str) -> None:
    await page.goto(demo)
    await expect(page.get_by_text("Ready to serve")).to_be_visible()
    await expect(page.get_by_role("button", name="Sign out")).to_have_count(0)
    await go(page, "Playground")
    answer = await say(page, "hello")
    await expect(answer.locator(".figures")).to_contain_text("tokens in")
