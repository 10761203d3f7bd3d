"""What taking the star off a PNG costs, against a plain Pillow open and save of the same picture in the same run; and how
much memory it takes at most. Process CPU time, medians; peak resident memory in a process of its own."""

from __future__ import annotations

import asyncio
import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import pictures
from watermark import add, clean, png
from watermark.clean import Options, _corner, _opened
from watermark.corner import Corner
from watermark.detect import Mark, detect_all
from watermark.peel import gone, peel
from watermark.remove import LOSSLESS, restore

ROUNDS = 3
SIDES = (1024, 2048, 4096)
TARGETS = {1024: 0.25, 2048: 0.33, 4096: 0.33}
"""Largest share of Pillow's time; at 4096 px no more than four times the raw pixels in memory."""
_MEMORY = """
import re, sys
from pathlib import Path
from watermark import clean
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
small, large = (Path(name).read_bytes() for name in sys.argv[1:])
clean(small)  # what imports and tables take is not the picture's
base = peak()
assert clean(large).outcome == "removed"
print(peak() - base + len(large))
"""


def marked(side: int) -> bytes:
    """A photograph of `side` x `side` px with some grain, the star on it, as Pillow writes PNG."""
    pixels = pictures.enlarged(pictures.photograph("coffee.png"), (side, side)).astype(np.int16)
    grain = np.random.default_rng(1).normal(0, 2, pixels.shape)
    return plain(add(np.clip(pixels + grain, 0, 255).astype(np.uint8)))


def plain(pixels: pictures.Pixels) -> bytes:
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG")
    return target.getvalue()


def cpu_ms(work: Callable[[], Any]) -> float:
    """Median CPU milliseconds of `work`."""
    taken = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        work()
        taken.append((time.process_time() - begun) * 1000)
    return statistics.median(taken)


def resave(data: bytes) -> None:
    """The baseline."""
    with Image.open(io.BytesIO(data)) as picture:
        picture.save(io.BytesIO(), "PNG")


def taken_off(corner: Corner, mark: Mark) -> bool:
    """The star undone, and looked for again."""
    return gone(corner.pasted(mark.box, restore(corner.cut(mark.box), mark)), [mark], LOSSLESS)


def peak(small: bytes, large: bytes) -> int:
    """Bytes that cleaning `large` takes beyond what `small` took, the input included."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("small.png", "large.png")]
        for file, data in zip(files, (small, large), strict=True):
            file.write_bytes(data)
        command = [sys.executable, "-c", _MEMORY, *map(str, files)]
        return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def measure() -> list[str]:
    """Lines of a table."""
    lines = ["| side | decode | detect | remove | encode | whole clean() | Pillow open + save | ratio | target | size |"]
    lines.append("|---|---|---|---|---|---|---|---|---|---|")
    small = marked(SIDES[0])
    for side in SIDES:
        data = marked(side)
        picture = _opened(data, "PNG")
        corner = _corner(picture, Options())
        decode = cpu_ms(lambda data=data: _opened(data, "PNG"))
        detect = cpu_ms(lambda corner=corner: detect_all(corner))
        (mark,) = peel(corner).marks
        remove = cpu_ms(lambda corner=corner, mark=mark: taken_off(corner, mark))
        encode = cpu_ms(lambda data=data, picture=picture: png.with_rows(data, png.filtered(picture)))
        whole, base = cpu_ms(lambda data=data: clean(data)), cpu_ms(lambda data=data: resave(data))
        size = len(clean(data).data) / len(data)
        times = " | ".join(f"{ms:.1f}" for ms in (decode, detect, remove, encode, whole, base))
        lines.append(f"| {side} | {times} | {whole / base:.2f} | {TARGETS[side]} | {size:.0%} |")
    raw = SIDES[-1] ** 2 * 3
    lines += ["", f"Memory at {SIDES[-1]} px: {peak(small, marked(SIDES[-1])) / raw:.2f} x the raw pixels (target 4)."]
    return lines


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure())))
