"""Tools and JSON answers that fit their schema, or a clear error: what does not fit is quoted back to the model, once.

Text of a chat passes at once; calls of tools are held until their arguments are valid, a JSON answer until it is whole and
valid, without a picture that nobody asked for. Stands outside `retry`, so that a repair may go to another account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import ContentRefused, InvalidAnswer, InvalidRequest
from gateway.hookspecs import Generate, hookimpl
from gateway.model import (
    Call,
    Event,
    Finished,
    FinishReason,
    ImageReady,
    JsonAnswer,
    Message,
    Part,
    Text,
    TextDelta,
    ToolCall,
    ToolUse,
    Tried,
)
from gateway.wire import json_schema, sse

# A schema that is new takes about 0.2 ms to look at.
_IN_THREAD_FROM = 8
_AGAIN = "That could not be taken by the program that reads it.\n{faults}\n{ask}"
_ASK_CALL = "Write {what}, corrected, as ```tool_call blocks and nothing else."
_ASK_WORDS = "Answer in words now, without a block."
_ASK_JSON = "Write the whole JSON again, corrected, and nothing else."


class Settings(BaseModel):
    """How often the model is asked to correct itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    repairs: int = Field(1, ge=0, le=3, description="Rounds in which the model may correct what does not fit.")


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @hookimpl
    async def prepare_call(self, call: Call) -> Call:
        if len(call.tools) > _IN_THREAD_FROM:
            await asyncio.to_thread(_check, call)
        else:
            _check(call)
        return call

    @hookimpl
    async def wrap_generate(self, call: Call, generate: Generate) -> AsyncIterator[Event]:
        if not call.tools and call.json_answer is None:
            async for event in generate(call):
                yield event
            return
        attempt = _Attempt(call)
        async for event in generate(call):
            for out in attempt.take(event):
                yield out
        for _ in range(self._settings.repairs):
            if attempt.fault is None:
                break
            attempt = _Attempt(_repairing(call, attempt), attempt)
            async for event in generate(attempt.call):
                attempt.take_silently(event)
            _note(call, attempt.call)
        for out in attempt.rest():
            yield out


def _check(call: Call) -> None:
    for tool in call.tools:
        if (wrong := json_schema.mistake(tool.parameters)) is not None:
            raise InvalidRequest(f"The JSON Schema of the tool {tool.name} is wrong: {wrong}", param="tools")
    wanted = call.json_answer
    if wanted is None or wanted.schema is None:
        return
    if (wrong := json_schema.mistake(wanted.schema)) is not None:
        raise InvalidRequest(f"The JSON Schema of the answer is wrong: {wrong}", param=wanted.param)


def _repairing(call: Call, attempt: _Attempt) -> Call:
    """The call that asks for a correction of `attempt`."""
    messages = (*attempt.call.messages, *attempt.objection())
    return replace(call, messages=messages, stream=False, tried=Tried(), attempts=0, account=None, served_model=None)


def _note(call: Call, repair: Call) -> None:
    """What became of the repair belongs to the caller's call."""
    call.attempts += repair.attempts
    call.guest = call.guest or repair.guest
    call.account, call.served_model = repair.account or call.account, repair.served_model or call.served_model


@dataclass(slots=True)
class _Bad:
    """A call of a tool that does not fit, and why: for the model's eyes, it quotes the model."""

    call: ToolCall
    why: str


