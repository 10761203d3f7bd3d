"""What "Show as code" shows is run as it stands: by a shell and by the official packages, against the same gateway."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from PIL import Image
from playwright.async_api import Page, expect

from tests.browser.conftest import API_KEY
from tests.browser.test_page import go, say

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


async def run(client: str, text: str, folder: Path) -> bytes:
    """What the snippet prints, run in `folder`."""
    command = ["sh", "-c", text] if client == "curl" else [sys.executable, "-c", text]
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "GATEWAY_API_KEY": API_KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()[-2000:]
    return out


async def shown(page: Page, client: str) -> str:
    dialog = page.get_by_role("dialog")
    await dialog.get_by_role("tab", name=client).click()
    return await dialog.locator("pre").inner_text()


async def test_the_code_of_a_chat_asks_the_same_again(signed_in: Page, tmp_path: Path) -> None:
    await go(signed_in, "Playground")
    await signed_in.get_by_text("Instructions").click()
    await signed_in.get_by_label("System instruction").fill("Be 'brief' and \"quoted\"")
    answer = await say(signed_in, 'It\'s a "test" $HOME `x` [[sim text="a known answer"]]')
    await expect(answer.locator(".figures")).to_contain_text("tokens in")
    await answer.get_by_role("button", name="Show as code").click()
    for client in ("curl", "openai-python", "google-genai"):
        out = (await run(client, await shown(signed_in, client), tmp_path)).decode()
        assert "a known answer" in out if client != "curl" else "known" in out and "[DONE]" in out


async def test_the_code_of_a_picture_makes_and_changes_one(signed_in: Page, tmp_path: Path) -> None:
    await go(signed_in, "Playground")
    await signed_in.get_by_role("tab", name="Pictures").click()
    await signed_in.get_by_label("What to make, or what to change").fill("a lake [[sim image star=none w=256 h=256]]")
    await signed_in.get_by_role("button", name="Show as code").click()
    texts = {client: await shown(signed_in, client) for client in ("curl", "openai-python", "google-genai")}
    assert b"b64_json" in await run("curl", texts["curl"], tmp_path)
    for client, file in (("openai-python", "picture-0.png"), ("google-genai", "picture.png")):
        await run(client, texts[client], tmp_path)
        with Image.open(tmp_path / file) as made:
            assert made.size == (256, 256)
    await signed_in.keyboard.press("Escape")

    picture = tmp_path / "reference.png"
    Image.new("RGB", (64, 64), "teal").save(picture)
    await signed_in.locator(".picture-form input[type=file]").set_input_files(picture)
    await expect(signed_in.locator(".tray-name")).to_have_text("reference.png")
    await signed_in.get_by_role("button", name="Show as code").click()
    texts = {client: await shown(signed_in, client) for client in ("openai-python", "google-genai")}
    for client, file in (("openai-python", "picture-0.png"), ("google-genai", "picture.png")):
        (tmp_path / file).unlink()
        await run(client, texts[client], tmp_path)
        assert (tmp_path / file).is_file()
