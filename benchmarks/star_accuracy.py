"""How surely the star is found and how exactly it is undone, on the held-out pictures of `pictures.py`. Takes minutes.
`python -m benchmarks.star_accuracy`; the tables of docs/watermark.md are its output."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from PIL import Image

from benchmarks import pictures
from benchmarks.pictures import Pixels
from watermark import Options, add, clean, detect
from watermark.detect import examine
from watermark.masks import mask
from watermark.outline import PAD
from watermark.remove import remove
from watermark.slots import Slot
from watermark.stars import Star, candidates

SHOWN = (("48@96", 77), ("48@32", 128), ("96@64", 128), ("48@96", 128))
WINDOWS = 100_000
"""Unmarked windows a slot."""
_WHITE = 235
"""A place whose mean is above it shows no star to anybody."""


def jpeg(pixels: Pixels, quality: int) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "JPEG", quality=quality)
    return target.getvalue()


def opened(data: bytes) -> Pixels:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture.convert("RGB"))


def backgrounds(slot: Slot) -> Iterator[tuple[str, Pixels]]:
    """The held-out pictures that have room for `slot` and are not white there. A photograph of another size is used as
    it is and enlarged to one that Gemini gives out."""
    for name, pixels in [*pictures.photographs("held out"), *pictures.drawn("held out", 8)]:
        if shows(pixels, slot):
            yield name, pixels


def shows(pixels: Pixels, slot: Slot) -> bool:
    """Whether `pixels` have room for `slot` and are not white there."""
    height, width = pixels.shape[:2]
    if min(height, width) < slot.size + slot.margin + PAD:
        return False
    x, y, size, _ = slot.box(width, height)
    return bool(pixels[y : y + size, x : x + size].mean() <= _WHITE)


def detection() -> Iterator[str]:
    """Found in the right slot with the right opacity, of all."""
    yield "| star | pictures | PNG | JPEG q95 | JPEG q90 |"
    yield "|---|---|---|---|---|"
    ways: tuple[Callable[[Pixels], Pixels], ...] = (
        lambda pixels: pixels,
        lambda pixels: opened(jpeg(pixels, 95)),
        lambda pixels: opened(jpeg(pixels, 90)),
    )
    for name, opacity in SHOWN:
        found, missed = np.zeros((3, 0), bool), []
        for title, pixels in backgrounds(Slot.parse(name)):
            marks = [detect(way(add(pixels, name, opacity))) for way in ways]
            right = [m is not None and (m.slot, m.opacity) == (name, opacity) for m in marks]
            found = np.column_stack([found, right])
            missed += [] if all(right) else [title]
        rates = " | ".join(f"{rate:.1%}" for rate in found.mean(1))
        note = f" missed: {', '.join(missed)}" if missed else ""
        yield f"| {name}, {opacity}/255 | {found.shape[1]} | {rates} |{note}"


def lossless() -> Iterator[str]:
    """Error in the star's pixels of a PNG."""
    yield "| star | pictures | largest error | median MAE | p10 PSNR, dB | changed outside |"
    yield "|---|---|---|---|---|---|"
    for name, opacity in SHOWN:
        worst, errors, psnr, outside = 0, [], [], 0
        slot = Slot.parse(name)
        for _, pixels in backgrounds(slot):
            if (mark := detect(marked := add(pixels, name, opacity))) is None or mark.slot != name:
                continue
            x, y, size, _ = slot.box(pixels.shape[1], pixels.shape[0])
            cleaned = remove(marked, mark)
            error = np.abs(cleaned.astype(int) - pixels)[y : y + size, x : x + size][mask(size) > 0]
            worst = max(worst, int(error.max()))
            errors.append(error.mean())
            psnr.append(10 * np.log10(255**2 / max((error**2).mean(), 1e-9)))
            changed = (cleaned != marked).any(2)
            changed[y : y + size, x : x + size] = False
            outside += int(changed.sum())
        yield (
            f"| {name}, {opacity}/255 | {len(errors)} | {worst} | {np.median(errors):.2f} | "
            f"{np.quantile(psnr, 0.1):.1f} | {outside} |"
        )


def lossy() -> Iterator[str]:
    """Error in the star's pixels of a JPEG against the picture before any JPEG, and what an unmarked JPEG has."""
    yield "| star | quality | pictures removed | median MAE | mean MAE | unmarked JPEG, median | changed outside |"
    yield "|---|---|---|---|---|---|---|"
    for name, opacity in SHOWN:
        slot = Slot.parse(name)
        for quality in (95, 90):
            errors, bare, outside, count = [], [], 0, 0
            for _, pixels in backgrounds(slot):
                data = jpeg(add(pixels, name, opacity), quality)
                result, count = clean(data), count + 1
                if result.outcome != "removed":
                    continue
                x, y, size, _ = slot.box(pixels.shape[1], pixels.shape[0])
                place = np.s_[y : y + size, x : x + size]
                under = mask(size) > 0
                cleaned = opened(result.data)
                errors.append(np.abs(cleaned[place].astype(int) - pixels[place])[under].mean())
                bare.append(np.abs(opened(jpeg(pixels, quality))[place].astype(int) - pixels[place])[under].mean())
                outside += int(beyond_blocks(cleaned, opened(data), (x, y, size)).sum())
            yield (
                f"| {name}, {opacity}/255 | {quality} | {len(errors)} of {count} | {np.median(errors):.2f} | "
                f"{np.mean(errors):.2f} | {np.median(bare):.2f} | {outside} |"
            )


