"""The outline of a star as pairs of pixels: one inside, fully covered, and the nearest one outside, untouched.

Only geometry lives here, worked out once a mask and kept; no picture is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Coverage = NDArray[np.float32]
"""Share of each pixel that the star covers, 0..1."""

SECTORS: Final = 16
PAD: Final = 8
"""Pixels of surroundings that a window carries on each side of the star."""

_PIECE: Final = 256
_CLEAR: Final = 0.02
"""A pixel within this share of 0 or 1 counts as untouched or fully covered (resampled masks are never exact)."""


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """Pairs across the outline of one mask, as flat indices into a window of `side` x `side` px (mask plus PAD)."""

    side: int
    inner: NDArray[np.intp]
    outer: NDArray[np.intp]
    sector: NDArray[np.intp]
    covered: NDArray[np.intp]
    scale: int = 1
    """How many pixels one pixel of a native star has become (1 for previews, too)."""

    def shifted(self, dy: int, dx: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """`inner` and `outer` moved by (dy, dx) native px; at most PAD - 3, or they leave the window."""
        step = (dy * self.side + dx) * self.scale
        return self.inner + step, self.outer + step


def trace(coverage: Coverage, reach: float = 2.3, gap: float = 0.0, scale: int = 1) -> Outline:
    """The outline of `coverage` (n x n): every pixel of either kind within `reach` px of the other kind, with its
    nearest partner. `reach` grows with the blur of a resampled star; pixels within `gap` px of the blur are left out
    (the halo of a sharpening upscaler lies there)."""
    padded = np.pad(coverage, PAD)
    inside, outside = padded >= 1 - _CLEAR, np.abs(padded) <= _CLEAR
    if gap:
        inside, outside = inside & ~_near(~inside, gap), outside & ~_near(~outside, gap)
    rim_in = _points(inside & _near(outside, reach))
    rim_out = _points(outside & _near(inside, reach))
    if not len(rim_in) or not len(rim_out):
        empty = np.zeros(0, np.intp)
        return Outline(len(padded), empty, empty, empty, empty, scale)
    pairs = np.unique(
        np.concatenate(
            [
                np.stack([np.arange(len(rim_in)), _nearest(rim_in, rim_out)], 1),
                np.stack([_nearest(rim_out, rim_in), np.arange(len(rim_out))], 1),
            ]
        ),
        axis=0,
    )
    first, second = rim_in[pairs[:, 0]], rim_out[pairs[:, 1]]
    side = len(padded)
    return Outline(
        side=side,
        inner=first @ np.array([side, 1]),
        outer=second @ np.array([side, 1]),
        sector=_sectors((first + second) / 2 - (side - 1) / 2),
        covered=np.flatnonzero(inside),
        scale=scale,
    )


def _points(where: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.argwhere(where)


def _nearest(points: NDArray[np.intp], others: NDArray[np.intp]) -> NDArray[np.intp]:
    """Which of `others` (m x 2) is nearest to each of `points` (n x 2). In pieces: all distances of a large star at once
    would take a hundred megabytes."""
    x, y = others[:, 1].astype(np.int32), others[:, 0].astype(np.int32)
    nearest = [
        ((piece[:, 1:] - x) ** 2 + (piece[:, :1] - y) ** 2).argmin(1)
        for start in range(0, len(points), _PIECE)
        for piece in [points[start : start + _PIECE].astype(np.int32)]
    ]
    return np.concatenate(nearest)


def _near(where: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
    """Pixels within `reach` px of one that is set (a dilation by a disc)."""
    span = int(reach)
    near = np.zeros_like(where)
    padded = np.pad(where, span)
    height, width = where.shape
    for dy in range(-span, span + 1):
        for dx in range(-span, span + 1):
            if dy * dy + dx * dx <= reach * reach:
                near |= padded[span + dy : span + dy + height, span + dx : span + dx + width]
    return near


def _sectors(offset: NDArray[np.float64]) -> NDArray[np.intp]:
    """Which of the 16 sectors around the centre each point lies in. The tips lie in the middle of a sector, so that
    one object behind one tip spoils one sector and no more."""
    turns = np.arctan2(offset[:, 0], offset[:, 1]) / (2 * np.pi)
    sectors: NDArray[np.intp] = np.floor(turns * SECTORS + 0.5).astype(np.intp) % SECTORS
    return sectors
