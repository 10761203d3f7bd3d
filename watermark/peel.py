"""The policy: take off what is proven, look again, and put everything back unless it has gone. Works on a corner's pixels;
which file they came from is clean.py's business."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from watermark.corner import Corner
from watermark.detect import Mark, detect_all
from watermark.remove import LOSSLESS, Tolerance, is_gone, restore
from watermark.stars import Learned

_MOST: Final = 3
"""Stars on one picture; one that was marked twice, at two places or at one, has been seen."""


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
        mark = found[0]
        current = current.pasted(mark.box, restore(current.cut(mark.box), mark))
        marks.append(mark)
        # Under a second star of the same place the first has not gone yet, so only the last state counts.
        if gone(current, marks, allow):
            best = Peeled(current, tuple(marks))
    refused = marks[len(best.marks)] if len(marks) > len(best.marks) else None
    return Peeled(best.corner, best.marks, refused)


def gone(corner: Corner, marks: Sequence[Mark], allow: Tolerance) -> bool:
    """Whether none of `marks` is left in `corner`, as a star or as its negative."""
    return all(is_gone(corner.window(mark.box), mark, allow) for mark in marks)
