"""Pictures as they came are kept for the page's comparison: few, bounded in bytes, and not for long."""

from __future__ import annotations

import sys

from config.settings import Settings
from gateway.console.console import Console
from gateway.console.journal import Journal
from gateway.console.originals import Originals
from gateway.http.session import Sessions
from gateway.model import Call, Image, Outcome
from gateway.state.memory import MemoryStore


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


async def test_with_the_next_call_of_anybody_their_memory_is_free_when_their_time_is_over() -> None:
    now, data = [0.0], bytes(1_000_000)
    originals = Originals(lambda: now[0])
    console = Console(Settings(), Sessions(MemoryStore()), [], journal=Journal(), originals=originals, worker=0)
    originals.keep("r", picture(data))
    held = sys.getrefcount(data)
    for now[0], freed in ((599.0, 0), (600.0, 1)):
        await console.call_finished(Call("id", 0, "openai"), Outcome(200, None, 0.1))
        assert sys.getrefcount(data) == held - freed


def test_old_pictures_make_room_for_new_ones() -> None:
    originals = Originals(lambda: 0.0)
    for number in range(13):
        originals.keep(str(number), picture(b"x"))
    assert originals.find("0", 0) is None and originals.find("1", 0) is not None
    originals.keep("big", picture(bytes(64_000_000)))
    assert originals.find("12", 0) is None and originals.find("big", 0) is not None
