"""WebP files: what their chunks say, and a re-encode that carries every other chunk over."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from PIL import Image as Pillow

C2PA: Final = b"C2PA"
_PIXELS: Final = (b"VP8 ", b"VP8L", b"ALPH", b"VP8X")
_QUALITY: Final = 95


class BrokenWebp(ValueError):
    """The file is no complete WebP."""


@dataclass(frozen=True, slots=True)
class Header:
    """Size in px, and which of the two codecs wrote it."""

    width: int
    height: int
    lossless: bool
    animated: bool


def chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and payload of each chunk. Raises BrokenWebp when they break off."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP":
        raise BrokenWebp("no WebP")
    end = 8 + int.from_bytes(data[4:8], "little")
    position = 12
    if end > len(data):
        raise BrokenWebp("the file is cut short")
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        if position + 8 + length > end:
            raise BrokenWebp("a chunk is cut short")
        yield kind, data[position + 8 : position + 8 + length]
        position += 8 + length + (length & 1)


def read_header(data: bytes) -> Header:
    """The header of `data`. Raises BrokenWebp when it has none."""
    lossless, animated, size = False, False, None
    for kind, body in chunks(data):
        if kind == b"VP8X" and len(body) >= 10:
            size = 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
            animated = bool(body[0] & 2)
        elif kind == b"VP8L" and len(body) >= 5:
            packed = int.from_bytes(body[1:5], "little")
            size = size or (1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF))
            lossless = True
        elif kind == b"VP8 " and len(body) >= 10:
            width, height = struct.unpack_from("<HH", body, 6)
            size = size or (width & 0x3FFF, height & 0x3FFF)
    if size is None:
        raise BrokenWebp("no picture in it")
    return Header(*size, lossless, animated)


def with_pixels(data: bytes, picture: Pillow.Image, header: Header, *, drop: frozenset[bytes] = frozenset()) -> bytes:
    """`data` encoded anew with the pixels of `picture`: exactly if it was lossless, else at quality 95 (the format has
    no tables that could be kept). All chunks but the pixels' own and those in `drop` are copied."""
    target = io.BytesIO()
    picture.save(target, "WEBP", lossless=header.lossless, quality=_QUALITY, exact=True, method=2)
    fresh = list(chunks(target.getvalue()))
    # A chunk of its own needs the extended header: its flags say which there are.
    extended = next((body for kind, body in chunks(data) if kind == b"VP8X"), None)
    pixels = [(kind, body) for kind, body in fresh if kind in _PIXELS and kind != b"VP8X"]
    kept = [(kind, body) for kind, body in chunks(data) if kind not in _PIXELS and kind not in drop]
    if extended is None:
        return _file(pixels)
    profile = [chunk for chunk in kept if chunk[0] == b"ICCP"]
    return _file([(b"VP8X", extended), *profile, *pixels, *(chunk for chunk in kept if chunk[0] != b"ICCP")])


def _file(found: list[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(struct.pack("<4sI", kind, len(data)) + data + b"\0" * (len(data) & 1) for kind, data in found)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
