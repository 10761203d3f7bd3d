"""Tools over a text-only upstream: how the model is told to call them (`instructions`, `rendered`), and how its calls are
read back out of the answer (`ToolCallReader`). Pure.

A call is a fenced block with the info string `tool_call` that holds one JSON object: fences are what the web's Markdown
leaves alone. Everything that models and the web make of that is read too; what is behind the first call is dropped, as it
can only be about results that the model has not seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from gateway.model import Event, TextDelta, Tool, ToolCall, ToolChoice, ToolUse
from gateway.wire import call_bodies, call_marks, sse
from gateway.wire.call_marks import Verdict

_PROTOCOL = """\
You can call tools. To call one, write a fenced block like this, with the tool's name and its arguments as one JSON object:

```tool_call
{{"name": "NAME", "arguments": {{"KEY": "VALUE"}}}}
```

The block is read by a program: exact names, arguments that fit the tool's JSON Schema, valid JSON (straight quotes,
line breaks in strings as \\n). {many} After the last block stop: the results come with the next message. Never make up a
result, and never show such a block for any other purpose.
{choice}

The tools, one a line, each with the JSON Schema of its arguments:
{tools}"""
_MANY = "For several calls that do not depend on each other write several blocks, one after the other."
_ONE = "Write at most one block in a message."
_AUTO = "Call a tool when it helps; when none does, or you have what you need, answer in plain words without a block."
_REQUIRED = "You must call a tool in this message: an answer without a block is not taken."
_ONLY = "You must call {names} in this message: an answer without such a block is not taken."
_REMINDER = "(A tool is called by a block, as described above.)"
_NONE = "Calling tools is switched off for this message: answer in words, without any `tool_call` block."
# Reading on for a later closing fence after so many that did not end a call would make a hostile answer quadratic.
_MOST_CLOSINGS = 8
_SHORTEST_CLOSING, _LONGEST_CLOSING = 3, 60


def instructions(tools: Sequence[Tool], choice: ToolChoice, *, parallel: bool = True) -> str:
    """What the model is told about `tools`, to stand in the prompt. Empty without tools."""
    if not tools:
        return ""
    if choice.mode == "none":
        return _NONE
    offered = [tool for tool in tools if choice.only is None or tool.name in choice.only]
    return _PROTOCOL.format(
        many=_MANY if parallel else _ONE, choice=_demand(choice), tools="\n".join(map(_definition, offered))
    )


def reminder(tools: Sequence[Tool], choice: ToolChoice) -> str:
    """One line for the end of a long prompt, where models look last. Empty without tools."""
    if not tools:
        return ""
    demand = _demand(choice) if choice.mode != "auto" else ""
    return _NONE if choice.mode == "none" else f"{_REMINDER} {demand}".strip()


def rendered(use: ToolUse) -> str:
    """An earlier call as the model wrote it, or should have."""
    return f'```tool_call\n{{"name": {sse.dumps(use.name).decode()}, "arguments": {use.arguments or "{}"}}}\n```'


def _demand(choice: ToolChoice) -> str:
    if choice.mode == "none":
        return _NONE
    if choice.mode == "auto":
        return _AUTO
    return _ONLY.format(names=" or ".join(sorted(choice.only))) if choice.only else _REQUIRED


def _definition(tool: Tool) -> str:
    return sse.dumps({"name": tool.name, "description": tool.description, "parameters": tool.parameters}).decode()


class ToolCallReader:
    """Feed it the pieces of an answer; it returns TextDelta and ToolCall events. Text leaves at once but for a tail that
    may be the beginning of a call; nothing of a call ever leaves as text, wherever the pieces were cut.

    A ToolCall with a name has a JSON object as its arguments. What was meant as a call and cannot be read comes as a
    ToolCall with an empty name, with what was written as its arguments. Ids are `call_{seed}{number}`."""

    def __init__(self, tools: Iterable[Tool], *, seed: str, parallel: bool = True) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._marks = call_marks.Finder(self._tools)
        self._seed = seed
        self._most = call_bodies.MOST_CALLS if parallel else 1
        self._held = ""
        self._body: _Body | None = None
        self.calls = 0

    def feed(self, text: str) -> list[Event]:
        """What the piece `text` brings."""
        out: list[Event] = []
        while text:
            text = self._collect(self._body, text, out) if self._body else self._look(text, out)
        return out

    def finish(self) -> list[Event]:
        """What was held, once the answer has ended."""
        out: list[Event] = []
        rest = self._look("", out, final=True) if self._body is None else ""
        if self._body is not None:
            self._collect(self._body, rest, out)
        if self._body is not None:
            self._give_up(self._body, out)
        return out

    # --- text ---------------------------------------------------------------------------------------------------------

    def _look(self, text: str, out: list[Event], *, final: bool = False) -> str:
        """Let text out until a call begins; returns what belongs to its body."""
        text = self._held + text
        mark = self._marks.find(text, final=final)
        self._held = ""
        if mark.begin and not self.calls:
            out.append(TextDelta(text[: mark.begin]))
        if mark.verdict is Verdict.CALL:
            self._body = _Body(text[mark.begin : mark.body])
            return text[mark.body :]
        self._held = text[mark.begin :]
        return ""

    # --- calls --------------------------------------------------------------------------------------------------------

    def _collect(self, body: _Body, text: str, out: list[Event]) -> str:
        """Read on in a call; returns what is behind it."""
        for end in body.add(text):
            found, _ = call_bodies.read(body.text[:end], self._tools)
            if found:
                self._call(found, out)
                self._body = None
                # The mark is left: it may open the next block instead.
                return body.text[end:]
        return ""

    def _give_up(self, body: _Body, out: list[Event]) -> None:
        """The answer ended within a call: read what is there, one block after the other."""
        self._body = None
        opening, text = body.opening, body.text
        while True:
            found, rest = self._last_look(text)
            begin, end = call_marks.opening(rest)
            self._call(found or [("", opening + text[:begin])], out)
            if begin == end:
                return
            opening, text = rest[begin:end], rest[end:]

    def _last_look(self, text: str) -> tuple[list[call_bodies.Found], str]:
        """The calls that `text` begins with, whole or up to a mark that may end them; and what is behind them."""
        found, rest = call_bodies.read(text, self._tools)
        if found:
            return found, rest
        for _, begin in zip(range(_MOST_CLOSINGS), call_marks.closing(text), strict=False):
            found, _ = call_bodies.read(text[:begin], self._tools, ended=True)
            if found:
                return found, text[begin:]
        return [], text

    def _call(self, found: Sequence[tuple[str, str]], out: list[Event]) -> None:
        for name, arguments in found:
            if self.calls < self._most:
                out.append(ToolCall(f"call_{self._seed}{self.calls}", name, arguments, self.calls))
                self.calls += 1


class _Body:
    """What was read of a call's block. `opening` is the mark before it."""

    def __init__(self, opening: str) -> None:
        self.opening = opening
        self._pieces: list[str] = []
        self._tail = ""
        self._length = 0
        self._looked = 0
        self._closings = 0

    @property
    def text(self) -> str:
        """All of it so far."""
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def add(self, text: str) -> Iterator[int]:
        """Take one more piece; where each mark in it begins that may close the block."""
        window = self._tail + text
        offset = self._length - len(self._tail)
        self._pieces.append(text)
        self._length += len(text)
        self._tail = window[-_LONGEST_CLOSING:]
        for begin in call_marks.closing(window, max(0, self._looked - offset)):
            if self._closings >= _MOST_CLOSINGS:
                return
            self._closings += 1
            self._looked = offset + begin + _SHORTEST_CLOSING
            yield offset + begin
