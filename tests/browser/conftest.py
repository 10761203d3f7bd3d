"""A real Chromium against the demo. Without one (`apt-get install chromium`) these tests fail, they do not skip."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright

from gateway.app import running
from gateway.demo import demo_settings
from gateway.upstream.gemini_web import GeminiWeb

ARTEFACTS = Path(__file__).parent / "artefacts"
FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


def chromium() -> str:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "Chromium is not installed: apt-get install chromium, or set CHROMIUM to its path"
    return found


@pytest.fixture
async def url() -> AsyncIterator[str]:
    """The demo, in this process, on a free port."""
    async with (
        demo_settings(0) as (settings, root, _),
        running(settings, root, upstream=lambda s, d: GeminiWeb(s, d, simulated=True), simulated=True) as gateway,
    ):
        yield gateway.url


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A page that fails its test on any console error, uncaught exception or request to somewhere else."""
    ARTEFACTS.mkdir(exist_ok=True)
    complaints: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        made = await browser.new_page()
        made.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        made.on("pageerror", lambda error: complaints.append(str(error)))
        made.on("request", lambda sent: complaints.append(sent.url) if "://127.0.0.1" not in sent.url else None)
        yield made
        await browser.close()
    assert not complaints
