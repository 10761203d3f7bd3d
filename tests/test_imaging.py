"""Pictures are looked into a few at a time, and nothing behind their end is kept."""

from __future__ import annotations

import asyncio
import io
import os
import sys
import threading

import PIL.Image
import pytest

from gateway.imaging import BadPicture, Easel, checked


def drawn(size: tuple[int, int]) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.effect_noise(size, 90).save(buffer, "JPEG", quality=50)
    return buffer.getvalue()


class Counting:
    """Work that notes how many do it at once, and of what priority the threads are."""

    def __init__(self, wanted: int) -> None:
        self._lock = threading.Lock()
        self._together = threading.Barrier(wanted)
        self.now = self.most = 0
        self.nice: set[int] = set()

    def __call__(self, number: int) -> int:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self._together.wait(10)  # goes on only when as many as are allowed are in here
        if sys.platform == "linux":
            self.nice.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        with self._lock:
            self.now -= 1
        return number


async def test_ten_pictures_at_once_are_worked_on_two_at_a_time_behind_the_loop() -> None:
    easel, work = Easel(2), Counting(2)
    assert await asyncio.gather(*(easel.run(work, number) for number in range(10))) == list(range(10))
    easel.close()
    assert work.most == 2
    if sys.platform == "linux":
        assert min(work.nice) > os.getpriority(os.PRIO_PROCESS, 0)


@pytest.mark.parametrize("at", range(65_534, 65_546))
def test_what_is_behind_a_jpeg_is_dropped_also_where_its_end_lies_over_two_pieces(at: int) -> None:
    """Long pictures are searched for their end piece by piece, and a marker has two bytes."""
    end = b"\xff\xd9"
    data = drawn((300, 300)).removesuffix(end)
    start = data.index(b"\xff\xda")
    scan = start + 2 + int.from_bytes(data[start + 2 : start + 4], "big")  # here the search begins anew
    moved = data + b"\0" * (scan + at - len(data)) + end
    assert len(moved) > 65_536 and checked(moved + b"<?php ?>", 25e6) == (moved, "image/jpeg")


def test_the_end_of_a_large_jpeg_is_found() -> None:
    data = drawn((2500, 2500))
    assert len(data) > 4 * 65_536 and checked(data + b"<?php ?>", 25e6) == (data, "image/jpeg")


def test_more_pixels_than_allowed_are_not_even_decoded() -> None:
    with pytest.raises(BadPicture, match=r"more than 0\.04 megapixels"):
        checked(drawn((300, 300)), 40_000)
