"""The star itself: its masks, its compositor, and how exactly that can be undone."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from watermark import Slot, add
from watermark.blend import forward_table, inverse_tables
from watermark.masks import mask

SHA256 = {
    48: "9322a8bcafd1ab2f2fea4d714be959fb7ccebb864bc9c269ddb0c4b82e887068",
    96: "87443dec91691ce272a6156206c765d9342b494aeccb5a88400200ad5b2303b5",
}


@pytest.mark.parametrize(("size", "total", "partial", "full"), [(48, 13024, 132, 744), (96, 52076, 304, 3104)])
def test_the_masks_are_the_known_ones(size: int, total: int, partial: int, full: int) -> None:
    counts = mask(size)
    assert counts.sum() == total
    assert ((counts > 0) & (counts < 16)).sum() == partial
    assert (counts == 16).sum() == full
    assert hashlib.sha256(counts.tobytes()).hexdigest() == SHA256[size]


@pytest.mark.parametrize("size", [48, 96])
def test_the_star_turns_into_itself_but_does_not_mirror(size: int) -> None:
    counts = mask(size)
    assert (np.rot90(counts) == counts).all()
    assert (counts[:, ::-1] != counts).any()


def test_a_mask_cannot_be_changed_by_mistake() -> None:
    with pytest.raises(ValueError, match="read-only"):
        mask(48)[0, 0] = 1
    with pytest.raises(ValueError, match="sizes are 48 and 96"):
        mask(47)


def test_the_compositor_truncates_as_on_real_captures() -> None:
    grey = np.full((512, 512, 3), 126, np.uint8)
    marked = add(grey, "48@32", 128)
    assert marked[512 - 32 - 24, 512 - 32 - 24, 0] == 190  # rounding would give 191
    assert (add(np.zeros_like(grey), "48@96", 77)[512 - 96 - 24, 512 - 96 - 24] == 77).all()
    assert (add(np.full_like(grey, 255)) == 255).all()


@pytest.mark.parametrize(("opacity", "share", "mean"), [(128, 0.49, 0.52), (77, 0.69, 0.31)])
def test_undoing_is_at_most_one_level_off_for_every_byte_and_coverage(opacity: int, share: float, mean: float) -> None:
    forward, (low, high) = forward_table(opacity), inverse_tables(opacity)
    original = np.arange(256)
    for k in range(17):
        assert (low[k][forward[k]] <= original).all() and (original <= high[k][forward[k]]).all()
    middle = low + (high - low) // 2
    error = np.abs(np.stack([middle[k][forward[k]] for k in range(17)]).astype(int) - original)
    assert error.max() == 1
    assert not error[0].any()
    assert (error[16] == 0).mean() >= share
    assert error[16].mean() <= mean


@pytest.mark.parametrize("text", ["", "48", "48@", "@96", "-1@5", "0@10", "48@96@1", "a@b"])
def test_a_slot_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="size@margin"):
        Slot.parse(text)


def test_a_star_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        add(np.zeros((100, 300, 3), np.uint8), "48@96")
    with pytest.raises(ValueError, match="outside 1"):
        add(np.zeros((300, 300, 3), np.uint8), "48@96", 255)
