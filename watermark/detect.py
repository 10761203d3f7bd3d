"""Decides whether a picture carries a star, and which: from the evidence for each star that it may carry.

Nothing is changed here. The rule is to leave a picture alone unless several independent signs agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from watermark.blend import Image
from watermark.corner import Corner
from watermark.evidence import LUMA, OPPONENT, Slope, Window, gain, slope, too_dark
from watermark.slots import Box
from watermark.stars import Kind, Learned, Star, candidates

_NEAR = 0.1
"""How far (of 1) the measured opacity may be from a known one: a JPEG lowers it, a busy background scatters it."""
_AGREEMENT = 0.75
_DARK = 0.03
_EXACT_FIRST = 0.1


@dataclass(frozen=True, slots=True)
class Mark:
    """A star that was found. `slot` is size@margin in the native picture; `box` is x, y, width, height in this one;
    `opacity` is of 255; `confidence` is 0..1; `gain` is the share of the outline's contrast that the star explains."""

    slot: str
    kind: Kind
    box: Box
    opacity: int
    measured: float
    z: float
    agreement: float
    gain: float
    confidence: float
    star: Star = field(repr=False, compare=False)

    @property
    def size(self) -> int:
        """Side of the native star in px."""
        return self.star.slot.size

    @property
    def margin(self) -> int:
        """Distance in px of the native star from the right and the bottom edge."""
        return self.star.slot.margin

    @property
    def scale(self) -> float:
        """1 for a native picture, below for a preview, above for an upscaled one."""
        return self.star.scaling.ratio if self.star.scaling else 1.0


def detect(image: Image, *, learned: Sequence[Learned] = ()) -> Mark | None:
    """The star in `image` (H x W x 3, uint8), or None. `learned` are further stars to look for (see calibrate).
    Raises ValueError when the array is no such picture."""
    found = detect_all(Corner.whole(image), learned)
    return found[0] if found else None


def detect_all(corner: Corner, learned: Sequence[Learned] = ()) -> list[Mark]:
    """Every star that the evidence supports, the best first; overlapping ones are rivals, of which one can be true."""
    likely = candidates(corner.width, corner.height, learned)
    marks = [mark for star in likely if (mark := examine(corner.window(star.box), star))]
    # A star and its scaled twin differ in a few soft pixels only: the one that is undone exactly goes first.
    return sorted(marks, key=lambda mark: mark.gain + _EXACT_FIRST * (mark.kind in ("exact", "learned")), reverse=True)


def examine(window: Window, star: Star) -> Mark | None:
    """The mark, if `window` (see `Corner.window`) proves `star`."""
    slopes = [seen for axes in (LUMA, OPPONENT) if _promising(seen := slope(window, star.outline, axes), star)]
    if not slopes:
        return None
    gains = [(gain(window, star.outline, opacity / 255), opacity) for opacity in star.opacities]
    best, opacity = max(gains, key=lambda pair: pair[0].here)
    measured = min(slopes, key=lambda seen: abs(seen.opacity - opacity / 255))
    proof = star.proof
    if (
        abs(measured.opacity - opacity / 255) > _NEAR
        or best.here < proof.gain
        or best.here < best.beside + proof.margin
        or too_dark(window, star.outline, opacity / 255) > _DARK
    ):
        return None
    return Mark(
        slot=str(star.slot),
        kind=star.kind,
        box=star.box,
        opacity=opacity,
        measured=measured.opacity,
        z=measured.z,
        agreement=measured.agreement,
        gain=best.here,
        confidence=_confidence(measured, best.here, best.here - best.beside, star),
        star=star,
    )


def _promising(seen: Slope, star: Star) -> bool:
    lowest, highest = min(star.opacities) / 255 - _NEAR, max(star.opacities) / 255 + _NEAR
    return seen.z >= star.proof.z and seen.agreement >= _AGREEMENT and lowest <= seen.opacity <= highest


def _confidence(seen: Slope, quieted: float, margin: float, star: Star) -> float:
    """0.5 for a star that only just passed, towards 1 the further it is beyond what was asked of it."""
    surplus = min(seen.z / star.proof.z - 1, (quieted - star.proof.gain) / 0.1, (margin - star.proof.margin) / 0.1)
    return 1 - 0.5 * math.exp(-surplus)
