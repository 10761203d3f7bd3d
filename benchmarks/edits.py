"""Ten edits of 20-megapixel pictures at once on two cores: how long the event loop lets others wait, what memory they take,
and what one 1024 x 1024 picture costs. Baselines: the same beat in the gateway while nothing is asked (what the machine's
other work adds), and the bars of 20 ms a step and 80 ms of CPU."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import PIL.Image

from benchmarks.processes import Child, served, started

AT_ONCE, MEGAPIXELS = 10, (5000, 4000)
QUIET_S = 5.0
_FIELDS = {"prompt": "make it blue", "model": "gemini-3-pro-image-preview-4k"}


async def measure() -> list[str]:
    """Lines of tables."""
    jpeg = await asyncio.to_thread(drawn, "JPEG", MEGAPIXELS)
    async with serving("sample" if "-v" in sys.argv else "beat") as gateway:
        lines = await _measured(gateway, jpeg)
    async with serving("steps") as gateway:
        return [*lines, "", *await _steps(gateway, jpeg)]


@asynccontextmanager
async def serving(beat: str) -> AsyncIterator[Child]:
    """The gateway on two cores, with the simulator behind it."""
    async with started(["-m", "gateway.simulator", "--accounts", "5", "--pace-ms", "0"]) as site:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "settings.json"
            file.write_text(json.dumps(_settings(site, beat)))
            async with served(file) as gateway:
                os.sched_setaffinity(gateway.process.pid, set(sorted(os.sched_getaffinity(0))[:2]))
                yield gateway


def _settings(site: Child, beat: str) -> dict[str, object]:
    accounts = [
        {
            "name": account["name"],
            "secure_1psid": account["cookies"]["__Secure-1PSID"],
            "secure_1psidts": account["cookies"]["__Secure-1PSIDTS"],
            "proxy": site.ready["proxy_url"],
        }
        for account in site.ready["accounts"]
    ]
    plugins = ["metrics", "access_log", "model_aliases", "retry", "watermark_removal", "openai_api"]
    return {
        "server": {"port": 0},
        "gateway": {"plugins": plugins},
        "accounts": accounts,
        "upstream": {"ca_file": site.ready["ca_file"]},
        "beat": beat,
    }


def drawn(form: str, size: tuple[int, int]) -> bytes:
    """A picture as large as a photograph is when it is packed."""
    rng = np.random.default_rng(7)
    small = rng.integers(0, 256, (size[1] // 8, size[0] // 8, 3), np.uint8)
    smooth = np.asarray(PIL.Image.fromarray(small).resize(size, PIL.Image.Resampling.BILINEAR)).astype(np.int16)
    pixels = np.clip(smooth + rng.integers(-3, 4, smooth.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, form, quality=92, compress_level=1)
    return buffer.getvalue()


async def _steps(gateway: Child, picture: bytes) -> list[str]:
    """The longest steps by what they are, of ten edits as JSON and ten as forms."""
    lines = ["| ten edits as | steps | longest own step, ms CPU | bar |", "|---|--:|--:|--:|"]
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(gateway.ready["url"], timeout=timeout) as http:
        await _edit(http, await asyncio.to_thread(drawn, "JPEG", (640, 480)), as_form=False)
        await _beats(gateway)
        for name, as_form in (("JSON", False), ("forms", True)):
            await _ten(http, gateway, picture, as_form=as_form)
            found = await _beats(gateway)
            longest = found["longest"][0][0] if found["longest"] else 0
            lines.append(f"| {name} | {found['steps']} | {longest:.1f} | 20 |")
    return lines


async def _measured(gateway: Child, jpeg: bytes) -> list[str]:
    lines = ["| the loop's lateness, ms | p99.9 | longest | own step | interpreter lock | core | over 20 ms |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|"]
    timeout = aiohttp.ClientTimeout(total=300)
    async with aiohttp.ClientSession(gateway.ready["url"], timeout=timeout) as http:
        await _edit(http, await asyncio.to_thread(drawn, "JPEG", (640, 480)), as_form=False)
        idle = gateway.rss_mb()
        await _beats(gateway)
        await asyncio.sleep(QUIET_S)
        lines += _row("nothing asked", await _beats(gateway))
        most = 0.0
        for name, as_form in (("ten edits as JSON", False), ("ten edits as forms", True)):
            answered, peak = await _ten(http, gateway, jpeg, as_form=as_form)
            most = max(most, peak)
            lines += _row(f"{name}, {len(jpeg) / 1e6:.1f} MB each", await _beats(gateway))
            lines.append(f"| GET /health meanwhile | {_at(answered, 0.99):.1f} (p99) | {max(answered):.1f} | | | | |")
        cost, loop = await _one(http, gateway)
    return [
        *lines,
        "",
        f"Memory: {idle:.0f} MB before, at most {most:.0f} MB under them.",
        f"One 1024 x 1024 PNG made, cleaned and sent: {cost:.0f} ms CPU (bar: 80), of which {loop:.0f} in the loop.",
    ]


async def _beats(gateway: Child) -> dict[str, Any]:
    """What the gateway's beat saw since the last time."""
    assert gateway.process.stdin is not None and gateway.process.stdout is not None
    gateway.process.stdin.write(b"\n")
    found: dict[str, Any] = json.loads(await gateway.process.stdout.readline())
    if "-v" in sys.argv:
        print(json.dumps(found, indent=1), file=sys.stderr)
    return found


