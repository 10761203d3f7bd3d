"""What a tool call says: from the text of its block to (name, arguments). Pure. Takes the shapes in which models write
calls; what it cannot read without guessing it leaves unread."""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.model import Tool
from gateway.wire import call_marks
from gateway.wire.loose_json import NotJson, loads

Found = tuple[str, str]
MOST_CALLS = 64
_MOST_CODE = 100_000
_NAME_KEYS = ("name", "tool_name", "tool", "function_name", "function", "recipient_name")
_ARGUMENT_KEYS = ("arguments", "args", "parameters", "input", "params", "tool_input")
_NEST_KEYS = ("tool_call", "tool_calls", "function_call", "function_calls", "calls")
_ABOUT_KEYS = ("id", "type", "call_id")
_START = re.compile(r"[\[{]")
_CODE = re.compile(r"\s*(?:print\s*\(\s*)?[\w.]+\s*\(")


def read(text: str, tools: Mapping[str, Tool], *, ended: bool = False) -> tuple[list[Found], str]:
    """The calls in `text`: (name, arguments as the text of a JSON object), and the text behind them. No calls when they
    cannot be read as a whole. `ended` says that the block came to its end: brackets missing there were forgotten, not cut
    off."""
    try:
        if _CODE.match(text):
            return list(_code_calls(text, tools)), ""
        return _json_calls(text, tools, ended)
    except NotJson:
        return [], text


def _json_calls(text: str, tools: Mapping[str, Tool], ended: bool) -> tuple[list[Found], str]:
    start = _START.search(text)
    if start is None:
        raise NotJson("there is no object")
    rest = text[start.start() :]
    found: list[Found] = []
    while len(found) < MOST_CALLS:
        value, rest = loads(rest, closed=ended)
        found += _calls(value, tools, 0)
        if not rest.lstrip(" \t\r\n,;").startswith(("{", "[{")):
            break
        rest = rest.lstrip(" \t\r\n,;")
    return found, rest


def _calls(value: Any, tools: Mapping[str, Tool], depth: int) -> Iterator[Found]:
    """The calls that a JSON value is."""
    if depth > 3 or not isinstance(value, (dict, list)) or not value:
        raise NotJson("that is no call")
    if isinstance(value, list):
        for item in value[:MOST_CALLS]:
            yield from _calls(item, tools, depth + 1)
        return
    for key in (*_NEST_KEYS, "function"):
        if isinstance(value.get(key), (dict, list)) and key not in tools:
            yield from _calls(value[key], tools, depth + 1)
            return
    yield _call(value, tools)


def _call(value: dict[str, Any], tools: Mapping[str, Tool]) -> Found:
    key = next((key for key in _NAME_KEYS if isinstance(value.get(key), str) and value[key].strip()), None)
    if key is None:
        name = next(iter(value))
        if len(value) != 1 or known(name, tools) not in tools:
            raise NotJson("the call has no name")
        return known(name, tools), _arguments(value[name])
    name = known(value[key].strip(), tools)
    given = next((other for other in _ARGUMENT_KEYS if other in value), None)
    if given is not None:
        return name, _arguments(value[given])
    return name, dumps({other: item for other, item in value.items() if other not in (key, *_ABOUT_KEYS)})


def known(name: str, tools: Mapping[str, Tool]) -> str:
    """The name of the tool that `name` means; itself where it means none of them."""
    if name in tools:
        return name
    short = call_marks.short(name)
    if short in tools:
        return short
    alike = [tool for tool in tools if tool.casefold() == short.casefold()]
    return alike[0] if len(alike) == 1 else name


def _arguments(value: Any) -> str:
    if isinstance(value, str) and value.strip():
        value, rest = loads(value, closed=False)
        if rest.strip():
            raise NotJson("something follows the arguments")
    if value in (None, "", []):
        value = {}
    if not isinstance(value, dict):
        raise NotJson("the arguments are no object")
    return dumps(value)


def dumps(value: Any) -> str:
    """Compact JSON text, of whole numbers of any size too."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        return plain.encode("utf-8", "replace").decode()


# --- Gemini's own habit: a line of Python --------------------------------------------------------------------------


def _code_calls(text: str, tools: Mapping[str, Tool]) -> Iterator[Found]:
    if len(text) > _MOST_CODE:
        raise NotJson("too long")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            statements = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise NotJson("it is no Python") from exc
    for statement in statements[:MOST_CALLS]:
        if not isinstance(statement, (ast.Expr, ast.Assign)):
            raise NotJson("it is more than calls")
        yield _code_call(statement.value, tools)


def _code_call(node: ast.expr, tools: Mapping[str, Tool]) -> Found:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print" and node.args:
        node = node.args[0]
    if not isinstance(node, ast.Call):
        raise NotJson("it is no call")
    tool = tools.get(known(ast.unparse(node.func), tools))
    if tool is None:
        raise NotJson("it calls no tool")
    names = list(tool.parameters.get("properties") or ())
    if len(node.args) > len(names) or any(word.arg is None for word in node.keywords):
        raise NotJson("its arguments have no names")
    try:
        given = {names[at]: ast.literal_eval(value) for at, value in enumerate(node.args)}
        given |= {str(word.arg): ast.literal_eval(word.value) for word in node.keywords}
    except (ValueError, RecursionError) as exc:
        raise NotJson("its arguments are no literals") from exc
    return tool.name, dumps(given)
