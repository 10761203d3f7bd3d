"""How strongly a window of a picture says that a star lies in it: numbers only, no decision and no position.

Under the star u = 255 - w is (1 - a) times what it was, so a pair of neighbours across the outline gives
u_inner = (1 - a) u_outer plus what the picture itself does there. The slope of that relation is the opacity.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from watermark.outline import SECTORS, Outline

Window = NDArray[np.uint8]
"""A cut of the picture around the star, side x side x 3."""
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

LUMA: Final = np.array([[0.299, 0.587, 0.114]], np.float32)
OPPONENT: Final = np.array([[0.299, 0.587, 0.114], [1.0, -1.0, 0.0], [-0.5, -0.5, 1.0]], np.float32)
"""Luma, red - green and blue - yellow: textures vary mostly in the first, so the other two are quieter witnesses
(but not after 4:2:0 subsampling, which mixes both sides of the outline)."""

_ROUNDS: Final = 3
_CAP: Final = 40.0
"""Levels of u: a larger step across the outline belongs to the picture and counts no more than this."""
_RING: Final = ((2, 0), (-2, 0), (0, 2), (0, -2), (4, 0), (-4, 0), (0, 4), (0, -4), (3, 3), (3, -3), (-3, 3), (-3, -3))


@dataclass(frozen=True, slots=True)
class Slope:
    """`opacity` (0..1, negative for a dark star) with its standard error, and the share of sectors of its sign."""

    opacity: float
    error: float
    agreement: float

    @property
    def z(self) -> float:
        """How many standard errors the opacity is away from nothing."""
        return self.opacity / self.error


NOTHING: Final = Slope(0.0, 1.0, 0.0)


def slope(
    window: Window, outline: Outline, axes: Floats = OPPONENT, *, start: float = 0.3, hopeless: float = 0.08
) -> Slope:
    """The robust slope across `outline` in `window`, over the colour `axes` (n x 3). The residual is compared with the
    mean of both sides, not with the outer side: noise would otherwise stand in both and pull the slope up. No known
    star is fainter than `hopeless`; most unmarked windows leave there after one round."""
    if not len(outline.inner):
        return NOTHING
    inner, outer = _sides(window, outline, axes)
    opacity = start
    for _ in range(_ROUNDS):
        step, along, across = _round(inner / (1 - opacity), outer, outline.sector)
        opacity = min(max(1 - (1 - opacity) * (1 - step / 2) / (1 + step / 2), -0.5), 0.9)
        if opacity < hopeless:
            return NOTHING
    scale = 1 - opacity
    deviation = across - step * along
    error = math.sqrt((deviation @ deviation) * SECTORS / (SECTORS - 1)) / along.sum() * scale
    # A byte is never known better than half a level, however flat the picture is.
    error = max(error, 0.5 / max(float(outer[0].mean()), 1.0), 1e-3)
    seen = opacity + scale * (across / along - step)
    return Slope(opacity, error, float((seen * opacity > 0).mean()))


def _sides(window: Window, outline: Outline, axes: Floats) -> tuple[Floats, Floats]:
    """u on both sides of the outline along each axis (two arrays, n x pairs). Differences of channels keep u's sign."""
    flat = window.reshape(-1, 3)
    inner = axes @ (np.float32(255) - flat[outline.inner]).T
    outer = axes @ (np.float32(255) - flat[outline.outer]).T
    return inner, outer


def _round(inner: Floats, outer: Floats, sector: NDArray[np.intp]) -> tuple[float, Doubles, Doubles]:
    """One reweighted step: the slope of the residual on the level, and its two sums a sector."""
    residual, level = outer - inner, (outer + inner) * np.float32(0.5)
    size = np.abs(residual)
    middle = size.shape[1] // 2
    spread = np.float32(1.4826) * np.partition(size, middle, axis=1)[:, middle : middle + 1] + np.float32(1)
    weight = 1 / (np.maximum(spread, size / np.float32(1.5)) ** 2)
    weighted = weight * level
    across = np.bincount(sector, (weighted * residual).sum(0), SECTORS).astype(np.float64)
    along = np.bincount(sector, (weighted * level).sum(0), SECTORS).astype(np.float64) + 1e-9
    step = min(max(float(across.sum() / along.sum()), -1.0), 1.0)
    return step, along, across


@dataclass(frozen=True, slots=True)
class Gain:
    """By what share removing the star quiets the outline, here and at best a few pixels beside it. A star is quieted
    only where it is; a texture that happens to look like one is quieted anywhere or nowhere."""

    here: float
    beside: float


def gain(window: Window, outline: Outline, opacity: float) -> Gain:
    """The gain of undoing `opacity` (0..1) in `window`."""
    u: Floats = np.float32(255) - window.reshape(-1, 3) @ LUMA[0]
    here = _gain_at(u, outline.inner, outline.outer, opacity)
    beside = max(_gain_at(u, *outline.shifted(dy, dx), opacity) for dy, dx in _RING)
    return Gain(here, beside)


def _gain_at(u: Floats, inner: NDArray[np.intp], outer: NDArray[np.intp], opacity: float) -> float:
    first, second = u[inner], u[outer]
    # Dividing by the root shares the stretch between both sides, so that neither "removed" nor "not" is favoured.
    root = math.sqrt(1 - opacity)
    after = float(np.minimum(np.abs(first / root - root * second), _CAP).sum())
    before = float(np.minimum(np.abs(first - second), _CAP).sum())
    return (before - after) / (before + len(inner))


def too_dark(window: Window, outline: Outline, opacity: float, slack: float = 12.0) -> float:
    """Share of fully covered pixels darker, by more than `slack` levels of luma, than white at `opacity` allows at all.
    The slack is for what a JPEG does to them."""
    luma = window.reshape(-1, 3)[outline.covered] @ LUMA[0]
    return float((luma < 255 * opacity - slack).mean())
