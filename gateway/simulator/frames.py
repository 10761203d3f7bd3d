"""Length-prefixed frames as the site writes them. Pure: ids, texts and codes in, bytes out; no socket, no clock.

A frame is `<n>\\n<json>\\n`, where n counts the UTF-16 units of newline + json + newline. Frames of an answer are
cumulative; `Cumulative` writes a long series of them without encoding the growing text anew each time.
"""

from collections.abc import Sequence
from typing import Any

import orjson

PREFIX = b")]}'\n\n"
ERROR_TYPE = "type.googleapis.com/assistant.boq.bard.application.BardErrorInfo"
# Recorded: 1060 came in status 9, 1096 and 1155 in 13. What wraps the other codes is not known.
_STATUS_OF_CODE = {1060: 9}

_TEXT = "\ue000text\ue001"
_THOUGHTS = "\ue000thoughts\ue001"


def utf16_units(data: bytes) -> int:
    """How many UTF-16 code units the UTF-8 bytes `data` stand for, which is how JavaScript counts."""
    return len(data) if data.isascii() else len(data.decode().encode("utf-16-le")) // 2


def frame(payload: Any) -> bytes:
    """`payload` as one frame."""
    return _framed(orjson.dumps(payload))


def _framed(body: bytes) -> bytes:
    return b"%d\n%b\n" % (utf16_units(body) + 2, body)


def part(inner: Any) -> bytes:
    """A frame of one `wrb.fr` part of a generation; `inner` travels as JSON within JSON."""
    return frame([["wrb.fr", None, orjson.dumps(inner).decode()]])


def status(value: Sequence[Any]) -> bytes:
    """A frame with nothing but a status list, as the site sends while a request waits in a queue."""
    return frame([["wrb.fr", None, None, None, None, list(value)]])


def error(code: int, *, grpc_status: int | None = None) -> bytes:
    """The frame that refuses a generation with `code`."""
    return frame([["wrb.fr", None, None, None, None, error_info(code, grpc_status=grpc_status)]])


def error_info(code: int, *, grpc_status: int | None = None) -> list[Any]:
    """The status list that holds a BardErrorInfo."""
    return [grpc_status or _STATUS_OF_CODE.get(code, 13), None, [[ERROR_TYPE, [code]]]]


def tail(sent: int, *, milliseconds: int, trace: str) -> bytes:
    """The two bookkeeping frames that end every reply. `sent` is the number of characters written before them."""
    timing = frame([["di", milliseconds], ["af.httprm", milliseconds, trace, 2]])
    return timing + frame([["e", 4, None, None, sent + len(timing) + 2]])


def heartbeat(milliseconds: int) -> bytes:
    """A bookkeeping frame that only says that the connection lives."""
    return frame([["di", milliseconds]])


def rpc_reply(results: Sequence[tuple[str, Any, str]], *, trace: str = "-1") -> bytes:
    """A whole batchexecute reply. A result is (rpc id, body, identifier); a body of type `Denied` has no content."""
    parts = [_rpc_part(*result) for result in results]
    parts += [["di", 12], ["af.httprm", 12, trace, 1]]
    body = PREFIX + frame(parts)
    return body + frame([["e", 4, None, None, utf16_units(body) + 25]])


class Denied:
    """The body of a refused RPC: the status list that stands in its place."""

    def __init__(self, status: Sequence[Any] = (7,)) -> None:
        self.status = list(status)


def _rpc_part(rpc: str, body: Any, identifier: str) -> list[Any]:
    if isinstance(body, Denied):
        return ["wrb.fr", rpc, None, None, None, body.status, identifier]
    return ["wrb.fr", rpc, orjson.dumps(body).decode(), None, None, None, identifier]


def candidate(
    rcid: str,
    *,
    text: str,
    thoughts: str = "",
    complete: bool = False,
    rich: Sequence[Any] | None = None,
    language: str = "en",
) -> list[Any]:
    """One reply candidate: [0] id, [1][0] text, [8][0] 1 while generating and 2 when complete, [12] rich content,
    [37][0][0] thoughts."""
    record: list[Any] = [rcid, [text], [None, None, None, None, [None, None, 8]]]
    record += [None, None, None, True, None, [2 if complete else 1], language]
    if rich is not None or thoughts:
        record += [None, None, list(rich) if rich is not None else None]
    if thoughts:
        record += [None] * (37 - len(record)) + [[[thoughts]]]
    return record


def turn(
    ids: tuple[str, str],
    candidates: Sequence[Any],
    *,
    model: tuple[str, str] | None = None,
    context: str | None = None,
    sparse: bool = False,
) -> list[Any]:
    """The inner record of a content frame. `model` is (hash, display name). `sparse` is the other spelling of the
    same fields: a dict in the last slot, keyed by the field's number + 1."""
    inner: list[Any] = [None, list(ids), None, None, list(candidates)]
    fields: dict[int, Any] = {}
    if context is not None:
        fields[25] = context
    if model is not None:
        fields[39], fields[42] = model
    if sparse:
        return [*inner, {str(number + 1): value for number, value in fields.items()}] if fields else inner
    if fields:
        inner += [None] * (max(fields) + 1 - len(inner))
        for number, value in fields.items():
            inner[number] = value
    return inner


class Cumulative:
    """Content frames that differ in their text and thoughts only.

    The JSON around the two is made once. JSON escaping of a concatenation is the concatenation of the escapings, so
    text that only grew is escaped for its new end alone: a series of n frames costs n copies, not n encodings.
    """

    def __init__(
        self, ids: tuple[str, str], rcid: str, *, model: tuple[str, str] | None, thinks: bool, sparse: bool = False
    ) -> None:
        record = candidate(rcid, text=_TEXT, thoughts=_THOUGHTS if thinks else "")
        whole = orjson.dumps([["wrb.fr", None, orjson.dumps(turn(ids, [record], model=model, sparse=sparse)).decode()]])
        before, _, rest = whole.partition(_TEXT.encode())
        between, _, after = rest.partition(_THOUGHTS.encode()) if thinks else (rest, b"", b"")
        self._fixed = (before, between, after)
        self._fixed_units = sum(utf16_units(piece) for piece in self._fixed)
        self._text = _Grown()
        self._thoughts = _Grown()

    def frame(self, text: str, thoughts: str = "") -> bytes:
        """The next frame of the series."""
        self._text.become(text)
        self._thoughts.become(thoughts)
        before, between, after = self._fixed
        units = self._fixed_units + self._text.units + self._thoughts.units + 2
        return b"%d\n%b%b%b%b%b\n" % (units, before, self._text.data, between, self._thoughts.data, after)


class _Grown:
    """A text as it stands inside JSON within JSON, with its length in UTF-16 units."""

    def __init__(self) -> None:
        self._raw = ""
        self.data = b""
        self.units = 0

    def become(self, text: str) -> None:
        if not text.startswith(self._raw):
            self._raw, self.data, self.units = "", b"", 0
        grown = _escaped_twice(text[len(self._raw) :])
        self._raw = text
        self.data += grown
        self.units += utf16_units(grown)


def _escaped_twice(text: str) -> bytes:
    return orjson.dumps(orjson.dumps(text)[1:-1].decode())[1:-1]


def escape_html(text: str) -> str:
    """Answer text as the site sends it: escaped for `&`, `<`, `>`; quotes are left as they are."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
