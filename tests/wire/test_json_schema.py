"""Hostile schemas and values are refused by counting, not by a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway.wire import json_schema
from gateway.wire.schema_work import MOST_NODES, MOST_VISITS, SchemaWork, TooMuch

WEATHER = {"type": "object", "properties": {"days": {"type": "array", "items": {"type": "integer"}}}}
TREE = {"$defs": {"n": {"type": "object", "properties": {"in": {"$ref": "#/$defs/n"}}}}, "$ref": "#/$defs/n"}


def multiplying(to: Callable[[int], str]) -> dict[str, Any]:
    """4 ** 10 visits."""
    steps = {f"a{n}": {"$anchor": f"a{n}", "anyOf": [{"$ref": to(n + 1)}] * 4} for n in range(10)}
    return {"$defs": {**steps, "a10": {"$anchor": "a10", "type": "integer"}}, "$ref": to(0)}


@pytest.mark.parametrize(
    "to",
    [lambda n: f"#/$defs/a{n}", lambda n: f"#/%24defs/a{n}", lambda n: f"#a{n}"],
    ids=["pointers", "escaped pointers", "anchors"],
)
def test_references_that_multiply_are_a_mistake_of_the_schema(to: Callable[[int], str]) -> None:
    assert json_schema.mistake(multiplying(to)) == f"its references multiply to more than {MOST_VISITS} schemas"


def test_what_is_wrong_is_told_without_the_whole_schema() -> None:
    told = json_schema.mistake({"type": "x" * 3000})
    assert told is not None and len(told) <= 121


def test_references_into_lists_multiply_as_well() -> None:
    steps = [{"anyOf": [{"$ref": f"#/allOf/{n + 1}"}] * 4} for n in range(10)]
    assert "multiply" in str(json_schema.mistake({"allOf": [*steps, {"type": "integer"}]}))


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ({"$dynamicRef": "#a", "$dynamicAnchor": "a"}, "references must be $ref"),
        ({"anyOf": [{"$id": "https://x/a", "type": "string"}]}, "only the whole schema can have an $id"),
        ({"anyOf": [{"enum": [[n]]} for n in range(MOST_NODES)]}, f"it has more than {MOST_NODES} parts"),
        ({"type": "string", "pattern": "(((a{1,200}){1,200}){1,200})"}, '"(((a{1,200}){1,200}){1,200})" is not a "regex"'),
    ],
    ids=["dynamic references", "schemas of another name", "too many parts", "a pattern of a million states"],
)
def test_what_cannot_be_bounded_is_a_mistake_of_the_schema(schema: dict[str, Any], why: str) -> None:
    assert json_schema.mistake(schema) == why


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#"}, {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}, TREE],
    ids=["itself", "a loop", "a tree"],
)
def test_a_schema_may_refer_to_itself(schema: dict[str, Any]) -> None:
    assert json_schema.mistake(schema) is None
    assert json_schema.errors(schema, '{"in": {"in": {}}}') is None


def test_a_tree_is_checked_to_its_leaves() -> None:
    assert json_schema.errors(TREE, '{"in": {"in": 3}}') == 'in/in: 3 is not of type "object"'
    nested = '{"in":' * 90 + "{}" + "}" * 90
    assert json_schema.errors(TREE, nested) is None
    assert SchemaWork(TREE).visits(orjson.loads(nested)) < 500


def test_two_ways_to_each_level_of_a_value_are_not_followed_to_the_end() -> None:
    way = {"type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}, "required": ["a"]}
    schema = {"$defs": {"n": {"anyOf": [way, {**way, "minProperties": 1}, {"type": "integer"}]}}, "$ref": "#/$defs/n"}
    assert json_schema.mistake(schema) is None
    assert json_schema.errors(schema, '{"a":{"a":1}}') is None
    assert json_schema.errors(schema, '{"a":' * 24 + "1" + "}" * 24) == "checking it against the schema takes too long"


def test_patterns_that_backtrack_are_tried_a_few_times_only() -> None:
    schema = {"type": "object", "patternProperties": {"^(a|a)*(?=q)$": {}}}
    many = orjson.dumps({"a" * 30 + str(n): 1 for n in range(2000)}).decode()
    with pytest.raises(TooMuch):
        SchemaWork(schema).visits(orjson.loads(many))
    assert json_schema.errors(schema, many) == "checking it against the schema takes too long"
    assert "backtracking" in str(json_schema.errors({"pattern": r"^(a*)*\1$"}, orjson.dumps("a" * 4000 + "b").decode()))


def test_a_few_letters_that_compile_to_megabytes_are_refused_before_they_do() -> None:
    names = {"first": {"pattern": r"^\p{L}{1,30}$"}, "last": {"pattern": r"^\p{L}{1,31}$"}}
    assert json_schema.mistake({"properties": names}) is None
    many = {f"a{n}": {"pattern": rf"^\p{{L}}{{60}}{n}"} for n in range(400)}  # 15 kB, 1.2 GB compiled, and 7 s for it
    assert json_schema.mistake({"properties": many}) == "its patterns are too large together"
    by_name = {pattern["pattern"]: {} for pattern in many.values()}
    assert json_schema.mistake({"patternProperties": by_name}) == "its patterns are too large together"
    long = {"pattern": "a?" * 50_000}  # half a second to read
    assert json_schema.mistake(long) == "its patterns are too large together"


def test_hundreds_of_usual_patterns_are_fine_and_one_in_all_of_them_counts_once() -> None:
    usual = {f"a{n}": {"pattern": rf"^[a-z0-9_-]{{1,64}}{n}$"} for n in range(400)}
    assert json_schema.mistake({"properties": usual}) is None
    same = {f"a{n}": {"pattern": r"^[\p{L} '-]{1,100}$"} for n in range(400)}
    assert json_schema.mistake({"properties": same}) is None


def test_an_example_that_looks_like_a_pattern_is_none() -> None:
    assert json_schema.mistake({"examples": [{"pattern": "*.py"}, {"pattern": "(("}]}) is None


def test_plain_schemas_are_not_counted_at_all() -> None:
    assert not SchemaWork(WEATHER).risky
    assert json_schema.errors(WEATHER, '{"days": [1, "x"]}') == 'days/1: "x" is not of type "integer"'


def test_no_error_repeats_a_long_list_thousands_of_times() -> None:
    choices = [f"s{number}" for number in range(50_000)]
    schema = {"type": "array", "items": {"enum": choices}}
    assert json_schema.mistake(schema) is None
    assert json_schema.errors(schema, orjson.dumps(choices[:500]).decode()) is None
    begun = time.perf_counter()
    assert json_schema.errors(schema, orjson.dumps(["x"] * 500).decode()) == "it does not fit the schema"
    assert time.perf_counter() - begun < 1  # it was four
    short = {"type": "array", "items": {"enum": choices[:10]}}
    assert "is not one of" in str(json_schema.errors(short, orjson.dumps(["x"] * 500).decode()))
    nothing = {"anyOf": [{"type": "integer"}, {"type": "null"}, {"type": "number", "minimum": 4}]}
    assert json_schema.errors({"type": "array", "items": nothing}, orjson.dumps(["x"] * 5001).decode()) is not None
    assert json_schema.errors({"type": "array", "items": nothing}, orjson.dumps(["x"] * 4000).decode()) == (
        "it does not fit the schema"
    )
