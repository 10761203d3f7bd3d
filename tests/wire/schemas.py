"""The originals' own JSON Schemas: OpenAI's in tests/schemas (from its OpenAPI document), Anthropic's from llm-comply."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import orjson
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

SCHEMAS = Path(__file__).parent.parent / "schemas"


@cache
def document(name: str) -> dict[str, Any]:
    """The document `name` with its schemas."""
    own = SCHEMAS / f"{name}.json"
    raw = own.read_bytes() if own.exists() else (files("llm_comply") / "specs" / f"{name}.json").read_bytes()
    read: dict[str, Any] = orjson.loads(raw)
    return read


@cache
def _validator(name: str, schema: str) -> Draft202012Validator:
    return Draft202012Validator({**document(name), "$ref": f"#/components/schemas/{schema}"})


def valid(value: Any, document: str, schema: str) -> None:
    """`value` fits `schema` of `document`; else the test fails with the deepest reason."""
    error = best_match(_validator(document, schema).iter_errors(value))
    if error is not None:
        raise AssertionError(f"{error.json_path}: {error.message[:300]}\nin {orjson.dumps(value)[:600].decode()}")
