"""Procedural landscapes: a seed and a scene in, an H x W x 3 uint8 picture out. Pure; call it in a thread."""

import hashlib
import re

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
_Field = npt.NDArray[np.float32]
_Colour = tuple[int, int, int]

SCENES = ("sea", "hills", "city", "desert")
_WORDS = {
    "sea": r"\b(?:sea|ocean|water|lake|beach|harbou?r|lighthouse|boat|ship|fish|whale|river)\b",
    "city": r"\b(?:city|street|building|house|tower|skyline|car|room|shop)\b",
    "desert": r"\b(?:desert|sand|dune|camel|mars|planet)\b",
    "hills": r"\b(?:hills?|mountains?|forest|trees?|valley|meadow|cat|dog|fox|horse|bird)\b",
}
# sky above, sky below, ground far, ground near
_PALETTES: dict[str, tuple[_Colour, _Colour, _Colour, _Colour]] = {
    "day": ((70, 130, 200), (190, 220, 240), (110, 150, 150), (40, 90, 60)),
    "dusk": ((60, 40, 100), (250, 150, 90), (110, 60, 100), (30, 20, 50)),
    "dawn": ((110, 150, 210), (255, 210, 180), (150, 130, 160), (60, 70, 100)),
    "night": ((8, 12, 35), (40, 50, 95), (25, 32, 60), (6, 8, 20)),
}
_HOURS = {
    "dusk": r"\b(?:dusk|sunset|evening|autumn)\b",
    "dawn": r"\b(?:dawn|sunrise|morning|spring)\b",
    "night": r"\b(?:night|moon|stars?|dark|space)\b",
}


def look(subject: str) -> tuple[int, str]:
    """(seed, scene name like `sea-dusk`) of a subject: words decide where they can, else a hash."""
    digest = hashlib.sha256(subject.encode()).digest()
    scene = next((name for name, words in _WORDS.items() if re.search(words, subject, re.IGNORECASE)), None)
    hour = next((name for name, words in _HOURS.items() if re.search(words, subject, re.IGNORECASE)), None)
    hours = list(_PALETTES)
    chosen = f"{scene or SCENES[digest[4] % len(SCENES)]}-{hour or hours[digest[5] % len(hours)]}"
    return int.from_bytes(digest[:4]), chosen


def draw(seed: int, scene: str, width: int, height: int) -> Pixels:
    """The picture. An unknown scene is drawn as hills by day."""
    rng = np.random.default_rng(seed)
    kind, _, hour = scene.partition("-")
    above, below, far, near = (np.array(colour, np.float32) for colour in _PALETTES.get(hour, _PALETTES["day"]))
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(0, width / height, width, dtype=np.float32)[None, :]
    picture = above + (below - above) * np.minimum(down / 0.62, 1.0)[..., None] + np.zeros((1, width, 1), np.float32)
    _sun(picture, rng, down, across, hour)
    if kind == "sea":
        _water(picture, rng, down, across, far, near)
    else:
        for layer in range(4):
            ridge = _skyline(rng, across, layer) if kind == "city" else _ridge(rng, across, layer, kind)
            colour = far + (near - far) * (layer / 3)
            picture = np.where((down > ridge)[..., None], colour * (1.08 - 0.25 * down)[..., None], picture)
    picture += rng.standard_normal((height, width, 1), np.float32) * 2.2
    picture += rng.standard_normal(picture.shape, np.float32) * 0.9
    pixels: Pixels = np.clip(picture, 0, 255).astype(np.uint8)
    return pixels


def _sun(picture: _Field, rng: np.random.Generator, down: _Field, across: _Field, hour: str) -> None:
    x, y, radius = rng.uniform(0.25, 0.75) * across[0, -1], rng.uniform(0.18, 0.42), rng.uniform(0.05, 0.09)
    distance = np.hypot(across - x, down - y)
    glow = np.clip(1 - distance / (radius * 6), 0, 1)[..., None] ** 2
    disc = np.clip((radius - distance) * 300, 0, 1)[..., None]
    light = np.array((225, 230, 245) if hour == "night" else (255, 236, 190), np.float32)
    picture += (light - picture) * np.maximum(glow * 0.55, disc)
    if hour == "night":
        points = rng.random(picture.shape[:2]) > 0.9993
        picture[points & (down < 0.55)] = 235


def _water(picture: _Field, rng: np.random.Generator, down: _Field, across: _Field, far: _Field, near: _Field) -> None:
    horizon = float(rng.uniform(0.52, 0.62))
    depth = np.clip((down - horizon) / (1 - horizon), 0, 1)
    waves = np.sin(across * 9 + depth * 90 + np.sin(depth * 31) * 2) * np.sin(depth * 210 + across * 3)
    water = far + (near - far) * depth[..., None] + (waves * (6 + 16 * depth))[..., None]
    water += (picture[: int(picture.shape[0] * horizon)].mean(axis=(0, 1)) - water) * 0.25
    np.copyto(picture, water, where=(down > horizon)[..., None])


def _ridge(rng: np.random.Generator, across: _Field, layer: int, kind: str) -> _Field:
    base, rough = 0.48 + 0.13 * layer, 0.4 if kind == "desert" else 1.0
    line = np.full_like(across, base)
    for octave in range(1, 6 if kind == "desert" else 8):
        phase, height = rng.uniform(0, 6.28), rng.uniform(0.5, 1.0) * 0.09 / octave**1.25
        line -= height * rough ** (octave - 1) * np.sin(across * octave * 2.6 + phase)
    return line


def _skyline(rng: np.random.Generator, across: _Field, layer: int) -> _Field:
    blocks = rng.uniform(0.2, 0.62, 60) + 0.1 * layer
    line: _Field = blocks[(across * (9 + 3 * layer)).astype(int) % 60].astype(np.float32)
    return line
