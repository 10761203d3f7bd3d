"""Files as a browser or another program would have made them."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from benchmarks import pictures

Pixels = NDArray[np.uint8]


def encoded(pixels: Pixels | Image.Image, form: str = "PNG", **options: Any) -> bytes:
    """A file of `pixels`; PNG quickly."""
    target = io.BytesIO()
    picture = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    picture.save(target, form, **({"compress_level": 1} if form == "PNG" else {}), **options)
    return target.getvalue()


def decoded(data: bytes) -> Pixels:
    """The pixels of a file, as the pictures's own mode has them."""
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


@pytest.fixture(scope="session")
def held_out() -> list[tuple[str, Pixels]]:
    """Held-out pictures: every view of the photographs, some enlarged, and a few drawn ones of each kind."""
    photographs = [(n, p) for n, p in pictures.photographs("held out") if "enlarged" not in n or "view 1" in n]
    return [*photographs, *pictures.drawn("held out", 3)]


@pytest.fixture
def photo() -> Callable[..., Pixels]:
    """`photo("coffee.png", (1024, 1024))`: a held-out photograph, in its own size or another."""

    def made(name: str = "coffee.png", size: tuple[int, int] | None = (640, 512)) -> Pixels:
        pixels = pictures.photograph(name)
        return pictures.enlarged(pixels, size) if size else pixels

    return made
