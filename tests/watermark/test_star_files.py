"""Whole files: what is kept, what is exact, and what comes back untouched."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Pixels, decoded, encoded
from PIL import Image, ImageCms, PngImagePlugin

from benchmarks.star_accuracy import beyond_blocks
from watermark import Options, Reason, add, clean, png, webp

Photo = Callable[..., Pixels]
ROOT = Path(__file__).parent.parent.parent
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
XMP = b"<x:xmpmeta>trainedAlgorithmicMedia</x:xmpmeta>"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def annotated(pixels: Pixels) -> bytes:
    """A PNG with everything that provenance may live in, before and behind the pixels."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    data = encoded(pixels, icc_profile=PROFILE, exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0", dpi=(72, 72), pnginfo=text)
    start = data.index(b"IDAT") - 4
    manifest, clock = chunk(b"caBX", b"jumb manifest"), chunk(b"tIME", bytes(7))
    return data[:start] + manifest + data[start:-12] + clock + data[-12:] + b"tail"


def others(data: bytes) -> list[bytes]:
    return [data[c.start : c.end] for c in png.chunks(data) if c.kind not in (b"IDAT", b"IHDR")]


# --- PNG ----------------------------------------------------------------------------------------------------------


def test_a_png_keeps_every_other_chunk_and_every_other_pixel(photo: Photo) -> None:
    pixels = photo()
    data = annotated(add(pixels))
    result = clean(data)
    assert (result.outcome, result.reason, result.exact, result.format) == ("removed", Reason.REMOVED, True, "png")
    (mark,) = result.marks
    assert (mark.slot, mark.opacity, mark.size, mark.margin, mark.scale) == ("48@96", 77, 48, 96, 1.0)
    assert others(result.data) == others(data)
    assert result.data.endswith(b"tail")
    cleaned = decoded(result.data)
    assert np.abs(cleaned.astype(int) - pixels).max() <= 1
    assert clean(result.data).outcome == "absent"


def test_the_manifest_goes_where_that_is_wanted_and_nothing_else(photo: Photo) -> None:
    data = annotated(add(photo()))
    result = clean(data, Options(c2pa="drop"))
    assert others(result.data) == [part for part in others(data) if b"caBX" not in part]


def test_an_unmarked_file_comes_back_byte_for_byte(photo: Photo) -> None:
    pixels = photo()
    for data in (annotated(pixels), encoded(pixels, "JPEG"), encoded(pixels, "WEBP", lossless=True, method=0)):
        result = clean(data, Options(c2pa="drop"))
        assert (result.data, result.outcome, result.marks) == (data, "absent", ())
        assert result.data is data


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA"])
def test_grey_and_transparent_pictures_keep_their_mode(mode: str, photo: Photo) -> None:
    grey = np.repeat(photo()[..., 1:2], 3, 2) if mode[0] == "L" else photo()
    picture = Image.fromarray(add(grey)).convert(mode)
    if "A" in mode:
        picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    result = clean(encoded(picture))
    assert result.outcome == "removed"
    with Image.open(io.BytesIO(result.data)) as cleaned:
        assert cleaned.mode == mode
        assert np.abs(np.asarray(cleaned.convert("RGB")).astype(int) - grey).max() <= 1
        if "A" in mode:
            assert (np.asarray(cleaned.getchannel("A")) == np.asarray(picture.getchannel("A"))).all()


def test_an_interlaced_png_is_cleaned_too(photo: Photo) -> None:
    pixels = photo()
    result = clean(interlaced(add(pixels)))
    assert result.outcome == "removed"
    assert np.abs(decoded(result.data).astype(int) - pixels).max() <= 1


def interlaced(pixels: Pixels) -> bytes:
    """An Adam7 file of filter 0; Pillow writes none."""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = [b"\0" + row.tobytes() for y, x, down, across in passes for row in pixels[y::down, x::across]]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 8, 2, 0, 0, 1)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows), 1)) + chunk(b"IEND", b"")
    return png.SIGNATURE + body


