"""JSON as models write it and the web hands it on: Markdown escapes, HTML entities, typographic quotes, trailing commas,
Python's literals, raw line breaks in strings. Repairs notation, never guesses content: a value that was cut off, or whose
strings cannot be told from what follows them, is refused. Linear in the text."""

from __future__ import annotations

import html
import json
import re
from typing import Any, NoReturn

MOST_DEPTH = 100

_SPACE = re.compile(r"[\s\u200b\u200c\u200d\u2060\ufeff]*")
_STRAIGHT = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"', re.DOTALL)
# Other quotes may stand inside what they enclose: the one counts that a comma, colon or bracket follows.
_BEHIND = r"(?=\s*(?:[,:}\]]|\Z))"
_CURLY = re.compile(
    rf"[“”„‟«»](?:((?:[^\\“”»]|\\.)*)[”»]{_BEHIND}|((?:[^\\]|\\.)*?)[“”\"»«]{_BEHIND})",
    re.DOTALL,
)
_SINGLE = re.compile(rf"[‘’']((?:[^\\]|\\.)*?)[’']{_BEHIND}", re.DOTALL)
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.])")
_WORD = re.compile(r"[A-Za-z_$][\w$-]*")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\", "/": "/"}
_SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class NotJson(ValueError):
    """The text holds no JSON value that could be read without guessing."""


def loads(text: str, *, closed: bool = True) -> tuple[Any, str]:
    """The value that `text` begins with, and the text behind it. `closed` says that whoever wrote it came to an end: then
    brackets that are missing at the very end are forgiven. Raises NotJson."""
    begun = skip_space(text, 0)
    try:
        value, end = _STRICT.raw_decode(text, begun)
    except (ValueError, RecursionError):
        return _loosely(text, closed)
    return value, text[end:]


def skip_space(text: str, at: int) -> int:
    """Where the next character stands that is no white space."""
    match = _SPACE.match(text, at)
    return match.end() if match else at


def _loosely(text: str, closed: bool) -> tuple[Any, str]:
    reader = _Reader(text, closed)
    try:
        return reader.value(0, 0), text[reader.at :]
    except NotJson:
        plain = html.unescape(text)
        plain = _unquoted(plain) if re.match(r'[\s\[{]*\\"', plain) else plain
        if plain == text:
            raise
    reader = _Reader(plain, closed)
    return reader.value(0, 0), plain[reader.at :]


def _unquoted(text: str) -> str:
    """JSON that was escaped as a whole, as if it stood inside a string."""
    return re.sub(r'\\(["\\])', r"\1", text)


def _constant(name: str) -> NoReturn:
    raise NotJson(f"{name} is no JSON")


_STRICT = json.JSONDecoder(strict=False, parse_constant=_constant)


class _Reader:
    """Reads one value by descent; `at` is where it has come to."""

    def __init__(self, text: str, closed: bool) -> None:
        self._text = text
        self._closed = closed
        self.at = 0

    def value(self, at: int, depth: int) -> Any:
        self.at = at
        if depth > MOST_DEPTH:
            raise NotJson(f"nested deeper than {MOST_DEPTH}")
        match self._peek():
            case "{":
                return self._object(depth)
            case "[":
                return self._array(depth)
            case "\\" if self._text[self.at + 1 : self.at + 2] in ("{", "["):
                return self.value(self.at + 1, depth)
            case char if char in _QUOTES:
                return self._string()
        return self._atom()

    def _peek(self) -> str:
        self.at = skip_space(self._text, self.at)
        return self._text[self.at : self.at + 1]

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self.at += 1
        while not self._closes("}"):
            key = self._string() if self._peek() in _QUOTES else self._bare_key()
            if self._peek() != ":":
                raise NotJson(f"a colon is missing behind the key {key[:40]!r}")
            found[key] = self.value(self.at + 1, depth + 1)
            self._comma("}")
        return found

    def _array(self, depth: int) -> list[Any]:
        found: list[Any] = []
        self.at += 1
        while not self._closes("]"):
            found.append(self.value(self.at, depth + 1))
            self._comma("]")
        return found

    def _closes(self, bracket: str) -> bool:
        char = self._peek()
        if char == "\\" and self._text[self.at + 1 : self.at + 2] == bracket:
            self.at += 1
            char = bracket
        if char == bracket:
            self.at += 1
            return True
        if not char and self._closed:
            return True
        if not char:
            raise NotJson("it is cut off")
        return False

    def _comma(self, bracket: str) -> None:
        char = self._peek()
        if char == ",":
            self.at += 1
        elif char and char not in (bracket, "\\"):
            raise NotJson(f"a comma or {bracket} is missing before {self._text[self.at : self.at + 20]!r}")

    def _bare_key(self) -> str:
        if (match := _WORD.match(self._text, self.at)) is None:
            raise NotJson(f"no key stands at {self._text[self.at : self.at + 20]!r}")
        self.at = match.end()
        return match.group()

    def _string(self) -> str:
        pattern = _QUOTES[self._text[self.at]]
        if (match := pattern.match(self._text, self.at)) is None:
            raise NotJson("a string does not end")
        self.at = match.end()
        said = next(group for group in match.groups() if group is not None)
        text = _ESCAPE.sub(_unescaped, said)
        return _SURROGATES.sub(_paired, text)

    def _atom(self) -> Any:
        if match := _NUMBER.match(self._text, self.at):
            self.at = match.end()
            return json.loads(match.group())
        match = _WORD.match(self._text, self.at)
        if match is None or match.group() not in _WORDS:
            raise NotJson(f"no value stands at {self._text[self.at : self.at + 20]!r}")
        self.at = match.end()
        return _WORDS[match.group()]


_QUOTES = {'"': _STRAIGHT} | dict.fromkeys("“”„‟«»", _CURLY) | dict.fromkeys("‘’'", _SINGLE)


def _unescaped(match: re.Match[str]) -> str:
    """JSON's escapes mean what they mean; before other punctuation the backslash is Markdown's and goes, before letters
    it is the text's own and stays."""
    after = match.group(1)
    if len(after) == 5:
        return chr(int(after[1:], 16))
    if after in _ESCAPES:
        return _ESCAPES[after]
    return match.group() if after.isalnum() else after


def _paired(match: re.Match[str]) -> str:
    return match.group().encode("utf-16-le", "surrogatepass").decode("utf-16-le")

