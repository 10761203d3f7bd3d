"""The OpenAPI 3.1 description of everything that is served. Made from the routes: what a request looks like is in
`openapi_requests`, what comes back is what the dialects themselves encode, so that neither can drift from the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import orjson

from gateway.errors import GatewayError, InvalidRequest, NoAccount, RateLimited, Unauthenticated
from gateway.model import Call, Finished, FinishReason, Reply, RequestHead, TextDelta, Usage
from gateway.openapi_requests import REQUESTS, Asked
from gateway.version import __version__
from gateway.wire.dialect import Dialect, ModelCard, Request, Route
from gateway.wire.filing import FileRecord, Filing

Plain = tuple[str, str, Callable[..., Any]]
_CARD = ModelCard("gemini-2.5-flash", "Gemini 2.5 Flash", 1_000_000)
_REPLY = Reply(text="Hello! How can I help?", reason=FinishReason.STOP, usage=Usage(3, 7, 0))
_CREATED = 1_790_000_000
_FILE = FileRecord("0123456789ab", "me", "notes.txt", "text/plain", 16, _CREATED, finished=True)
_TAGS = {"gemini": "Gemini", "anthropic": "Anthropic", "simple": "Simple"}
_ORDER = ("OpenAI", "Gemini", "Anthropic", "Simple", "Gateway", "Accounts", "Admin")
_ERRORS: tuple[GatewayError, ...] = (
    InvalidRequest("messages: is required", param="messages"),
    Unauthenticated("The API key is not known here"),
    RateLimited("Rate limit reached, try again in 5 s", retry_after=5),
    NoAccount("No account can serve this now", retry_after=60),
)
_WORDS = {
    400: "A field is wrong; the error names it",
    401: "No key, or one that nobody knows",
    429: "A limit; `Retry-After` says when to come back",
    503: "No account can serve this now; `Retry-After` says when to come back",
}
_DESCRIPTION = """\
OpenAI, Gemini and Anthropic clients need only another base URL. Keys go as `Authorization: Bearer` everywhere, also as
`x-api-key`, `x-goog-api-key`, and `?key=` on Gemini's addresses. `/api` takes the admin key."""


def document(dialects: Iterable[Dialect], plain: Iterable[Plain], accounts: Mapping[str, Any]) -> dict[str, Any]:
    """The description of the routes of `dialects`, of plain addresses (method, path, handler: its docstring says what it
    does) and of `accounts`, which brings a document of its own."""
    paths: dict[str, dict[str, Any]] = {}
    for dialect in dialects:
        for route in dialect.routes:
            for path, asked in _served(dialect, route):
                paths.setdefault(path, {}).setdefault(route.method.lower(), _operation(dialect, route, path, asked))
    for path, operations in accounts.get("paths", {}).items():
        paths.setdefault(path, {}).update(_tagged(operations, path))
    for method, path, handler in plain:
        if path.startswith("/static") or method in ("*", "HEAD"):
            continue
        paths.setdefault(_clean(path), {}).setdefault(method.lower(), _plain_operation(method, path, handler))
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gemini gateway", "version": __version__, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in _ORDER],
        "security": [{"key": []}, {"googleKey": []}, {"anthropicKey": []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "An API key; on /api the admin key."},
                "googleKey": {"type": "apiKey", "in": "header", "name": "x-goog-api-key"},
                "anthropicKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "admin": {"type": "http", "scheme": "bearer", "description": "The admin key."},
            },
            "schemas": dict(accounts.get("components", {}).get("schemas", {})),
        },
    }


def _served(dialect: Dialect, route: Route) -> list[tuple[str, Asked | None]]:
    """The addresses of a route, each with what goes there. One route may stand for several methods of Google's."""
    clean = _clean(route.path)
    if "{action}" not in clean:
        method = ":" + clean.rpartition(":")[2]
        return [(clean, REQUESTS.get((dialect.name, clean)) or REQUESTS.get((dialect.name, method)))]
    prefix, _, tail = clean.rpartition("/models/")
    actions = [action for name, action in REQUESTS if name == dialect.name and action.startswith(":")]
    found: list[tuple[str, Asked | None]] = []
    for action in actions:
        asked = REQUESTS[dialect.name, action]
        path = f"{prefix}/models/{tail.replace(':{action}', action)}"
        if _call(dialect, route, path, asked) is not None:
            found.append((path, asked))
    return found


def _clean(path: str) -> str:
    """An aiohttp pattern as a path template."""
    return re.sub(r"\{(\w+):(?:[^{}]|\{[^{}]*\})*\}", r"{\1}", path)


# --- one operation ------------------------------------------------------------------------------------------------


def _operation(dialect: Dialect, route: Route, path: str, asked: Asked | None) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "tags": [_TAGS.get(dialect.name, "OpenAI")],
        "operationId": _id(route.method, path),
        "summary": asked.summary if asked and route.method != "GET" else _summary(route),
        "responses": {"200": _answer(dialect, route, path, asked), **_errors(dialect)},
    }
    if parameters := _parameters(path):
        operation["parameters"] = parameters
    if asked is not None and route.method in ("POST", "PUT", "PATCH"):
        kind = "multipart/form-data" if asked.form else "application/json"
        operation["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": asked.schema, "examples": _examples(asked)}},
        }
    if route.operation == "unsupported":
        words = "The Gemini web offers nothing that could serve this"
        operation["responses"] = {"501": {"description": words}, **_errors(dialect)}
    return operation


def _examples(asked: Asked) -> dict[str, Any]:
    return {name: {"value": value} for name, value in asked.examples.items()}


