"""Token counts by estimate: the web reports none. Each character weighs what fits a real tokenizer best for its kind
(benchmarks/tokens.py fits and measures; docs/tokens.md has the errors)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

# Tokens of one character, by kind. `two`, `three` and `four` are its bytes in UTF-8: European letters; CJK and the like;
# emoji. Weights of pieces add up to that of the whole.
WEIGHTS: Mapping[str, float] = {
    "small": 0.205,
    "capital": 0.265,
    "digit": 0.58,
    "space": 0.16,
    "newline": 0.79,
    "mark": 0.45,
    "two": 0.35,
    "three": 0.65,
    "four": 1.135,
}
# A character weighs by the first of its bytes; those that follow it in UTF-8 weigh nothing.
_BYTES: Mapping[str, range | bytes] = {
    "small": range(ord("a"), ord("z") + 1),
    "capital": range(ord("A"), ord("Z") + 1),
    "digit": b"0123456789",
    "space": b" \t",
    "newline": b"\r\n",
    "two": range(0xC2, 0xE0),
    "three": range(0xE0, 0xF0),
    "four": range(0xF0, 0xF5),
}
_UNIT = 200  # of a token: weights become small whole numbers, whose sums are exact
_LONG = 1000


def _table() -> bytes:
    weights = [WEIGHTS["mark"]] * 0x80 + [0.0] * 0x80
    for kind, each in _BYTES.items():
        for byte in each:
            weights[byte] = WEIGHTS[kind]
    return bytes(round(weight * _UNIT) for weight in weights)


_TABLE = _table()


def weight(text: str) -> float:
    """Estimated tokens of `text`, not rounded, so that the weights of pieces add up."""
    units = text.encode("utf-8", "replace").translate(_TABLE)
    total = sum(units) if len(units) < _LONG else int(np.frombuffer(units, np.uint8).sum(dtype=np.int64))
    return total / _UNIT


def count(text: str) -> int:
    """Estimated tokens of `text`; at least 1 for any text."""
    return rounded(weight(text))


def rounded(tokens: float) -> int:
    """A whole number of tokens, at least 1 for any text at all."""
    return max(1, round(tokens)) if tokens > 0 else 0


def prefix_within(text: str, budget: float) -> str:
    """The longest prefix of `text` that weighs at most `budget`."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if weight(text[:middle]) <= budget:
            low = middle
        else:
            high = middle - 1
    return text[:low]
