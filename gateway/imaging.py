"""Looks into pictures, checks them and encodes them anew. The functions are pure and cost CPU; `Easel` runs them in threads
of its own, so that a flood of pictures waits there and neither blocks the event loop nor fills the memory."""

from __future__ import annotations

import asyncio
import io
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import PIL.Image
import PIL.ImageOps

from gateway.threads import workers

T = TypeVar("T")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
MIMES = {"PNG": "image/png", "JPEG": "image/jpeg", "MPO": "image/jpeg", "WEBP": "image/webp", "GIF": "image/gif"}
# Modes that may be handed on as they are; the others (16 bit, CMYK, animations) are made plain first.
_PLAIN = {"PNG": ("1", "L", "LA", "P", "RGB", "RGBA"), "JPEG": ("L", "RGB"), "MPO": ("L", "RGB"), "WEBP": ("RGB", "RGBA")}
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_QUALITY = 95
_PIECE = 65_536


class BadPicture(ValueError):
    """Bytes that are no picture which we take. The message says why, in words for the caller."""


class Easel:
    """Runs work on pictures in at most `threads` threads."""

    def __init__(self, threads: int) -> None:
        self._threads = workers(threads, "pictures")

    async def run(self, work: Callable[..., T], *arguments: object) -> T:
        """The result of `work(*arguments)`. What it raises is raised."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def close(self) -> None:
        """No more work; what runs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """What a picture is: media type, and size in pixels."""

    mime: str
    width: int
    height: int


def measure(data: bytes) -> Measured:
    """Type and size of a picture, by its header. Raises BadPicture."""
    with _opened(data) as picture:
        return Measured(MIMES[str(picture.format)], *picture.size)


def checked(data: bytes, most_pixels: float) -> tuple[bytes, str]:
    """(bytes, media type) of a picture that was decoded whole and has nothing behind its end: the caller's own bytes
    where they are plain, else encoded anew. Raises BadPicture."""
    with _opened(data) as picture:
        if picture.width * picture.height > most_pixels:
            raise BadPicture(f"has more than {most_pixels / 1e6:g} megapixels")
        if picture.format == "PNG":
            picture.verify()
    with _opened(data) as picture:
        picture.load()
        form = str(picture.format)
        if (picture.mode in _PLAIN.get(form, ()) and not getattr(picture, "is_animated", False)) or form == "MPO":
            return _without_tail(data, form), MIMES[form]
        plain = _plain(picture)
        keep = "JPEG" if form == "JPEG" else "PNG"
        return _encoded(plain, keep, _QUALITY), MIMES[keep]


def mask_guide(data: bytes, most_pixels: float) -> tuple[bytes, str]:
    """A mask as a picture that shows it: white where its alpha is transparent (the region to change), black elsewhere.
    One without alpha is returned as it is. Raises BadPicture."""
    data, mime = checked(data, most_pixels)
    with _opened(data) as picture:
        if "A" not in picture.getbands() and "transparency" not in picture.info:
            return data, mime
        alpha = picture.convert("RGBA").getchannel("A")
        return _encoded(PIL.ImageOps.invert(alpha), "PNG", _QUALITY), "image/png"


def encoded(data: bytes, form: str | None, quality: int | None, longest: int | None) -> tuple[bytes, Measured]:
    """A picture encoded as `form` (png, jpeg, webp; None: as it is), enlarged (Lanczos) until its longer side has
    `longest` pixels where it has fewer. Raises BadPicture."""
    with _opened(data) as picture:
        form = form.upper() if form else str(picture.format)
        drawn: PIL.Image.Image = picture
        if longest is not None and max(picture.size) < longest:
            factor = longest / max(picture.size)
            size = (round(picture.width * factor), round(picture.height * factor))
            drawn = picture.convert("RGBA" if "A" in picture.getbands() else "RGB")
            drawn = drawn.resize(size, PIL.Image.Resampling.LANCZOS)
        return _encoded(_plain(drawn), form, quality or _QUALITY), Measured(MIMES[form], *drawn.size)


@contextmanager
def _opened(data: bytes) -> Iterator[PIL.Image.Image]:
    """The picture, with all that Pillow raises for bad ones as BadPicture."""
    try:
        with PIL.Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            yield picture
    except BadPicture:
        raise
    except (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning):
        raise BadPicture("has too many pixels") from None
    except PIL.UnidentifiedImageError:
        raise BadPicture("is not a PNG, JPEG, WebP or GIF picture") from None
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, struct.error, EOFError, MemoryError):
        raise BadPicture("is a damaged picture") from None


def _plain(picture: PIL.Image.Image) -> PIL.Image.Image:
    if picture.mode in ("L", "RGB", "RGBA"):
        return picture
    if picture.mode.startswith(("I", "F")):
        return picture.convert("I").point(lambda level: level / 256).convert("L")
    transparent = "A" in picture.getbands() or "transparency" in picture.info
    return picture.convert("RGBA" if transparent else "RGB")


def _encoded(picture: PIL.Image.Image, form: str, quality: int) -> bytes:
    buffer = io.BytesIO()
    if form == "PNG":
        picture.save(buffer, "PNG", compress_level=1)
    elif form == "WEBP":
        picture.save(buffer, "WEBP", quality=quality, method=2)
    else:
        picture.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _without_tail(data: bytes, form: str) -> bytes:
    """The picture without what follows its end: a file may be two things at once."""
    if form == "PNG":
        end = _png_end(data)
    elif form == "WEBP":
        end = 8 + int.from_bytes(data[4:8], "little")
    else:
        end = _jpeg_end(data)
    return data[:end]


def _png_end(data: bytes) -> int:
    position = 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        position += 12 + length
        if name == b"IEND":
            break
    return position


def _jpeg_end(data: bytes) -> int:
    """Behind the first EOI marker outside of a segment."""
    position = 2
    while position < len(data):
        # Piece by piece (they overlap by half a marker): a search over all would hold up other threads.
        marker = _JPEG_MARKER.search(data, position, position + _PIECE)
        if marker is None:
            position += _PIECE - 1
            continue
        if data[marker.start() + 1] == 0xD9:
            return marker.end()
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return len(data)
