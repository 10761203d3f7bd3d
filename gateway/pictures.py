"""What is special about a call that asks for pictures: several at once, one more try when only words came, and the way of
each picture from the upstream to the caller. Knows no HTTP and no Google."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from config.settings import Pictures as PictureSettings
from gateway.errors import ContentRefused, GatewayError, NoPicture
from gateway.hooks import Hooks
from gateway.hookspecs import Generate
from gateway.imaging import BadPicture, Easel, encoded
from gateway.model import (
    Call,
    Event,
    Finished,
    FinishReason,
    Image,
    ImageReady,
    PictureSize,
    PictureWish,
    TextDelta,
    Tried,
    Usage,
)

# Pixels of the longer side from which a picture counts as one of this size, and to which a smaller one is enlarged.
LONGEST: dict[PictureSize, int] = {"1K": 1024, "2K": 2048, "4K": 4096}
_NEARLY = 0.9
_QUOTED = 300
_REFUSAL = re.compile(
    r"\b(?:can(?:['’]|no)t|unable|not able|won['’]t|not allowed|against|polic(?:y|ies)|guidelines|sorry|decline)\b",
    re.IGNORECASE,
)


# --- the way out of one picture -----------------------------------------------------------------------------------


class Finisher:
    """Takes a picture through `process_image`, into the form that was asked for, and through `store_image`."""

    def __init__(self, hooks: Hooks, settings: PictureSettings, easel: Easel) -> None:
        self._hooks = hooks
        self._settings = settings
        self._easel = easel

    async def finish(self, image: Image, call: Call) -> Image:
        """The picture as it goes out. It is never lost: what fails leaves a warning on it."""
        begun = time.monotonic()
        image = await self._hooks.process_image(image, call)
        if call.pictures is not None:
            image = await self._in_form(image, call.pictures)
        cleaned = time.monotonic()
        if self._wants_url(call):
            image = await self._hooks.store_image(image, call)
            if image.url is None and not image.warnings:
                image = replace(image, warnings=("no plugin stores pictures, so this one comes as bytes",))
            spend(call, "store", time.monotonic() - cleaned)
        spend(call, "clean", cleaned - begun)
        return image

    def _wants_url(self, call: Call) -> bool:
        return (call.picture_delivery or ("url" if self._settings.in_chat == "link" else "bytes")) == "url"

    async def _in_form(self, image: Image, wish: PictureWish) -> Image:
        longest = LONGEST[wish.size] if wish.size else 0
        short = max(image.width, image.height) < longest * _NEARLY
        enlarge = longest if short and self._settings.upscale else None
        same = wish.format is None or image.mime == f"image/{wish.format}"
        if enlarge or not same:
            image = await self._encoded(image, wish, enlarge)
        if short:
            said = f"{wish.size} was asked for; Gemini gave less"
            said += ", and this was enlarged" if not image.native else f": {image.width}x{image.height}"
            image = replace(image, warnings=(*image.warnings, said))
        return image

    async def _encoded(self, image: Image, wish: PictureWish, longest: int | None) -> Image:
        try:
            data, found = await self._easel.run(encoded, image.data, wish.format, wish.quality, longest)
        except BadPicture as exc:
            return replace(image, warnings=(*image.warnings, f"could not be encoded anew: it {exc}"))
        native = image.native and longest is None
        return replace(
            image, data=data, mime=found.mime, width=found.width, height=found.height, native=native
        )


def spend(call: Call, stage: str, seconds: float) -> None:
    """Note the time of a stage; of stages that ran side by side the longest counts."""
    call.spent[stage] = max(call.spent.get(stage, 0.0), seconds)


# --- a picture must come ------------------------------------------------------------------------------------------


async def insisting(generate: Generate, call: Call) -> AsyncGenerator[Event, None]:
    """`generate(call)`, and once more with a stronger instruction when words came and no picture. Words are held back
    until a picture comes. Raises ContentRefused or NoPicture with the model's own words."""
    assert call.pictures is not None
    wishes = (call.pictures, replace(call.pictures, insist=True))
    said: list[Event] = []
    for wish in wishes:
        call.pictures, call.tried = wish, Tried()
        said, came = [], False
        async with aclosing(generate(call)) as events:
            async for event in events:
                if not came and isinstance(event, ImageReady):
                    came = True
                    for held in said:
                        yield held
                if came:
                    yield event
                else:
                    said.append(event)
        if came:
            return
    raise _wordy("".join(event.text for event in said if isinstance(event, TextDelta)).strip())


