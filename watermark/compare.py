"""One picture that shows what was done: the corner before, after, and where they differ."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from watermark.slots import Box

Pixels = NDArray[np.uint8]

_AROUND: Final = 32
_GAP: Final = 6
_TITLE: Final = 22
_PAPER: Final = (250, 250, 250)
_INK: Final = (40, 40, 40)


def opened(data: bytes) -> Pixels:
    """The pixels of a file (H x W x 3)."""
    with Pillow.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as picture:
        return np.asarray(picture.convert("RGB"))


def panels(before: Pixels, after: Pixels, box: Box, *, zoom: int = 3, titles: bool = True) -> Pixels:
    """Before, after and their difference around `box`, side by side, each pixel `zoom` px wide. In the difference grey is
    "no change", and every level is shown eight times."""
    x, y, across, down = box
    rows = slice(max(0, y - _AROUND), y + down + _AROUND)
    columns = slice(max(0, x - _AROUND), x + across + _AROUND)
    first, second = before[rows, columns], after[rows, columns]
    change = np.clip(128 + 8 * (second.astype(int) - first), 0, 255).astype(np.uint8)
    named = zip(("before", "after", "difference x 8"), (first, second, change), strict=True)
    return row([_titled(panel.repeat(zoom, 0).repeat(zoom, 1), title if titles else "") for title, panel in named])


def row(pictures: Sequence[Pixels]) -> Pixels:
    """Pictures side by side, on paper."""
    height = max(len(picture) for picture in pictures)
    pieces: list[Pixels] = []
    for picture in pictures:
        below = np.full((height - len(picture), picture.shape[1], 3), _PAPER, np.uint8)
        pieces += [np.vstack([picture, below]), np.full((height, _GAP, 3), _PAPER, np.uint8)]
    return np.hstack(pieces[:-1])


def column(pictures: Sequence[Pixels]) -> Pixels:
    """Pictures one below the other, on paper."""
    turned = row([picture.transpose(1, 0, 2) for picture in pictures])
    return np.ascontiguousarray(turned.transpose(1, 0, 2))


def _titled(picture: Pixels, title: str) -> Pixels:
    if not title:
        return picture
    strip = Pillow.new("RGB", (picture.shape[1], _TITLE), _PAPER)
    ImageDraw.Draw(strip).text((2, 3), title, fill=_INK, font=ImageFont.load_default(13))
    return np.vstack([np.asarray(strip), picture])
