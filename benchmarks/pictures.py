"""Pictures to measure the star on: the photographs of the scikit-image and scikit-learn wheels, and drawn ones.

The split is here, once: thresholds in `watermark/` may be chosen on TUNING pictures; every number that the docs or the
tests state comes from HELD_OUT ones. Each photograph has four views (its flips), so that the star falls on another part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import skimage
import sklearn
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Split = Literal["tuning", "held out"]

_SKIMAGE = Path(skimage.__file__).parent / "data"
_SKLEARN = Path(sklearn.__file__).parent / "datasets" / "images"
PHOTOGRAPHS: dict[Split, tuple[str, ...]] = {
    "tuning": (
        "astronaut.png", "camera.png", "chelsea.png", "coins.png", "grass.png", "hubble_deep_field.jpg",
        "motorcycle_left.png", "motorcycle_right.png", "clock_motion.png", "china.jpg",
    ),
    "held out": (
        "coffee.png", "rocket.jpg", "retina.jpg", "moon.png", "brick.png", "gravel.png", "ihc.png", "cell.png",
        "flower.jpg", "page.png",
    ),
}  # fmt: skip
NATIVE = ((1024, 1024), (1408, 768), (768, 1376), (1184, 864), (848, 1264))


@lru_cache(maxsize=32)
def photograph(name: str) -> Pixels:
    """A photograph of the wheels, H x W x 3."""
    folder = _SKLEARN if (_SKLEARN / name).exists() else _SKIMAGE
    with Image.open(folder / name) as picture:
        return np.asarray(picture.convert("RGB"))


def views(pixels: Pixels) -> Iterator[Pixels]:
    """The picture and its flips: another quarter of it comes to lie under the star in each."""
    for rows in (1, -1):
        for columns in (1, -1):
            yield np.ascontiguousarray(pixels[::rows, ::columns])


def enlarged(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """`pixels` scaled to cover `size` (width, height) and cut to it, its bottom right corner kept."""
    height, width = pixels.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    wide, tall = max(size[0], round(width * scale)), max(size[1], round(height * scale))
    scaled = np.asarray(Image.fromarray(pixels).resize((wide, tall), Image.Resampling.LANCZOS))
    return np.ascontiguousarray(scaled[tall - size[1] :, wide - size[0] :])


def photographs(split: Split) -> Iterator[tuple[str, Pixels]]:
    """Every view of every photograph: as it is, and enlarged to a size that Gemini gives out."""
    for index, name in enumerate(PHOTOGRAPHS[split]):
        for turn, view in enumerate(views(photograph(name))):
            yield f"{name} view {turn}", view
            yield f"{name} view {turn} enlarged", enlarged(view, NATIVE[(index + turn) % len(NATIVE)])


# --- drawn pictures -----------------------------------------------------------------------------------------------


def flat(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """One colour."""
    return np.full((size[1], size[0], 3), rng.integers(0, 256, 3), np.uint8)


def gradient(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """From one colour to another, at some angle."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    along = x * np.cos(angle) + y * np.sin(angle)
    share = (along - along.min()) / np.ptp(along)
    first, second = rng.integers(0, 256, (2, 3))
    return np.rint(first + (second - first) * share[..., None]).astype(np.uint8)


