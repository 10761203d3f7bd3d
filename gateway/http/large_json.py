"""Reads a JSON body that carries media. A parser holds the interpreter for as long as it runs, and needs ten milliseconds
for a picture of some megabytes; so long strings of base64 are lifted out first, in small steps, and put back behind it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from typing import Any

import orjson

from gateway.errors import BodyTooLarge, InvalidRequest

MOST_DEPTH = 200
_LARGE = 64_000
# A string that holds base64 in this many bytes at a place that is looked at is media, and not measured as JSON.
_EVERY, _LOOK = 4096, 1024
_STEP = 262_144
_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=_-\\"
_HEAD = re.compile(rb"(?:data:[\w.+-]+/[\w.+-]+(?:;[\w-]+=[\w-]+)*;base64,)?", re.ASCII)
_KEY_ENDS = re.compile(rb'"[ \t\r\n]*:')
# Stands where a string was. Nobody knows it but this process.
_MARK = f"lifted {secrets.token_hex(8)} "


def parsed(body: bytes, most: int) -> dict[str, Any]:
    """`body` as a JSON object of at most `most` bytes beside its media. Raises InvalidRequest, BodyTooLarge."""
    lifted: list[str] = []
    if len(body) > _LARGE:
        body, size = _skeleton(body, lifted)
        if size > most:
            raise BodyTooLarge(f"The request's JSON is larger than {most} bytes")
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The request's body is not JSON: {exc.msg}") from None
    if not isinstance(value, dict):
        raise InvalidRequest("The request's body must be a JSON object")
    if body.count(b"{") + body.count(b"[") > MOST_DEPTH and _deeper(value, MOST_DEPTH):
        raise InvalidRequest(f"The request's JSON is nested deeper than {MOST_DEPTH}")
    return _with_lifted(value, lifted) if lifted else value


def _skeleton(body: bytes, lifted: list[str]) -> tuple[bytes, int]:
    """(`body` with marks where media strings were, its size without them); the strings go to `lifted`."""
    pieces: list[bytes] = []
    kept = 0
    for start, end, text in _media(body):
        pieces += (body[kept:start], f"{_MARK}{len(lifted)}".encode())
        lifted.append(text)
        kept = end
    if not lifted:
        return body, len(body)
    pieces.append(body[kept:])
    return b"".join(pieces), sum(map(len, pieces[::2]))


def _media(body: bytes) -> Iterator[tuple[int, int, str]]:
    """(start, end, text) of each string in `body` that is base64 or a data: URL of it. Every byte is passed once."""
    done = position = 0
    while position < len(body):
        if not _only_base64(body, position, min(position + _LOOK, len(body))):
            position += _EVERY
            continue
        start, end = body.rfind(b'"', done, position) + 1, body.find(b'"', position)
        if end < 0:
            return
        if start and not _KEY_ENDS.match(body, end) and (text := _unescaped(body, start, end)) is not None:
            yield start, end, text
        done = position = end + 1


def _only_base64(body: bytes, start: int, end: int) -> bool:
    return all(
        not body[at : min(at + _STEP, end)].translate(None, _ALPHABET) for at in range(start, end, _STEP)
    )


def _unescaped(body: bytes, start: int, end: int) -> str | None:
    """The string of a JSON string's bytes, or None where they are more than base64."""
    head = _HEAD.match(body, start, min(end, start + 200))
    if head is None or body[max(0, start - 2) : start - 1] == b"\\" or not _only_base64(body, head.end(), end):
        return None
    text = str(memoryview(body)[start:end], "ascii")
    if "\\" in text:
        text = text.replace("\\/", "/").replace("\\n", "\n").replace("\\r", "\r")
    return None if "\\" in text else text


def _with_lifted(value: dict[str, Any], lifted: list[str]) -> dict[str, Any]:
    """`value` with the strings back in their places."""
    whole = {f"{_MARK}{number}": text for number, text in enumerate(lifted)}
    waiting: list[Any] = [value]
    while waiting:
        parent = waiting.pop()
        for key, item in parent.items() if isinstance(parent, dict) else enumerate(parent):
            if isinstance(item, str):
                if item in whole:
                    parent[key] = whole[item]
            elif isinstance(item, (dict, list)):
                waiting.append(item)
    return value


def _deeper(value: Any, most: int) -> bool:
    level: list[Any] = [value]
    for _ in range(most):
        level = [
            item
            for parent in level
            for item in (parent.values() if isinstance(parent, dict) else parent)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True
