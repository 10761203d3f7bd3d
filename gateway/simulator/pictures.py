"""Generated pictures: what they look like, their addresses, and the files behind the addresses.

A picture needs no memory: its token says all that drawing it takes. Files are drawn in a thread and cached.
"""

import asyncio
import base64
import hashlib
import io
import struct
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import orjson
from PIL import Image

from gateway.simulator import scenery
from gateway.simulator.answers import Answer, PictureWish
from gateway.simulator.chats import Record
from gateway.simulator.scenery import Pixels

_PREVIEW = "https://lh3.googleusercontent.com/gg-dl/"
_WEB = "https://lh3.googleusercontent.com/web/"
_GENERATED_IMAGES, _CITATIONS, _VIDEO = 7, 43, 59
_LARGEST_SIDE = 4096
_MOST_CACHED_BYTES = 128_000_000
_STARS = {"v1": ("48@32", 128), "v2": ("48@96", 77)}


class UnknownPicture(ValueError):
    """An address that no picture has."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything that drawing a picture takes. `kind` is preview, full or large; width and height are native."""

    seed: int
    scene: str
    width: int
    height: int
    star: str
    number: int = 0
    kind: str = "preview"

    @classmethod
    def of(cls, wish: PictureWish) -> "Picture":
        """The picture that a wish becomes."""
        seed, scene = scenery.look(wish.subject)
        return cls(seed + wish.number, scene, wish.width, wish.height, wish.star, wish.number)

    @property
    def token(self) -> str:
        """The picture as the last part of an address."""
        fields = [self.seed, self.scene, self.width, self.height, self.star, self.number, self.kind]
        return "AO" + base64.urlsafe_b64encode(orjson.dumps(fields)).decode().rstrip("=")

    @classmethod
    def from_token(cls, token: str) -> "Picture":
        """The picture of an address. Raises UnknownPicture."""
        try:
            fields = orjson.loads(base64.urlsafe_b64decode(token[2:] + "==="))
            picture = cls(*fields)
            if not (16 <= picture.width <= _LARGEST_SIDE and 16 <= picture.height <= _LARGEST_SIDE):
                raise ValueError("size")
        except (ValueError, TypeError) as exc:
            raise UnknownPicture("no such picture") from exc
        return picture


def media_token(picture: Picture) -> str:
    """The token of an item that the site's large download asks for."""
    return "$AedX" + hashlib.sha256(replace(picture, kind="preview").token.encode()).hexdigest()[:40]


def download_url(picture: Picture, kind: str) -> str:
    """The address that the full-size RPC answers."""
    return _PREVIEW + replace(picture, kind=kind).token


def image_id(placeholder: str, number: int) -> str:
    """The id of the picture with this number, which is also what stands in the text for it."""
    return placeholder.format(number=number)


def find(turns: Sequence[Record], rcid: str, wanted: str) -> Picture | None:
    """The picture with id `wanted` in the candidate `rcid` of a conversation."""
    for turn in turns:
        if turn.candidate[0] == rcid and len(turn.candidate) > 12 and turn.candidate[12]:
            for item in turn.candidate[12][_GENERATED_IMAGES][0]:
                if item[1][0] == wanted:
                    return Picture.from_token(item[0][3][3].rpartition("/")[2])
    return None


def rich_content(reply: Answer, placeholder: str, sizes: Sequence[int]) -> list[Any] | None:
    """Field [12] of a candidate: pictures, cited sources, a video. `sizes` are the bytes of the native files."""
    fields: list[Any] = [None] * 8
    sparse: dict[str, Any] = {}
    if reply.web_images:
        fields[1] = [_web_image(number, reply.title) for number in range(reply.web_images)]
    if reply.pictures:
        items = zip(reply.pictures, sizes, strict=True)
        fields[_GENERATED_IMAGES] = [[_item(wish, placeholder, size) for wish, size in items]]
    if reply.citations:
        sparse[str(_CITATIONS + 1)] = [_citation(number) for number in range(1, reply.citations + 1)]
    if reply.video:
        thumbnail = _web_image(0, reply.title)[0][0][0]
        urls = [thumbnail, "https://lh3.googleusercontent.com/video/simulated"]
        sparse[str(_VIDEO + 1)] = [[[[[None] * 7 + [urls]]]]]
    if not sparse and fields == [None] * 8:
        return None
    return [*fields, sparse] if sparse else fields


def _item(wish: PictureWish, placeholder: str, size: int) -> list[Any]:
    picture = Picture.of(wish)
    name = f"watermarked_img_{picture.seed:010d}.png"
    file: list[Any] = [None, 1, name, _PREVIEW + picture.token, None, media_token(picture)]
    file += [None] * 5 + ["image/png", None, None, None, [picture.width, picture.height, size]]
    generator: list[Any] = [None] * 18 + ["simulated"]
    return [[None, None, None, file], [image_id(placeholder, wish.number), 0], None, generator]


