"""JPEG files: takes a star off inside the blocks it touches and leaves every other segment and block as it was.

Where the blocks cannot be edited (progressive, arithmetic, several scans) the caller re-encodes with `reencode`.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from PIL import Image as Pillow

from watermark.huffman import ZIGZAG, ScanError, Table, build
from watermark.scan import Component, Layout

SOI, EOI, SOS, DHT, DQT, DRI, APP0, APP11, APP14, COM = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD, 0xE0, 0xEB, 0xEE, 0xFE
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL: Final = (0xC0, 0xC1)


class BrokenJpeg(ValueError):
    """The file is no complete JPEG."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker with its payload; `start` and `end` are its place in the file, marker and length included."""

    marker: int
    start: int
    end: int


@dataclass(slots=True)
class Frame:
    """What the headers say: size in px, per component (id, across, down, quantisation table), tables, restarts."""

    width: int
    height: int
    sequential: bool
    precision: int
    components: list[tuple[int, int, int, int]]
    quantisers: dict[int, tuple[int, ...]] = field(default_factory=dict)
    huffman: dict[tuple[int, int], Table] = field(default_factory=dict)
    restart: int = 0
    adobe: int | None = None
    """The transform byte of an Adobe segment: 0 RGB or CMYK, 1 YCbCr, 2 YCCK."""


def segments(data: bytes) -> Iterator[Segment]:
    """The segments up to and with the first SOS. Raises BrokenJpeg when they break off."""
    if data[:2] != b"\xff\xd8":
        raise BrokenJpeg("no JPEG")
    position = 2
    while True:
        start = position
        if position + 4 > len(data) or data[position] != 0xFF:
            raise BrokenJpeg("the headers break off")
        while data[position + 1] == 0xFF:  # fill bytes
            position += 1
            if position + 4 > len(data):
                raise BrokenJpeg("the headers break off")
        marker, length = data[position + 1], int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + length
        if length < 2 or end > len(data):
            raise BrokenJpeg("a segment is cut short")
        yield Segment(marker, start, end)
        if marker == SOS:
            return
        position = end


def payload(data: bytes, segment: Segment) -> bytes:
    """The segment's bytes behind marker and length."""
    body = data[segment.start : segment.end].lstrip(b"\xff")
    return body[3:]


def read_frame(data: bytes) -> Frame:
    """The headers of `data`. Raises BrokenJpeg when there are none."""
    frame: Frame | None = None
    quantisers: dict[int, tuple[int, ...]] = {}
    huffman: dict[tuple[int, int], Table] = {}
    restart, adobe = 0, None
    try:
        for segment in segments(data):
            body = payload(data, segment)
            if segment.marker in _FRAMES:
                frame = _start_of_frame(segment.marker, body)
            elif segment.marker == DQT:
                quantisers.update(_quantisers(body))
            elif segment.marker == DHT:
                huffman.update(_huffman(body))
            elif segment.marker == DRI:
                restart = int.from_bytes(body[:2], "big")
            elif segment.marker == APP14 and body[:5] == b"Adobe" and len(body) > 11:
                adobe = body[11]
    except (struct.error, IndexError) as exc:
        raise BrokenJpeg("a header is cut short") from exc
    if frame is None:
        raise BrokenJpeg("no frame header")
    frame.quantisers, frame.huffman, frame.restart, frame.adobe = quantisers, huffman, restart, adobe
    return frame


def _start_of_frame(marker: int, body: bytes) -> Frame:
    precision, height, width, count = struct.unpack(">BHHB", body[:6])
    components = []
    for i in range(count):
        identity, factors, table = struct.unpack(">BBB", body[6 + 3 * i : 9 + 3 * i])
        components.append((identity, factors >> 4, factors & 15, table))
    return Frame(width, height, marker in _SEQUENTIAL, precision, components)


def _quantisers(body: bytes) -> Iterator[tuple[int, tuple[int, ...]]]:
    while body:
        wide, number = body[0] >> 4, body[0] & 15
        size = 128 if wide else 64
        yield number, struct.unpack(">64H" if wide else ">64B", body[1 : 1 + size])
        body = body[1 + size :]


def _huffman(body: bytes) -> Iterator[tuple[tuple[int, int], Table]]:
    while body:
        counts = body[1:17]
        total = sum(counts)
        yield (body[0] >> 4, body[0] & 15), (counts, body[17 : 17 + total])
        body = body[17 + total :]


@dataclass(frozen=True, slots=True)
class Scan:
    """The one scan of a baseline file: its layout and the place of its entropy-coded bytes."""

    layout: Layout
    start: int
    end: int


def find_scan(data: bytes, frame: Frame) -> Scan:
    """The scan of `data`. Raises ScanError when its blocks cannot be edited one by one."""
    if not frame.sequential or frame.precision != 8:
        raise ScanError("not a baseline JPEG")
    *_, header = segments(data)
    body = payload(data, header)
    if len(body) != 4 + 2 * len(frame.components) or body[0] != len(frame.components) or body[-3:] != b"\x00\x3f\x00":
        raise ScanError("the components come in several scans")
    chosen = {body[1 + 2 * i]: body[2 + 2 * i] for i in range(body[0])}
    try:
        components = tuple(
            Component(
                across,
                down,
                build(frame.huffman[0, chosen[identity] >> 4], ac=False),
                build(frame.huffman[1, chosen[identity] & 15], ac=True),
            )
            for identity, across, down, _ in frame.components
        )
    except KeyError as exc:
        raise ScanError("a Huffman table is missing") from exc
    if not all(1 <= c.across <= 4 and 1 <= c.down <= 4 for c in components):
        raise ScanError("sampling factors outside 1..4")
    ending = re.compile(rb"\xff[^\x00\xd0-\xd7]").search(data, header.end)
    if not ending or data[ending.start() + 1] != EOI:
        raise ScanError("the scan does not end with the picture")
    layout = Layout.of(frame.width, frame.height, components, frame.restart)
    return Scan(layout, header.end, ending.start())


def without_c2pa(data: bytes) -> bytes:
    """`data` without its C2PA manifest (the JUMBF boxes in APP11 segments)."""
    kept = bytearray(data[:2])
    for segment in segments(data):
        is_box = segment.marker == APP11 and payload(data, segment)[:2] == b"JP"
        kept += b"" if is_box else data[segment.start : segment.end]
        end = segment.end
    return bytes(kept + data[end:])


def reencode(data: bytes, picture: Pillow.Image, frame: Frame) -> bytes:
    """`picture` with the quantisation tables and the sampling of `data`, and every APPn and COM segment of it."""
    target = io.BytesIO()
    tables = [_natural(frame.quantisers[number]) for number in sorted(frame.quantisers)]
    picture.save(target, "JPEG", qtables=tables, subsampling=_subsampling(frame), optimize=True)
    fresh = target.getvalue()
    kept = [s for s in segments(data) if s.marker >= APP0 and (s.marker <= 0xEF or s.marker == COM)]
    first_table = next(s for s in segments(fresh) if not APP0 <= s.marker <= 0xEF)
    return b"\xff\xd8" + b"".join(data[s.start : s.end] for s in kept) + fresh[first_table.start :]


def _natural(table: tuple[int, ...]) -> list[int]:
    """A table of a file (scan order) row by row, as Pillow takes it."""
    natural = [0] * 64
    for place, value in zip(ZIGZAG, table, strict=True):
        natural[place] = value
    return natural


def _subsampling(frame: Frame) -> int:
    across, down = frame.components[0][1:3]
    return {(1, 1): 0, (2, 1): 1}.get((across, down), 2)
