"""The bars, on pictures that nothing was tuned on. The large sets are in benchmarks/star_accuracy.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from conftest import Pixels, decoded, encoded
from PIL import Image

from benchmarks import pictures
from benchmarks.star_accuracy import SHOWN, passing, shows
from watermark import add, detect, remove
from watermark.masks import mask
from watermark.slots import Slot
from watermark.stars import candidates

Held = list[tuple[str, Pixels]]


def suitable(held_out: Held, slot: str) -> Held:
    """Pictures with room for `slot` that are not white there; a page of text is no photograph."""
    return [(name, p) for name, p in held_out if shows(p, Slot.parse(slot)) and "text" not in name]


@pytest.mark.parametrize(("slot", "opacity"), SHOWN)
def test_found_in_its_slot_and_undone_to_one_level(slot: str, opacity: int, held_out: Held) -> None:
    missed, errors, psnr = [], [], []
    known = suitable(held_out, slot)
    for name, pixels in known:
        marked = add(pixels, slot, opacity)
        mark = detect(marked)
        if mark is None or (mark.slot, mark.opacity, mark.kind) != (slot, opacity, "exact"):
            missed.append(name)
            continue
        assert mark.z > 5 and 0.5 <= mark.confidence <= 1
        cleaned = remove(marked, mark)
        x, y, w, h = mark.box
        outside = (cleaned != marked).any(2)
        outside[y : y + h, x : x + w] = False
        assert not outside.any()
        error = np.abs(cleaned.astype(int) - pixels)[y : y + h, x : x + w][mask(w) > 0]
        assert error.max() <= 1, name
        errors.append(error.mean())
        psnr.append(10 * np.log10(255**2 / max((error**2).mean(), 1e-9)))
    assert len(missed) <= 0.01 * len(known), missed
    assert np.median(errors) <= (0.5 if opacity == 77 else 0.52)
    assert np.quantile(psnr, 0.1) >= 49


@pytest.mark.parametrize(("slot", "opacity"), [("48@96", 77), ("96@64", 128)])
def test_found_after_a_jpeg_of_quality_90(slot: str, opacity: int, held_out: Held) -> None:
    known = [p for _, p in suitable(held_out, slot)]
    marks = [detect(decoded(encoded(add(p, slot, opacity), "JPEG", quality=90))) for p in known]
    assert sum(m is not None and m.slot == slot for m in marks) >= 0.95 * len(known)


def test_unmarked_pictures_are_left_alone(held_out: Held) -> None:
    held = [*held_out, *pictures.decoys("held out", 40)]
    assert [name for name, p in held if detect(p) is not None] == []


def test_unmarked_windows_hardly_ever_pass(held_out: Held) -> None:
    known = [pixels for _, pixels in held_out]
    exact = [star for star in candidates(1024, 1024) if star.kind == "exact"]
    assert sum(passing(star, known, 500) for star in exact) <= 1


@pytest.mark.parametrize("change", ["flipped", "turned", "cut right", "cut below", "black star"])
def test_a_star_at_a_place_where_none_is_put_is_left_alone(change: str, photo: Callable[..., Pixels]) -> None:
    marked = add(photo())
    changed = {
        "flipped": marked[:, ::-1],
        "turned": np.rot90(marked, 2),
        "cut right": marked[:, :-30],
        "cut below": marked[:-30],
        "black star": 255 - add(255 - photo()),
    }[change]
    assert detect(np.ascontiguousarray(changed)) is None


def test_cut_at_the_left_and_above_it_is_still_found(photo: Callable[..., Pixels]) -> None:
    pixels = photo()
    mark = detect(np.ascontiguousarray(add(pixels)[100:, 200:]))
    assert mark is not None and mark.slot == "48@96"


def test_the_preview_of_a_marked_picture_is_found_and_undone(photo: Callable[..., Pixels]) -> None:
    original = photo("flower.jpg", (1408, 768))
    plain, marked = (
        np.asarray(Image.fromarray(p).resize((1024, 559), Image.Resampling.BICUBIC)) for p in (original, add(original))
    )
    mark = detect(marked)
    assert mark is not None and (mark.kind, mark.slot) == ("preview", "48@96")
    assert mark.scale == pytest.approx(1024 / 1408)
    error = np.abs(remove(marked, mark).astype(int) - plain)
    x, y, w, h = mark.box
    assert error[y : y + h, x : x + w].mean() < 0.5
    assert error.max() <= 8  # the softest pixels, where the kernel and both roundings meet


def test_a_picture_that_was_upscaled_with_its_star_is_recognised_as_such(photo: Callable[..., Pixels]) -> None:
    small = add(photo("coffee.png", (1408, 768)))
    large = np.asarray(Image.fromarray(small).resize((2816, 1536), Image.Resampling.LANCZOS))
    mark = detect(large)
    assert mark is not None and mark.kind == "upscaled" and mark.scale == 2


@pytest.mark.parametrize(("slot", "opacity"), SHOWN)
@pytest.mark.parametrize("level", [20, 37, 90, 126, 171, 200])
def test_on_even_ground_no_whole_star_is_left(slot: str, opacity: int, level: int) -> None:
    ground = np.full((512, 512, 3), (level, level + 1, level // 2), np.uint8)
    marked = add(ground, slot, opacity)
    mark = detect(marked)
    assert mark is not None
    wrong = (remove(marked, mark) != ground).any(2)
    assert wrong.sum() <= 0.02 * (mask(mark.size) > 0).sum()


@pytest.mark.parametrize("shape", [(0, 0, 3), (1, 1, 3), (60, 60, 3), (47, 3000, 3), (3000, 47, 3)])
def test_a_picture_without_room_has_no_star(shape: tuple[int, ...]) -> None:
    assert detect(np.zeros(shape, np.uint8)) is None


@pytest.mark.parametrize("shape", [(512, 512), (512, 512, 4), (512,)])
def test_an_array_that_is_no_picture_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="H x W x 3"):
        detect(np.zeros(shape, np.uint8))


def test_a_mark_of_another_picture_is_refused(photo: Callable[..., Pixels]) -> None:
    mark = detect(add(photo()))
    assert mark is not None
    with pytest.raises(ValueError, match="leaves the picture"):
        remove(np.zeros((200, 200, 3), np.uint8), mark)
