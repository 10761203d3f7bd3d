"""Takes a found star off the pixels and checks that it has gone. Positions and decisions come in with the mark."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from watermark.blend import Image, inverse_tables
from watermark.corner import Corner
from watermark.detect import Mark
from watermark.evidence import LUMA, Slope, Window, gain, slope
from watermark.masks import Counts
from watermark.outline import Coverage
from watermark.resample import scaled_coverage


@dataclass(frozen=True, slots=True)
class Tolerance:
    """What may remain of a star: a `share` of its opacity, or so many `levels` of luma, whichever is more."""

    share: float
    levels: float


LOSSLESS: Final = Tolerance(0.1, 2.0)
LOSSY: Final = Tolerance(0.2, 5.0)
"""A JPEG blurs the outline itself, so its pixels never fit the mask exactly."""
_AGREEMENT: Final = 0.75
_GAIN: Final = 0.02
_RESAMPLED_BIAS: Final = 0.25
"""Levels that truncation took away on average, after resampling has rounded again."""
_SHARPENERS: Final = (
    (0.0, 1.0), (0.3, 1.0), (0.6, 1.0), (1.0, 1.0), (1.5, 1.0), (0.3, 2.0), (0.6, 2.0), (1.0, 2.0), (1.5, 2.0),
)  # fmt: skip


def remove(image: Image, mark: Mark) -> Image:
    """A copy of `image` (H x W x 3, uint8) without `mark`. Pixels outside `mark.box` are the same bit for bit; under an
    exact star each pixel is at most one level off what the compositor was given. Raises ValueError if the box leaves
    the image."""
    corner = Corner.whole(image)
    return corner.pasted(mark.box, restore(corner.cut(mark.box), mark)).pixels


def restore(patch: Image, mark: Mark) -> Image:
    """What was under `mark`, for the pixels of its box (n x n x 3)."""
    if mark.star.counts is not None:
        return _undo_exact(patch, mark.star.counts, mark.opacity)
    return _undo_scaled(patch, coverage_of(patch, mark), mark.opacity)


def _undo_exact(patch: Image, counts: Counts, opacity: int) -> Image:
    """The middle of the bytes that may have been there. Of two, both as likely, the one nearer to what lies around the
    star: on even ground a whole star that is one level off could still be made out."""
    low, high = (table[counts[..., None], patch] for table in inverse_tables(opacity))
    middle: Image = low + (high - low) // 2
    nearer = np.where(_surroundings(middle, counts) > low + np.float32(0.5), high, low)
    undone: Image = np.where(high - low == 1, nearer, middle)
    return undone


def _surroundings(patch: Image, counts: Counts) -> Coverage:
    """For every pixel a mean of the next uncovered ones to the left, right, above and below, by their nearness: along a
    row or a column this is the straight line between them. Where there are none the pixel itself."""
    total = np.zeros(patch.shape, np.float32)
    weight = np.zeros(counts.shape, np.float32)
    for turns in range(4):
        turned = np.rot90(counts, turns)
        places = np.arange(turned.shape[1])[None, :]
        last = np.maximum.accumulate(np.where(turned == 0, places, -1), axis=1)
        near = np.where(last >= 0, 1 / np.maximum(places - last, 0.5), 0).astype(np.float32)
        values = np.take_along_axis(np.rot90(patch, turns), np.maximum(last, 0)[..., None], axis=1)
        total += np.rot90(values * near[..., None], -turns)
        weight += np.rot90(near, -turns)
    mean: Coverage = np.where(weight[..., None] > 0, total / np.maximum(weight, 1e-6)[..., None], patch)
    return mean


def _undo_scaled(patch: Image, coverage: Coverage, opacity: int) -> Image:
    """o = (w + bias - 255 a) / (1 - a), rounded; untouched where nothing covers."""
    alpha = np.clip(coverage, -1, 1)[..., None] * np.float32(opacity / 255)
    undone = (patch + np.float32(_RESAMPLED_BIAS) - 255 * alpha) / (1 - alpha)
    rounded = np.clip(np.rint(undone), 0, 255).astype(np.uint8)
    return np.where(np.abs(alpha) < 1e-3, patch, rounded)


def coverage_of(patch: Image, mark: Mark) -> Coverage:
    """The coverage (n x n, 0..1) of `mark` over the pixels of its box. Of a scaled star it is the one by the kernel (and
    sharpening, if upscaled) that leaves the smoothest outline: nothing else in the picture tells what the scaler used."""
    star = mark.star
    if star.scaling is None:
        return star.coverage
    sharpeners = _SHARPENERS if star.kind == "upscaled" else _SHARPENERS[:1]
    band = (np.abs(star.coverage) > 0.02) & (star.coverage < 0.98)
    candidates = [
        scaled_coverage(star.slot, replace(star.scaling, kernel=kernel, sharpen=sharpen))
        for kernel in ("bicubic", "lanczos", "bilinear", "box")
        for sharpen in sharpeners
    ]
    return min(candidates, key=lambda coverage: _roughness(_undo_scaled(patch, coverage, mark.opacity), band))


def _roughness(patch: Image, band: NDArray[np.bool_]) -> float:
    """Mean absolute second difference of luma (levels, capped) around the outline `band`."""
    luma = patch @ LUMA[0]
    inner = luma[1:-1, 1:-1]
    bend = np.abs(luma[:-2, 1:-1] + luma[2:, 1:-1] - 2 * inner) + np.abs(luma[1:-1, :-2] + luma[1:-1, 2:] - 2 * inner)
    return float(np.minimum(bend, 40)[band[1:-1, 1:-1]].mean())


def left_over(window: Window, mark: Mark) -> Slope:
    """What is still to be seen of `mark` in the cleaned `window`; negative for a "black hole"."""
    return slope(window, mark.star.outline, LUMA, start=0.0, hopeless=-1.0)


def is_gone(window: Window, mark: Mark, allow: Tolerance = LOSSLESS) -> bool:
    """Whether the cleaned `window` (see `Corner.window`) shows neither the star nor its negative ("black hole"). What is
    left counts as a star when it is more than is allowed and stands as firmly as a star must: beyond its error, in most
    sectors, and here more than beside."""
    outline, left = mark.star.outline, left_over(window, mark)
    darkness = 255 - float((window.reshape(-1, 3)[outline.outer] @ LUMA[0]).mean())
    allowed = max(allow.share * mark.opacity / 255, allow.levels / max(darkness, 1.0))
    if abs(left.opacity) <= max(4 * left.error, allowed) or left.agreement < _AGREEMENT:
        return True
    quieted = gain(window, outline, left.opacity)
    return quieted.here < max(quieted.beside, _GAIN)
