"""The entropy-coded part of a baseline JPEG: walks over blocks it does not touch, decodes and encodes those it does.

Pure Python on purpose: a hostile file can at worst raise ScanError, and the bits of untouched blocks stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

import numpy as np

Table = tuple[bytes, bytes]
"""A DHT entry: 16 counts of codes by length, and the symbols in order."""

ZIGZAG: Final = (
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
)  # fmt: skip
"""Natural (row-major) place of the n-th coefficient of a scan."""

_SLICE: Final = 1 << 16
"""Bytes looked ahead at once: a list of Python integers for a whole file would take forty times the file."""
_LONGEST_BLOCK: Final = 256
"""Bytes; 64 coefficients of at most 26 bits and a DC of at most 27."""
_EOB, _ZRL = 0x00, 0xF0
_INVALID: Final = 0
_SHIFT: Final = 24
_PLACE: Final = (1 << _SHIFT) - 1
_ONE: Final = 1 << _SHIFT
_FULL: Final = 64 << _SHIFT
_BROKEN: Final = 512 << _SHIFT


class ScanError(ValueError):
    """The scan breaks its own tables, or cannot express the edited blocks with them."""


@dataclass(frozen=True, slots=True)
class Code:
    """One Huffman table, ready for both directions. Both lists are indexed by the next 16 bits of the scan."""

    steps: list[int] = field(repr=False)
    """AC: bits of code and value, and the coefficients they cover << 24. DC: as `symbols`."""
    symbols: list[int] = field(repr=False)
    """Bits of the code | symbol << 8; 0 where no code fits."""
    words: dict[int, tuple[int, int]] = field(repr=False)
    """Code word and its length of each symbol."""


@lru_cache(maxsize=16)
def build(table: Table, *, ac: bool) -> Code:
    """The Code of a DHT entry (most files use the same four). Raises ScanError when its lengths cannot be."""
    counts, symbols = table
    steps = np.full(1 << 16, _BROKEN if ac else _INVALID, np.int64)
    plain = np.zeros(1 << 16, np.int64)
    words: dict[int, tuple[int, int]] = {}
    word = position = 0
    for length, count in enumerate(counts, start=1):
        for _ in range(count):
            if position >= len(symbols) or word >= 1 << length:
                raise ScanError("a Huffman table has more codes than its lengths allow")
            symbol = symbols[position]
            words[symbol] = (word, length)
            low, high = word << (16 - length), (word + 1) << (16 - length)
            steps[low:high] = _ac_step(symbol, length) if ac else length | symbol << 8
            plain[low:high] = length | symbol << 8
            word, position = word + 1, position + 1
        word <<= 1
    return Code(steps.tolist(), plain.tolist(), words)


def _ac_step(symbol: int, length: int) -> int:
    run, size = symbol >> 4, symbol & 15
    if size:
        return (length + size) | (run + 1) << _SHIFT
    return length | (16 if symbol == _ZRL else 64) << _SHIFT


class Bits:
    """Reads an unstuffed scan at any bit position, a slice of look-ahead at a time."""

    __slots__ = ("_base", "_data", "_end", "_words")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._base = self._end = 0
        self._words: list[int] = []

    def words(self, position: int) -> tuple[list[int], int]:
        """A list whose i-th item is the 32 bits from byte `base` + i, and `base`, with room for one block from bit
        `position`. Raises ScanError past the end of the scan."""
        byte = position >> 3
        if byte >= self._end or byte < self._base:
            # The last code may end in the padding, so the end is only an end a few bytes later.
            if byte > len(self._data):
                raise ScanError("the scan ends early")
            piece = np.frombuffer(self._data[byte : byte + _SLICE] + bytes(_LONGEST_BLOCK), np.uint8).astype(np.int64)
            packed = piece[:-3] << 24 | piece[1:-2] << 16 | piece[2:-1] << 8 | piece[3:]
            self._words, self._base = packed.tolist(), byte
            self._end = byte + max(1, len(piece) - 2 * _LONGEST_BLOCK)
        return self._words, self._base


def read_dc(bits: Bits, position: int, code: Code) -> tuple[int, int]:
    """The DC difference at bit `position` and the position after it."""
    words, base = bits.words(position)
    step = code.symbols[(words[(position >> 3) - base] >> (16 - (position & 7))) & 0xFFFF]
    size = step >> 8
    if step == _INVALID or size > 11:
        raise ScanError("no such DC code")
    position += step & 255
    if not size:
        return 0, position
    value = (words[(position >> 3) - base] >> (32 - (position & 7) - size)) & ((1 << size) - 1)
    return _extend(value, size), position + size


def skip_ac(bits: Bits, position: int, code: Code) -> int:
    """The position after the 63 AC coefficients at bit `position`. Nine tenths of the time of an edit is spent in this
    loop, so place and count share one number: a step adds bits below and coefficients above."""
    words, base = bits.words(position)
    steps = code.steps
    state = position - (base << 3) + _ONE
    while state < _FULL:
        place = state & _PLACE
        state += steps[(words[place >> 3] >> (16 - (place & 7))) & 0xFFFF]
    if state >= _BROKEN:
        raise ScanError("no such AC code")
    return (state & _PLACE) + (base << 3)


def read_ac(bits: Bits, position: int, code: Code) -> tuple[list[int], int]:
    """The 64 coefficients in scan order (the first, the DC, left 0) at bit `position`, and the position after them."""
    words, base = bits.words(position)
    block = [0] * 64
    seen = 1
    while seen < 64:
        step = code.symbols[(words[(position >> 3) - base] >> (16 - (position & 7))) & 0xFFFF]
        if step == _INVALID:
            raise ScanError("no such AC code")
        position += step & 255
        run, size = step >> 12, step >> 8 & 15
        if not size:
            if step >> 8 != _ZRL:
                break
            seen += 16
            continue
        seen += run
        if seen > 63:
            raise ScanError("a run leaves its block")
        value = (words[(position >> 3) - base] >> (32 - (position & 7) - size)) & ((1 << size) - 1)
        block[seen] = _extend(value, size)
        position += size
        seen += 1
    return block, position


def _extend(value: int, size: int) -> int:
    return value if value >> (size - 1) else value - (1 << size) + 1


def write_dc(difference: int, code: Code) -> tuple[int, int]:
    """The bits of a DC difference as (value, length). Raises ScanError when the table has no code for its size."""
    size = abs(difference).bit_length()
    if size not in code.words:
        raise ScanError(f"the DC table has no code for a difference of {size} bits")
    word, length = code.words[size]
    return word << size | _amplitude(difference, size), length + size


def write_ac(block: Sequence[int], code: Code) -> tuple[int, int]:
    """The bits of the 63 AC coefficients of `block` (scan order) as (value, length). An optimised table may lack the
    code for a coefficient: it then becomes the nearest that can be written, in the end 0."""
    value = length = run = 0
    for coefficient in block[1:]:
        written = _writable(coefficient, run, code) if coefficient else 0
        if not written:
            run += 1
            continue
        while run > 15:
            word, bits = code.words[_ZRL]
            value, length, run = value << bits | word, length + bits, run - 16
        size = abs(written).bit_length()
        word, bits = code.words[run << 4 | size]
        value = (value << bits | word) << size | _amplitude(written, size)
        length, run = length + bits + size, 0
    if run:
        if _EOB not in code.words:
            raise ScanError("the AC table has no end of block")
        word, bits = code.words[_EOB]
        value, length = value << bits | word, length + bits
    return value, length


def _writable(coefficient: int, run: int, code: Code) -> int:
    if run > 15 and _ZRL not in code.words:
        return 0
    sign, size = (1 if coefficient > 0 else -1), abs(coefficient).bit_length()
    if run % 16 << 4 | size in code.words and size <= 10:
        return coefficient
    for smaller in range(min(size, 11) - 1, 0, -1):
        if run % 16 << 4 | smaller in code.words:
            return sign * ((1 << smaller) - 1)
    return 0


def _amplitude(value: int, size: int) -> int:
    return value if value >= 0 else value + (1 << size) - 1
