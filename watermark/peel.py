"""The policy: take off what is proven, look again, and put everything back unless it has gone. Works on a corner's pixels;
which file they came from is clean.py's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from watermark.corner import Corner
from watermark.detect import Mark, detect_all
from watermark.remove import LOSSLESS, Tolerance, is_gone, left_over, restore
from watermark.stars import V1, V2, Learned

_MOST: Final = 3
"""Stars on one picture; one that was marked twice, at two places or at one, has been seen."""
_CLEARLY: Final = 4.0
_HARDLY: Final = 2.0
"""Standard errors."""


@dataclass(frozen=True, slots=True)
class Peeled:
    """`corner` without the stars `marks` (in the order in which they came off). `refused` is a star that was found, but
    was still to be seen after its removal: it was left as it is."""

    corner: Corner
    marks: tuple[Mark, ...] = ()
    refused: Mark | None = None


def peel(corner: Corner, learned: Sequence[Learned] = (), allow: Tolerance = LOSSLESS) -> Peeled:
    """Every star of `corner` off, the surest first."""
    best = Peeled(corner)
    current, marks = corner, []
    for _ in range(_MOST):
        found = detect_all(current, learned)
        if not found:
            break
        current, taken = _without(current, found[0])
        marks += taken
        # Under a second star of the same place the first has not gone yet, so only the last state counts.
        if gone(current, marks, allow):
            best = Peeled(current, tuple(marks))
    refused = marks[len(best.marks)] if len(marks) > len(best.marks) else None
    return Peeled(best.corner, best.marks, refused)


def _without(corner: Corner, mark: Mark) -> tuple[Corner, list[Mark]]:
    """`corner` without `mark`, and what was taken off. Two stars of today on one place look almost like one older star
    (1 - 0.7^2 = 0.51 against 0.50): it was them where the older one clearly leaves something, and they leave nothing."""
    once = _restored(corner, mark)
    if (mark.opacity, V2 in mark.star.opacities) != (V1, True):
        return once, [mark]
    faint = replace(mark, opacity=V2)
    twice = _restored(_restored(corner, faint), faint)
    if left_over(once.window(mark.box), mark).z > _CLEARLY and abs(left_over(twice.window(mark.box), faint).z) < _HARDLY:
        return twice, [faint, faint]
    return once, [mark]


def _restored(corner: Corner, mark: Mark) -> Corner:
    return corner.pasted(mark.box, restore(corner.cut(mark.box), mark))


def gone(corner: Corner, marks: Sequence[Mark], allow: Tolerance) -> bool:
    """Whether none of `marks` is left in `corner`, as a star or as its negative."""
    return all(is_gone(corner.window(mark.box), mark, allow) for mark in marks)
