"""The star as an exact integer object: coverage masks of 0..16 samples a pixel, and the one opacity above them.

Only constants and their resampling live here; nothing here looks at a picture.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.uint8]

SAMPLES: Final = 16
"""Antialiasing samples a pixel: a count of 16 is full coverage."""

# Top-left quadrants, one word a text row: "x0:partial counts", then 16 up to the centre.
K48: Final = (
    "23:14 22:4 22:9 22:14 21:4 21:10 20:2 20:10 19:2 19:14 18:8 17:2 16:2,14 16:13 15:10 14:10 12:1,12 11:3,14 "
    "10:7,15 8:4,12 6:2,10 4:4,12 1:4,9,15 0:14"
)
K96: Final = (
    "46:7,15 45:2 45:5 45:10 45:14 44:4 44:10 44:14 43:5 43:11 42:2 42:10 41:2 41:8 40:2,14 40:10 39:2 39:10 38:5 "
    "38:14 37:8 36:3 35:2,14 35:10 34:8 33:4 32:2,15 31:2,14 30:2,14 29:1,14 28:2,13 27:2,14 26:2,14 25:4,15 24:7 "
    "22:1,11 21:4,14 19:1,9 18:4,14 16:2,11 14:1,8,15 12:1,8,15 10:2,8,15 8:4,12 5:4,9,15 1:1,6,10,15 0:7 0:14"
)


def parse_quadrant(text: str) -> Counts:
    """The top-left quadrant (n x n, uint8 counts 0..16) that `text` writes row by row."""
    rows = text.split()
    quadrant = np.zeros((len(rows), len(rows)), np.uint8)
    for y, row in enumerate(rows):
        start, _, partial = row.partition(":")
        counts = [int(count) for count in partial.split(",")]
        x = int(start)
        quadrant[y, x : x + len(counts)] = counts
        quadrant[y, x + len(counts) :] = SAMPLES
    return quadrant


def whole(quadrant: Counts) -> Counts:
    """The whole mask (2n x 2n) of a quadrant: four-fold rotation, no mirror."""
    top = np.hstack([quadrant, np.rot90(quadrant, -1)])
    bottom = np.hstack([np.rot90(quadrant, 1), np.rot90(quadrant, 2)])
    return np.ascontiguousarray(np.vstack([top, bottom]))


@lru_cache(maxsize=4)
def mask(size: int) -> Counts:
    """The exact coverage counts (size x size, uint8 0..16, read-only) of the star. ValueError but for 48 and 96."""
    match size:
        case 48:
            counts = whole(parse_quadrant(K48))
        case 96:
            counts = whole(parse_quadrant(K96))
        case _:
            raise ValueError(f"no exact star of {size} px: the sizes are 48 and 96")
    counts.flags.writeable = False
    return counts
