"""Pictures in what goes to the web and what comes from it: the request in words, and the items of the answer."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.model import Blob, Call, Message, PictureWish, Text
from gateway.upstream.packing import pack
from gateway.upstream.rich import Drawn, drawn, web_links

URL = "https://lh3.googleusercontent.com/gg-dl/AOx"


def call(text: str, wish: PictureWish | None, *files: Blob) -> Call:
    return Call("1", 0, "openai_images", messages=(Message("user", (*files, Text(text))),), pictures=wish)


@pytest.mark.parametrize(
    ("text", "wish", "prompt"),
    [
        ("a boat", PictureWish("generate"), "Generate an image: a boat."),
        ("a boat!", PictureWish("generate", aspect="16:9"), "Generate an image: a boat! Aspect ratio 16:9."),
        ("a boat\nat sea", PictureWish("generate"), "a boat\nat sea\n\nGenerate an image of this."),
        ("blue", PictureWish("edit"), "blue\n\nGenerate the edited image from the attached one."),
        ("a boat", PictureWish(), "a boat\n\nGenerate an image as the answer."),
        ("a boat", None, "a boat"),
    ],
)
def test_a_wish_is_said_in_the_last_paragraph(text: str, wish: PictureWish | None, prompt: str) -> None:
    assert pack(call(text, wish)).text == prompt


def test_a_mask_is_explained_and_the_second_try_is_firmer() -> None:
    mask = Blob(b"x", "image/png", "mask.png", mask=True)
    text = pack(call("blue", PictureWish("edit", insist=True), mask)).text
    assert "change only its white part" in text and text.endswith("answer with the image itself.")


def test_a_variation_needs_no_words() -> None:
    made = Call("1", 0, "x", messages=(Message("user", (Blob(b"x", "image/png", "file-1.png"),)),))
    made.pictures = PictureWish("vary")
    assert "variation of the attached one" in pack(made).text


def item(url: Any = URL, token: Any = "$AedX1", image_id: Any = "id") -> list[Any]:
    return [[None, None, None, [None, 1, "x.png", url, None, token]], [image_id, 0], None, []]


def candidate(rich: Any) -> list[Any]:
    return ["rc_1", ["text"], *[None] * 10, rich]


def test_pictures_are_found_by_position_and_in_the_sparse_form() -> None:
    wanted = (Drawn(URL, "id", "$AedX1"),)
    assert drawn(candidate([*[None] * 7, [[item()]]])) == wanted
    assert drawn(candidate([None, {"8": [[item()]]}])) == wanted
    assert drawn(candidate([*[None] * 7, [[item(token=None, image_id=None)]]])) == (Drawn(URL, "", ""),)


SEVEN = [None] * 7


@pytest.mark.parametrize(
    "rich", [None, [], {}, "x", SEVEN, [*SEVEN, "x"], [*SEVEN, [[]]], [*SEVEN, [[item(url=5)]]], [*SEVEN, [["x"]]]]
)
def test_junk_where_pictures_should_be_is_no_picture(rich: Any) -> None:
    assert drawn(orjson.loads(orjson.dumps(candidate(rich)))) == ()


def web(url: Any, words: Any = "a lake") -> list[Any]:
    return [[[url], None, None, None, words]]


@pytest.mark.parametrize(
    ("items", "links"),
    [
        ([web("https://a.b/c.jpg")], "\n\n[a lake](https://a.b/c.jpg)"),
        ([web("https://a.b/c.jpg"), web("https://a.b/c.jpg")], "\n\n[a lake](https://a.b/c.jpg)"),
        ([web("https://a.b/c.jpg", "x](javascript:1)\n![")], "\n\n[x(javascript:1) !](https://a.b/c.jpg)"),
        ([web("https://a.b/c.jpg", None)], "\n\n[image](https://a.b/c.jpg)"),
        ([web("http://a.b/c.jpg"), web("https://a.b/c) d"), web("javascript:alert(1)"), web(5), "x", []], ""),
        ("x", ""),
    ],
)
def test_pictures_from_the_web_are_plain_links_each_once(items: Any, links: str) -> None:
    assert web_links(candidate([None, items])) == links
    assert web_links(candidate([{"2": items}])) == links
