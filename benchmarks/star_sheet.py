"""Draws docs/watermark.webp: twenty marked pictures before and after. `python -m benchmarks.star_sheet`. The pictures are
held-out ones of pictures.py; where a JPEG is named, the whole file went through `clean`."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks import pictures
from benchmarks.pictures import Pixels
from watermark import add, clean
from watermark.compare import column, opened, row

TARGET = Path(__file__).parent.parent / "docs" / "watermark.webp"
AROUND = 40
SIZE = (1024, 1024)
# name, view, slot, opacity, JPEG quality (0: PNG)
SHOWN: tuple[tuple[str, int, str, int, int], ...] = (
    ("coffee.png", 0, "48@96", 77, 0), ("coffee.png", 1, "48@96", 128, 0), ("coffee.png", 3, "48@96", 77, 90),
    ("rocket.jpg", 0, "48@96", 77, 0), ("rocket.jpg", 1, "96@64", 128, 0), ("rocket.jpg", 2, "48@96", 77, 95),
    ("retina.jpg", 0, "48@96", 77, 0), ("retina.jpg", 2, "48@32", 128, 0), ("flower.jpg", 0, "48@96", 77, 0),
    ("flower.jpg", 1, "96@64", 128, 0), ("flower.jpg", 2, "48@96", 77, 90), ("moon.png", 0, "48@96", 77, 0),
    ("ihc.png", 0, "48@96", 77, 0), ("brick.png", 1, "48@96", 77, 95), ("gravel.png", 0, "48@32", 128, 0),
    ("page.png", 1, "48@96", 77, 0), ("gradient", 3, "48@96", 77, 0), ("noise", 1, "48@96", 128, 95),
    ("shapes", 1, "48@96", 77, 0), ("flat", 2, "96@64", 128, 0),
)  # fmt: skip


def original(name: str, view: int) -> Pixels:
    if name in pictures.DRAWN:
        return pictures.DRAWN[name](np.random.default_rng(pictures.seed("held out", view)), SIZE)
    return pictures.enlarged(list(pictures.views(pictures.photograph(name)))[view], SIZE)


def pair(name: str, view: int, slot: str, opacity: int, quality: int) -> Pixels:
    """Before and after, around the star, twice as large."""
    target = io.BytesIO()
    options: dict[str, Any] = {"format": "JPEG", "quality": quality} if quality else {"format": "PNG", "compress_level": 1}
    Image.fromarray(add(original(name, view), slot, opacity)).save(target, **options)
    result = clean(target.getvalue())
    if result.outcome != "removed":
        raise RuntimeError(f"{name} {view} {slot}: {result.reason}")
    x, y, size, _ = result.marks[0].box
    middle_x, middle_y, half = x + size // 2, y + size // 2, 24 + AROUND
    cut = np.s_[middle_y - half : middle_y + half, middle_x - half : middle_x + half]
    both = row([opened(data)[cut].repeat(2, 0).repeat(2, 1) for data in (target.getvalue(), result.data)])
    form = f"JPEG q{quality}" if quality else "PNG"
    return titled(both, f"{name.partition('.')[0]}, {slot}, {opacity}/255, {form}")


def titled(picture: Pixels, text: str) -> Pixels:
    strip = Image.new("RGB", (picture.shape[1], 20), (250, 250, 250))
    ImageDraw.Draw(strip).text((2, 2), text, fill=(40, 40, 40), font=ImageFont.load_default(13))
    return np.vstack([np.asarray(strip), picture])


def sheet() -> Image.Image:
    pairs = [pair(*shown) for shown in SHOWN]
    return Image.fromarray(column([row(pairs[start : start + 4]) for start in range(0, len(pairs), 4)]))


if __name__ == "__main__":
    sheet().save(TARGET, "WEBP", quality=92, method=6)
    print(TARGET, TARGET.stat().st_size)