def _row(name: str, found: dict[str, Any]) -> list[str]:
    cells = [f"{found[key]:.1f}" for key in ("p999", "longest", "own", "lock", "core")]
    return [f"| {name} | {' | '.join(cells)} | {found['over_20']} of {found['beats']} |"]


async def _ten(
    http: aiohttp.ClientSession, gateway: Child, picture: bytes, *, as_form: bool
) -> tuple[list[float], float]:
    """Ten at once; how fast /health answered meanwhile (ms), and the most memory (MB)."""
    answered, peak = [], 0.0
    edits = asyncio.gather(*(_edit(http, picture, as_form=as_form) for _ in range(AT_ONCE)))
    async with aiohttp.ClientSession(gateway.ready["url"]) as other:
        while not edits.done():
            begun = time.perf_counter()
            async with other.get("/health") as response:
                await response.read()
            answered.append((time.perf_counter() - begun) * 1000)
            peak = max(peak, gateway.rss_mb())
            await asyncio.sleep(0.02)
    await edits
    return answered, peak


async def _edit(http: aiohttp.ClientSession, picture: bytes, *, as_form: bool) -> None:
    if as_form:
        form = aiohttp.FormData(_FIELDS)
        form.add_field("image", picture, filename="x.jpg", content_type="image/jpeg")
        sent: dict[str, Any] = {"data": form}
    else:
        body = _body(picture)
        sent = {"data": io.BytesIO(body), "headers": {"Content-Type": "application/json"}}
    async with http.post("/v1/images/edits", **sent) as response:
        assert response.status == 200, await response.text()
        async for _ in response.content.iter_any():
            pass


@cache
def _body(picture: bytes) -> bytes:
    return json.dumps({**_FIELDS, "image": base64.b64encode(picture).decode()}).encode()


async def _one(http: aiohttp.ClientSession, gateway: Child) -> tuple[float, float]:
    """CPU ms of the process, and of its event loop alone, for one picture of 1024 x 1024: the medians of ten."""
    body = {"prompt": "a boat", "model": "gemini-2.5-flash-image", "size": "1024x1024"}
    spent, in_loop = [], []
    for _ in range(10):
        begun, loop_begun = gateway.cpu_s(), gateway.loop_s()
        async with http.post("/v1/images/generations", json=body) as response:
            assert response.status == 200, await response.text()
        spent.append((gateway.cpu_s() - begun) * 1000)
        in_loop.append((gateway.loop_s() - loop_begun) * 1000)
    return statistics.median(spent), statistics.median(in_loop)


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


if __name__ == "__main__":
    sys.stdout.write("\n".join(asyncio.run(measure())) + "\n")
