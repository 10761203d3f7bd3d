"""The star in the DCT domain: undoes the blend inside single 8 x 8 blocks of a JPEG, in its own planes and tables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from watermark.huffman import ZIGZAG
from watermark.jpeg import Frame, Scan
from watermark.outline import Coverage
from watermark.scan import Block, Touched
from watermark.slots import Box

Floats = NDArray[np.float32]

_N: Final = np.arange(8)
_DCT: Final = (
    np.sqrt(np.where(_N == 0, 1, 2) / 8)[:, None] * np.cos((2 * _N[None, :] + 1) * _N[:, None] * np.pi / 16)
).astype(np.float32)
"""The orthonormal DCT: coefficients = _DCT @ pixels @ _DCT.T, the scale that JPEG tables are made for."""
_NATURAL: Final = np.array(ZIGZAG)
_TRUNCATED: Final = np.float32(0.5)
"""Levels that the compositor's truncation took away on average."""
_SHRINK: Final = np.float32(0.1)
_DEAD: Final = np.float32(0.2)
"""Quanta. Coefficients fall off quickly from 0, so the likely value of one lies nearer to 0 than the middle of its step,
and what the removal adds by stretching is mostly noise: each is drawn in by the first before, and must pass the second
beyond a half to be written at all. A fifth less error than plain rounding (docs/watermark.md)."""


@dataclass(frozen=True, slots=True)
class Veil:
    """What covers the picture: an alpha (0..1, n x n) at `box`."""

    box: Box
    alpha: Coverage


@dataclass(frozen=True, slots=True)
class Plane:
    """The alpha over some blocks of one component, in its own samples: block (`row`, `column`) is the first of them."""

    alpha: Floats
    row: int
    column: int
    touched: NDArray[np.bool_]
    """Which of all blocks of the component are covered."""
    light: bool
    """Whether white is added here (luma, R, G, B, grey) or colour only fades (Cb, Cr)."""


def planes(frame: Frame, scan: Scan, veils: Sequence[Veil]) -> list[Plane]:
    """The veils as each component of the frame sees them."""
    layout = scan.layout
    across, down = max(c.across for c in layout.components), max(c.down for c in layout.components)
    unit_x, unit_y = 8 * across, 8 * down
    left, top = min(v.box[0] for v in veils) // unit_x, min(v.box[1] for v in veils) // unit_y
    right = -(-max(v.box[0] + v.box[2] for v in veils) // unit_x)
    bottom = -(-max(v.box[1] + v.box[3] for v in veils) // unit_y)
    full = np.zeros(((bottom - top) * unit_y, (right - left) * unit_x), np.float32)
    for veil in veils:
        x, y = veil.box[0] - left * unit_x, veil.box[1] - top * unit_y
        under = full[y : y + veil.box[3], x : x + veil.box[2]]
        # Two veils on one pixel let through the product of what each lets through.
        under[...] = 1 - (1 - under) * (1 - veil.alpha)
    lone = len(layout.components) == 1 or frame.adobe == 0
    found = []
    for index, component in enumerate(layout.components):
        rows, columns = (bottom - top) * component.down, (right - left) * component.across
        alpha = full.reshape(rows * 8, down // component.down, columns * 8, across // component.across).mean((1, 3))
        row, column = top * component.down, left * component.across
        blocks = np.zeros((layout.rows * component.down, layout.columns * component.across), bool)
        covered = alpha.reshape(rows, 8, columns, 8).max((1, 3)) > 1e-3
        blocks[row : row + rows, column : column + columns] = covered
        found.append(Plane(alpha, row, column, blocks, light=lone or index == 0))
    return found


def touched(found: Sequence[Plane]) -> Touched:
    """The blocks that are to be edited, for `edit_scan`."""
    return [plane.touched for plane in found]


def undo(blocks: Sequence[Block], frame: Frame, found: Sequence[Plane]) -> None:
    """Takes the veils off `blocks`, in place."""
    for index, plane in enumerate(found):
        mine = [block for block in blocks if block.component == index]
        if not mine:
            continue
        table = np.ones(64, np.float32)
        table[_NATURAL] = frame.quantisers[frame.components[index][3]]
        quantiser = table.reshape(8, 8)
        held = np.zeros((len(mine), 64), np.float32)
        held[:, _NATURAL] = [block.coefficients for block in mine]
        alpha = np.stack([_cut(plane, block) for block in mine])
        drawn = _drawn_in(held.reshape(-1, 8, 8), lambda size: np.maximum(size - _SHRINK, 0))
        clean = _undo(drawn * quantiser, alpha, light=plane.light) / quantiser
        whole = _drawn_in(clean, lambda size: np.floor(size + 0.5 - _DEAD))
        written = whole.astype(int).reshape(-1, 64)[:, _NATURAL]
        for block, coefficients in zip(mine, written.tolist(), strict=True):
            block.coefficients[:] = coefficients


def _drawn_in(quanta: Floats, shape: Callable[[Floats], Floats]) -> Floats:
    """`shape` applied to the sizes of the AC coefficients; the mean of a block (DC) is only rounded."""
    shaped: Floats = np.sign(quanta) * shape(np.abs(quanta))
    shaped[:, 0, 0] = np.rint(quanta[:, 0, 0])
    return shaped


def _cut(plane: Plane, block: Block) -> Floats:
    y, x = (block.row - plane.row) * 8, (block.column - plane.column) * 8
    return plane.alpha[y : y + 8, x : x + 8]


def _undo(coefficients: Floats, alpha: Floats, *, light: bool) -> Floats:
    """Dequantised coefficients (n x 8 x 8) without the veil `alpha`."""
    samples = _DCT.T @ coefficients @ _DCT
    if light:
        restored = (samples + 128 + _TRUNCATED * (alpha > 0) - 255 * alpha) / (1 - alpha)
        restored = np.clip(restored, 0, 255) - 128
    else:
        restored = samples / (1 - alpha)
    clean: Floats = (_DCT @ restored @ _DCT.T).astype(np.float32)
    return clean
