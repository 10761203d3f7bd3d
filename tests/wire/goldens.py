"""What goes out, to the byte: each answer as each dialect writes it, beside the files in tests/golden.

A file that does not exist yet is written, and fails the test once: look at it, then commit it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from gateway import errors
from gateway.errors import GatewayError
from gateway.model import (
    Call,
    Citation,
    Event,
    Finished,
    FinishReason,
    Image,
    ImageReady,
    Reply,
    RequestHead,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    Usage,
)
from gateway.wire import media
from gateway.wire.dialect import Dialect, OwnStatus, Request

GOLDEN = Path(__file__).parent.parent / "golden"
PIXEL = media.blob(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==", "image/png", 1, ""
).data
_COUNTS = Usage(12, 5)
_TOOLS = (ToolCall("call_1", "weather", '{"city":"Oslo"}'), ToolCall("call_2", "weather", '{"city":"Rome"}', 1))
ANSWERS: Mapping[str, Sequence[Event]] = {
    "plain": (TextDelta("Hello "), TextDelta("wörld"), Finished(usage=_COUNTS)),
    "thoughts": (ThoughtDelta("Let me "), ThoughtDelta("see."), TextDelta("Yes"), Finished(usage=Usage(12, 1, 3))),
    "tools": (TextDelta("Let me look."), *_TOOLS, Finished(FinishReason.TOOLS, _COUNTS)),
    "json": (TextDelta('{"city": "Oslo"}'), Finished(usage=_COUNTS)),
    "picture": (TextDelta("Here:"), ImageReady(Image(PIXEL, "image/png", 1, 1), "\n\n"), Finished(usage=_COUNTS)),
    "cited": (TextDelta("So they say."), Citation("https://example.com/a", "A page"), Finished(usage=_COUNTS)),
    "cut": (TextDelta("Hello wo"), Finished(FinishReason.LENGTH, _COUNTS)),
    "stopped": (TextDelta("Hello "), Finished(FinishReason.STOP, _COUNTS, "wörld")),
    "refused": (TextDelta("I cannot help with that."), Finished(FinishReason.REFUSED, _COUNTS)),
    "empty": (Finished(usage=Usage(12)),),
}


def asked(dialect: Dialect, body: Mapping[str, Any], route: int = 0, params: Mapping[str, str] | None = None) -> Call:
    """`body` decoded, with an id and a time that never change."""
    found = dialect.routes[route]
    head = RequestHead(found.method, found.path, {}, {}, "127.0.0.1", "0123456789abcdef", dialect.name)
    call = dialect.decode(Request(head, found, params or {}, body, head.request_id, 1_700_000_000))
    call.head, call.served_model, call.prompt_tokens = head, "gemini-3.8-flash", 12
    return call


def whole(dialect: Dialect, call: Call, events: Sequence[Event]) -> bytes:
    """The reply to a caller who does not stream."""
    reply = Reply()
    for event in events:
        reply.add(event)
    return dialect.encode_whole(reply, call)


def streamed(dialect: Dialect, call: Call, events: Sequence[Event]) -> bytes:
    """The whole stream."""
    return dialect.encode_start(call) + b"".join(dialect.encode_event(event, call) for event in events)


def data(stream: bytes) -> list[dict[str, Any]]:
    """The JSON of each event of a stream."""
    return [orjson.loads(line[6:]) for line in stream.split(b"\n") if line.startswith(b"data: {")]


def all_errors(dialect: Dialect) -> bytes:
    """Status and body of every error that a caller can see."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)]
    found = {}
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        error = kind("What went wrong", param="a.field", retry_after=30)
        error.request_id = "0123456789abcdef"
        status = dialect.status(error) if isinstance(dialect, OwnStatus) else error.status
        found[kind.__name__] = {"status": status, "body": orjson.loads(dialect.encode_error(error))}
    return orjson.dumps(found, option=orjson.OPT_INDENT_2) + b"\n"


def same(name: str, got: bytes) -> None:
    """Compare with tests/golden/`name`."""
    file = GOLDEN / name
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(got)
        raise AssertionError(f"{file} is new: look at it, then commit it")
    assert got == file.read_bytes()
