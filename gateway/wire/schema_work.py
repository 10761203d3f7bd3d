"""How much work a JSON Schema can make, counted before it is done. Pure.

References multiply: ten of four each are a million visits, and a recursive schema with two ways to the same place doubles
them with each level of the value. The counting itself is linear: it remembers each pair of schema and value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from gateway.wire import patterns

MOST_NODES = 5_000
MOST_VISITS = 100_000
_MOST_PAIRS = 60_000
# Of a pattern that backtracks (json_schema.py bounds it), in visits.
_HARD_PATTERN = 1_000
_HARD = re.compile(r"\(\?(?:[=!>]|<[=!])|\\[1-9k]")
_SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else")
_OF_EACH = ("additionalProperties", "unevaluatedProperties", "propertyNames")
_OF_ITEMS = ("items", "prefixItems", "additionalItems", "unevaluatedItems", "contains")


class TooMuch(Exception):
    """Checking the value would take more than MOST_VISITS."""


class SchemaWork:
    """The work that `root`, a parsed schema, makes. `risky` says that it can be more than a visit of each part of the
    schema by each part of the value. `listed` are the entries of all its lists: an error repeats them. `weight` is what its
    patterns become (patterns.py). `mistake` is what cannot be bounded at all, in words."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._anchors: dict[str, Any] = {}
        self._tables: list[Mapping[str, Any]] = []
        self.risky = False
        self.nodes = 0
        self.listed = 0
        self.weight = 0
        self._patterns: list[str] = []
        self.mistake = self._look() or self._multiplied() or self._weighed()

    def _multiplied(self) -> str | None:
        """What is wrong when references multiply whatever the value is."""
        count = _Count(self._target)
        try:
            for node in self._tables if self.risky else ():
                count.of(node, None)
        except (TooMuch, RecursionError):
            return f"its references multiply to more than {MOST_VISITS} schemas"
        return None

    def _weighed(self) -> str | None:
        self.weight = patterns.weight(self._patterns)
        return "its patterns are too large together" if self.weight > patterns.MOST_BYTES else None

    def _look(self) -> str | None:
        waiting = [self._root]
        while waiting:
            node = waiting.pop()
            self.nodes += 1
            if self.nodes > MOST_NODES:
                return f"it has more than {MOST_NODES} parts"
            if isinstance(node, dict) and (wrong := self._note(node)) is not None:
                return wrong
            self.listed += len(node) if isinstance(node, list) else 0
            inner = node.values() if isinstance(node, dict) else node
            waiting += [item for item in inner if isinstance(item, (dict, list))]
        return None

    def _note(self, node: Mapping[str, Any]) -> str | None:
        self._tables.append(node)
        if isinstance(anchor := node.get("$anchor"), str):
            self._anchors[anchor] = node
        if isinstance(reference := node.get("$ref"), str):
            self.risky = True
            if not reference.startswith("#"):
                return "references to schemas elsewhere are not followed"
        if any(isinstance(node.get(name), str) for name in ("$dynamicRef", "$recursiveRef")):
            return "references must be $ref"
        if isinstance(node.get("$id"), str) and node is not self._root:
            return "only the whole schema can have an $id"
        named = node.get("patternProperties")
        given = [node.get("pattern"), *(named if isinstance(named, dict) else ())]
        self._patterns += [pattern for pattern in given if isinstance(pattern, str)]
        self.risky = self.risky or any(map(_is_hard, given))
        return None

    def visits(self, value: Any) -> int:
        """How many schemas are visited to check `value`, at most. Raises TooMuch."""
        return _Count(self._target).of(self._root, value)

    def _target(self, reference: str) -> Any:
        """What `#`, `#/a/0/b` or `#anchor` points at."""
        fragment = unquote(reference[1:])
        if fragment and not fragment.startswith("/"):
            return self._anchors.get(fragment)
        node = self._root
        for step in fragment.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(node, list):
                node = node[int(step)] if step.isdecimal() and int(step) < len(node) else None
            else:
                node = node.get(step) if isinstance(node, dict) else None
        return node


class _Count:
    def __init__(self, target: Any) -> None:
        self._target = target
        self._known: dict[tuple[int, int], int] = {}

    def of(self, schema: Any, value: Any) -> int:
        if not isinstance(schema, dict):
            return 1
        pair = (id(schema), id(value))
        if pair in self._known:
            return self._known[pair]
        self._known[pair] = 1
        total = 1
        for inner, part in _applied(schema, value, self._target):
            total += self.of(inner, part) if not isinstance(inner, int) else inner
            if total > MOST_VISITS or len(self._known) > _MOST_PAIRS:
                raise TooMuch
        self._known[pair] = total
        return total


def _applied(schema: Mapping[str, Any], value: Any, target: Any) -> Iterator[tuple[Any, Any]]:
    """Each schema within `schema` that looks at `value` or at a part of it; a number is work of that many visits."""
    if isinstance(reference := schema.get("$ref"), str):
        yield target(reference), value
    for name in _SAME_VALUE:
        if (inner := schema.get(name)) is not None:
            yield from ((item, value) for item in (inner if isinstance(inner, list) else [inner]))
    if isinstance(choices := schema.get("enum"), list):
        yield len(choices) // 10, None
    match value:
        case dict():
            yield from _of_object(schema, value)
        case list():
            yield from _of_list(schema, value)
        case str() if _is_hard(schema.get("pattern")):
            yield _HARD_PATTERN, None


def _of_object(schema: Mapping[str, Any], value: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    named = schema.get("properties")
    if isinstance(named, dict):
        yield from ((named[name], part) for name, part in value.items() if name in named)
    by_pattern = schema.get("patternProperties")
    for pattern, inner in by_pattern.items() if isinstance(by_pattern, dict) else ():
        yield len(value) * (_HARD_PATTERN if _is_hard(pattern) else 1), None
        yield from ((inner, part) for part in value.values())
    for name in _OF_EACH:
        if isinstance(inner := schema.get(name), dict):
            yield from ((inner, part) for part in (value if name == "propertyNames" else value.values()))
    for name in ("dependentSchemas", "dependencies"):
        if isinstance(inner := schema.get(name), dict):
            yield from ((item, value) for item in inner.values())


def _of_list(schema: Mapping[str, Any], value: list[Any]) -> Iterator[tuple[Any, Any]]:
    for name in _OF_ITEMS:
        inner = schema.get(name)
        if isinstance(inner, list):
            yield from zip(inner, value, strict=False)
        elif isinstance(inner, dict):
            yield from ((inner, part) for part in value)


def _is_hard(pattern: Any) -> bool:
    return isinstance(pattern, str) and _HARD.search(pattern) is not None
