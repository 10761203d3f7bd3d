"""The page's files: kept to themselves, small, and without a way to turn text into markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.console.pages import Pages
from gateway.testing import make_client

STATIC = Path(__file__).parent.parent.parent / "static"
PAGE = [file for file in STATIC.rglob("*") if file.is_file() and not file.name.startswith("docs")]
MAKERS = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "srcdoc", "DOMParser")
SCRIPTS = sorted(STATIC.rglob("*.js"))


@pytest.mark.parametrize("path", ["/", "/static/main.js", "/docs", "/docs/swagger-ui.css"])
async def test_nothing_comes_from_elsewhere_and_nobody_frames_it(path: str) -> None:
    async with make_client() as client, client.http.get(path) as response:
        assert response.status == 200
        policy = response.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        assert response.headers["X-Frame-Options"] == "DENY"
        assert response.headers["Referrer-Policy"] == "no-referrer"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


ABSENT = [
    "/static/", "/static/views", "/static/../gateway.toml", "/static/..%2fgateway.toml", "/static/a%00.js", "/static/%ff",
    "/static/" + "a" * 4_000, "/docs/package.json", "/docs/..%2f__init__.py",
]  # fmt: skip


@pytest.mark.parametrize("path", ABSENT, ids=lambda path: path[:24])
async def test_no_other_file_is_served(path: str) -> None:
    async with make_client() as client, client.http.get(path) as response:
        assert response.status == 404


async def test_without_its_renderer_the_reference_says_what_to_install() -> None:
    pages, app = Pages(lambda: {}, renderer=None), web.Application()
    app.add_routes(pages.routes())
    async with TestClient(TestServer(app)) as client:
        async with client.get("/docs") as response:
            text = await response.text()
            assert response.status == 200 and "pip install" in text and "[docs]" in text and "/openapi.json" in text
        async with client.get("/static/docs.css") as response:
            assert ".missing" in await response.text()


async def test_head_of_the_page_is_answered() -> None:
    async with make_client() as client, client.http.head("/") as response:
        assert response.status == 200


def test_the_whole_page_is_small() -> None:
    assert sum(file.stat().st_size for file in PAGE) < 150_000


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: file.name)
def test_no_script_makes_markup_or_code_from_text(file: Path) -> None:
    text = file.read_text("utf-8")
    for name in MAKERS:
        assert name not in text
    assert not re.search(r"""["'`]https?://(?!\$|www\.w3\.org|user:password@)""", text)


def test_every_text_of_the_page_has_its_chinese() -> None:
    words = (STATIC / "words.js").read_text("utf-8")
    chinese = set(re.findall(r'"((?:[^"\\]|\\.)*)": "', words))
    said = {m for file in SCRIPTS for m in re.findall(r'\bt\("((?:[^"\\]|\\.)*)"', file.read_text("utf-8"))}
    assert len(said) > 200
    assert said - chinese == set()
    assert chinese - said == set(), "words that nobody says any more"


def test_both_languages_fill_in_the_same_names() -> None:
    words = (STATIC / "words.js").read_text("utf-8")
    for english, chinese in re.findall(r'"((?:[^"\\]|\\.)*)": "((?:[^"\\]|\\.)*)"', words):
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", chinese)), english