def test_two_stars_at_two_places_both_go(photo: Photo) -> None:
    pixels = photo()
    result = clean(encoded(add(add(pixels, "48@96", 77), "48@32", 128)))
    assert sorted(mark.slot for mark in result.marks) == ["48@32", "48@96"]
    assert np.abs(decoded(result.data).astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("name", ["rocket.jpg", "moon.png", "flower.jpg"])
def test_two_stars_on_one_place_are_taken_for_two(name: str, photo: Photo) -> None:
    pixels = photo(name)
    result = clean(encoded(add(add(pixels, "48@96", 77), "48@96", 77)))
    assert result.outcome == "removed"
    assert [mark.opacity for mark in result.marks] == [77, 77]
    assert np.abs(decoded(result.data).astype(int) - pixels).max() <= 3


def test_on_a_busy_place_two_stars_may_pass_for_one_older_and_little_is_left(photo: Photo) -> None:
    pixels = photo("coffee.png")
    result = clean(encoded(add(add(pixels, "48@96", 77), "48@96", 77)))
    assert result.outcome == "removed"
    assert np.abs(decoded(result.data).astype(int) - pixels).max() <= 11  # of up to 131


def test_one_older_star_is_never_taken_for_two(held_out: list[tuple[str, Pixels]]) -> None:
    for name, pixels in held_out[::2]:
        if min(pixels.shape[:2]) >= 160:
            marks = clean(encoded(add(pixels, "48@96", 128))).marks
            assert all(mark.opacity == 128 for mark in marks), name


def test_a_star_of_another_opacity_is_left_and_reported(photo: Photo) -> None:
    data = encoded(add(photo(), "48@96", 94))
    result = clean(data)
    assert (result.data, result.outcome) == (data, "kept")
    assert result.reason is Reason.STILL_SEEN and result.found[0].slot == "48@96"


def test_without_the_fast_deflate_the_pixels_are_the_same(photo: Photo, tmp_path: Path) -> None:
    data = encoded(add(photo()))
    (tmp_path / "deflate.py").write_text("raise ImportError('as if the wheel were not there')")
    (tmp_path / "marked.png").write_bytes(data)
    command = [sys.executable, "-m", "watermark", "remove", "marked.png", "-o", "clean.png"]
    there = os.pathsep.join([str(tmp_path), str(ROOT)])
    subprocess.run(command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": there}, check=True, timeout=50)
    fast, slow = clean(data).data, (tmp_path / "clean.png").read_bytes()
    assert fast != slow, "they were packed by the same code"
    assert (decoded(slow) == decoded(fast)).all()


# --- JPEG ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"quality": 95},
        {"quality": 90, "subsampling": 0},
        {"quality": 90, "subsampling": 1},
        {"quality": 90, "optimize": True},
        {"quality": 92, "restart_marker_rows": 3},
        {"quality": 92, "restart_marker_blocks": 7},
    ],
    ids=str,
)
def test_a_jpeg_changes_in_the_touched_blocks_only(options: dict[str, Any], photo: Photo) -> None:
    pixels = photo()
    data = encoded(add(pixels), "JPEG", icc_profile=PROFILE, xmp=XMP, comment=b"made", **options)
    result = clean(data)
    assert (result.outcome, result.exact, result.detail) == ("removed", True, "")
    x, y, size, _ = result.marks[0].box
    cleaned, before = decoded(result.data), decoded(data)
    assert not beyond_blocks(cleaned, before, (x, y, size)).any()
    inside = np.s_[y : y + size, x : x + size]
    error, star = (np.abs(p[inside].astype(int) - pixels[inside]).mean() for p in (cleaned, before))
    assert error < 0.2 * star
    assert result.data[: data.index(b"\xff\xda")] == data[: data.index(b"\xff\xda")]
    assert clean(result.data).outcome == "absent"


def test_a_grey_jpeg_is_edited_in_its_blocks_too(photo: Photo) -> None:
    grey = np.repeat(photo()[..., 1:2], 3, 2)
    result = clean(encoded(Image.fromarray(add(grey)).convert("L"), "JPEG", quality=92))
    assert (result.outcome, result.exact) == ("removed", True)


def test_a_progressive_jpeg_is_encoded_anew_and_says_so(photo: Photo) -> None:
    data = encoded(add(photo()), "JPEG", quality=92, progressive=True, icc_profile=PROFILE, comment=b"made")
    result = clean(data)
    assert (result.outcome, result.exact) == ("removed", False)
    assert "encoded anew with the same tables" in result.detail
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(result.data)) as after:
        assert before.quantization == after.quantization
        assert (after.info["icc_profile"], after.info["comment"]) == (PROFILE, b"made")


@pytest.mark.parametrize(("quality", "bar"), [(95, 2.2), (90, 3.3)])
def test_the_error_in_a_jpeg_stays_below_the_bar(quality: int, bar: float, held_out: list[tuple[str, Pixels]]) -> None:
    errors = []
    for name, pixels in held_out[::3]:
        if "text" in name or min(pixels.shape[:2]) < 160 or pixels[-144:-96, -144:-96].mean() > 235:
            continue
        result = clean(encoded(add(pixels), "JPEG", quality=quality))
        assert result.outcome == "removed" and result.exact, name
        errors.append(np.abs(decoded(result.data).astype(int) - pixels)[-144:-96, -144:-96].mean())
    assert np.median(errors) <= bar


# --- WebP ---------------------------------------------------------------------------------------------------------


def test_a_lossless_webp_is_exact_and_keeps_its_chunks(photo: Photo) -> None:
    pixels = photo()
    data = encoded(add(pixels), "WEBP", lossless=True, method=0, icc_profile=PROFILE, xmp=XMP)
    result = clean(data)
    assert (result.outcome, result.exact, result.format) == ("removed", True, "webp")
    assert np.abs(decoded(result.data).astype(int) - pixels).max() <= 1
    kept = dict(webp.chunks(result.data))
    assert (kept[b"ICCP"], kept[b"XMP "]) == (PROFILE, XMP)


def test_a_lossy_webp_is_encoded_anew_and_says_so(photo: Photo) -> None:
    result = clean(encoded(add(photo()), "WEBP", quality=92, method=0, xmp=XMP))
    assert (result.outcome, result.exact) == ("removed", False)
    assert "encoded anew" in result.detail
    assert dict(webp.chunks(result.data))[b"XMP "] == XMP
    assert clean(result.data).outcome == "absent"
