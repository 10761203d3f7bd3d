"""Whole files: PNG, JPEG and WebP bytes in, bytes of the same format out, and what was decided. Nothing is written that
was not read back and found clean; whatever cannot be handled comes back byte for byte."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

import numpy as np
from PIL import Image as Pillow

from watermark import blocks, jpeg, png, webp
from watermark.corner import Corner
from watermark.detect import Mark
from watermark.huffman import ScanError
from watermark.outline import PAD
from watermark.peel import Peeled, gone, peel
from watermark.remove import LOSSY, Tolerance, coverage_of
from watermark.scan import edit_scan
from watermark.stars import Learned, candidates

Format = Literal["png", "jpeg", "webp"]
Outcome = Literal["removed", "absent", "kept"]

MAX_PIXELS: Final = 25_000_000
"""Pictures of Gemini have at most 4096 x 4096 = 16.8 million."""
_COLOURS: Final = ("L", "LA", "RGB", "RGBA")
_UNREADABLE: Final = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, struct.error, zlib.error,
    MemoryError, Pillow.DecompressionBombError, Pillow.DecompressionBombWarning,
)  # fmt: skip
"""What Pillow's decoders raise for broken files."""


class Reason(StrEnum):
    """Why a file came back as it did."""

    REMOVED = "star removed"
    NO_STAR = "no star found"
    STILL_SEEN = "a star was found, but could still be seen after its removal"
    BROKEN = "the file is broken"
    TOO_LARGE = "the picture has too many pixels"
    ANIMATED = "animations are left alone"
    COLOURS = "neither 8-bit grey nor 8-bit RGB"
    UNSUPPORTED = "neither PNG, JPEG nor WebP"


@dataclass(frozen=True, slots=True)
class Result:
    """A file and what was done to it. Unless `reason` is REMOVED, `data` is the input itself. `exact` says that nothing
    outside the stars' boxes changed (in a JPEG: outside the blocks that they touch); `detail` says more, in words;
    `refused` is a star that was found and left."""

    data: bytes
    format: Format | None
    reason: Reason
    marks: tuple[Mark, ...] = ()
    exact: bool = True
    detail: str = ""
    refused: Mark | None = None

    @property
    def found(self) -> tuple[Mark, ...]:
        """The stars that were seen, removed or not."""
        return self.marks or ((self.refused,) if self.refused else ())

    @property
    def outcome(self) -> Outcome:
        """removed; absent (there is no star); kept (there is one, or nobody could look)."""
        match self.reason:
            case Reason.REMOVED:
                return "removed"
            case Reason.NO_STAR:
                return "absent"
            case _:
                return "kept"


@dataclass(frozen=True, slots=True)
class Options:
    """`c2pa`: whether a cleaned file keeps its C2PA manifest, whose hash then fits the pixels no more. `learned` are
    further stars to look for. Pictures of more than `max_pixels` are not unpacked."""

    c2pa: Literal["keep", "drop"] = "keep"
    learned: Sequence[Learned] = ()
    max_pixels: int = MAX_PIXELS


def clean(data: bytes, options: Options = Options()) -> Result:
    """`data` without its stars. Never raises for what `data` holds."""
    found = sniff(data)
    if found is None:
        return Result(data, None, Reason.UNSUPPORTED)
    try:
        return _CLEANERS[found](data, options)
    except _UNREADABLE as exc:
        return Result(data, found, Reason.BROKEN, detail=str(exc))


def sniff(data: bytes) -> Format | None:
    """The format that the first bytes show."""
    if data.startswith(png.SIGNATURE):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "webp"
    return None


# --- the three formats --------------------------------------------------------------------------------------------


def _clean_png(data: bytes, options: Options) -> Result:
    header = png.read_header(data)
    if (reason := _unfit(header.width, header.height, header.animated, options)) is not None:
        return Result(data, "png", reason)
    if not header.plain:
        return Result(data, "png", Reason.COLOURS)
    picture = _opened(data, "PNG")
    peeled = _peeled(picture, options)
    if not peeled.marks:
        return _untouched(data, "png", peeled)
    _paste(picture, peeled)
    drop = frozenset({png.C2PA} if options.c2pa == "drop" else ())
    rows = png.filtered(picture)
    picture.close()  # frees a third more than the rows take, before they are compressed
    return _removed(png.with_rows(data, rows, drop=drop), "png", peeled)


def _clean_webp(data: bytes, options: Options) -> Result:
    header = webp.read_header(data)
    if (reason := _unfit(header.width, header.height, header.animated, options)) is not None:
        return Result(data, "webp", reason)
    picture = _opened(data, "WEBP")
    peeled = _peeled(picture, options, *(() if header.lossless else (LOSSY,)))
    if not peeled.marks:
        return _untouched(data, "webp", peeled)
    _paste(picture, peeled)
    drop = frozenset({webp.C2PA} if options.c2pa == "drop" else ())
    written = webp.with_pixels(data, picture, header, drop=drop)
    detail = "" if header.lossless else "encoded anew at quality 95"
    return _removed(written, "webp", peeled, exact=header.lossless, detail=detail)


