"""Every star that a picture of a given size may carry, the likely ones first, each with how much proof it needs.

The table of what has been seen lives here; whether a picture carries one is decided in detect.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal

import numpy as np

from watermark.masks import SAMPLES, Counts, mask
from watermark.outline import PAD, Coverage, Outline, trace
from watermark.resample import Scaling, scaled_box, scaled_coverage
from watermark.slots import Box, Slot

Kind = Literal["exact", "preview", "upscaled", "learned"]

V1: Final = 128
"""The older star's opacity, of 255."""
V2: Final = 77
"""The star since June 2026."""

NATIVE: Final = (
    (1024, 1024), (1408, 768), (1376, 768), (1344, 768), (1264, 848), (1248, 832), (1200, 896), (1184, 864),
    (1152, 928), (1152, 896), (1536, 672), (1584, 672), (1280, 720),
)  # fmt: skip
"""Sizes (width, height) of native 1K pictures, in landscape; each is seen in portrait too."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a star must show before it is believed: standard errors, gain, and gain over the places beside it."""

    z: float
    gain: float
    margin: float


EXPECTED: Final = Proof(5.0, 0.04, 0.02)
SEEN: Final = Proof(6.0, 0.05, 0.03)
SCALED: Final = Proof(7.0, 0.06, 0.04)
RARE: Final = Proof(9.0, 0.12, 0.06)


@dataclass(frozen=True, slots=True, eq=False)
class Star:
    """One star at one place: its square in the picture, the opacities it may have (of 255) and its shape.
    `counts` is the exact mask (k of 16); a scaled star has none."""

    slot: Slot
    kind: Kind
    box: Box
    opacities: tuple[int, ...]
    proof: Proof
    coverage: Coverage = field(repr=False)
    outline: Outline = field(repr=False)
    counts: Counts | None = field(default=None, repr=False)
    scaling: Scaling | None = None

    def window_fits(self, width: int, height: int) -> bool:
        """Whether the square with its surroundings lies inside a picture of `width` x `height` px."""
        x, y, across, down = self.box
        return min(x, y) >= PAD and x + across + PAD <= width and y + down + PAD <= height


_EXACT: Final = (
    (Slot(48, 96), (V2, V1), EXPECTED),
    (Slot(48, 32), (V1,), SEEN),
    (Slot(96, 64), (V1,), SEEN),
    (Slot(48, 89), (V2, V1), RARE),
)
_SCALED: Final = ((Slot(48, 96), (V2,)), (Slot(48, 32), (V1,)), (Slot(96, 64), (V1,)))


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """A star that `calibrate` learned: its slot, its opacity (of 255) and its coverage (size x size, 0..1). `counts` is
    there when the coverage turned out to be whole sixteenths; it is then undone exactly."""

    slot: Slot
    opacity: int
    coverage: Coverage = field(repr=False)
    counts: Counts | None = field(default=None, repr=False)


@lru_cache(maxsize=32)
def stars(width: int, height: int) -> tuple[Star, ...]:
    """The stars to look for in a picture of `width` x `height` px."""
    exact = [
        _exact(slot, opacities, proof, width, height) for slot, opacities, proof in _EXACT if _room(slot, width, height)
    ]
    scaled = [
        _scaled(slot, opacities, Scaling(native, (width, height)))
        for native in natives(width, height)
        for slot, opacities in _SCALED
        if _room(slot, *native)
    ]
    return tuple(star for star in exact + scaled if star.window_fits(width, height) and len(star.outline.inner))


def candidates(width: int, height: int, learned: Sequence[Learned] = ()) -> tuple[Star, ...]:
    """The known and the learned stars to look for in a picture of `width` x `height` px."""
    mine = (_learned(mark, width, height) for mark in learned if _room(mark.slot, width, height))
    return (*mine, *stars(width, height))


def natives(width: int, height: int) -> list[tuple[int, int]]:
    """Native sizes that this picture may be a scaled copy of: the same shape to within one pixel, another size."""
    shapes = [*NATIVE, *((short, long) for long, short in NATIVE if long != short)]
    return [
        native
        for native in shapes
        if native != (width, height)
        and 0.25 <= width / native[0] <= 4.5
        and abs(native[1] * width / native[0] - height) <= 1
    ]


def _room(slot: Slot, width: int, height: int) -> bool:
    return min(width, height) >= slot.size + slot.margin + PAD


def _exact(slot: Slot, opacities: tuple[int, ...], proof: Proof, width: int, height: int) -> Star:
    return Star(slot, "exact", slot.box(width, height), opacities, proof, *exact_shape(slot.size), counts=mask(slot.size))


@lru_cache(maxsize=4)
def exact_shape(size: int) -> tuple[Coverage, Outline]:
    """Coverage and outline of the exact star of `size` px."""
    coverage = (mask(size) / SAMPLES).astype(np.float32)
    return coverage, trace(coverage)


def _learned(mark: Learned, width: int, height: int) -> Star:
    outline = _learned_outline(mark)
    box = mark.slot.box(width, height)
    return Star(mark.slot, "learned", box, (mark.opacity,), SEEN, mark.coverage, outline, counts=mark.counts)


@lru_cache(maxsize=32)
def _learned_outline(mark: Learned) -> Outline:
    return trace(mark.coverage, reach=3.0)


def _scaled(slot: Slot, opacities: tuple[int, ...], scaling: Scaling) -> Star:
    kind: Kind = "preview" if scaling.ratio < 1 else "upscaled"
    coverage = scaled_coverage(slot, scaling)
    ratio = scaling.ratio
    outline = trace(coverage, reach=3.0) if ratio < 1 else trace(coverage, 3.3 * ratio, gap=ratio / 2, scale=round(ratio))
    return Star(slot, kind, scaled_box(slot, scaling), opacities, SCALED, coverage, outline, scaling=scaling)
