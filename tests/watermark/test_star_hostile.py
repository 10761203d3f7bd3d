"""Broken and hostile files: an answer in words or the original bytes, never a crash, never much memory."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from conftest import Pixels, encoded
from PIL import Image

from watermark import Options, Reason, add, clean, png

Photo = Callable[..., Pixels]


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def small(photo: Photo) -> Pixels:
    return add(photo(size=(256, 224)))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_file_that_breaks_off_comes_back_as_it_is(form: str, photo: Photo) -> None:
    data = encoded(small(photo), form)
    for length in [0, 1, 3, 8, 11, 12, 20, 33, 60, *range(100, len(data) - 1, len(data) // 40)]:
        result = clean(data[:length])
        assert result.data == data[:length]
        assert result.reason in (Reason.BROKEN, Reason.UNSUPPORTED), length


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_damaged_file_never_crashes_it(form: str, photo: Photo) -> None:
    data = encoded(small(photo), form)
    for number in range(120):
        rng = random.Random(number)
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            damaged[rng.randrange(min(len(data), 700 if number % 2 else len(data)))] = rng.randrange(256)
        result = clean(bytes(damaged))
        if result.outcome != "removed":
            assert result.data == damaged
        else:
            with Image.open(io.BytesIO(result.data)) as picture:
                picture.load()


def test_a_jpeg_whose_scan_lies_is_encoded_anew_or_left(photo: Photo) -> None:
    data = encoded(small(photo), "JPEG", quality=92)
    tables = data.index(b"\xff\xc4")
    for offset in range(5, 21):
        damaged = bytearray(data)
        damaged[tables + offset] ^= 0x3F
        result = clean(bytes(damaged))
        assert result.outcome == "removed" or result.data == damaged


@pytest.mark.parametrize(
    ("width", "height"), [(60_000, 60_000), (2**31 - 1, 2**31 - 1), (5001, 5000), (1, 2**31 - 1)], ids=str
)
def test_a_bomb_is_not_unpacked(width: int, height: int) -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    bomb = png.SIGNATURE + header + chunk(b"IDAT", zlib.compress(bytes(1_000_000), 9)) + chunk(b"IEND", b"")
    result = clean(bomb)
    assert (result.reason, result.data) == (Reason.TOO_LARGE, bomb)


def test_large_webp_and_jpeg_headers_are_not_unpacked(photo: Photo) -> None:
    jpeg = bytearray(encoded(small(photo), "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    assert clean(bytes(jpeg)).reason is Reason.TOO_LARGE
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + b"\xff\xff\xff" * 2 + b"VP8L" + struct.pack("<I", 6) + bytes(6)
    assert clean(b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body).reason is Reason.TOO_LARGE


def test_the_limit_is_the_callers(photo: Photo) -> None:
    data = encoded(small(photo))
    assert clean(data, Options(max_pixels=256 * 224 - 1)).reason is Reason.TOO_LARGE
    assert clean(data, Options(max_pixels=256 * 224)).reason is Reason.REMOVED


@pytest.mark.parametrize("mode", ["P", "1", "I;16"])
def test_other_colours_of_png_are_left(mode: str, photo: Photo) -> None:
    grey = Image.fromarray(small(photo)).convert("L")
    picture = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257) if mode == "I;16" else grey.convert(mode)
    data = encoded(picture)
    assert (clean(data).reason, clean(data).data) == (Reason.COLOURS, data)


def test_sixteen_bits_of_rgb_are_left() -> None:
    """Pillow would open it, with half of its bits."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 256, 256, 16, 2, 0, 0, 0))
    data = png.SIGNATURE + header + chunk(b"IDAT", zlib.compress(bytes(256 * 1537))) + chunk(b"IEND", b"")
    assert (clean(data).reason, clean(data).data) == (Reason.COLOURS, data)


def test_cmyk_is_left(photo: Photo) -> None:
    data = encoded(Image.fromarray(small(photo)).convert("CMYK"), "JPEG")
    assert (clean(data).reason, clean(data).data) == (Reason.COLOURS, data)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_animations_are_left(form: str, photo: Photo) -> None:
    first, second = (Image.fromarray(p) for p in (small(photo), small(photo)[:, ::-1]))
    data = encoded(first, form, save_all=True, append_images=[second])
    assert (clean(data).reason, clean(data).data) == (Reason.ANIMATED, data)


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"%PDF-1.7", b"<svg/>", b"\0" * 100])
def test_what_is_no_picture_of_ours_comes_back(data: bytes) -> None:
    assert clean(data).reason is Reason.UNSUPPORTED and clean(data).data == data


def test_a_huge_text_chunk_costs_nothing(photo: Photo) -> None:
    data = encoded(small(photo))
    start = data.index(b"IDAT") - 4
    text = chunk(b"zTXt", b"comment\0\0" + zlib.compress(bytes(50_000_000), 9))
    result = clean(data[:start] + text + data[start:])
    assert result.outcome == "kept" or text in result.data
