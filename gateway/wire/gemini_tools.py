"""Tools and JSON answers as Google's Gemini API names them. Pure."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.model import JsonAnswer, Tool, ToolCall, ToolChoice, ToolResult, ToolUse
from gateway.wire import loose_json, sse
from gateway.wire.fields import Fields, bad
from gateway.wire.openai_tools import NO_ARGUMENTS, tool_name
from gateway.wire.openapi_schema import to_json_schema

_GOOGLES = (
    "googleSearch",
    "googleSearchRetrieval",
    "codeExecution",
    "urlContext",
    "fileSearch",
    "googleMaps",
    "computerUse",
    "mcpServers",
)
JSON_TYPE = "application/json"
_ENUM_TYPE = "text/x.enum"
_PLAIN_TYPE = "text/plain"


def tools(fields: Fields) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """The functions of `tools`, and which of Google's own tools are in it: the web uses its own when it likes."""
    functions: list[Tool] = []
    others: list[str] = []
    single = fields.get("tools")
    if isinstance(single, dict):
        fields = Fields({"tools": [single]}, fields.path)
    for table in fields.tables("tools"):
        functions += [_function(each) for each in table.tables("functionDeclarations", "function_declarations")]
        others += [f"tools.{name}" for name in _GOOGLES if table.get(name, _snake(name)) is not None]
    return tuple(functions), tuple(dict.fromkeys(others))


def _snake(name: str) -> str:
    return "".join("_" + char.lower() if char.isupper() else char for char in name)


def _function(fields: Fields) -> Tool:
    name = tool_name(fields.text("name", most=200), fields.at("name"))
    schema: Mapping[str, Any] = NO_ARGUMENTS
    if plain := fields.table("parametersJsonSchema", "parameters_json_schema"):
        schema = to_json_schema(plain.data, fields.at("parametersJsonSchema"))
    elif google := fields.table("parameters"):
        schema = to_json_schema(google.data, fields.at("parameters"))
    if schema.get("type", "object") != "object":
        raise bad(fields.at("parameters.type"), "must be OBJECT")
    return Tool(name, fields.text("description") or "", schema)


def choice(fields: Fields, known: Sequence[Tool]) -> ToolChoice:
    """`toolConfig.functionCallingConfig`."""
    config = fields.table("toolConfig", "tool_config")
    calling = config.table("functionCallingConfig", "function_calling_config") if config else None
    if calling is None:
        return ToolChoice()
    names = calling.items("allowedFunctionNames", "allowed_function_names") or []
    if unknown := [name for name in names if all(tool.name != name for tool in known)]:
        raise bad(calling.at("allowedFunctionNames"), f"has {str(unknown[0])[:60]!r}, which is not declared")
    only = frozenset(names) or None
    match (calling.text("mode", most=50) or "AUTO").upper():
        case "NONE":
            return ToolChoice("none")
        case "ANY" if not known:
            raise bad(calling.at("mode"), "ANY needs functionDeclarations")
        case "ANY":
            return ToolChoice("required", only)
        case "AUTO" | "VALIDATED" | "MODE_UNSPECIFIED":
            return ToolChoice("auto", only)
    raise bad(calling.at("mode"), "must be one of AUTO, ANY, NONE, VALIDATED")


def json_answer(config: Fields) -> JsonAnswer | None:
    """`responseMimeType` with `responseSchema` (Google's Schema) or `responseJsonSchema`. For `text/x.enum` the schema
    lists the words that the answer may be."""
    kind = (config.text("responseMimeType", "response_mime_type", most=200) or _PLAIN_TYPE).split(";")[0].strip().lower()
    schema = _schema(config)
    plain = config.get("responseJsonSchema", "response_json_schema") is not None
    param = config.at("responseJsonSchema" if plain else "responseSchema")
    if kind == JSON_TYPE:
        return JsonAnswer(schema, param=param)
    if kind == _ENUM_TYPE and schema is not None:
        return JsonAnswer({**schema, "type": "string"}, bare=True, param=param)
    if kind not in (_PLAIN_TYPE, _ENUM_TYPE):
        raise bad(config.at("responseMimeType"), f"must be {_PLAIN_TYPE}, {JSON_TYPE} or {_ENUM_TYPE}")
    if schema is not None and kind == _PLAIN_TYPE:
        raise bad(config.at("responseSchema"), f"needs responseMimeType {JSON_TYPE}")
    return None


def _schema(config: Fields) -> Mapping[str, Any] | None:
    if plain := config.table("responseJsonSchema", "response_json_schema"):
        # gemini-cli writes Google's types in capitals here too.
        return to_json_schema(plain.data, config.at("responseJsonSchema"))
    google = config.table("responseSchema", "response_schema")
    return to_json_schema(google.data, config.at("responseSchema")) if google else None


class Ids:
    """Ids for calls and results of older clients, which send none: a result answers the first open call of its name."""

    def __init__(self) -> None:
        self._open: dict[str, list[str]] = {}
        self._made = 0

    def use(self, fields: Fields) -> ToolUse:
        """`functionCall`."""
        name = fields.text("name", most=200) or ""
        if not name:
            raise bad(fields.at("name"), "is required")
        id = fields.text("id", most=200)
        if id is None:
            self._made += 1
            id = f"{name}#{self._made}"
            self._open.setdefault(name, []).append(id)
        arguments = fields.table("args")
        return ToolUse(id, name, sse.dumps(arguments.data if arguments else {}).decode())

    def result(self, fields: Fields) -> ToolResult:
        """`functionResponse`."""
        name = fields.text("name", most=200) or ""
        waiting = self._open.get(name) or [name]
        id = fields.text("id", most=200) or waiting.pop(0)
        response = fields.get("response")
        return ToolResult(id, name, _said(response), failed=isinstance(response, dict) and bool(response.get("error")))


def _said(response: Any) -> str:
    """A result in words: Google's clients wrap plain text into an object of one field."""
    if isinstance(response, dict) and len(response) == 1:
        (key, value), = response.items()
        if key in ("result", "output", "content", "error") and isinstance(value, str):
            return value
    return sse.dumps({} if response is None else response).decode()


def part(call: ToolCall) -> dict[str, Any]:
    """A `functionCall` part. Its arguments are an object, not text. The first of an answer is signed, as in the original:
    clients of its thinking models send that back, and some refuse a call without it."""
    arguments, _ = loose_json.loads(call.arguments)
    made: dict[str, Any] = {"functionCall": {"id": call.id, "name": call.name, "args": arguments}}
    return made if call.index else {**made, "thoughtSignature": signature(call.name + call.arguments)}


def signature(text: str) -> str:
    """The original seals its thoughts in it for its own use. Here thoughts never go to the model again, so that a digest
    is all that has to come back, and anything may."""
    return base64.b64encode(hashlib.sha256(text.encode("utf-8", "replace")).digest()).decode("ascii")