def beyond_blocks(first: Pixels, second: Pixels, place: tuple[int, int, int], unit: int = 16) -> Pixels:
    """Where two pictures differ outside the units (of 4:2:0) that the square touches and the one pixel around them into
    which a decoder smooths their chroma."""
    x, y, size = place
    differ = (first != second).any(2)
    rows, columns = (slice(at // unit * unit - 1, -(-(at + size) // unit) * unit + 1) for at in (y, x))
    differ[rows, columns] = False
    return differ


def unmarked() -> list[Pixels]:
    """Held-out pictures, decoys among them."""
    known = [*pictures.photographs("held out"), *pictures.drawn("held out", 8), *pictures.decoys("held out", 60)]
    return [pixels for _, pixels in known]


def windows(known: Sequence[Pixels], side: int, count: int) -> Iterator[Pixels]:
    """`count` windows from anywhere in `known`."""
    rng = np.random.default_rng(7)
    roomy = [pixels for pixels in known if min(pixels.shape[:2]) > side]
    for number in range(count):
        pixels = roomy[number % len(roomy)]
        y, x = (int(rng.integers(0, length - side)) for length in pixels.shape[:2])
        yield np.ascontiguousarray(pixels[y : y + side, x : x + side])


def false_positives() -> Iterator[str]:
    """How many unmarked windows pass for each star of a 1024 px picture, and for one of a preview."""
    yield "| star | kind | windows | taken for a star | share |"
    yield "|---|---|---|---|---|"
    known = unmarked()
    preview = next(star for star in candidates(1024, 559) if star.kind == "preview")
    for star in [*(star for star in candidates(1024, 1024) if star.kind == "exact"), preview]:
        hits = passing(star, known, WINDOWS)
        yield f"| {star.slot} | {star.kind} | {WINDOWS} | {hits} | {hits / WINDOWS:.4%} |"


def passing(star: Star, known: Sequence[Pixels], count: int) -> int:
    """How many of `count` windows of `known` pass for `star`."""
    return sum(examine(window, star) is not None for window in windows(known, star.box[2] + 2 * PAD, count))


def left_alone() -> Iterator[str]:
    """Unmarked whole pictures, random crops of marked ones and flipped marked ones: all must come back as they were."""
    yield "| pictures | count | changed |"
    yield "|---|---|---|"
    held = [*pictures.photographs("held out"), *pictures.drawn("held out", 40)]
    rng = np.random.default_rng(3)
    sets = {
        "unmarked photographs and drawn pictures": [p for _, p in held],
        "the same as JPEG q90": [opened(jpeg(p, 90)) for _, p in held],
        "random crops of unmarked ones": [_crop(p, rng) for _, p in held for _ in range(4)],
        "decoys that look like stars": [p for _, p in pictures.decoys("held out", 200)],
        "marked, then cropped by 20 to 60 px at right and bottom": [
            add(p)[: -int(rng.integers(20, 61)), : -int(rng.integers(20, 61))] for _, p in held if min(p.shape[:2]) > 260
        ],
        "marked, then flipped": [np.ascontiguousarray(add(p)[::-1, ::-1]) for _, p in held if min(p.shape[:2]) > 260],
    }
    for title, found in sets.items():
        changed = sum(detect(np.ascontiguousarray(p)) is not None for p in found)
        yield f"| {title} | {len(found)} | {changed} |"


def _crop(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = pixels.shape[:2]
    return pixels[: int(rng.integers(height // 2, height)) + 1, : int(rng.integers(width // 2, width)) + 1]


def scaled() -> Iterator[str]:
    """Previews (smaller) and pictures that were upscaled with their star."""
    yield "| picture | kernel | pictures | found | removed | median MAE under it |"
    yield "|---|---|---|---|---|---|"
    for title, native, actual in (("preview", (1408, 768), (1024, 559)), ("upscaled", (1024, 1024), (2048, 2048))):
        for kernel in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
            found = removed = count = 0
            errors = []
            for name in pictures.PHOTOGRAPHS["held out"]:
                for view in list(pictures.views(pictures.photograph(name)))[:2]:
                    original = pictures.enlarged(view, native)
                    wide = [np.asarray(Image.fromarray(p).resize(actual, kernel)) for p in (original, add(original))]
                    count += 1
                    if (mark := detect(wide[1])) is None:
                        continue
                    found += 1
                    target = io.BytesIO()
                    Image.fromarray(wide[1]).save(target, "PNG", compress_level=1)
                    if (result := clean(target.getvalue(), Options())).outcome == "removed":
                        removed += 1
                        x, y, w, h = mark.box
                        place = np.s_[y : y + h, x : x + w]
                        errors.append(np.abs(opened(result.data)[place].astype(int) - wide[0][place]).mean())
            middle = f"{np.median(errors):.2f}" if errors else "-"
            yield f"| {title} {actual[0]}x{actual[1]} | {kernel.name.lower()} | {count} | {found} | {removed} | {middle} |"


if __name__ == "__main__":
    for part in (detection, lossless, lossy, left_alone, scaled, false_positives):
        print(f"\n{part.__doc__}\n")
        for line in part():
            print(line, flush=True)
