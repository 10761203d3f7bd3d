"""What the patterns of a JSON Schema become when they are compiled, counted before the schema is. Pure.

A few letters can stand for megabytes (`\\p{L}{100}`: four), 8 ms each in which nothing else runs, and a compiled schema is
kept."""

from __future__ import annotations

from collections.abc import Iterable

import jsonschema_rs

# Compiled, all patterns of a schema together, and one of them.
MOST_BYTES, MOST_OF_ONE = 10_000_000, 5_000_000
_STEPS = (10_000, 50_000, 200_000, 500_000, 1_000_000, 1_500_000, 3_000_000, MOST_OF_ONE)
_A_LETTER = 200  # to read one takes as long as to compile so many bytes
_NONE = 1_000_000  # for what is no pattern, or too large a one: both are found out in vain


def options(most: int = MOST_OF_ONE) -> jsonschema_rs.FancyRegexOptions:
    """How patterns are compiled, to at most `most` bytes each: with backtracking where they need it, within a limit."""
    return jsonschema_rs.FancyRegexOptions(backtrack_limit=10_000, size_limit=most)


def weight(patterns: Iterable[str]) -> int:
    """Bytes that `patterns` become together, or a number above MOST_BYTES where a schema may not have them. What is no
    pattern may be an example that looks like one, and is not told here."""
    total = 0
    for pattern in dict.fromkeys(patterns):
        total += _A_LETTER * len(pattern)
        if total <= MOST_BYTES:
            total += _size(pattern)
        if total > MOST_BYTES:
            break
    return total


def _size(pattern: str) -> int:
    for most in _STEPS:
        try:
            jsonschema_rs.validator_for({"pattern": pattern}, pattern_options=options(most))
        except jsonschema_rs.ValidationError:
            continue
        return most
    return _NONE
