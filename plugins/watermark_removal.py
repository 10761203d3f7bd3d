"""Takes the visible star off every picture that goes out; SynthID and provenance metadata stay. The library `watermark`
decides and works; here are threads, time, wishes of callers, and numbers.

A caller keeps the star with the header `x-gateway-watermark: keep` (or takes it off with `remove`, where the key's option
`watermark` says keep). A picture that cannot be cleaned is served as it came, and says so."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import InvalidRequest
from gateway.hookspecs import Services, hookimpl
from gateway.meters import Meters
from gateway.model import Call, Image
from gateway.threads import workers
from watermark import Options, Reason, Result, clean
from watermark.calibrate import load

log = logging.getLogger("gateway.plugins.watermark_removal")

HEADER: Final = "x-gateway-watermark"
OPTION: Final = "watermark"
_WISHES: Final = ("remove", "keep")
_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Settings(BaseModel):
    """Which stars, how many pictures at once, how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    default: Literal["remove", "keep"] = Field("remove", description="What is done when neither caller nor key say.")
    concurrency: int = Field(2, ge=1, le=64, description="Pictures at once; each may take about 200 MB.")
    budget_s: float = Field(8, gt=0, le=300, description="Seconds for one picture, waiting included.")
    max_megapixels: float = Field(25, gt=0, le=170, description="Larger pictures are served as they came.")
    c2pa: Literal["keep", "drop"] = Field("keep", description="The C2PA manifest of a cleaned picture.")
    marks: tuple[Path, ...] = Field((), description="Stars learned by `python -m watermark calibrate`.")


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._options = Options(settings.c2pa, max_pixels=int(settings.max_megapixels * 1e6))
        # As many threads as pictures at once: a picture whose time is over keeps its thread until it is done, so that
        # hostile pictures cannot pile up.
        self._threads = workers(settings.concurrency, "watermark")
        self._numbers = _Numbers(Meters())

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        learned = [await asyncio.to_thread(load, gateway.root / file) for file in self._settings.marks]
        self._options = replace(self._options, learned=tuple(learned))
        self._numbers = _Numbers(gateway.metrics)
        yield
        self._threads.shutdown(wait=False, cancel_futures=True)

    @hookimpl
    async def prepare_call(self, call: Call) -> Call:
        if (wish := _header(call)) is not None and wish not in _WISHES:
            raise InvalidRequest(f"the header {HEADER} is either remove or keep", param=HEADER)
        return call

    @hookimpl
    async def process_image(self, image: Image, call: Call) -> Image:
        if self._wish(call) == "keep":
            self._numbers.pictures.labels("kept", "asked").inc()
            return replace(image, watermark="kept")
        begun = time.perf_counter()
        try:
            async with asyncio.timeout(self._settings.budget_s):
                loop = asyncio.get_running_loop()
                result = await loop.run_in_executor(self._threads, clean, image.data, self._options)
        except TimeoutError:
            self._numbers.pictures.labels("kept", "timeout").inc()
            return _kept(image, f"it was not done within {self._settings.budget_s:g} s")
        except Exception:
            self._numbers.pictures.labels("kept", "failed").inc()
            log.exception("a picture of %d bytes could not be cleaned", len(image.data))
            return _kept(image, "the removal failed")
        self._numbers.count(result, time.perf_counter() - begun)
        return _served(image, result)

    def _wish(self, call: Call) -> str:
        return _header(call) or str(call.principal.options.get(OPTION) or self._settings.default)


def _header(call: Call) -> str | None:
    found = call.head.headers.get(HEADER) if call.head else None
    return found.strip().lower() if found else None


def _served(image: Image, result: Result) -> Image:
    match result.reason:
        case Reason.REMOVED:
            cleaned = replace(image, data=result.data, watermark="removed")
            return _warned(cleaned, result.detail) if result.detail else cleaned
        case Reason.NO_STAR:
            return replace(image, watermark="absent")
        case reason:
            return _kept(image, reason.value)


def _kept(image: Image, why: str) -> Image:
    return _warned(replace(image, watermark="kept"), f"served as it came: {why}")


def _warned(image: Image, words: str) -> Image:
    return replace(image, warnings=(*image.warnings, f"watermark: {words}"))


class _Numbers:
    """What is counted, by `meters`."""

    def __init__(self, meters: Meters) -> None:
        self.pictures = meters.counter(
            "gateway_watermark_pictures", "Pictures by what became of the star", ["result", "reason"]
        )
        self.found = meters.counter("gateway_watermark_found", "Stars found", ["slot", "kind"])
        self.seconds = meters.histogram(
            "gateway_watermark_seconds", "Time for a picture, waiting included", buckets=_SECONDS
        )

    def count(self, result: Result, seconds: float) -> None:
        """Note a decision and how long it took."""
        self.seconds.observe(seconds)
        self.pictures.labels(result.outcome, result.reason.name.lower()).inc()
        for mark in result.found:
            self.found.labels(mark.slot, mark.kind).inc()