def _clean_jpeg(data: bytes, options: Options) -> Result:
    frame = jpeg.read_frame(data)
    if (reason := _unfit(frame.width, frame.height, False, options)) is not None:
        return Result(data, "jpeg", reason)
    picture = _opened(data, "JPEG")
    if picture.mode not in ("L", "RGB"):
        return Result(data, "jpeg", Reason.COLOURS)
    peeled = _peeled(picture, options, LOSSY)
    if not peeled.marks:
        return _untouched(data, "jpeg", peeled)
    try:
        written, exact, detail = _edited(data, frame, _corner(picture, options), peeled), True, ""
    except ScanError as exc:
        _paste(picture, peeled)
        written, exact, detail = jpeg.reencode(data, picture, frame), False, f"encoded anew with the same tables: {exc}"
    if not gone(_corner(_opened(written, "JPEG"), options), peeled.marks, LOSSY):
        return _still_seen(data, "jpeg", peeled.marks[0])
    if options.c2pa == "drop":
        written = jpeg.without_c2pa(written)
    return _removed(written, "jpeg", peeled, exact=exact, detail=detail)


_CLEANERS: Final[dict[Format, Callable[[bytes, Options], Result]]] = {
    "png": _clean_png,
    "jpeg": _clean_jpeg,
    "webp": _clean_webp,
}


def _edited(data: bytes, frame: jpeg.Frame, corner: Corner, peeled: Peeled) -> bytes:
    """The JPEG with the stars undone inside the blocks that they touch. Raises ScanError where that cannot be."""
    scan = jpeg.find_scan(data, frame)
    veils = [
        blocks.Veil(mark.box, coverage_of(corner.cut(mark.box), mark) * np.float32(mark.opacity / 255))
        for mark in peeled.marks
    ]
    found = blocks.planes(frame, scan, veils)
    edited = edit_scan(
        data[scan.start : scan.end], scan.layout, blocks.touched(found), lambda held: blocks.undo(held, frame, found)
    )
    return data[: scan.start] + edited + data[scan.end :]


# --- what they share ----------------------------------------------------------------------------------------------


def _unfit(width: int, height: int, animated: bool, options: Options) -> Reason | None:
    if width * height > options.max_pixels:
        return Reason.TOO_LARGE
    return Reason.ANIMATED if animated else None


def _opened(data: bytes, form: str) -> Pillow.Image:
    """The picture, unpacked."""
    picture = Pillow.open(io.BytesIO(data), formats=(form,))
    picture.load()
    return picture


def _corner(picture: Pillow.Image, options: Options) -> Corner:
    """The part of `picture` that all its possible stars lie in, with their surroundings."""
    width, height = picture.size
    boxes = [star.box for star in candidates(width, height, options.learned)]
    left = min((box[0] for box in boxes), default=width) - PAD
    top = min((box[1] for box in boxes), default=height) - PAD
    cut = picture.crop((max(left, 0), max(top, 0), width, height))
    return Corner(np.asarray(cut.convert("RGB")), width, height)


def _peeled(picture: Pillow.Image, options: Options, *allow: Tolerance) -> Peeled:
    if picture.mode not in _COLOURS:
        raise ValueError(f"pixels of mode {picture.mode}")
    return peel(_corner(picture, options), options.learned, *allow)


def _paste(picture: Pillow.Image, peeled: Peeled) -> None:
    """Put the restored boxes into `picture`; an alpha channel stays as it is."""
    for mark in peeled.marks:
        x, y, across, down = mark.box
        patch = Pillow.fromarray(peeled.corner.cut(mark.box))
        if picture.mode in ("L", "LA"):
            patch = patch.getchannel(0)
        if picture.mode in ("LA", "RGBA"):
            patch.putalpha(picture.crop((x, y, x + across, y + down)).getchannel("A"))
        picture.paste(patch, (x, y))


def _untouched(data: bytes, form: Format, peeled: Peeled) -> Result:
    if peeled.refused is not None:
        return _still_seen(data, form, peeled.refused)
    return Result(data, form, Reason.NO_STAR)


def _removed(data: bytes, form: Format, peeled: Peeled, *, exact: bool = True, detail: str = "") -> Result:
    if any(mark.kind == "upscaled" for mark in peeled.marks):
        detail = "the star was upscaled with the picture: a faint outline may be left" + (f"; {detail}" if detail else "")
    return Result(data, form, Reason.REMOVED, peeled.marks, exact, detail)


def _still_seen(data: bytes, form: Format, mark: Mark) -> Result:
    detail = f"at {mark.slot}, opacity {mark.opacity}"
    return Result(data, form, Reason.STILL_SEEN, detail=detail, refused=mark)