def _web_image(number: int, title: str) -> list[Any]:
    seed, scene = scenery.look(f"{title} {number}")
    picture = Picture(seed, scene, 640, 427, "none", number)
    return [[[_WEB + picture.token], None, None, None, f"{title} {number + 1}"]]


def _citation(number: int) -> list[Any]:
    url = f"https://example.org/source/{number}"
    return [
        [f" [cite: {number}]"],
        [[None, None, None, [["https://example.org/favicon.ico", url, f"Source {number}"]]]],
    ]


@lru_cache(maxsize=2)
def native(picture: Picture) -> Pixels:
    """The native pixels, with the star on them."""
    pixels = scenery.draw(picture.seed, picture.scene, picture.width, picture.height)
    marked = _marked(pixels, picture.star)
    marked.flags.writeable = False
    return marked


def _marked(pixels: Pixels, star: str) -> Pixels:
    if star == "none":
        return pixels
    from watermark import add  # the only thing of the project that a simulated site needs, and only here

    slot, opacity = _STARS.get(star) or (star.partition(":")[0], int(star.partition(":")[2] or 77))
    size, _, margin = slot.partition("@")
    if min(pixels.shape[:2]) < int(size) + int(margin):
        return pixels
    return np.asarray(add(pixels, slot, opacity), np.uint8)


def encode(picture: Picture, options: str) -> tuple[bytes, str]:
    """(file, content type) of a picture as an address with these `options` gives it: empty (a preview of 512),
    `s1024-rj` (JPEG, no larger than native), `s0-rp` (native PNG), `s0-d-I` (the file of a full or large one)."""
    pixels = native(replace(picture, kind="preview"))
    if options == "s0-d-I":
        return png(_enlarged(pixels, picture.kind)), "image/png"
    side, _, form = (options or "s512-rj").removeprefix("s").partition("-")
    longest = int(side) if side.isdecimal() else 512
    image = Image.fromarray(pixels)
    if 0 < longest < max(image.size):
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    if form == "rp":
        return png(np.asarray(image)), "image/png"
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue(), "image/jpeg"


def _enlarged(pixels: Pixels, kind: str) -> Pixels:
    height, width = pixels.shape[:2]
    if kind == "preview":
        return pixels
    factor = 2.0 if kind == "full" else max(2.0, _LARGEST_SIDE / max(width, height))
    size = (round(width * factor), round(height * factor))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def png(pixels: Pixels) -> bytes:
    """A PNG file, written fast: filter `up` for every row, zlib level 1."""
    height, width = pixels.shape[:2]
    rows = np.empty((height, width * 3 + 1), np.uint8)
    flat = pixels.reshape(height, width * 3)
    rows[:, 0] = 2
    rows[0, 1:] = flat[0]
    np.subtract(flat[1:], flat[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.data, 1)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


class Gallery:
    """Encoded files, by picture and options. Each is drawn once, in a thread, at most three at a time."""

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[Picture, str], tuple[bytes, str]] = OrderedDict()
        self._bytes = 0
        self._drawing: dict[tuple[Picture, str], asyncio.Task[tuple[bytes, str]]] = {}
        self._easels = asyncio.Semaphore(3)

    async def file(self, picture: Picture, options: str = "") -> tuple[bytes, str]:
        """(file, content type)."""
        key = picture, options
        if key in self._files:
            self._files.move_to_end(key)
            return self._files[key]
        if key not in self._drawing:
            self._drawing[key] = task = asyncio.create_task(self._draw(key))
            task.add_done_callback(lambda _: self._drawing.pop(key, None))
        return await asyncio.shield(self._drawing[key])

    async def sizes(self, wishes: Sequence[PictureWish]) -> list[int]:
        """Bytes of the native PNG of each wish, which draws it."""
        return [len((await self.file(Picture.of(wish), "s0-rp"))[0]) for wish in wishes]

    async def close(self) -> None:
        """Wait for what is being drawn."""
        await asyncio.gather(*self._drawing.values(), return_exceptions=True)

    async def _draw(self, key: tuple[Picture, str]) -> tuple[bytes, str]:
        async with self._easels:
            drawn = await asyncio.to_thread(encode, *key)
        self._files[key] = drawn
        self._bytes += len(drawn[0])
        while self._bytes > _MOST_CACHED_BYTES and len(self._files) > 1:
            _, gone = self._files.popitem(last=False)
            self._bytes -= len(gone[0])
        return drawn
