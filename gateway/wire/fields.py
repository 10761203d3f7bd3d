"""Reads typed fields out of a caller's JSON. Every mistake is an InvalidRequest that names the dotted field."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import InvalidRequest

MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@/-]{0,127}")
_MOST_DIGITS = 18


def bad(param: str, message: str) -> InvalidRequest:
    """The error for the field `param`."""
    return InvalidRequest(f"{param}: {message}", param=param)


class Fields:
    """A JSON object and the dotted path that led to it. Each reader takes the names that the field may have (the first
    is the one that errors quote) and treats null as absent."""

    __slots__ = ("data", "path")

    def __init__(self, data: Mapping[str, Any], path: str = "") -> None:
        self.data = data
        self.path = path

    def at(self, name: str) -> str:
        """Dotted path of the field `name`."""
        return f"{self.path}.{name}" if self.path else name

    def get(self, name: str, *others: str) -> Any:
        """The raw value of the first of these names that is present, or None."""
        value = self.data.get(name)
        if value is None and others:
            return self.get(*others)
        return value

    def text(self, *names: str, most: int = 4_000_000) -> str | None:
        """A string of at most `most` characters."""
        value = self.get(*names)
        if value is None:
            return None
        if not isinstance(value, str):
            raise bad(self.at(names[0]), "must be a string")
        if len(value) > most:
            raise bad(self.at(names[0]), f"must be at most {most} characters")
        return value

    def needed(self, name: str, most: int = 4_000_000) -> str:
        """A string that must be there."""
        value = self.text(name, most=most)
        if value is None:
            raise bad(self.at(name), "is required")
        return value

    def word(self, *names: str, of: Sequence[str]) -> str | None:
        """One of the words `of`."""
        value = self.text(*names, most=200)
        if value is not None and value not in of:
            raise bad(self.at(names[0]), f"must be one of {', '.join(of)}")
        return value

    def flag(self, *names: str) -> bool:
        """A boolean; absent is False."""
        value = self.get(*names)
        if value is not None and not isinstance(value, bool):
            raise bad(self.at(names[0]), "must be true or false")
        return bool(value)

    def number(self, *names: str, low: float = -math.inf, high: float = math.inf) -> float | None:
        """A number in low..high."""
        value = self.get(*names)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            raise bad(self.at(names[0]), f"must be a number{_bounds(low, high)}")
        return float(value)

    def whole(self, *names: str, low: int, high: int = 2**31 - 1) -> int | None:
        """A whole number in low..high."""
        value = self.get(*names)
        if value is None:
            return None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise bad(self.at(names[0]), f"must be a whole number{_bounds(low, high)}")
        return value

    def table(self, *names: str) -> Fields | None:
        """A JSON object."""
        value = self.get(*names)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise bad(self.at(names[0]), "must be an object")
        return Fields(value, self.at(names[0]))

    def items(self, *names: str, most: int = 1000) -> list[Any] | None:
        """A list of at most `most` items."""
        value = self.get(*names)
        if value is None:
            return None
        if not isinstance(value, list):
            raise bad(self.at(names[0]), "must be a list")
        if len(value) > most:
            raise bad(self.at(names[0]), f"must have at most {most} items")
        return value

    def tables(self, *names: str, most: int = 1000) -> list[Fields]:
        """A list of JSON objects; absent is empty."""
        items = self.items(*names, most=most)
        if not items:
            return []
        found, path_to = [], self.at(names[0])
        for number, item in enumerate(items):
            path = f"{path_to}.{number}"
            if not isinstance(item, dict):
                raise bad(path, "must be an object")
            found.append(Fields(item, path))
        return found

    def present(self, names: Sequence[str]) -> tuple[str, ...]:
        """Which of `names` the caller set."""
        if self.data.keys().isdisjoint(names):  # nearly always
            return ()
        return tuple(name for name in names if self.data.get(name) is not None)


def _bounds(low: float, high: float) -> str:
    if math.isinf(low) and math.isinf(high):
        return ""
    if math.isinf(high) or high >= 2**31 - 1:
        return f" of at least {low:g}"
    return f" from {low:g} to {high:g}"


def number_of(digits: str) -> int | None:
    """The whole number that is written as plain digits; None for other texts, and for more digits than any number of
    ours has (Python itself refuses to read thousands of them, and has digits that it cannot read)."""
    return int(digits) if len(digits) <= _MOST_DIGITS and digits.isascii() and digits.isdecimal() else None


def model_name(value: str | None, param: str = "model") -> str:
    """A model name that is safe to echo. Raises InvalidRequest."""
    if not value:
        raise bad(param, "is required")
    if not MODEL_NAME.fullmatch(value):
        raise bad(param, "is not a model name")
    return value


def stop_words(value: Any, param: str, most: int) -> tuple[str, ...]:
    """`stop` as a string or a list of at most `most` non-empty strings. Raises InvalidRequest."""
    words = [value] if isinstance(value, str) else value
    if words is None:
        return ()
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise bad(param, "must be a string or a list of strings")
    if len(words) > most:
        raise bad(param, f"must have at most {most} items")
    if any(len(word) > 1000 for word in words):
        raise bad(param, "must be at most 1000 characters each")
    return tuple(word for word in words if word)
