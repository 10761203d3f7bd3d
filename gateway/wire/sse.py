"""Server-sent events: one event a line, LF only (some clients return nothing on CRLF)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

CONTENT_TYPE = "text/event-stream"
DONE = b"data: [DONE]\n\n"
COMMENT = b": keep-alive\n\n"
# Characters in a piece: even if each needs six bytes of JSON, a line stays under the 64 kB that clients read.
MOST_PIECE = 8_000
# Where ready pieces go: a byte that JSON never holds, since even in strings it is escaped.
_GAP = orjson.Fragment(b"\0")


def data(value: Any) -> bytes:
    """`value` as one `data:` event. Lone surrogates (half an emoji) become U+FFFD: JSON in UTF-8 has no place for them."""
    return b"".join((b"data: ", dumps(value), b"\n\n"))


def named(value: dict[str, Any]) -> bytes:
    """`value` as an event with its `type` as the event's name."""
    return b"event: " + str(value["type"]).encode() + b"\n" + data(value)


def pieces(text: str) -> Iterator[str]:
    """`text` in pieces that make lines of bearable length; an empty text is one piece."""
    if len(text) <= MOST_PIECE:
        yield text
        return
    for start in range(0, len(text), MOST_PIECE):
        yield text[start : start + MOST_PIECE]


class Pieces:
    """JSON that is ready, in pieces: megabytes that `dumps` takes as they are and copies once."""

    __slots__ = ("pieces",)

    def __init__(self, pieces: tuple[bytes, ...]) -> None:
        self.pieces = pieces


def dumps(value: Any) -> bytes:
    """Compact JSON in UTF-8."""
    try:
        return orjson.dumps(value)
    except TypeError:  # it has Pieces in it, or what orjson does not take (JSONEncodeError is one)
        pass
    try:
        return _with_pieces(value)
    except TypeError:
        return _with_pieces(_scrubbed(value))


def _with_pieces(value: Any) -> bytes:
    ready: list[Pieces] = []

    def stand_in(item: Any) -> Any:
        if not isinstance(item, Pieces):
            raise TypeError
        ready.append(item)
        return _GAP

    first, *others = orjson.dumps(value, stand_in).split(b"\0")
    return b"".join([first, *(piece for one, rest in zip(ready, others, strict=True) for piece in (*one.pieces, rest))])


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return float(value)  # as orjson itself reads such a number
    if isinstance(value, dict):
        return {_scrubbed(key): _scrubbed(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_scrubbed(item) for item in value]
    return value
