"""The OpenAPI description of the accounts' addresses. Made from one table; a test compares it with the routes."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any

from gateway.model import AccountView
from gateway.version import __version__

ACTIONS = {
    "enable": "Let the account serve again: one that was switched off, or one of gateway.toml that was deleted",
    "disable": "Let the account serve nobody, without deleting it",
    "test": "Sign the account in anew and say what came of it",
    "rotate": "Renew the account's cookies now, and tell what came of it",
}
_TEXT, _FLAG, _COUNT = {"type": "string"}, {"type": "boolean"}, {"type": "integer", "minimum": 1}
_COOKIES = {
    "SECURE_1PSID": {"type": "string", "description": "Value of the cookie __Secure-1PSID."},
    "SECURE_1PSIDTS": {"type": "string", "description": "Value of the cookie __Secure-1PSIDTS."},
    "SECURE_1PSIDCC": {"type": "string", "description": "Value of the cookie __Secure-1PSIDCC; not needed."},
    "paste": {
        "type": "string",
        "description": "Instead of the three: a Cookie header, a cURL command, a cookies.txt, a browser extension's JSON.",
    },
    "name": {"type": "string", "pattern": "^[A-Za-z0-9_@+-][A-Za-z0-9._@+-]{0,63}$"},
}
_OPTIONS = {"proxy": _TEXT, "language": _TEXT, "max_concurrency": _COUNT, "enabled": _FLAG}
_KINDS = {"str": _TEXT, "int": {"type": "integer"}, "float": {"type": "number"}, "bool": _FLAG}


def document() -> dict[str, Any]:
    """The description, as an OpenAPI 3.1 document."""
    name = {"name": "name", "in": "path", "required": True, "schema": _COOKIES["name"]}
    account = {"account": _ref("Account")}
    removed = {"type": "array", "items": _object({"name": _TEXT, "reason": _TEXT})}
    accounts = {"accounts": {"type": "array", "items": _ref("Account")}, "removed": removed}
    one = {
        "get": _operation("One account", account),
        "patch": _operation("Change settings, cookies, or both", account, body=_ref("Change")),
        "delete": _operation("Take the account out, and forget its cookies", {"deleted": _TEXT, "note": _TEXT}),
    }
    body = {"oneOf": [_ref("Cookies"), {"type": "array", "items": _ref("Cookies")}]}
    paths: dict[str, Any] = {
        "/api/accounts": {
            "get": _operation("All accounts", accounts),
            "post": _operation("Add an account, once its cookies have signed in", account, body=_ref("Change"), made=True),
        },
        "/api/cookies": {"post": _operation("Bring cookies for one account or several", account, body=body)},
        "/api/accounts/{name}": {**one, "parameters": [name]},
    }
    for action, summary in ACTIONS.items():
        path = f"/api/accounts/{{name}}/{action}"
        paths[path] = {"post": _operation(summary, account), "parameters": [name]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Gemini gateway: accounts", "version": __version__},
        "security": [{"admin": []}],
        "paths": paths,
        "components": {
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer", "description": "The key of [admin]."}},
            "schemas": {
                "Cookies": {"type": "object", "properties": _COOKIES},
                "Change": {"type": "object", "properties": {**_COOKIES, **_OPTIONS}},
                "Account": _account_schema(),
                "Error": _object({"error": _object({"message": _TEXT, "type": _TEXT, "param": {}, "code": _TEXT})}),
            },
        },
    }


def _operation(
    summary: str, answer: dict[str, Any], *, body: dict[str, Any] | None = None, made: bool = False
) -> dict[str, Any]:
    good = {"description": summary, "content": _content(_object(answer))}
    errors = {"400": "What is wrong, in words", "401": "No admin key", "403": "Another key", "404": "No such account"}
    responses = {"200": good, **({"201": good} if made else {})}
    for status, words in errors.items():
        responses[status] = {"description": words, "content": _content(_ref("Error"))}
    operation: dict[str, Any] = {"summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": _content(body)}
    return operation


def _account_schema() -> dict[str, Any]:
    """As `gateway.model.AccountView` has it."""
    properties = {field.name: _kind(str(field.type)) for field in fields(AccountView)}
    required = [field.name for field in fields(AccountView) if field.default is MISSING]
    return {"type": "object", "properties": properties, "required": required}


def _kind(annotation: str) -> dict[str, Any]:
    base = annotation.removesuffix(" | None")
    if base.startswith("tuple"):
        return {"type": "array"}
    kind = _KINDS.get(base, {"type": "object"})
    return {"type": [kind["type"], "null"]} if base != annotation else kind


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