class _Attempt:
    """One answer of the model, judged as it comes. `earlier` is the attempt that this one corrects."""

    def __init__(self, call: Call, earlier: _Attempt | None = None) -> None:
        self.call = call
        self._choice = call.tool_choice
        self._text: list[str] = []
        self._good: list[ToolCall] = []
        self._bad: list[_Bad] = []
        self.earlier = earlier
        self._before = earlier.passed if earlier else 0
        self._ids = [bad.call.id for bad in earlier._bad] if earlier else []
        # In most formats a picture is text, which would make the JSON unreadable: "a title for: draw a fox" may draw one.
        self._json_alone = call.json_answer is not None and call.pictures is None
        self._end = Finished()
        self._json: str | None = None
        self.fault: str | None = None

    @property
    def passed(self) -> int:
        """Calls that the caller has got, or will get without a correction."""
        return self._before + len(self._good)

    def take(self, event: Event) -> Iterator[Event]:
        """Judge the next event; what may pass at once comes out."""
        match event:
            case TextDelta(text=text):
                self._text.append(text)
                if self.call.json_answer is None:
                    yield event
            case ImageReady() if self._json_alone:
                pass
            case ToolCall():
                if (good := self._judged(event)) is not None:
                    yield good
            case Finished():
                self._end = event
                self.fault = self._verdict()
            case _:
                yield event

    def take_silently(self, event: Event) -> None:
        """Judge the next event of a correction, of which nothing passes before it is whole."""
        for _ in self.take(event):
            pass

    def _judged(self, called: ToolCall) -> ToolCall | None:
        why = self._why_not(called)
        if why is not None:
            self._bad.append(_Bad(called, why))
            return None
        index = self.passed
        id = self._ids[len(self._good)] if len(self._good) < len(self._ids) else called.id
        if self._before and id == called.id:
            id = f"{called.id}r"
        self._good.append(replace(called, id=id, index=index))
        return self._good[-1]

    def _why_not(self, called: ToolCall) -> str | None:
        choice, tools = self._choice, {tool.name: tool for tool in self.call.tools}
        if choice.mode == "none":
            return "Calling tools is switched off for this message."
        if not called.name:
            return "A call is not valid JSON, or is cut off."
        if called.name not in tools or (choice.only is not None and called.name not in choice.only):
            return f"There is no tool {called.name!r} now; there is {', '.join(sorted(choice.only or tools))}."
        wrong = json_schema.errors(tools[called.name].parameters, called.arguments)
        return f"The arguments of the call of {called.name} do not fit: {wrong}" if wrong else None

    def _verdict(self) -> str | None:
        """Why the whole answer cannot be taken, in words for the caller; they quote nothing of it."""
        if self._end.reason not in (FinishReason.STOP, FinishReason.TOOLS):
            return None
        if self._bad:
            return "Gemini called a tool in a way that does not fit its definition"
        if self._choice.mode == "required" and not self.passed:
            return "Gemini did not call the tool that it must call"
        if self.call.json_answer is not None and not self.passed:
            return self._read_json(self.call.json_answer)
        return None

    def _read_json(self, wanted: JsonAnswer) -> str | None:
        self._json = json_schema.extracted(self._said)
        if wanted.bare and self._json is None:
            self._json = sse.dumps(self._said.strip()).decode()
        if self._json is None:
            return "Gemini did not answer in JSON"
        return "Gemini's JSON does not fit the schema" if self._json_errors(wanted) else None

    def _json_errors(self, wanted: JsonAnswer) -> str | None:
        if self._json is None:
            return "The answer is not valid JSON."
        return json_schema.errors(wanted.schema or {"type": "object"}, self._json)

    @property
    def _said(self) -> str:
        return "".join(self._text)

    def _refuses(self) -> bool:
        """Words where JSON was due, also when asked again: the model declines."""
        return self.earlier is not None and self._json is None and not self._bad and "{" not in self._said

    # --- correcting ---------------------------------------------------------------------------------------------------

    def objection(self) -> tuple[Message, Message]:
        """What the model wrote, and what is wrong with it, as two more turns."""
        uses = [*self._good, *(bad.call for bad in self._bad)]
        written: list[Part] = [Text(self._said)] if self._text else []
        written += [ToolUse(one.id, one.name, one.arguments) if one.name else Text(one.arguments) for one in uses]
        faults, ask = self._complaint()
        again = Text(_AGAIN.format(faults=faults, ask=ask))
        return Message("assistant", tuple(written) or (Text("(nothing)"),)), Message("user", (again,))

    def _complaint(self) -> tuple[str, str]:
        if self._bad:
            faults = "\n".join(dict.fromkeys(bad.why for bad in self._bad))
            what = "only the calls that are wrong" if self._good else "your calls again"
            return faults, _ASK_WORDS if self._choice.mode == "none" else _ASK_CALL.format(what=what)
        if self.call.json_answer is not None and self._choice.mode != "required":
            return self._json_errors(self.call.json_answer) or "", _ASK_JSON
        return "A tool must be called in this message.", _ASK_CALL.format(what="the call that is missing")

    # --- the end ------------------------------------------------------------------------------------------------------

    def rest(self) -> Iterator[Event]:
        """What has not passed yet, up to the end. Raises InvalidAnswer, or ContentRefused for words where JSON was due."""
        if self.fault is not None and self.call.json_answer is not None and self._refuses():
            raise ContentRefused(self._said)
        if self.fault is not None:
            raise InvalidAnswer(f"{self.fault}, also when it was asked again" if self.earlier else self.fault)
        if self.earlier is not None:
            yield from self._corrected()
        if self.call.json_answer is not None and (held := self._held(self.call.json_answer)):
            yield TextDelta(held)
        yield Finished(FinishReason.TOOLS if self.passed else FinishReason.STOP) if self.earlier else self._end

    def _held(self, wanted: JsonAnswer) -> str:
        """The JSON that fits, or the words that an answer which was cut short or refused has instead."""
        if self._json is None:
            return self._said
        return str(orjson.loads(self._json)) if wanted.bare else self._json

    def _corrected(self) -> Iterator[Event]:
        """What a correction brings: its calls, or its words where it calls nothing any more."""
        if self._good:
            yield from self._good
        elif self._text and self.call.json_answer is None and not self._before:
            yield TextDelta(self._said)