def _wordy(words: str) -> GatewayError:
    quoted = words if len(words) <= _QUOTED else words[:_QUOTED] + "..."
    if _REFUSAL.search(words):
        error: GatewayError = ContentRefused(f"Gemini refused to make this picture. It said: {quoted}")
    else:
        error = NoPicture(f"Gemini made no picture. It said: {quoted or 'nothing'}")
    error.quotes_the_model = True
    return error


# --- several pictures ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Run:
    """One of several runs of a call: its own copy of the call, what came, and how it ended."""

    call: Call
    error: GatewayError | None = None
    usage: Usage = field(default_factory=Usage)


async def several(generate: Generate, call: Call) -> AsyncGenerator[Event, None]:
    """`call.pictures.count` runs of `generate` side by side, each a call of its own with a lease of its own. Pictures are
    passed on as they come, the words of the first run only. Fails when all runs fail; else the call gets a warning."""
    assert call.pictures is not None
    runs = [_Run(_copy(call, call.pictures)) for _ in range(call.pictures.count)]
    events: asyncio.Queue[Event | None] = asyncio.Queue()
    tasks = [asyncio.create_task(_play(generate, run, events, first=run is runs[0])) for run in runs]
    try:
        for _ in runs:
            while (event := await events.get()) is not None:
                yield event
        for task in tasks:
            await task
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        _gather(call, runs)
    failed = [run.error for run in runs if run.error is not None]
    if len(failed) == len(runs):
        raise failed[0]
    if failed:
        call.warnings.append(f"{len(failed)} of {len(runs)} pictures failed: {failed[0].message}")
    yield Finished(FinishReason.STOP, _sum(runs))


def _copy(call: Call, wish: PictureWish) -> Call:
    return replace(call, pictures=replace(wish, count=1), tried=Tried(), warnings=[], spent={}, extras=dict(call.extras))


async def _play(generate: Generate, run: _Run, into: asyncio.Queue[Event | None], *, first: bool) -> None:
    try:
        async with aclosing(generate(run.call)) as events:
            async for event in events:
                match event:
                    case Finished(usage=usage):
                        run.usage = usage
                    case ImageReady():
                        into.put_nowait(event)
                    case _ if first:
                        into.put_nowait(event)
    except GatewayError as exc:
        run.error = exc
    finally:
        into.put_nowait(None)


def _gather(call: Call, runs: list[_Run]) -> None:
    """What the runs wrote down, on the call that the caller made."""
    best = next((run.call for run in runs if run.error is None), runs[0].call)
    call.account, call.served_model = best.account, best.served_model
    call.attempts = sum(run.call.attempts for run in runs)
    call.guest = any(run.call.guest for run in runs)
    for run in runs:
        call.warnings += run.call.warnings
        call.usage = _added(call.usage, run.call.usage)
        for stage, seconds in run.call.spent.items():
            spend(call, stage, seconds)


def _added(one: Usage | None, other: Usage | None) -> Usage | None:
    if one is None or other is None:
        return one or other
    return Usage(one.prompt + other.prompt, one.output + other.output, one.thoughts + other.thoughts)


def _sum(runs: list[_Run]) -> Usage:
    return Usage(
        sum(run.usage.prompt for run in runs),
        sum(run.usage.output for run in runs),
        sum(run.usage.thoughts for run in runs),
    )
