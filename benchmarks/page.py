"""What an open admin page costs the server, and whether it stays smooth: 100 accounts and 50 requests a second of a
scripted upstream, looked at by a headless Chromium. Baselines: the same server with nobody looking, and a blank page."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser, CDPSession, Page, async_playwright

from benchmarks.chain import BODY, HEADERS, PLUGINS
from benchmarks.processes import Child, served

ACCOUNTS, PER_SECOND, LOOKED_S, SETTLED_S = 100, 50, 60.0, 12.0
ROUNDS, ROUND_S = 8, 6.0
FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
# A view, what is there when it has come, and what it follows.
VIEWS = (("overview", ".chip", "overview"), ("accounts", ".account", "accounts"), ("logs", ".line", "log"))
_PIECES = ["Hello ", 0.2, "and good ", 0.2, "morning."]
_BYTES = """[...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
  .reduce((sum, entry) => sum + entry.transferSize, 0)"""
# Counts what a person would see as a stutter: tasks over 50 ms and the gaps between frames.
_WATCH = """() => {
  const seen = window.seen = {tasks: [], gaps: [], last: null};
  const look = (list) => seen.tasks.push(...list.getEntries().map((task) => task.duration));
  new PerformanceObserver(look).observe({type: "longtask"});
  const frame = (now) => {
    if (seen.last !== null) seen.gaps.push(now - seen.last);
    seen.last = now;
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
}"""


@dataclass(frozen=True, slots=True)
class Look:
    """What a minute of looking at one page was like: times in ms, memory in kB, the main thread's share of a core."""

    tasks: list[float]
    gaps: list[float]
    busy: float
    heap_grown_kb: float
    nodes_grown: int

    def cells(self) -> str:
        """Of tasks over 50 ms: number, longest; of frames: 99th percentile, longest; share of a core; growth of both."""
        gaps = sorted(self.gaps)
        tasks = f"{len(self.tasks)} | {max(self.tasks, default=0):.0f}"
        frames = f"{gaps[len(gaps) * 99 // 100]:.0f} | {gaps[-1]:.0f}"
        return f"{tasks} | {frames} | {self.busy:.1%} | {self.heap_grown_kb:+,.0f} | {self.nodes_grown:+,}"


HEADINGS = (
    "page",
    "tasks over 50 ms",
    "longest, ms",
    "frame gap p99, ms",
    "longest gap, ms",
    "main thread, of a core",
    "heap after a minute, kB",
    "DOM nodes",
    "server's CPU for it, of a core",
)


async def measure() -> list[str]:
    """Lines of a table, one a view."""
    lines = [f"| {' | '.join(HEADINGS)} |", "|---" * len(HEADINGS) + "|"]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "settings.json"
        file.write_text(json.dumps(_settings()))
        async with served(file) as gateway, _load(gateway):
            await asyncio.sleep(SETTLED_S)
            async with _browser() as browser:
                lines.append(f"| a blank page | {(await _looked_at(browser, 'about:blank', 'body')).cells()} | |")
                paint = await _first_paint(browser, f"{gateway.ready['url']}/")
                looks = [await _looked_at(browser, f"{gateway.ready['url']}/#/{name}", there) for name, there, _ in VIEWS]
            for (view, _, topic), look in zip(VIEWS, looks, strict=True):
                lines.append(f"| {view} | {look.cells()} | {await _server_share(gateway, topic):+.2%} |")
    return [*lines, "", paint]


async def _first_paint(browser: Browser, url: str) -> str:
    """What a first visit takes, in words: the median of several, each with an empty cache."""
    paints, sizes = [], []
    for _ in range(ROUNDS):
        page = await browser.new_page()
        await page.goto(url)
        await page.locator(".chart").first.wait_for()
        paints.append(await page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        sizes.append(await page.evaluate(_BYTES))
        await page.context.close()
    paint, size = statistics.median(paints), max(sizes) / 1000
    return f"First visit: first contentful paint after {paint:.0f} ms, {size:.0f} kB in all."


def _settings() -> Mapping[str, object]:
    return {
        "server": {"port": 0},
        "gateway": {"plugins": PLUGINS},
        "accounts": [{"name": f"account-{n:03}", "secure_1psid": f"scripted-{n}"} for n in range(ACCOUNTS)],
        "script": _PIECES,
        "plugins": {
            "api_key": {"keys": [{"name": "bench", "key": "sk-bench"}]},
            "rate_limit": {"global_per_hour": 100_000_000, "model_interval_s": 0},
        },
    }


@asynccontextmanager
async def _load(gateway: Child) -> AsyncIterator[None]:
    """PER_SECOND requests a second, whether or not those before have ended."""
    async with aiohttp.ClientSession(headers=HEADERS, connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=2)) as http:

        async def one() -> None:
            async with http.post(gateway.ready["url"] + "/v1/chat/completions", json=BODY) as response:
                assert response.status == 200, await response.text()
                await response.read()

        async def all_of_them() -> None:
            loop = asyncio.get_running_loop()
            begun, number = loop.time(), 0
            async with asyncio.TaskGroup() as group:
                while True:
                    group.create_task(one())
                    number += 1
                    await asyncio.sleep(max(begun + number / PER_SECOND - loop.time(), 0))

        load = asyncio.create_task(all_of_them())
        try:
            yield
        finally:
            load.cancel()
            failed = (await asyncio.gather(load, return_exceptions=True))[0]
            if not isinstance(failed, asyncio.CancelledError):
                raise RuntimeError("the load failed") from failed


@asynccontextmanager
async def _browser() -> AsyncIterator[Browser]:
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise RuntimeError("Chromium is not installed: apt-get install chromium, or set CHROMIUM to its path")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        await browser.close()


async def _server_share(gateway: Child, topic: str) -> float:
    """What following `topic` costs the server: the median of rounds with and without, side by side. Followed without a
    browser, whose own work on the same cores would slow the server down and be counted."""
    differences = []
    async with aiohttp.ClientSession(gateway.ready["url"]) as http:
        for _ in range(ROUNDS):
            alone = await _core_share(gateway, ROUND_S)
            async with http.get(f"/api/events?topics={topic}") as response:
                assert response.status == 200
                following = asyncio.create_task(response.content.read())
                differences.append(await _core_share(gateway, ROUND_S) - alone)
                following.cancel()
    return statistics.median(differences)


async def _core_share(gateway: Child, seconds: float) -> float:
    loop = asyncio.get_running_loop()
    begun, used = loop.time(), gateway.cpu_s()
    await asyncio.sleep(seconds)
    return (gateway.cpu_s() - used) / (loop.time() - begun)


async def _looked_at(browser: Browser, url: str, there: str) -> Look:
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    await page.goto(url)
    await page.locator(there).first.wait_for()
    await asyncio.sleep(SETTLED_S)  # until its lists are as long as they get
    before = await _begin(page)
    await asyncio.sleep(LOOKED_S)
    look = await _end(page, *before)
    await page.close()
    return look


async def _begin(page: Page) -> tuple[CDPSession, Mapping[str, float]]:
    session = await page.context.new_cdp_session(page)
    await session.send("Performance.enable")
    figures = await _figures(session)
    await page.evaluate(_WATCH)
    return session, figures


async def _end(page: Page, session: CDPSession, before: Mapping[str, float]) -> Look:
    # The list of frames is taken first: collecting garbage is a long task of our own making.
    seen: dict[str, Any] = await page.evaluate("() => ({tasks: seen.tasks, gaps: seen.gaps})")
    busy = (await _metrics(session))["TaskDuration"]
    after = await _figures(session)
    return Look(
        seen["tasks"],
        seen["gaps"],
        (busy - before["TaskDuration"]) / LOOKED_S,
        (after["JSHeapUsedSize"] - before["JSHeapUsedSize"]) / 1000,
        round(after["Nodes"] - before["Nodes"]),
    )


async def _figures(session: CDPSession) -> Mapping[str, float]:
    await session.send("HeapProfiler.collectGarbage")
    return await _metrics(session)


async def _metrics(session: CDPSession) -> Mapping[str, float]:
    answer = await session.send("Performance.getMetrics")
    return {metric["name"]: metric["value"] for metric in answer["metrics"]}


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure())))