def _summary(route: Route) -> str:
    return {
        "models": "The models that can be asked",
        "model": "One model",
        "count": "Count the tokens of a request",
        "record": f"A stored reply: {route.action or 'get'}",
        "file": f"Files that were uploaded: {route.action}",
        "unsupported": "Not served",
    }.get(route.operation, route.action or route.path)


def _parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        | ({"example": _CARD.name} if name == "model" else {})
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _answer(dialect: Dialect, route: Route, path: str, asked: Asked | None) -> dict[str, Any]:
    match route.operation:
        case "models":
            return _json_answer(dialect.encode_models([_CARD], {}))
        case "model":
            return _json_answer(dialect.encode_model(_CARD))
        case "file" if isinstance(dialect, Filing):
            return _file_answer(dialect, route.action)
        case "generate" if asked is not None and (call := _call(dialect, route, path, asked)) is not None:
            answer = _json_answer(dialect.encode_whole(_REPLY, call))
            if asked.streams:
                answer["content"] |= _stream(dialect, call)
            return answer
        case _:
            return {"description": "What was asked for", "content": {"application/json": {"schema": {}}}}


def _file_answer(dialect: Filing, action: str) -> dict[str, Any]:
    address = "http://127.0.0.1:8100/v1/files"
    match action:
        case "content":
            binary = {"schema": {"type": "string", "format": "binary"}}
            return {"description": "The file", "content": {"application/octet-stream": binary}}
        case "list":
            return _json_answer(dialect.encode_files([_FILE], {}, address))
        case "delete":
            return _json_answer(dialect.encode_deleted(_FILE.id))
        case _:
            return _json_answer(dialect.encode_file(_FILE, address))


def _json_answer(body: bytes) -> dict[str, Any]:
    example = orjson.loads(body)
    return {
        "description": "The answer",
        "content": {"application/json": {"schema": _schema_of(example), "example": example}},
    }


def _stream(dialect: Dialect, call: Call) -> dict[str, Any]:
    events = (TextDelta("Hello! How can I help?"), Finished(FinishReason.STOP, _REPLY.usage))
    text = dialect.encode_start(call) + b"".join(dialect.encode_event(event, call) for event in events)
    return {"text/event-stream": {"schema": {"type": "string"}, "example": text.decode()}}


def _call(dialect: Dialect, route: Route, path: str, asked: Asked) -> Call | None:
    """The example as the dialect itself reads it; None when it does not serve such a thing."""
    _, colon, action = path.rpartition(":")
    params = {"model": _CARD.name, **({"action": action} if colon else {})}
    head = RequestHead(route.method, path.replace("{model}", _CARD.name), {}, {"alt": "sse"}, "", "example", dialect.name)
    try:
        return dialect.decode(Request(head, route, params, next(iter(asked.examples.values())), "example", _CREATED))
    except GatewayError:
        return None


def _errors(dialect: Dialect) -> dict[str, Any]:
    return {
        str(error.status): {
            "description": _WORDS[error.status],
            "content": {"application/json": {"schema": {"type": "object"}, "example": _example_of(dialect, error)}},
        }
        for error in _ERRORS
    }


def _example_of(dialect: Dialect, error: GatewayError) -> Any:
    return orjson.loads(dialect.encode_error(error))


def _schema_of(value: Any) -> dict[str, Any]:
    """The JSON Schema that an example shows."""
    match value:
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case float():
            return {"type": "number"}
        case str():
            return {"type": "string"}
        case dict():
            return {"type": "object", "properties": {name: _schema_of(item) for name, item in value.items()}}
        case [first, *_]:
            return {"type": "array", "items": _schema_of(first)}
        case list():
            return {"type": "array"}
        case _:
            return {}


# --- the other addresses ------------------------------------------------------------------------------------------


def _plain_operation(method: str, path: str, handler: Callable[..., Any]) -> dict[str, Any]:
    doc = inspect.cleandoc(handler.__doc__ or "")
    native = path.startswith(("/gemini", "/v1beta", "/upload"))
    tag = "Admin" if path.startswith("/api") else "Gemini" if native else "Gateway"
    operation: dict[str, Any] = {
        "tags": [tag],
        "operationId": _id(method, path),
        "summary": doc.split("\n")[0] or path,
        "description": doc,
        "responses": {"200": {"description": "What was asked for"}},
    }
    if path.startswith("/api"):
        operation["security"] = [{"admin": []}]
        operation["responses"] |= {"401": {"description": "No admin key"}, "403": {"description": "Another key"}}
    if parameters := _parameters(_clean(path)):
        operation["parameters"] = parameters
    if (asked := REQUESTS.get(("", f"{method} {_clean(path)}"))) is not None:
        content = {"application/json": {"schema": asked.schema, "examples": _examples(asked)}}
        operation["requestBody"] = {"required": True, "content": content}
        operation["summary"] = asked.summary
    return operation


def _tagged(operations: Mapping[str, Any], path: str) -> dict[str, Any]:
    tagged: dict[str, Any] = {}
    for method, operation in operations.items():
        if method == "parameters":
            tagged[method] = operation
            continue
        tagged[method] = {"tags": ["Accounts"], "operationId": _id(method, path), "security": [{"admin": []}], **operation}
    return tagged


def _id(method: str, path: str) -> str:
    return method.lower() + "_" + re.sub(r"\W+", "_", path).strip("_")


def routes_of(documented: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    """(method, path) of everything that a document describes."""
    methods = ("get", "post", "put", "patch", "delete")
    return [(m.upper(), path) for path, item in documented["paths"].items() for m in item if m in methods]
