"""What translating costs: `python -m benchmarks.translation`. CPU time of one call in all pure steps, from the bytes of the
request to the prompt, and from the model's text to the bytes of the reply: parse, decode, look at the schemas, count,
pack; read the calls of tools, validate, encode. No socket, no library, no account."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Any

import orjson

from gateway.calls import _Meter, _read
from gateway.model import Call, Finished, RequestHead, TextDelta, ToolCall
from gateway.upstream.packing import pack, text_of
from gateway.wire import json_schema, tokens
from gateway.wire.dialect import Dialect, Request
from gateway.wire.gemini import Gemini
from gateway.wire.openai_chat import OpenAIChat
from gateway.wire.tool_calls import ToolCallReader

ROUNDS = 7
SCHEMA = {
    "type": "object",
    "properties": {
        f"argument_{number}": {"type": "string", "description": "What the tool does with it, in a sentence or two. " * 2}
        for number in range(6)
    },
    "required": ["argument_0"],
}
ANSWER = "Let me look at the files first.\n\n" + "\n".join(
    f'```tool_call\n{{"name": "tool_{number}", "arguments": {{"argument_0": "value", "argument_1": "x"}}}}\n```'
    for number in (1, 2)
)


def chat(prompt_bytes: int, messages: int, tools: int) -> bytes:
    """A chat completion's body."""
    text = "The quick brown fox jumps over the lazy dog. " * (prompt_bytes // messages // 45 + 1)
    turns = [{"role": ("user", "assistant")[n % 2], "content": text[: prompt_bytes // messages]} for n in range(messages)]
    declared = [
        {"type": "function", "function": {"name": f"tool_{n}", "description": "Does it.", "parameters": SCHEMA}}
        for n in range(tools)
    ]
    body: dict[str, Any] = {"model": "gemini-2.5-flash", "stream": True, "messages": turns}
    return orjson.dumps(body | ({"tools": declared} if tools else {}))


def contents(prompt_bytes: int, messages: int, tools: int) -> bytes:
    """The same as a body of generateContent."""
    body = orjson.loads(chat(prompt_bytes, messages, tools))
    made: dict[str, Any] = {
        "contents": [
            {"role": "model" if turn["role"] == "assistant" else "user", "parts": [{"text": turn["content"]}]}
            for turn in body["messages"]
        ]
    }
    if tools:
        made["tools"] = [{"functionDeclarations": [tool["function"] for tool in body["tools"]]}]
    return orjson.dumps(made)


def there(dialect: Dialect, body: bytes) -> Call:
    """From the request's bytes to the prompt."""
    route = next(route for route in dialect.routes if route.operation == "generate")
    head = RequestHead("POST", route.path, {}, {"alt": "sse"}, "127.0.0.1", "0123456789abcdef", dialect.name)
    params = {"model": "gemini-2.5-flash", "action": "streamGenerateContent"}
    call = dialect.decode(Request(head, route, params, orjson.loads(body), head.request_id, 1_700_000_000))
    for tool in call.tools:
        assert json_schema.mistake(tool.parameters) is None
    call.prompt_tokens = tokens.count(text_of(call))
    pack(call)
    return call


def back(dialect: Dialect, call: Call, pieces: list[str]) -> bytes:
    """From the model's text to the reply's bytes."""
    reader, meter = ToolCallReader(call.tools, seed="x"), _Meter(call)
    out = [dialect.encode_start(call)]
    for event in (*map(TextDelta, pieces), Finished()):
        for read in _read(reader, event) if call.tools else (event,):
            if isinstance(read, ToolCall):
                assert json_schema.errors(SCHEMA, read.arguments) is None
            out += [dialect.encode_event(passed, call) for passed in meter.pass_on(read)]
    return b"".join(out)


def milliseconds(step: Callable[[], object]) -> float:
    """CPU of one step: the median of rounds that take long enough to be measured."""
    found, times = [], 1
    while True:
        begun = time.process_time()
        for _ in range(times):
            step()
        spent = time.process_time() - begun
        if spent >= 0.05:
            found.append(spent / times * 1000)
        else:
            times *= 2
        if len(found) == ROUNDS:
            return statistics.median(found)


def case(dialect: Dialect, body: bytes, pieces: list[str]) -> tuple[float, float]:
    """Milliseconds there and back."""
    call = there(dialect, body)
    return milliseconds(lambda: there(dialect, body)), milliseconds(lambda: back(dialect, call, pieces))


async def measure() -> list[str]:
    """A table, and below it how the larger call grows with its size."""
    short = ["Hello", " there", "!"]
    calls = [ANSWER[at : at + 40] for at in range(0, len(ANSWER), 40)]
    lines = ["| dialect | call | there, ms | back, ms | in all, ms |", "|---|---|--:|--:|--:|"]
    for dialect, make in ((OpenAIChat(), chat), (Gemini(), contents)):
        for name, size, pieces in (
            ("short", (60, 1, 0), short),
            ("short, 2 tools", (60, 1, 2), calls),
            ("200 kB, 100 messages, 40 tools", (200_000, 100, 40), calls),
        ):
            lines.append(_line(f"| {dialect.name} | {name}", *case(dialect, make(*size), pieces)))
    lines += ["", "| prompt, kB | there, ms | back, ms | in all, ms |", "|--:|--:|--:|--:|"]
    for kilobytes in (25, 50, 100, 200, 400, 800):
        body = chat(kilobytes * 1000, kilobytes // 2, 40)
        lines.append(_line(f"| {kilobytes}", *case(OpenAIChat(), body, calls)))
    return lines


def _line(begin: str, there_ms: float, back_ms: float) -> str:
    return f"{begin} | {there_ms:.3f} | {back_ms:.3f} | {there_ms + back_ms:.3f} |"


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure())))
