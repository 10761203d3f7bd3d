"""Pictures on their way out: the star goes, callers may keep it, and trouble never costs the picture."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from gateway import plugin_loader
from gateway.errors import InvalidRequest
from gateway.hooks import Hooks
from gateway.model import Call, Image, Principal, RequestHead
from gateway.testing import make_client
from plugins import api_key, metrics, watermark_removal
from plugins.watermark_removal import Plugin, Settings
from watermark import add


def encoded(pixels: np.ndarray[Any, Any], form: str = "PNG") -> bytes:
    target = io.BytesIO()
    Pillow.fromarray(pixels).save(target, form)
    return target.getvalue()


def gradient() -> np.ndarray[Any, Any]:
    y, x = np.mgrid[0:256, 0:320]
    return np.stack([x // 2, y // 2, (x + y) // 5], 2).astype(np.uint8)


PLAIN = encoded(gradient())
MARKED = encoded(add(gradient()))


def picture(data: bytes = MARKED) -> Image:
    return Image(data, "image/png", 320, 256)


def call(header: str | None = None, **options: str) -> Call:
    headers = {} if header is None else {"x-gateway-watermark": header}
    head = RequestHead("POST", "/v1/images/generations", headers, {}, "127.0.0.1", "r", "openai")
    return Call("c", 0, "openai", principal=Principal("me", options=options), head=head)


@pytest.fixture
def hooks() -> Iterator[Hooks]:
    plugin = Plugin(Settings())
    yield bound(plugin)
    plugin._threads.shutdown()


def bound(plugin: Plugin) -> Hooks:
    return plugin_loader.bind(plugin_loader.from_instances([("watermark_removal", plugin)]))


async def test_the_star_goes_and_the_picture_says_so(hooks: Hooks) -> None:
    cleaned = await hooks.process_image(picture(), call())
    assert (cleaned.watermark, cleaned.warnings, cleaned.mime, cleaned.width) == ("removed", (), "image/png", 320)
    with Pillow.open(io.BytesIO(cleaned.data)) as opened:
        assert np.abs(np.asarray(opened).astype(int) - gradient()).max() <= 1


async def test_an_unmarked_picture_passes_byte_for_byte(hooks: Hooks) -> None:
    passed = await hooks.process_image(picture(PLAIN), call())
    assert (passed.watermark, passed.data, passed.warnings) == ("absent", PLAIN, ())


@pytest.mark.parametrize(
    ("header", "options", "expected"),
    [
        ("keep", {}, "kept"),
        (" KEEP ", {}, "kept"),
        ("remove", {}, "removed"),
        (None, {"watermark": "keep"}, "kept"),
        (None, {"watermark": "remove"}, "removed"),
        ("remove", {"watermark": "keep"}, "removed"),
        ("keep", {"watermark": "remove"}, "kept"),
    ],
)
async def test_the_request_decides_before_the_key(
    header: str | None, options: dict[str, str], expected: str, hooks: Hooks
) -> None:
    served = await hooks.process_image(picture(), call(header, **options))
    assert served.watermark == expected
    assert (served.data == MARKED) == (expected == "kept")
    assert served.warnings == ()


async def test_the_gateway_may_keep_stars_unless_asked() -> None:
    hooks = bound(Plugin(Settings(default="keep")))
    assert (await hooks.process_image(picture(), call())).watermark == "kept"
    assert (await hooks.process_image(picture(), call("remove"))).watermark == "removed"


async def test_a_header_that_says_neither_is_refused(hooks: Hooks) -> None:
    with pytest.raises(InvalidRequest, match="either remove or keep") as refused:
        await hooks.prepare_call(call("maybe"))
    assert refused.value.param == "x-gateway-watermark"


@pytest.mark.parametrize(("data", "words"), [(MARKED[:2000], "broken"), (b"GIF89a", "neither PNG, JPEG nor WebP")])
async def test_what_cannot_be_cleaned_is_served_as_it_came(data: bytes, words: str, hooks: Hooks) -> None:
    served = await hooks.process_image(picture(data), call())
    assert (served.data, served.watermark) == (data, "kept")
    assert len(served.warnings) == 1 and words in served.warnings[0]


async def test_a_picture_over_the_limit_is_served_as_it_came() -> None:
    served = await bound(Plugin(Settings(max_megapixels=0.05))).process_image(picture(), call())
    assert served.watermark == "kept" and "too many pixels" in served.warnings[0]


async def test_a_picture_that_takes_too_long_is_served_as_it_came() -> None:
    plugin = Plugin(Settings(budget_s=0.05, concurrency=1))
    release = threading.Event()
    blocker = plugin._threads.submit(release.wait)  # the one thread is busy with another picture
    try:
        served = await bound(plugin).process_image(picture(), call())
    finally:
        release.set()
        blocker.result()
    assert (served.data, served.watermark) == (MARKED, "kept")
    assert "not done within 0.05 s" in served.warnings[0]


async def test_a_failure_costs_the_star_and_not_the_picture() -> None:
    plugin = Plugin(Settings())
    plugin._threads.shutdown()  # takes no more work
    served = await bound(plugin).process_image(picture(), call())
    assert (served.data, served.watermark) == (MARKED, "kept")
    assert served.warnings == ("watermark: served as it came: the removal failed",)


async def test_what_was_done_is_counted() -> None:
    plugin = Plugin(Settings())
    given = [("watermark_removal", plugin), ("metrics", metrics.Plugin(metrics.Settings()))]
    async with make_client(plugins=given) as client:
        for data, wish in ((MARKED, None), (PLAIN, None), (MARKED[:2000], None), (MARKED, "keep")):
            await client.gateway.hooks.process_image(picture(data), call(wish))
        async with client.http.get("/metrics") as response:
            text = await response.text()
    for result, reason in (("removed", "removed"), ("absent", "no_star"), ("kept", "broken"), ("kept", "asked")):
        assert f'gateway_watermark_pictures_total{{reason="{reason}",result="{result}"}} 1.0' in text
    assert 'gateway_watermark_found_total{kind="exact",slot="48@96"} 1.0' in text
    assert "gateway_watermark_seconds_count 3.0" in text


async def test_a_wrong_header_is_a_400_in_the_callers_format() -> None:
    async with make_client(plugins=[("watermark_removal", Plugin(Settings()))]) as client:
        reply = await client.chat("hello", headers={"X-Gateway-Watermark": "perhaps"})
    assert reply.status == 400 and reply.body["error"]["param"] == "x-gateway-watermark"


async def test_a_key_brings_its_wish() -> None:
    keys = [{"name": "me", "key": "sk-long-enough-key", "options": {"watermark": "keep"}}]
    plugin = api_key.Plugin(api_key.Settings.model_validate({"keys": keys}))
    head = RequestHead("POST", "/", {"Authorization": "Bearer sk-long-enough-key"}, {}, "127.0.0.1", "r", "openai")
    principal = await plugin.authenticate(head)
    assert principal is not None and principal.options == {"watermark": "keep"}


async def test_a_missing_learned_star_refuses_the_start(tmp_path: Path) -> None:
    plugin = Plugin(Settings(marks=(tmp_path / "none.json",)))
    with pytest.raises(OSError, match=r"none\.json"):
        async with make_client(plugins=[("watermark_removal", plugin)]):
            pass
    assert watermark_removal.HEADER == "x-gateway-watermark"
