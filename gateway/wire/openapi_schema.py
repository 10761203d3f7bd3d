"""Google's Schema objects (a subset of OpenAPI 3.0, types in capitals) as JSON Schema. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import InvalidRequest
from gateway.wire.fields import bad

TYPES = ("string", "number", "integer", "boolean", "array", "object", "null")
_MOST_DEPTH = 50
_COUNTS = ("minItems", "maxItems", "minProperties", "maxProperties", "minLength", "maxLength")
_SNAKE = {"min_items": "minItems", "max_items": "maxItems", "any_of": "anyOf", "min_length": "minLength",
          "max_length": "maxLength", "min_properties": "minProperties", "max_properties": "maxProperties",
          "additional_properties": "additionalProperties"}


def to_json_schema(schema: Mapping[str, Any], param: str, depth: int = 0) -> dict[str, Any]:
    """JSON Schema of a Google Schema; JSON Schema itself passes as it is, whatever it has beyond. Raises InvalidRequest."""
    if depth > _MOST_DEPTH:
        raise bad(param, f"is nested deeper than {_MOST_DEPTH}")
    made: dict[str, Any] = {}
    for name, value in schema.items():
        key = _SNAKE.get(name, name)
        if key in ("nullable", "propertyOrdering", "property_ordering", "example"):
            continue
        made[key] = _value(key, value, f"{param}.{name}", depth)
    if schema.get("nullable") is True:
        return _nullable(made)
    return made


def _value(key: str, value: Any, param: str, depth: int) -> Any:
    if key == "type":
        return _type(value, param)
    if key in _COUNTS:
        return _count(value, param)
    if key in ("properties", "$defs", "definitions") and isinstance(value, dict):
        return {name: _inner(item, f"{param}.{name}", depth) for name, item in value.items()}
    if key in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
        return [_inner(item, f"{param}.{number}", depth) for number, item in enumerate(value)]
    if key in ("items", "additionalProperties", "not") and isinstance(value, dict):
        return _inner(value, param, depth)
    return value


def _inner(value: Any, param: str, depth: int) -> Any:
    if isinstance(value, bool):
        return value
    if not isinstance(value, dict):
        raise bad(param, "must be a schema")
    return to_json_schema(value, param, depth + 1)


def _type(value: Any, param: str) -> Any:
    if isinstance(value, list):
        return [_type(item, param) for item in value]
    if not isinstance(value, str) or (kind := value.lower()) not in (*TYPES, "type_unspecified"):
        raise _unknown_type(param)
    return kind if kind != "type_unspecified" else list(TYPES)


def _unknown_type(param: str) -> InvalidRequest:
    return bad(param, f"must be one of {', '.join(TYPES)}")


def _count(value: Any, param: str) -> int:
    """Google writes its int64 as strings."""
    try:
        return int(value)
    except (TypeError, ValueError):
        raise bad(param, "must be a whole number") from None


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if isinstance(kind := schema.get("type"), str):
        schema["type"] = [kind, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        return schema
    return {"anyOf": [schema, {"type": "null"}]}
