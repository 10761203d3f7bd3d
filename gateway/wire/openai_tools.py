"""Tools and JSON answers as OpenAI's formats name them: what chat completions and responses share. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from gateway.model import JsonAnswer, Tool, ToolChoice
from gateway.wire.fields import Fields, bad

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
NO_ARGUMENTS: dict[str, Any] = {"type": "object", "properties": {}}
_MOST_TOOLS = 512


def function(fields: Fields) -> Tool:
    """A function's definition: `name`, `description`, `parameters`, `strict`. Raises InvalidRequest."""
    parameters = fields.table("parameters")
    schema = parameters.data if parameters and parameters.data else NO_ARGUMENTS
    if schema.get("type", "object") != "object":
        raise bad(fields.at("parameters.type"), 'must be "object"')
    name = tool_name(fields.text("name", most=200), fields.at("name"))
    return Tool(name, fields.text("description") or "", schema, strict=fields.flag("strict"))


def tool_name(value: str | None, param: str) -> str:
    """A name that a tool may have. Raises InvalidRequest."""
    if not value:
        raise bad(param, "is required")
    if not NAME.fullmatch(value):
        raise bad(param, "must be letters, digits, _ - . : / and at most 128 of them")
    return value


def chat_tools(fields: Fields) -> tuple[Tool, ...]:
    """`tools`, or the older `functions`, of a chat completion."""
    found = []
    for table in fields.tables("tools", most=_MOST_TOOLS):
        table.word("type", of=("function",))
        inner = table.table("function")
        if inner is None:
            raise bad(table.at("function"), "is required")
        found.append(function(inner))
    return tuple(found) or tuple(function(table) for table in fields.tables("functions", most=_MOST_TOOLS))


def chat_choice(fields: Fields, tools: Sequence[Tool]) -> ToolChoice:
    """`tool_choice`, or the older `function_call`, in all its forms."""
    value = fields.get("tool_choice")
    if value is None:
        return _older_choice(fields, tools)
    if isinstance(value, str):
        return word_choice(fields, "tool_choice", tools)
    table = fields.table("tool_choice")
    assert table is not None
    if table.word("type", of=("function", "allowed_tools")) == "allowed_tools":
        allowed = table.table("allowed_tools") or table
        mode = allowed.word("mode", of=("auto", "required")) or "auto"
        names = [_chosen(tool.table("function") or tool, tools) for tool in allowed.tables("tools")]
        return ToolChoice("required" if mode == "required" else "auto", frozenset(names))
    return ToolChoice("required", frozenset([_chosen(table.table("function") or table, tools)]))


def word_choice(fields: Fields, name: str, tools: Sequence[Tool]) -> ToolChoice:
    """A choice that is one word."""
    match fields.word(name, of=("none", "auto", "required")):
        case "none":
            return ToolChoice("none")
        case "required" if not tools:
            raise bad(fields.at(name), "is only allowed when tools are given")
        case "required":
            return ToolChoice("required")
    return ToolChoice()


def _older_choice(fields: Fields, tools: Sequence[Tool]) -> ToolChoice:
    value = fields.get("function_call")
    if isinstance(value, str):
        return ToolChoice("none") if fields.word("function_call", of=("none", "auto")) == "none" else ToolChoice()
    table = fields.table("function_call")
    return ToolChoice("required", frozenset([_chosen(table, tools)])) if table else ToolChoice()


def _chosen(fields: Fields, tools: Sequence[Tool]) -> str:
    name = tool_name(fields.text("name", most=200), fields.at("name"))
    if all(tool.name != name for tool in tools):
        raise bad(fields.at("name"), "is not the name of one of the tools")
    return name


def json_answer(fields: Fields | None) -> JsonAnswer | None:
    """`response_format`: None for text."""
    if fields is None:
        return None
    match fields.word("type", of=("text", "json_object", "json_schema")):
        case None:
            raise bad(fields.at("type"), "is required")
        case "text":
            return None
        case "json_object":
            return JsonAnswer()
    inner = fields.table("json_schema")
    if inner is None:
        raise bad(fields.at("json_schema"), "is required")
    return named_schema(inner)


def named_schema(fields: Fields) -> JsonAnswer:
    """`{"name", "schema", "strict"}`."""
    name = fields.text("name", most=200)
    if not name:
        raise bad(fields.at("name"), "is required")
    schema = fields.table("schema")
    param = fields.at("schema")
    return JsonAnswer(schema.data if schema else None, name, strict=fields.flag("strict"), param=param)
