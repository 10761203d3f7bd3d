"""The way of a call, as a straight line. Knows no HTTP and no Google.

    decoded call -> fold(prepare_call) -> does the model exist, may this key ask it? -> gate(admit)    [prepare]
                 -> chain of wrap_generate around pool.generate, where calls of tools are read out of the text
                 -> stop words, max_tokens, usage                                                       [run]
                 -> each picture: fold(process_image), first(store_image), when the account is free again
                 -> events: content, then exactly one Finished or one GatewayError

There is one path: a caller who does not stream gets the same events, collected."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from gateway.accounts.catalogue import PublicModel
from gateway.choices import several as several_answers
from gateway.errors import ContentRefused, Forbidden, InvalidAnswer, PluginFailed
from gateway.hooks import Hooks
from gateway.hookspecs import Generate
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
    ThoughtDelta,
    ToolCall,
    Usage,
)
from gateway.pictures import Finisher, insisting, several, spend
from gateway.upstream.packing import text_of
from gateway.wire import tokens
from gateway.wire.pictures import gap
from gateway.wire.stop import Cutter
from gateway.wire.tool_calls import ToolCallReader


class Calls:
    """Runs calls through `hooks` around `generate`, one attempt at an account. The chain is built here, once.
    `find_model` raises UnknownModel for a name that nobody serves; `finisher` takes pictures on their way out."""

    def __init__(
        self, hooks: Hooks, generate: Generate, find_model: Callable[[str], PublicModel], finisher: Finisher
    ) -> None:
        self._hooks = hooks
        self._find_model = find_model
        self._finisher = finisher
        self._generate = hooks.chain(reading_tools(generate))

    async def prepare(self, call: Call) -> Call:
        """The call as plugins want it, admitted. Raises a GatewayError."""
        call = await self.resolve(call)
        await self._hooks.admit(call)
        return call

    async def resolve(self, call: Call) -> Call:
        """The call as plugins want it: its model exists and may be asked, its prompt is counted. Counts for no limit."""
        call = await self._hooks.prepare_call(call)
        allowed = call.principal.models
        if allowed is not None and call.model not in allowed:
            raise Forbidden(f"This key may not use the model {call.model}", param="model")
        call.pictures = _wished(call, self._find_model(call.model))
        call.prompt_tokens = tokens.count(text_of(call))
        return call

    def run(self, call: Call) -> AsyncGenerator[Event, None]:
        """The events of an admitted call. Raises a GatewayError."""
        if call.choices > 1:
            return several_answers(self._once, call)
        if call.pictures is None or not call.pictures.required:
            return self._once(call)
        return several(self._insisting, call) if call.pictures.count > 1 else self._insisting(call)

    def _insisting(self, call: Call) -> AsyncGenerator[Event, None]:
        return insisting(self._once, call)

    async def _once(self, call: Call) -> AsyncGenerator[Event, None]:
        """One pass through the chain. Pictures wait for its end: by then the account serves others again."""
        meter = _Meter(call)
        begun = time.monotonic()
        images: list[Image] = []
        said = ""
        end: Finished | None = None
        try:
            async with aclosing(self._generate(call)) as events:
                async for event in events:
                    for out in meter.pass_on(event):
                        match out:
                            case TextDelta(text=text):
                                said = text if len(text) > 1 else said[-1:] + text
                                yield out
                            case ImageReady(image=image):
                                images.append(image)
                            case Finished():
                                end = out
                            case _:
                                yield out
                    if end is not None and not isinstance(event, Finished):
                        break  # cut by us: the rest is not wanted
        except ContentRefused as refusal:
            if call.pictures is not None and call.pictures.required:
                raise
            # The answer to a chat that was refused is the refusal, in the dialect's own way.
            yield TextDelta(refusal.message)
            yield Finished(FinishReason.REFUSED, meter.usage())
            return
        finally:
            call.usage = end.usage if end is not None else meter.usage() if meter.counted else None
        if end is None:
            raise PluginFailed("a plugin ended the answer without its end", hint="no Finished came through the chain")
        if images:
            spend(call, "generate", time.monotonic() - begun - call.spent.get("wait", 0) - call.spent.get("download", 0))
        for image in images:
            yield ImageReady(await self._finisher.finish(image, call), gap(said))
            said = "a picture"
        yield end


_SIZES: tuple[PictureSize, ...] = ("1K", "2K", "4K")


def _wished(call: Call, model: PublicModel) -> PictureWish | None:
    """The pictures that the call asks for, with what the model's name says of them: a picture model draws in chats too,
    and its size is the least that is tried for."""
    wish = call.pictures
    if wish is None and model.image is not None and not call.tools and call.json_answer is None:
        wish = PictureWish()
    if wish is None or model.image is None:
        return wish
    least = next(size for size in _SIZES if size == model.image)
    return replace(wish, size=max(wish.size or least, least))


def reading_tools(generate: Generate) -> Generate:
    """`generate`, with the calls of tools read out of its text for a call that has tools."""

    async def read(call: Call) -> AsyncGenerator[Event, None]:
        reader = ToolCallReader(call.tools, seed=call.id.replace("_", "-").rpartition("-")[2], parallel=call.parallel_tools)
        async with aclosing(generate(call)) as events:
            async for event in events:
                for out in _read(reader, event):
                    yield out

    return lambda call: read(call) if call.tools else generate(call)


def _read(reader: ToolCallReader, event: Event) -> Iterator[Event]:
    match event:
        case TextDelta(text=text):
            yield from reader.feed(text)
        case Finished(reason=reason, usage=usage):
            yield from reader.finish()
            yield Finished(FinishReason.TOOLS, usage) if reader.calls and reason is FinishReason.STOP else event
        case _:
            yield event


class _Meter:
    """Cuts the answer where the caller wants it, and counts tokens on the way."""

    def __init__(self, call: Call) -> None:
        self._prompt = call.prompt_tokens
        self._cutter = Cutter(call.stop, call.max_tokens) if call.stop or call.max_tokens is not None else None
        self._output = 0.0
        self._thoughts = 0.0
        self.ended = False

    def pass_on(self, event: Event) -> Sequence[Event]:
        match event:
            case TextDelta(text=text):
                if self._cutter is not None:
                    return self._cut(text, self._cutter)
                self._output += tokens.weight(text)
                return (event,)
            case ThoughtDelta(text=text):
                self._thoughts += tokens.weight(text)
                return [event]
            case ToolCall(name=""):
                raise InvalidAnswer("Gemini called a tool in a way that cannot be read")
            case ToolCall(name=name, arguments=arguments):
                self._output += tokens.weight(name) + tokens.weight(arguments)
                return [event]
            case Finished(reason=reason):
                held = self._cutter.flush() if self._cutter else ""
                self._output += tokens.weight(held)
                reason = (self._cutter.reason if self._cutter else None) or reason
                self.ended = True
                return [*([TextDelta(held)] if held else []), Finished(reason, self.usage())]
            case _:
                return [event]

    def _cut(self, text: str, cutter: Cutter) -> Sequence[Event]:
        text = cutter.feed(text)
        self._output += tokens.weight(text)
        out: list[Event] = [TextDelta(text)] if text else []
        if cutter.reason is not None:
            self.ended = True
            out.append(Finished(cutter.reason, self.usage(), cutter.word))
        return out

    @property
    def counted(self) -> bool:
        """Whether any of the answer came through."""
        return self._output + self._thoughts > 0

    def usage(self) -> Usage:
        return Usage(self._prompt, tokens.rounded(self._output), tokens.rounded(self._thoughts))
