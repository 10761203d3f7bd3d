"""The heap after large work: what pictures took is given back, and is not kept in every thread for the next one."""

from __future__ import annotations

import asyncio
import gc
import platform
import subprocess
import sys
import weakref
from urllib.parse import urlsplit

import pytest

from gateway.allocator import trim_for_ever
from tests.waiting import until

# Blocks of pictures in a thread: after the first one glibc would keep those that follow.
WORK = """
import sys, threading
from pathlib import Path
from gateway import allocator

def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

def work():
    large = b"x" * 30_000_000
    del large
    others = [b"x" * (9_000_000 + number) for number in range(4)]
    del others

if sys.argv[1] == "returned":
    allocator.return_large_blocks()
before = resident_mb()
thread = threading.Thread(target=work)
thread.start()
thread.join()
print(resident_mb() - before)
"""


def left_over_mb(how: str) -> float:
    run = subprocess.run([sys.executable, "-c", WORK, how], capture_output=True, text=True, check=True)
    return float(run.stdout)


GLIBC_ONLY = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other allocators keep nothing back that we could return"
)


@GLIBC_ONLY
def test_large_blocks_of_threads_go_back_to_the_system() -> None:
    assert left_over_mb("returned") < 6
    assert left_over_mb("kept") > 20  # or this system needs none of it


class Knot:
    def __init__(self) -> None:
        self.itself = self


@GLIBC_ONLY
@pytest.mark.parametrize("quiet", [True, False])
async def test_what_is_kept_for_the_next_use_goes_and_the_search_waits_until_nothing_runs(quiet: bool) -> None:
    gc.disable()
    trimming = asyncio.create_task(trim_for_ever(lambda: quiet, 0.01))
    try:
        gone = weakref.ref(Knot())
        urlsplit("https://example.com/a-burst")
        await until(lambda: not urlsplit.cache_info().currsize)  # type: ignore[attr-defined]
        assert (gone() is None) == quiet
    finally:
        gc.enable()
        trimming.cancel()
