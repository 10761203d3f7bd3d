"""Learns a star that is not known yet from marked pictures: its slot, opacity and coverage. For the day that it changes.

White at an opacity multiplies u = 255 - w by (1 - a), so it adds the same edge to log u in every picture, while the edges
of the pictures themselves differ and have a median of about nothing. The median of the gradients of log u over many
pictures is therefore the gradient of log(1 - a), and its integral is the star (Dekel et al., "On the Effectiveness of
Visible Watermarks", CVPR 2017, in the log domain).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from watermark.blend import Image
from watermark.corner import Corner
from watermark.masks import SAMPLES, Counts
from watermark.outline import PAD
from watermark.peel import peel
from watermark.slots import Slot
from watermark.stars import Learned

Floats = NDArray[np.float64]

FEWEST: Final = 8
"""Pictures; with fewer the median is still full of their own edges."""
REACH: Final = 320
"""Pixels from the bottom right in which the star is looked for."""
_DARKEST: Final = 12.0
"""Levels of u below which a byte says too little about its logarithm."""
_VISIBLE: Final = 0.04
_FORMAT: Final = "star/1"


class CannotLearn(ValueError):
    """The pictures do not show one star at one place."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A learned star and how far to trust it: `removed` is the share of the pictures that it was found in and that were
    clean after its removal, `agreement` the correlation of what two halves of the pictures teach (both 0..1)."""

    learned: Learned
    pictures: int
    removed: float
    agreement: float

    @property
    def confidence(self) -> float:
        """0..1; do not use one below about 0.9."""
        return self.removed * max(self.agreement, 0.0)


def calibrate(pictures: Sequence[Image]) -> Lesson:
    """The star that `pictures` (H x W x 3, uint8, different scenes, sizes may differ) have in common, measured from the
    bottom right corner. Raises CannotLearn."""
    if len(pictures) < FEWEST:
        raise CannotLearn(f"{len(pictures)} pictures are too few: {FEWEST} are the least, 30 or more are better")
    reach = min(REACH, *(min(picture.shape[:2]) for picture in pictures))
    cuts = [picture[-reach:, -reach:] for picture in pictures]
    alpha = _alpha(cuts)
    learned = _shaped(alpha, reach)
    halves = [_alpha(cuts[start::2]) for start in (0, 1)]
    place = _square(learned.slot, reach)
    agreement = float(np.corrcoef(halves[0][place].ravel(), halves[1][place].ravel())[0, 1])
    clean = [any(m.kind == "learned" for m in peel(Corner.whole(p), [learned]).marks) for p in pictures]
    return Lesson(learned, len(pictures), float(np.mean(clean)), agreement)


def _alpha(cuts: Sequence[Image]) -> Floats:
    """How much white lies over each pixel (0..1), from equally large cuts."""
    across, down = [], []
    for cut in cuts:
        u = np.maximum(np.float32(255) - cut, np.float32(1))
        level = np.log(u)
        dark = u < _DARKEST
        across.append(_gradients(level, dark, axis=1))
        down.append(_gradients(level, dark, axis=0))
    # Channels are further witnesses of the same edge.
    gx, gy = (_median(np.concatenate(steps, axis=2)) for steps in (across, down))
    alpha: Floats = 1 - np.exp(_integrated(gx, gy))
    return alpha - np.median(alpha)


def _median(steps: NDArray[np.float32]) -> Floats:
    """The median along the last axis of what is no NaN; 0 where there is nothing else."""
    steps.sort(axis=2)
    known = (~np.isnan(steps)).sum(2, keepdims=True)
    middle = np.take_along_axis(steps, np.maximum(known - 1, 0) // 2, 2)[..., 0]
    return np.nan_to_num(middle.astype(np.float64))


def _gradients(level: NDArray[np.float32], dark: NDArray[np.bool_], axis: int) -> NDArray[np.float32]:
    """Differences towards the next pixel (h x w x 3, the last one 0), NaN where a byte is too white to tell."""
    steps = np.diff(level, axis=axis)
    count = level.shape[axis]
    either = np.take(dark, range(1, count), axis) | np.take(dark, range(count - 1), axis)
    steps[either] = np.nan
    pad = [(0, 0)] * 3
    pad[axis] = (0, 1)
    return np.pad(steps, pad)


def _integrated(gx: Floats, gy: Floats) -> Floats:
    """The plane whose gradients come nearest to gx, gy (Poisson's equation by FFT, periodic, mean 0)."""
    height, width = gx.shape
    fx = np.exp(2j * np.pi * np.fft.fftfreq(width))[None, :] - 1
    fy = np.exp(2j * np.pi * np.fft.fftfreq(height))[:, None] - 1
    power = np.abs(fx) ** 2 + np.abs(fy) ** 2
    power[0, 0] = 1
    spectrum = (np.conj(fx) * np.fft.fft2(gx) + np.conj(fy) * np.fft.fft2(gy)) / power
    spectrum[0, 0] = 0
    plane: Floats = np.fft.ifft2(spectrum).real
    return plane


def _shaped(alpha: Floats, reach: int) -> Learned:
    """The star in `alpha`: where it is, how opaque, and its coverage."""
    peak = float(np.quantile(alpha, 1 - 300 / alpha.size))
    noise = 1.4826 * float(np.median(np.abs(alpha)))
    if peak < max(_VISIBLE, 6 * noise):
        raise CannotLearn("nothing in the bottom right corner is common to these pictures")
    body = _largest(alpha > peak / 2)
    # Beyond half of the peak lie the thin tips, so the square grows until nothing above the noise is left around it.
    floor = max(3 * noise, 0.05 * peak)
    near = _grown(body, alpha > floor)
    rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    size = max(np.ptp(rows), np.ptp(columns)) + 1
    size += size % 2
    centre_y, centre_x = (rows[0] + rows[-1] + 1) / 2, (columns[0] + columns[-1] + 1) / 2
    margins = [reach - round(centre + size / 2) for centre in (centre_x, centre_y)]
    if abs(margins[0] - margins[1]) > 2 or min(margins) < PAD:
        raise CannotLearn("what these pictures have in common is no square mark as far from the right as from below")
    slot = Slot(int(size), round(sum(margins) / 2))
    cut = alpha[_square(slot, reach)]
    full = float(np.median(cut[cut > 0.9 * np.quantile(cut, 0.95)]))
    coverage = np.clip(cut / full, 0, 1)
    coverage[~_grown(body, alpha > floor / 2)[_square(slot, reach)]] = 0
    coverage[coverage > 1 - 2 * floor] = 1
    return Learned(slot, round(full * 255), coverage.astype(np.float32), _sixteenths(coverage))


def _square(slot: Slot, reach: int) -> tuple[slice, slice]:
    start = reach - slot.margin - slot.size
    return slice(start, start + slot.size), slice(start, start + slot.size)


def _largest(where: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of `where`."""
    left, best = where.copy(), np.zeros_like(where)
    while left.any():
        seed = np.zeros_like(where)
        seed.flat[int(np.flatnonzero(left)[0])] = True
        part = _grown(seed, left)
        best = part if part.sum() > best.sum() else best
        left &= ~part
    return best


def _grown(seed: NDArray[np.bool_], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """`seed` spread over the `allowed` pixels that are connected with it."""
    grown = seed
    while True:
        padded = np.pad(grown, 1)
        spread = (padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]) & allowed | grown
        if (spread == grown).all():
            return spread
        grown = spread


def _sixteenths(coverage: Floats) -> Counts | None:
    """The coverage as counts of 16 samples, if nearly all soft pixels lie near whole ones."""
    soft = coverage[(coverage > 0) & (coverage < 1)] * SAMPLES
    if not len(soft) or np.quantile(np.abs(soft - np.rint(soft)), 0.9) > 0.25:
        return None
    return np.rint(coverage * SAMPLES).astype(np.uint8)


# --- the small file -----------------------------------------------------------------------------------------------


def save(lesson: Lesson, file: Path) -> None:
    """Write the star of `lesson` to `file` (JSON, a few kB)."""
    mark = lesson.learned
    scaled = np.rint(mark.coverage * 65_535).astype(">u2").tobytes()
    value = {
        "format": _FORMAT,
        "slot": str(mark.slot),
        "opacity": mark.opacity,
        "coverage": base64.b64encode(scaled).decode(),
        "sixteenths": mark.counts is not None,
        "pictures": lesson.pictures,
        "confidence": round(lesson.confidence, 4),
    }
    file.write_text(json.dumps(value, indent=1) + "\n", "utf-8")


def load(file: Path) -> Learned:
    """The star that `save` wrote. Raises ValueError when `file` is no such thing, OSError when it cannot be read."""
    try:
        value = json.loads(file.read_text("utf-8"))
        if value["format"] != _FORMAT:
            raise ValueError(f"format {value['format']!r}")
        slot, opacity = Slot.parse(value["slot"]), int(value["opacity"])
        coverage = np.frombuffer(base64.b64decode(value["coverage"]), ">u2").reshape(slot.size, slot.size)
        if not 0 < opacity < 255 or slot.size > REACH:
            raise ValueError(f"opacity {opacity}, slot {slot}")
        shares = (coverage / 65_535).astype(np.float32)
        counts = np.rint(shares * SAMPLES).astype(np.uint8) if value["sixteenths"] else None
    except (ValueError, KeyError, TypeError) as exc:
        raise ValueError(f"{file} is no learned star: {exc}") from exc
    return Learned(slot, opacity, shares, counts)
