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
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import PIL.Image

from benchmarks.processes import Child, started

AT_ONCE, MEGAPIXELS = 10, (5000, 4000)
QUIET_S = 5.0


async def measure() -> list[str]:
    """Lines of tables."""
    async with started(["-m", "gateway.simulator", "--accounts", "5", "--pace-ms", "0"]) as site:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "settings.json"
            file.write_text(json.dumps(_settings(site)))
            async with started(["-m", "benchmarks.served", str(file)]) as gateway:
                os.sched_setaffinity(gateway.process.pid, {0, 1})
                return await _measured(gateway)


def _settings(site: Child) -> dict[str, object]:
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
        "beat": "sample" if "-v" in sys.argv else True,
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


async def _measured(gateway: Child) -> list[str]:
    lines = ["| the loop's lateness, ms | p99.9 | longest | own step | interpreter lock | core | over 20 ms |"]
    lines += ["|---|--:|--:|--:|--:|--:|--:|"]
    jpeg = await asyncio.to_thread(drawn, "JPEG", MEGAPIXELS)
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
        cost = await _one(http, gateway)
    return [
        *lines,
        "",
        f"Memory: {idle:.0f} MB before, at most {most:.0f} MB under them.",
        f"One 1024 x 1024 PNG made, cleaned and sent: {cost:.0f} ms CPU in the whole process (bar: 80).",
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
    fields = {"prompt": "make it blue", "model": "gemini-3-pro-image-preview-4k"}
    if as_form:
        form = aiohttp.FormData(fields)
        form.add_field("image", picture, filename="x.jpg", content_type="image/jpeg")
        sent: dict[str, Any] = {"data": form}
    else:
        body = await asyncio.to_thread(
            lambda: json.dumps({**fields, "image": base64.b64encode(picture).decode()}).encode()
        )
        sent = {"data": io.BytesIO(body), "headers": {"Content-Type": "application/json"}}
    async with http.post("/v1/images/edits", **sent) as response:
        assert response.status == 200, await response.text()
        async for _ in response.content.iter_any():
            pass


async def _one(http: aiohttp.ClientSession, gateway: Child) -> float:
    """CPU ms of the process for one picture of 1024 x 1024: the median of ten."""
    body = {"prompt": "a boat", "model": "gemini-2.5-flash-image", "size": "1024x1024"}
    spent = []
    for _ in range(10):
        begun = gateway.cpu_s()
        async with http.post("/v1/images/generations", json=body) as response:
            assert response.status == 200, await response.text()
        spent.append((gateway.cpu_s() - begun) * 1000)
    return statistics.median(spent)


def _at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


if __name__ == "__main__":
    sys.stdout.write("\n".join(asyncio.run(measure())) + "\n")
