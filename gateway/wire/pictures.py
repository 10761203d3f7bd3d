"""What the wire formats share about pictures: sizes and ratios as callers write them, and what is said of a picture."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.model import Image, ImageReady, PictureSize, Reply
from gateway.wire import media, sse
from gateway.wire.fields import bad

ASPECTS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
SIZES: tuple[PictureSize, ...] = ("1K", "2K", "4K")
# Longest sides that the web's native and full-size pictures reach (recorded: 1408x768 and 2816x1536, 3136x1344).
_NATIVE, _FULL = 1536, 3136
_PIXELS = re.compile(r"([0-9]{1,5})[xX]([0-9]{1,5})")
_LEAST_SIDE, _MOST_SIDE = 64, 4096
# A line of a stream must stay below 64 kB: some clients cut longer ones.
_PIECE = 48_000


def size_and_aspect(value: str | None, param: str) -> tuple[PictureSize | None, str | None]:
    """What `size` asks for: "auto", "1K", "2K", "4K" or WIDTHxHEIGHT in pixels, which is a ratio and the size of the web
    that comes near. Raises InvalidRequest."""
    if value is None or value == "auto":
        return None, None
    if value.upper() in SIZES:
        return next(size for size in SIZES if size == value.upper()), None
    match = _PIXELS.fullmatch(value)
    if match is None:
        raise bad(param, 'must be "auto", "1K", "2K", "4K" or WIDTHxHEIGHT, such as "1024x1024"')
    width, height = int(match[1]), int(match[2])
    if not (min(width, height) >= _LEAST_SIDE and max(width, height) <= _MOST_SIDE):
        raise bad(param, f"must have sides from {_LEAST_SIDE} to {_MOST_SIDE} pixels")
    longest = max(width, height)
    size: PictureSize = "1K" if longest <= _NATIVE else "2K" if longest <= _FULL else "4K"
    return size, min(ASPECTS, key=lambda aspect: abs(_ratio(aspect) - width / height))


def aspect(value: str | None, param: str) -> str | None:
    """A ratio such as "16:9". Raises InvalidRequest."""
    if value is not None and value not in ASPECTS:
        raise bad(param, f"must be one of {', '.join(ASPECTS)}")
    return value


def _ratio(name: str) -> float:
    width, _, height = name.partition(":")
    return int(width) / int(height)


def facts(image: Image) -> dict[str, Any]:
    """What a picture is: measured, not claimed."""
    said: dict[str, Any] = {
        "width": image.width,
        "height": image.height,
        "format": image.mime.removeprefix("image/"),
        "native": image.native,
        "watermark": image.watermark,
    }
    if image.warnings:
        said["warnings"] = list(image.warnings)
    return said


def header(images: Iterable[Image]) -> str:
    """The value of x-gateway-pictures."""
    return sse.dumps([facts(image) for image in images]).decode()


def reference(image: Image) -> Any:
    """The picture's URL, or the picture itself as a data: URL where it is stored nowhere; for JSON."""
    return image.url or media.json_base64(image.data, url_of=image.mime)


def paragraph(event: ImageReady) -> Iterator[str]:
    """A picture in the text of an answer, as Markdown and a paragraph of its own: pieces that each fit into a line of a
    stream."""
    whole = f"{event.gap}![image]({event.image.url or media.data_url(event.image.data, event.image.mime)})"
    for at in range(0, len(whole), _PIECE):
        yield whole[at : at + _PIECE]


def text_of(reply: Reply) -> str:
    """The text of an answer with its pictures, just as a stream says it."""
    gaps = [gap(reply.text), *["\n\n"] * len(reply.images)]
    drawn = (paragraph(ImageReady(image, between)) for image, between in zip(reply.images, gaps, strict=False))
    return "".join([reply.text, *(piece for pieces in drawn for piece in pieces)])


def gap(before: str) -> str:
    """What parts a picture from the text `before` it (its end is enough): a blank line, as much of it as is missing."""
    return "\n\n"[len(before) - len(before.rstrip("\n")) :] if before else ""