def noise(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """1/f noise: the spectrum of photographs, without their objects."""
    frequency = np.hypot(np.fft.fftfreq(size[1])[:, None], np.fft.fftfreq(size[0])[None, :])
    spectrum = np.fft.fft2(rng.standard_normal((3, size[1], size[0])), axes=(1, 2)) / np.maximum(frequency, 1e-3)
    plane = np.fft.ifft2(spectrum, axes=(1, 2)).real
    plane = plane / plane.std() * rng.uniform(15, 60) + rng.uniform(50, 200)
    return np.clip(plane, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy()


def text(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """A page of dense letters."""
    paper, ink = (245, 15) if rng.random() < 0.5 else (25, 225)
    picture = Image.new("RGB", size, (paper, paper, paper))
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(int(rng.integers(10, 28)))
    letters = "abcdefghijklmnopqrstuvwxyz ABCDEFG 0123456789 .,+*"
    step = int(font.size * 1.25)  # type: ignore[union-attr]
    for y in range(0, size[1], step):
        line = "".join(letters[i] for i in rng.integers(0, len(letters), size[0] // 6))
        draw.text((-int(rng.integers(0, 20)), y), line, fill=(ink, ink, ink), font=font)
    return np.asarray(picture)


def shapes(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """Ellipses, boxes and lines of all colours and sizes."""
    picture = Image.new("RGB", size, tuple(rng.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(picture)
    for _ in range(250):
        x, y = rng.integers(0, size[0]), rng.integers(0, size[1])
        w, h = rng.integers(4, 160, 2)
        colour = tuple(rng.integers(0, 256, 3).tolist())
        box = (int(x), int(y), int(x + w), int(y + h))
        (draw.ellipse, draw.rectangle, draw.line)[int(rng.integers(3))](box, fill=colour)
    return np.asarray(picture)


def _star_points(
    centre: tuple[float, float], radius: float, waist: float, turn: float, points: int
) -> list[tuple[float, float]]:
    corners = []
    for i in range(2 * points):
        angle, reach = turn + i * np.pi / points, radius if i % 2 == 0 else radius * waist
        corners.append((centre[0] + reach * np.cos(angle), centre[1] + reach * np.sin(angle)))
    return corners


def decoy(rng: np.random.Generator, size: tuple[int, int]) -> Pixels:
    """Something like the star, where the star would be, but drawn: four or five points, turned, opaque, dark, smaller,
    larger or a few pixels off. No tool should touch it."""
    draw_background = (flat, gradient, noise)[int(rng.integers(3))]
    pixels = draw_background(rng, size)
    star, margin = ((48, 96), (48, 32), (96, 64))[int(rng.integers(3))]
    shift = rng.integers(-6, 7, 2)
    cx, cy = size[0] - margin - star / 2 + shift[0], size[1] - margin - star / 2 + shift[1]
    radius, turn = star / 2 * rng.uniform(0.6, 1.3), rng.choice([0.0, 0.2, np.pi / 4])
    kind = int(rng.integers(4))
    layer = Image.new("L", (size[0] * 2, size[1] * 2), 0)
    waist, points = (rng.uniform(0.3, 0.55), 4) if kind != 1 else (0.4, 5)
    ImageDraw.Draw(layer).polygon(_star_points((cx * 2, cy * 2), radius * 2, waist, turn, points), fill=255)
    alpha = np.asarray(layer.resize(size, Image.Resampling.BOX), np.float32)[..., None] / 255
    colour = np.array([255, 220, 60], np.float32) if kind == 2 else np.full(3, 0 if kind == 3 else 255, np.float32)
    strength = rng.uniform(0.6, 1.0) if kind != 3 else rng.uniform(0.2, 0.8)
    mixed = pixels * (1 - alpha * strength) + colour * alpha * strength
    return np.rint(mixed).astype(np.uint8)


DRAWN: dict[str, Callable[[np.random.Generator, tuple[int, int]], Pixels]] = {
    "flat": flat, "gradient": gradient, "noise": noise, "text": text, "shapes": shapes,
}  # fmt: skip


def seed(split: Split, number: int) -> int:
    """Even seeds are for tuning, odd ones are held out."""
    return 2 * number + (split == "held out")


def drawn(split: Split, each: int, size: tuple[int, int] = (640, 512)) -> Iterator[tuple[str, Pixels]]:
    """`each` pictures of every drawn kind."""
    for kind, draw in DRAWN.items():
        for number in range(each):
            yield f"{kind} {number}", draw(np.random.default_rng(seed(split, number)), size)


def decoys(split: Split, count: int, size: tuple[int, int] = (640, 512)) -> Iterator[tuple[str, Pixels]]:
    """`count` pictures with something that looks like a star."""
    for number in range(count):
        yield f"decoy {number}", decoy(np.random.default_rng(seed(split, number)), size)
