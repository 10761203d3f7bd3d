"""Pictures as they came are kept for the page's comparison: few, bounded in bytes, and not for long."""

from __future__ import annotations

from gateway.console.originals import Originals
from gateway.model import Image


def picture(data: bytes) -> Image:
    return Image(data, "image/png", 1, 1)


def test_the_pictures_of_a_request_are_found_by_their_place_until_their_time_is_over() -> None:
    now = [0.0]
    originals = Originals(lambda: now[0])
    originals.keep("r", picture(b"one"))
    originals.keep("r", picture(b"two"))
    assert originals.find("r", 0) == (b"one", "image/png") and originals.find("r", 1) == (b"two", "image/png")
    assert originals.find("r", 2) is None and originals.find("other", 0) is None
    now[0] = 600.0
    assert originals.find("r", 0) is None


def test_old_pictures_make_room_for_new_ones() -> None:
    originals = Originals(lambda: 0.0)
    for number in range(13):
        originals.keep(str(number), picture(b"x"))
    assert originals.find("0", 0) is None and originals.find("1", 0) is not None
    originals.keep("big", picture(bytes(64_000_000)))
    assert originals.find("12", 0) is None and originals.find("big", 0) is not None
