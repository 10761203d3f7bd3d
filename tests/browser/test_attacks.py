"""Text that others wrote stays text: models, callers, file names. A policy breach or a dialog fails the page's fixture."""

from __future__ import annotations

import base64

import aiohttp
import pytest
from playwright.async_api import Error, Page, expect

from tests.browser.conftest import Live, Watch
from tests.browser.test_page import go, say

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>"
ANSWER = f"""{MARKUP}

# <svg onload=alert(3)>

[click](javascript:alert(4)) [data](data:text/html,<script>alert(5)</script>) [fine](https://example.com/a)

![pixel](https://evil.example/steal.png) ![local](data:image/svg+xml;base64,PHN2Zy8+)

| a | b |
|---|---|
| {MARKUP} | **x** |

```html
{MARKUP}
```

> {MARKUP}

1. {MARKUP}
"""


async def test_markup_of_a_model_is_shown_and_not_done(signed_in: Page) -> None:
    await go(signed_in, "Playground")
    encoded = base64.b64encode(ANSWER.encode()).decode()
    answer = await say(signed_in, f"attack [[sim b64={encoded}]]")
    await expect(answer.locator(".figures")).to_contain_text("tokens in")
    await expect(answer.locator(".prose")).to_contain_text(MARKUP)
    assert await answer.locator(".prose script, .prose img, .prose svg:not(.icon), .prose iframe").count() == 0
    links = await answer.locator(".prose a").evaluate_all("links => links.map((link) => [link.protocol, link.rel])")
    assert {protocol for protocol, _ in links} == {"https:"}
    assert all("noopener" in rel and "noreferrer" in rel for _, rel in links)


async def test_what_a_caller_sends_is_text_in_the_log_and_among_the_errors(signed_in: Page, live: Live) -> None:
    body = {"model": MARKUP, "messages": [{"role": "user", "content": "x"}]}
    headers = {"Authorization": "Bearer sk-browser-tests"}
    async with aiohttp.ClientSession() as http, http.post(
        f"{live.url}/v1/chat/completions", json=body, headers=headers
    ) as response:
        assert response.status == 400
    async with aiohttp.ClientSession() as http, http.post(f"{live.url}/v1/{MARKUP}") as response:
        assert response.status == 404
    await expect(signed_in.get_by_text("A field of the request is wrong")).to_be_visible()
    await go(signed_in, "Logs")
    await expect(signed_in.locator(".line")).to_have_count(1)
    await signed_in.locator(".line summary").click()
    assert await signed_in.locator("main script, main img").count() == 0


async def test_file_names_are_text(signed_in: Page) -> None:
    await go(signed_in, "Playground")
    file = {"name": f"{MARKUP}.txt".replace("/", "_"), "mimeType": "text/plain", "buffer": b"hello"}
    await signed_in.locator(".composer input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    await expect(signed_in.locator(".tray-name")).to_contain_text("<img src=x onerror=alert(1)>")
    assert await signed_in.locator(".tray img").count() == 0


async def test_the_page_survives_a_long_and_strange_answer(signed_in: Page) -> None:
    await go(signed_in, "Playground")
    strange = "**" * 3000 + "`" * 3001 + "[" * 3000 + "|" * 500 + "\n" + "> " * 200 + "\n" + "- " * 200
    strange += "\n```" + "_a" * 3000
    encoded = base64.b64encode(strange.encode()).decode()
    answer = await say(signed_in, f"odd [[sim b64={encoded}]]")
    await expect(answer.locator(".figures")).to_contain_text("tokens in", timeout=30_000)


async def test_no_page_of_another_site_may_show_ours_and_none_of_ours_makes_markup(
    signed_in: Page, live: Live, watch: Watch
) -> None:
    response = await signed_in.request.get(live.url)
    policy = response.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy and "require-trusted-types-for 'script'" in policy
    with pytest.raises(Error, match="TrustedHTML"):
        await signed_in.evaluate("document.body.innerHTML = '<b>x</b>'")
    assert all("TrustedHTML" in complaint for complaint in watch.complaints)
    watch.complaints.clear()
