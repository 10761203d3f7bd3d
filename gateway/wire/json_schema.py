"""JSON Schema: is a schema sound, does a value fit it, where is the JSON in an answer. Pure; fetches no schema anywhere.

The work is jsonschema-rs'; what is here keeps it bounded: patterns backtrack within a limit, what they become is counted
before they are compiled (patterns.py), and what a schema's references multiply to before a value is checked
(schema_work.py)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

import jsonschema_rs
import orjson

from gateway.wire import patterns, sse
from gateway.wire.call_bodies import dumps
from gateway.wire.loose_json import NotJson, loads
from gateway.wire.schema_work import MOST_VISITS, SchemaWork, TooMuch

Schema = Mapping[str, Any]
_MOST_ERRORS = 5
_MOST_ERROR = 300
_MOST_ECHO = 120  # of a schema, to who sent it
_MOST_EXPLAINED = 5_000  # visits: telling what is wrong takes far longer than finding that something is
_MOST_REPEATED = 200_000  # entries of a schema's lists by parts of a value: 20 ms of errors that each repeat a whole enum
_MOST_PRODUCT = 5_000_000  # parts of a schema by bytes of a value: nothing below it needs counting
_MOST_KEPT = 16_000  # bytes of a schema that is kept compiled: clients send the same ones with every call
_MOST_KEPT_COMPILED = 300_000  # and of what its patterns become: there may be hundreds of it
_FENCED = re.compile(r"(?:\\?[`~]){3,}[ \t]*[\w-]*[ \t]*\n(.*?)(?:\n[ \t]*(?:\\?[`~]){3,}|\Z)", re.DOTALL)
_START = re.compile(r"[\[{]")


def mistake(schema: Schema) -> str | None:
    """What is wrong with `schema` itself, in words; None for a sound one."""
    raw = sse.dumps(schema)
    return _mistake(raw) if len(raw) <= _MOST_KEPT else _mistake.__wrapped__(raw)


def errors(schema: Schema, text: str) -> str | None:
    """Why the JSON `text` does not fit `schema`, in words that quote it; None when it fits. The schema is a sound one.
    A text that would take too long to check does not fit either."""
    checker, value = _checker(sse.dumps(schema)), orjson.loads(text)
    work, validator = checker.work, checker.validator
    if (work.risky or work.nodes * len(text) > _MOST_PRODUCT) and _visits(work, value) > MOST_VISITS:
        return "checking it against the schema takes too long"
    if validator.is_valid(value):
        return None
    parts = 1 + sum(map(text.count, ",[{"))  # each may be wrong, and all errors are made before the first is seen
    if parts > _MOST_EXPLAINED or work.listed * parts > _MOST_REPEATED or _visits(work, value) > _MOST_EXPLAINED:
        return "it does not fit the schema"
    return _explained(validator, value)


def _visits(work: SchemaWork, value: Any) -> int:
    try:
        return work.visits(value)
    except (TooMuch, RecursionError):
        return MOST_VISITS + 1


def _explained(validator: Any, value: Any) -> str:
    found = []
    for error in validator.iter_errors(value):
        where = "/".join(map(str, error.instance_path))
        found.append(f"{where}: {_short(error)}" if where else _short(error))
        if len(found) == _MOST_ERRORS:
            break
    return "; ".join(found)


def extracted(answer: str) -> str | None:
    """The JSON that `answer` is, or holds: without a fence around it, and without words before and after it. None where
    there is none that can be read."""
    for candidate, whole in _candidates(answer):
        try:
            value, rest = loads(candidate)
        except NotJson:
            continue
        if not whole or not rest.strip():
            return dumps(value)
    return None


def _candidates(answer: str) -> Iterator[tuple[str, bool]]:
    """Where JSON may be, the likeliest first; and whether it must then be all that is there."""
    yield answer, True
    if fenced := _FENCED.search(answer):
        yield fenced.group(1), True
    if start := _START.search(answer):
        yield answer[start.start() :], False


# --- schemas ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Checker:
    """A compiled schema, and what it can cost."""

    validator: Any
    work: SchemaWork


@lru_cache(maxsize=256)
def _mistake(raw: bytes) -> str | None:
    try:
        return _checker(raw).work.mistake
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, RecursionError) as exc:
        return _short(exc, _MOST_ECHO)


def _checker(raw: bytes) -> _Checker:
    small = len(raw) <= _MOST_KEPT
    work = _work(raw) if small else _work.__wrapped__(raw)
    if work.mistake is not None:
        return _Checker(None, work)
    compiled = _compiled if small and work.weight <= _MOST_KEPT_COMPILED else _compiled.__wrapped__
    return _Checker(compiled(raw), work)


@lru_cache(maxsize=256)
def _work(raw: bytes) -> SchemaWork:
    return SchemaWork(orjson.loads(raw))


@lru_cache(maxsize=256)
def _compiled(raw: bytes) -> Any:
    schema = orjson.loads(raw)
    if not _is_draft(schema.get("$schema")):
        schema.pop("$schema", None)
    return jsonschema_rs.validator_for(schema, pattern_options=patterns.options(), retriever=_nowhere)


def _is_draft(name: Any) -> bool:
    return isinstance(name, str) and re.match(r"https?://json-schema\.org/draft", name) is not None


def _nowhere(uri: str) -> NoReturn:
    raise ValueError("schemas elsewhere are not fetched")


def _short(error: Exception, most: int = _MOST_ERROR) -> str:
    text = error.message if isinstance(error, jsonschema_rs.ValidationError) else str(error)
    text = " ".join(text.split())
    return text if len(text) <= most else text[:most] + "…"
