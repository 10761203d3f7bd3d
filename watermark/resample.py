"""The star's coverage after the whole picture has been scaled: previews (smaller) and upscaled 2K pictures (larger).

Only masks are resampled here, with Pillow's kernels, aligned with the picture's own edges.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from PIL import Image as Pillow

from watermark.masks import SAMPLES, mask
from watermark.outline import Coverage
from watermark.slots import Box, Slot

KERNELS: Final = {
    "bicubic": Pillow.Resampling.BICUBIC,
    "lanczos": Pillow.Resampling.LANCZOS,
    "bilinear": Pillow.Resampling.BILINEAR,
    "box": Pillow.Resampling.BOX,
}
_EDGE: Final = 24
"""Native pixels of nothing around the star, so that no kernel reaches past the canvas."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """From a native picture of `native` (width, height) px to one of `actual`; `sharpen` is the strength and radius
    (px) of an unsharp mask that the scaler applied afterwards."""

    native: tuple[int, int]
    actual: tuple[int, int]
    kernel: str = "bicubic"
    sharpen: tuple[float, float] = (0.0, 1.0)

    @property
    def ratio(self) -> float:
        """Above 1 for an upscaled picture, below 1 for a preview."""
        return self.actual[0] / self.native[0]


def scaled_box(slot: Slot, scaling: Scaling) -> Box:
    """The square of whole pixels that holds the scaled star and its blur, or the halo of a sharpening upscaler.
    Raises ValueError when the native picture has no room for the slot."""
    left, top, size, _ = slot.box(*scaling.native)
    ratio_x, ratio_y = _ratios(scaling)
    blur = 2 if scaling.ratio < 1 else math.ceil(6 * scaling.ratio)
    side = math.ceil(size * max(ratio_x, ratio_y)) + 2 * blur + 1
    return math.floor(left * ratio_x) - blur, math.floor(top * ratio_y) - blur, side, side


def _ratios(scaling: Scaling) -> tuple[float, float]:
    return scaling.actual[0] / scaling.native[0], scaling.actual[1] / scaling.native[1]


@lru_cache(maxsize=64)
def scaled_coverage(slot: Slot, scaling: Scaling) -> Coverage:
    """Coverage (n x n, read-only) in the square of `scaled_box`; a sharpened one overshoots 0 and 1 on purpose."""
    native_x, native_y, size, _ = slot.box(*scaling.native)
    x, y, side, _ = scaled_box(slot, scaling)
    canvas = Pillow.fromarray(np.pad(mask(size).astype(np.float32) / SAMPLES, _EDGE))
    ratio_x, ratio_y = _ratios(scaling)
    reach = min(6, int(_EDGE * min(ratio_x, ratio_y)) - 4)
    corner_x = (x - reach) / ratio_x - native_x + _EDGE
    corner_y = (y - reach) / ratio_y - native_y + _EDGE
    wide = side + 2 * reach
    box = (corner_x, corner_y, corner_x + wide / ratio_x, corner_y + wide / ratio_y)
    scaled = np.asarray(canvas.resize((wide, wide), KERNELS[scaling.kernel], box=box), np.float32)
    strength, radius = scaling.sharpen
    if strength:
        scaled = scaled + np.float32(strength) * (scaled - _blurred(scaled, radius))
    cut: Coverage = np.ascontiguousarray(scaled[reach : reach + side, reach : reach + side])
    cut.flags.writeable = False
    return cut


def _blurred(image: Coverage, radius: float) -> Coverage:
    """A separable Gaussian of standard deviation `radius` px, the edges repeated."""
    span = math.ceil(3 * radius)
    weight = np.exp(-0.5 * (np.arange(-span, span + 1) / radius) ** 2).astype(np.float32)
    weight /= weight.sum()
    for axis in (0, 1):
        pad = [(0, 0), (0, 0)]
        pad[axis] = (span, span)
        padded = np.pad(image, pad, mode="edge")
        length = image.shape[axis]
        image = np.zeros_like(image)
        for i, share in enumerate(weight):
            image += share * np.take(padded, range(i, i + length), axis)
    return image
