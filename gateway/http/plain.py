"""JSON in and out for addresses that speak no dialect of their own: the admin's."""

from __future__ import annotations

from typing import Any

import orjson
from aiohttp import web

from gateway.errors import InvalidRequest, UnsupportedMedia
from gateway.http.boundary import read_body


def reply(value: Any, status: int = 200) -> web.Response:
    """`value` as JSON that nobody keeps."""
    headers = {"Cache-Control": "no-store"}
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json", headers=headers)


async def read(request: web.Request, most: int, timeout_s: float) -> Any:
    """The JSON that came with `request`, at most `most` bytes. Raises UnsupportedMedia for any other type (a form of
    another site's page cannot send JSON), InvalidRequest, BodyTooLarge, RequestTimeout."""
    if request.content_type != "application/json":
        raise UnsupportedMedia("Send JSON, with `Content-Type: application/json`")
    return parsed(await read_body(request, most, timeout_s))


def parsed(body: bytes) -> Any:
    """The value of `body`. Raises InvalidRequest."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The request's body is not JSON: {exc.msg}") from None


def as_object(value: Any) -> dict[str, Any]:
    """`value`, which must be a JSON object. Raises InvalidRequest."""
    if not isinstance(value, dict):
        raise InvalidRequest("The request's body must be a JSON object")
    return value
