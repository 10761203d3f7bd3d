"""Edits single blocks of a baseline JPEG scan: everything before, between and after them keeps its own bits."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from watermark.huffman import Bits, Code, ScanError, read_ac, read_dc, skip_ac, write_ac, write_dc

Touched = list[NDArray[np.bool_]]
"""For each component, which of its blocks (rows x columns) are to be edited."""


@dataclass(slots=True)
class Block:
    """One block that is edited: 64 quantised coefficients in scan order, the DC absolute."""

    component: int
    row: int
    column: int
    coefficients: list[int]


@dataclass(frozen=True, slots=True)
class Component:
    """A component of the frame: its sampling factors and its tables."""

    across: int
    down: int
    dc: Code
    ac: Code


@dataclass(frozen=True, slots=True)
class Layout:
    """How blocks are interleaved: `columns` x `rows` units (MCUs), a restart every `restart` units (0: never)."""

    components: tuple[Component, ...]
    columns: int
    rows: int
    restart: int

    @classmethod
    def of(cls, width: int, height: int, components: tuple[Component, ...], restart: int) -> Layout:
        """The layout of a picture of `width` x `height` px."""
        if len(components) == 1:  # a lone component is not interleaved, whatever its factors say
            only = components[0]
            components = (Component(1, 1, only.dc, only.ac),)
        across, down = max(c.across for c in components), max(c.down for c in components)
        return cls(components, -(-width // (8 * across)), -(-height // (8 * down)), restart)

    def units(self, touched: Touched) -> NDArray[np.bool_]:
        """Which units hold a touched block (flat, in scan order)."""
        held = np.zeros((self.rows, self.columns), bool)
        for component, blocks in zip(self.components, touched, strict=True):
            rows, columns = np.nonzero(blocks)
            held[rows // component.down, columns // component.across] = True
        return held.ravel()


@dataclass(slots=True)
class _Unit:
    """A unit that is rewritten. An untouched one behind a touched one is too, but only its first DC differences."""

    start: int
    end: int
    before: list[int] | None
    """The DC predictions that the unit starts from; None when the unit before it is rewritten too."""
    blocks: list[Block] = field(default_factory=list)
    seams: list[tuple[int, int, int, int]] = field(default_factory=list)
    """component, first and last bit of the DC code, absolute DC."""


Edit = Callable[[list[Block]], None]


def edit_scan(data: bytes, layout: Layout, touched: Touched, edit: Edit) -> bytes:
    """The scan `data` (stuffed, without the marker that ends it) with the touched blocks run through `edit`, which
    changes their coefficients in place. Raises ScanError when the scan does not hold what `layout` says."""
    marks = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]
    starts, ends = [0, *(mark + 2 for mark in marks)], [*marks, len(data)]
    held = layout.units(touched)
    units = len(held)
    interval = layout.restart or units
    if len(starts) != -(-units // interval):
        raise ScanError("the scan has another number of restarts than its header says")
    segments: dict[int, tuple[bytes, list[_Unit]]] = {}
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        first, last = index * interval, min((index + 1) * interval, units)
        if held[first:last].any():
            plain = data[start:end].replace(b"\xff\x00", b"\xff")
            segments[index] = plain, _walk(plain, layout, held[first:last].tolist(), first)
    blocks = [block for _, found in segments.values() for unit in found for block in unit.blocks]
    edit([block for block in blocks if touched[block.component][block.row, block.column]])
    written = {index: _assemble(plain, layout, found) for index, (plain, found) in segments.items()}
    out = bytearray()
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        out += data[starts[index] - 2 : start] if index else b""
        out += written.get(index, data[start:end])
    return bytes(out)


def _walk(plain: bytes, layout: Layout, wanted: list[bool], first: int) -> list[_Unit]:
    """Decodes the `wanted` units of a segment that starts with unit `first`, and notes where they, the units behind
    them and the end of the segment lie."""
    bits, position = Bits(plain), 0
    predicted = [0] * len(layout.components)
    order = [(i, c.dc, c.ac) for i, c in enumerate(layout.components) for _ in range(c.across * c.down)]
    found: list[_Unit] = []
    joined = False
    for number, want in enumerate(wanted, start=first):
        if want:
            unit = _Unit(position, position, None if joined else predicted.copy())
            position = _read_unit(unit, bits, layout, number, predicted)
            found.append(unit)
            joined = True
        elif joined:
            unit = _Unit(position, position, None)
            position = _read_seam(unit, bits, layout, predicted)
            found.append(unit)
            joined = False
        else:
            for component, dc, ac in order:
                difference, position = read_dc(bits, position, dc)
                predicted[component] += difference
                position = skip_ac(bits, position, ac)
    if position > 8 * len(plain):
        raise ScanError("the scan ends early")
    found.append(_Unit(position, position, None))
    return found


def _read_unit(unit: _Unit, bits: Bits, layout: Layout, number: int, predicted: list[int]) -> int:
    position = unit.start
    row, column = divmod(number, layout.columns)
    for index, component in enumerate(layout.components):
        for place in range(component.across * component.down):
            down, across = divmod(place, component.across)
            difference, position = read_dc(bits, position, component.dc)
            predicted[index] += difference
            block, position = read_ac(bits, position, component.ac)
            block[0] = predicted[index]
            unit.blocks.append(Block(index, row * component.down + down, column * component.across + across, block))
    unit.end = position
    return position


def _read_seam(unit: _Unit, bits: Bits, layout: Layout, predicted: list[int]) -> int:
    position = unit.start
    for index, component in enumerate(layout.components):
        for place in range(component.across * component.down):
            start = position
            difference, position = read_dc(bits, position, component.dc)
            predicted[index] += difference
            if not place:
                unit.seams.append((index, start, position, predicted[index]))
            position = skip_ac(bits, position, component.ac)
    unit.end = position
    return position


class _Writer:
    """Puts bits together; whole bytes are moved out as they fill up, so that the pending number stays small."""

    __slots__ = ("_out", "_pending", "_value")

    def __init__(self) -> None:
        self._out = bytearray()
        self._value = self._pending = 0

    def put(self, value: int, length: int) -> None:
        self._value, self._pending = self._value << length | value, self._pending + length
        if self._pending >= 4096:
            spare = self._pending & 7
            self._out += (self._value >> spare).to_bytes(self._pending >> 3, "big")
            self._value, self._pending = self._value & ((1 << spare) - 1), spare

    def copy(self, data: bytes, start: int, end: int) -> None:
        """Bits `start`..`end` of `data` as they are."""
        if end <= start:
            return
        first, last = start >> 3, (end + 7) >> 3
        number = int.from_bytes(data[first:last], "big") >> (8 * last - end)
        self.put(number & ((1 << (end - start)) - 1), end - start)

    def finish(self) -> bytes:
        """Everything, filled up with ones to a whole byte."""
        spare = -self._pending % 8
        self.put((1 << spare) - 1, spare)
        return bytes(self._out + self._value.to_bytes(self._pending >> 3, "big"))


def _assemble(plain: bytes, layout: Layout, found: list[_Unit]) -> bytes:
    """The segment `plain` with the units of `found` written anew, stuffed again."""
    writer, position = _Writer(), 0
    predicted = [0] * len(layout.components)
    for unit in found:
        writer.copy(plain, position, unit.start)
        predicted = predicted if unit.before is None else unit.before
        for block in unit.blocks:
            codes = layout.components[block.component]
            writer.put(*write_dc(block.coefficients[0] - predicted[block.component], codes.dc))
            writer.put(*write_ac(block.coefficients, codes.ac))
            predicted[block.component] = block.coefficients[0]
        position = unit.start if unit.seams else unit.end
        for index, start, end, absolute in unit.seams:
            writer.copy(plain, position, start)
            writer.put(*write_dc(absolute - predicted[index], layout.components[index].dc))
            position = end
        writer.copy(plain, position, unit.end)
        position = unit.end
    return writer.finish().replace(b"\xff", b"\xff\x00")
