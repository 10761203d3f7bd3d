"""What an owner does with accounts on the page, one by one and many at once; what each needs is named."""

from __future__ import annotations

import json

import pytest
from playwright.async_api import Locator, Page, expect

from gateway.errors import AccountRejected
from tests.browser.conftest import Live, Watch
from tests.browser.test_page import go

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]


async def card_of(page: Page, name: str) -> Locator:
    await go(page, "Accounts")
    return page.get_by_role("article", name=name)


async def test_cookies_are_replaced_on_the_card_of_a_signed_out_account(signed_in: Page, live: Live, watch: Watch) -> None:
    watch.expected.add("/api/accounts")
    amber = live.site.accounts[0]
    amber.expired = True
    card = await card_of(signed_in, "amber")
    await card.get_by_role("button", name="Test", exact=True).click()
    await expect(card.get_by_text("cookies expired", exact=True)).to_be_visible()
    await go(signed_in, "Overview")
    need = signed_in.locator(".need")
    await expect(need).to_have_count(1)
    await expect(need).to_contain_text("amber")
    await expect(need).to_contain_text("cookies expired")
    await need.click()
    await card.get_by_role("button", name="Cookies").click()
    dialog = signed_in.get_by_role("dialog")
    await dialog.get_by_label("Cookies of gemini.google.com").fill("__Secure-1PSID=g.a000-still-wrong")
    await dialog.get_by_role("button", name="Replace the cookies").click()
    await expect(dialog.get_by_role("alert")).not_to_contain_text("Signing in")
    await expect(dialog.get_by_role("alert")).not_to_be_empty()
    amber.expired, amber.psidts = False, "sidts-of-a-new-sign-in"
    await dialog.get_by_label("Cookies of gemini.google.com").fill(json.dumps(amber.cookies))
    await dialog.get_by_role("button", name="Replace the cookies").click()
    await expect(dialog).to_be_hidden()
    await expect(card.get_by_text("ready", exact=True)).to_be_visible()
    await go(signed_in, "Overview")
    await expect(signed_in.locator(".need")).to_have_count(0)


async def test_a_rotation_renews_the_cookies_and_says_so(signed_in: Page, live: Live) -> None:
    before = live.site.accounts[0].psidts
    card = await card_of(signed_in, "amber")
    await card.get_by_role("button", name="Rotate").click()
    await expect(signed_in.get_by_text("Google gave a new __Secure-1PSIDTS")).to_be_visible()
    await expect(card.get_by_text("Cookies renewed")).to_be_visible()
    assert live.site.accounts[0].psidts != before


async def test_of_several_pasted_accounts_the_wrong_one_is_named_and_the_others_are_taken(
    signed_in: Page, live: Live, watch: Watch
) -> None:
    watch.expected.add("/api/cookies")

    def pasted(name: str, psid: str) -> dict[str, str]:
        return {"name": name, "SECURE_1PSID": psid, "SECURE_1PSIDTS": live.spare.psidts, "proxy": live.proxy}

    await go(signed_in, "Accounts")
    await signed_in.get_by_role("button", name="Paste several").click()
    dialog = signed_in.get_by_role("dialog")
    area, send = dialog.get_by_label("Cookies of gemini.google.com"), dialog.get_by_role("button", name="Add them all")
    problem = dialog.get_by_role("alert")
    await area.fill(json.dumps([pasted("cedar", live.spare.psid), pasted("fake", "g.a000-cut-off…")]))
    await send.click()
    await expect(problem).to_contain_text("fake: __Secure-1PSID is truncated")
    await area.fill(json.dumps([pasted("fake", "g.a000-nobody-1"), pasted("fake2", "g.a000-nobody-2")]))
    await send.click()
    await expect(problem.get_by_role("listitem")).to_have_count(2)
    await area.fill(json.dumps([pasted("cedar", live.spare.psid), pasted("fake", "g.a000-nobody-knows-this-one")]))
    await send.click()
    await expect(problem.get_by_role("listitem").nth(0)).to_contain_text("cedar was added")
    wrong = await problem.get_by_role("listitem").nth(1).inner_text()
    assert wrong.startswith("fake: ") and "nobody-knows" not in wrong
    await signed_in.keyboard.press("Escape")
    await expect(signed_in.get_by_role("article", name="cedar").get_by_text("ready", exact=True)).to_be_visible()
    await expect(signed_in.get_by_role("article", name="fake")).to_have_count(0)


async def test_an_account_is_deleted_only_by_who_confirms_it(signed_in: Page, live: Live) -> None:
    card = await card_of(signed_in, "birch")
    await card.get_by_role("button", name="Delete birch").click()
    await signed_in.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(card).to_be_visible()
    assert live.gateway.pool.find("birch") is not None
    await card.get_by_role("button", name="Delete birch").click()
    await signed_in.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    await expect(card).to_be_hidden()
    assert live.gateway.pool.find("birch") is None


async def test_the_keyboard_alone_pauses_an_account_chats_and_makes_a_key(signed_in: Page, live: Live) -> None:
    page = signed_in
    await page.get_by_role("link", name="Accounts", exact=True).first.press("Enter")
    card = page.get_by_role("article", name="amber")
    pause = card.get_by_role("button", name="Pause")
    await expect(pause).to_be_visible()
    for _ in range(40):
        await page.keyboard.press("Tab")
        if await pause.evaluate("node => node === document.activeElement"):
            break
    await page.keyboard.press("Enter")
    await expect(card.get_by_text("paused", exact=True)).to_be_visible()
    await expect(card.get_by_role("button", name="Resume")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(card.get_by_text("ready", exact=True)).to_be_visible()

    await page.get_by_role("link", name="Playground").press("Enter")
    await page.get_by_label("Message").focus()
    await page.keyboard.type("hello [[sim chars=30]]")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("article", name="Answer").locator(".figures")).to_contain_text("tokens in")

    await page.get_by_role("link", name="API keys").press("Enter")
    await page.get_by_role("button", name="A new key").press("Space")
    await page.get_by_role("dialog").get_by_label("Name").focus()
    await page.keyboard.type("typed")
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name="I have it").press("Enter")
    await expect(page.get_by_role("row").filter(has_text="typed")).to_be_visible()


async def test_an_account_with_markup_in_its_words_is_shown_as_text(signed_in: Page, live: Live) -> None:
    markup = "<img src=x onerror=alert(1)>"
    account = live.gateway.pool.find("amber")
    assert account is not None
    live.gateway.pool.blame(account, AccountRejected(markup))
    await expect(signed_in.locator(".need")).to_contain_text(markup)
    card = await card_of(signed_in, "amber")
    await expect(card).to_contain_text(markup)
    assert await signed_in.locator("main img, main script").count() == 0
