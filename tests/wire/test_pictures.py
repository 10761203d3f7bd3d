"""Pictures in the wire formats: sizes as callers write them, short lines, and JSON that is what it seems."""

from __future__ import annotations

import base64
import os

import orjson
import pytest

from gateway.model import Call, Image, ImageReady, Reply
from gateway.wire import media, pictures
from gateway.wire.gemini import Gemini
from gateway.wire.openai_chat import OpenAIChat
from gateway.wire.openai_images import OpenAIImages
from gateway.wire.simple import Simple

DATA = os.urandom(300_001)
PICTURE = Image(DATA, "image/png", 1024, 768, watermark="removed", warnings=("w",))
CALL = Call("id", 0, "x", model="m")


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        (None, (None, None)), ("auto", (None, None)), ("2k", ("2K", None)), ("1024x1024", ("1K", "1:1")),
        ("1536x1024", ("1K", "3:2")), ("1792x1024", ("2K", "16:9")), ("1024X1792", ("2K", "9:16")),
        ("4096x4096", ("4K", "1:1")), ("2560x1080", ("2K", "21:9")), ("300x250", ("1K", "5:4")),
    ],
)  # fmt: skip
def test_a_size_is_a_ratio_and_a_size_of_the_web(size: str | None, wanted: tuple[str | None, str | None]) -> None:
    assert pictures.size_and_aspect(size, "size") == wanted


@pytest.mark.parametrize("dialect", [OpenAIChat(), Simple()], ids=lambda dialect: dialect.name)
def test_no_line_of_a_stream_on_v1_reaches_64_kb(dialect: OpenAIChat | Simple) -> None:
    lines = dialect.encode_event(ImageReady(PICTURE), CALL).split(b"\n")
    assert max(map(len, lines)) < 64_000 and len(lines) > 12


def test_gemini_parts_are_whole_in_streams_and_replies() -> None:
    gemini, wanted = Gemini(), {"mimeType": "image/png", "data": base64.b64encode(DATA).decode()}
    streamed = gemini.encode_event(ImageReady(PICTURE), Call("id", 0, "gemini", options={"sse": True}))
    for answer in (streamed[6:], gemini.encode_whole(Reply(images=[PICTURE]), CALL)):
        assert {"inlineData": wanted} in orjson.loads(answer)["candidates"][0]["content"]["parts"]


def test_openai_replies_hold_the_picture_or_its_address_and_what_it_is() -> None:
    call = Call("id", 7, "openai_images", options={"action": "edits", "json": True}, warnings=["late"])
    stored = Image(b"", "image/jpeg", 10, 20, native=False, url="https://x/y.jpg")
    call.messages = ()
    body = orjson.loads(OpenAIImages().encode_whole(Reply(images=[PICTURE, stored]), call))
    first, second = body["data"]
    assert base64.b64decode(first["b64_json"]) == DATA and "url" not in first
    assert second["url"] == "https://x/y.jpg" and "b64_json" not in second
    assert first["gateway"] == {
        "width": 1024, "height": 768, "format": "png", "native": True, "watermark": "removed", "warnings": ["w"],
    }  # fmt: skip
    assert body["images"] == ["data:image/png;base64," + first["b64_json"], "https://x/y.jpg"]
    assert (body["created"], body["warnings"], body.get("size")) == (7, ["late"], None)


@pytest.mark.parametrize("size", [0, 1, 767_999, 768_000, 768_001, 2_000_000])
def test_base64_in_pieces_is_base64(size: int) -> None:
    data = os.urandom(size)
    assert media.encode(data) == base64.b64encode(data).decode()
    if size:
        text = base64.encodebytes(data).decode()  # with line breaks, as some tools write it
        assert media.blob(text, "text/plain", 1, "x").data == data
