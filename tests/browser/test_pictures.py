"""The picture tab: make one, look at it before and after the star was taken off, change it, keep it."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image
from playwright.async_api import Page, expect

from tests.browser.conftest import ARTEFACTS, Live
from tests.browser.test_page import go

pytestmark = [pytest.mark.browser, pytest.mark.timeout(180)]


async def test_a_picture_is_made_compared_changed_and_kept(signed_in: Page) -> None:
    page = signed_in
    await go(page, "Playground")
    await page.get_by_role("tab", name="Pictures").click()
    await page.get_by_label("What to make, or what to change").fill("a quiet lake [[sim image star=v1 w=1024 h=1024]]")
    await page.get_by_role("button", name="Generate").click()
    picture = page.locator(".picture")
    await expect(picture).to_have_count(1, timeout=60_000)
    await expect(picture).to_contain_text("1024 × 1024")
    await expect(picture).to_contain_text("star removed")

    await picture.get_by_role("button", name="Before and after").click()
    slider = picture.get_by_role("slider")
    box = await slider.bounding_box()
    assert box is not None
    at = "document.querySelector('.slider').style.getPropertyValue('--at')"
    await page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] / 2, steps=5)
    await page.mouse.up()
    assert float((await page.evaluate(at)).rstrip("%")) > 80
    before, after = await page.locator(".slider img").evaluate_all("images => images.map((image) => image.src)")
    assert before != after and before.startswith("blob:")
    await page.screenshot(path=ARTEFACTS / "pictures-en-light-1280.png", full_page=True)

    async with page.expect_download() as downloading:
        await picture.get_by_role("link", name="Download").click()
    path = await (await downloading.value).path()
    with Image.open(io.BytesIO(path.read_bytes())) as kept:
        assert kept.size == (1024, 1024)

    await picture.get_by_role("button", name="Change it").click()
    await page.get_by_label("What to make, or what to change").fill("make it night [[sim image star=none w=512 h=512]]")
    await page.get_by_role("button", name="Generate").click()
    await expect(page.locator(".picture")).to_have_count(2, timeout=60_000)
    await expect(page.locator(".picture").first).to_contain_text("512 × 512")
    await page.get_by_role("button", name="Show as code").click()
    await page.get_by_role("tab", name="openai-python").click()
    await expect(page.get_by_role("dialog").locator("pre")).to_contain_text("client.images.edit")


BRING = """async ([selector, kind, name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
  const carried = new DataTransfer();
  carried.items.add(new File([bytes], name, {type: "image/png"}));
  const event = kind === "drop"
    ? new DragEvent("drop", {dataTransfer: carried, bubbles: true, cancelable: true})
    : new ClipboardEvent("paste", {clipboardData: carried, bubbles: true, cancelable: true});
  document.querySelector(selector).dispatchEvent(event);
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
async def test_a_picture_that_is_dragged_or_pasted_in_is_changed(signed_in: Page, live: Live, kind: str) -> None:
    page = signed_in
    await go(page, "Playground")
    await page.get_by_role("tab", name="Pictures").click()
    data = io.BytesIO()
    Image.new("RGB", (40, 40), "teal").save(data, "png")
    brought = [".picture-form textarea", kind, f"{kind}.png", base64.b64encode(data.getvalue()).decode()]
    await page.evaluate(BRING, brought)
    await expect(page.locator(".tray-name")).to_have_text(f"{kind}.png")
    await page.get_by_label("What to make, or what to change").fill("make it night [[sim image star=none w=256 h=256]]")
    async with page.expect_request("**/v1/images/edits") as asking:
        await page.get_by_role("button", name="Generate").click()
    asked = (await asking.value).post_data_json
    with Image.open(io.BytesIO(base64.b64decode(asked["images"][0]["image_url"].partition(",")[2]))) as sent:
        assert sent.size == (40, 40)
    await expect(page.locator(".picture")).to_contain_text("256 × 256", timeout=60_000)
    await page.get_by_role("button", name=f"Remove {kind}.png").click()
    await expect(page.locator(".tray li")).to_have_count(0)
