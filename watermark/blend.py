"""The compositor that put the star on the picture: white on top in encoded sRGB, truncated to a byte."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from watermark.masks import SAMPLES, Counts, mask
from watermark.slots import Slot

Image = NDArray[np.uint8]


@lru_cache(maxsize=8)
def forward_table(opacity: int) -> Image:
    """w[k, o] (17 x 256, uint8): what the original byte `o` becomes under `k` of 16 samples at `opacity`/255."""
    if not 0 < opacity < 255:
        raise ValueError(f"opacity {opacity} is outside 1..254")
    # a = k * opacity / 16 and w = floor(a + (255 - a) * o / 255), in whole numbers so that nothing rounds twice.
    a16 = np.arange(SAMPLES + 1, dtype=np.int64)[:, None] * opacity
    o = np.arange(256, dtype=np.int64)[None, :]
    table = ((255 * a16 + (255 * SAMPLES - a16) * o) // (255 * SAMPLES)).astype(np.uint8)
    table.flags.writeable = False
    return table


@lru_cache(maxsize=8)
def inverse_tables(opacity: int) -> tuple[Image, Image]:
    """low[k, w] and high[k, w] (17 x 256, uint8): the least and the greatest original byte that `forward_table` turns
    into `w`. Both are 0 where there is none, because `w` is then darker than any original allows."""
    forward = forward_table(opacity)
    low, high = np.zeros_like(forward), np.zeros_like(forward)
    levels = np.arange(256)
    for count, row in enumerate(forward):
        first, last = np.searchsorted(row, levels, "left"), np.searchsorted(row, levels, "right") - 1
        low[count], high[count] = np.where(first <= last, (first, last), 0)
    low.flags.writeable = high.flags.writeable = False
    return low, high


def add(image: Image, slot: Slot | str = "48@96", opacity: int = 77) -> Image:
    """A copy of `image` (H x W x 3, uint8) with the star at `slot`, exactly as the compositor writes it.
    Raises ValueError when the slot does not fit, or has a size other than 48 and 96."""
    place = Slot.parse(slot) if isinstance(slot, str) else slot
    height, width = image.shape[:2]
    x, y, size, _ = place.box(width, height)
    marked = image.copy()
    patch = marked[y : y + size, x : x + size]
    counts: Counts = mask(size)
    patch[...] = forward_table(opacity)[counts[..., None], patch]
    return marked
