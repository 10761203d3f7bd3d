"""JSON Schema: is a schema sound, does a value fit it, where is the JSON in an answer. Pure; fetches no schema anywhere.

The work is jsonschema-rs'; what is here keeps it bounded: patterns backtrack within a limit, and a schema whose references
multiply without end is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NoReturn

import jsonschema_rs
import orjson

from gateway.wire import sse
from gateway.wire.call_bodies import dumps
from gateway.wire.loose_json import NotJson, loads

Schema = Mapping[str, Any]
_MOST_ERRORS = 5
_MOST_ERROR = 300
_MOST_SUBSCHEMAS = 20_000
_MOST_KEPT = 16_000  # bytes of a schema that is kept compiled: clients send the same ones with every call
_PATTERNS = jsonschema_rs.FancyRegexOptions(backtrack_limit=50_000)
_FENCED = re.compile(r"(?:\\?[`~]){3,}[ \t]*[\w-]*[ \t]*\n(.*?)(?:\n[ \t]*(?:\\?[`~]){3,}|\Z)", re.DOTALL)
_START = re.compile(r"[\[{]")


def mistake(schema: Schema) -> str | None:
    """What is wrong with `schema` itself, in words; None for a sound one."""
    raw = sse.dumps(schema)
    return _mistake(raw) if len(raw) <= _MOST_KEPT else _mistake.__wrapped__(raw)


def errors(schema: Schema, text: str) -> str | None:
    """Why the JSON `text` does not fit `schema`, in words that quote it; None when it fits. The schema is a sound one."""
    found = []
    for error in _validator(sse.dumps(schema)).iter_errors(orjson.loads(text)):
        where = "/".join(map(str, error.instance_path))
        found.append(f"{where}: {_short(error)}" if where else _short(error))
        if len(found) == _MOST_ERRORS:
            break
    return "; ".join(found) or None


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


@lru_cache(maxsize=256)
def _mistake(raw: bytes) -> str | None:
    try:
        if (count := _subschemas(orjson.loads(raw))) > _MOST_SUBSCHEMAS:
            return f"its references unfold to {count} schemas; at most {_MOST_SUBSCHEMAS} are taken"
        _validator(raw)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError, RecursionError) as exc:
        return _short(exc)
    return None


def _validator(raw: bytes) -> Any:
    return _compiled(raw) if len(raw) <= _MOST_KEPT else _compiled.__wrapped__(raw)


@lru_cache(maxsize=256)
def _compiled(raw: bytes) -> Any:
    schema = orjson.loads(raw)
    if not _is_draft(schema.get("$schema")):
        schema.pop("$schema", None)
    return jsonschema_rs.validator_for(schema, pattern_options=_PATTERNS, retriever=_nowhere)


def _is_draft(name: Any) -> bool:
    return isinstance(name, str) and re.match(r"https?://json-schema\.org/draft", name) is not None


def _nowhere(uri: str) -> NoReturn:
    raise ValueError("schemas elsewhere are not fetched")


def _short(error: Exception) -> str:
    text = error.message if isinstance(error, jsonschema_rs.ValidationError) else str(error)
    text = " ".join(text.split())
    return text if len(text) <= _MOST_ERROR else text[:_MOST_ERROR] + "…"


def _subschemas(root: Any) -> int:
    """How many schemas `root` is once its own references are unfolded; a reference to what is being unfolded counts one.
    Checking a value may visit each of them."""
    sizes: dict[int, int] = {}

    def size(node: Any) -> int:
        if not isinstance(node, (dict, list)):
            return 0
        if id(node) in sizes:
            return sizes[id(node)]
        sizes[id(node)] = 1
        inner = list(node.values()) if isinstance(node, dict) else node
        if isinstance(node, dict) and isinstance(target := _target(root, node.get("$ref")), dict):
            inner.append(target)
        sizes[id(node)] = min(1 + sum(size(item) for item in inner), 2 * _MOST_SUBSCHEMAS)
        return sizes[id(node)]

    return size(root)


def _target(root: Any, reference: Any) -> Any:
    """What `#/a/b` points at within `root`."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    node = root
    for step in reference[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        node = node.get(step) if isinstance(node, dict) else None
    return node
