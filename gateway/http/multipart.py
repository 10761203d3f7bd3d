"""multipart/form-data as the object that its JSON would be: fields as strings, files as Upload, repeated names as lists.
File names and types of the caller are claims, and go no further than into Upload."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import HttpProcessingError

from config.settings import Server
from gateway.errors import BodyTooLarge, GatewayError, InvalidRequest, RequestTimeout, UnsupportedMedia
from gateway.http.boundary import HIGH_WATER, check_body, say_continue
from gateway.threads import in_thread
from gateway.wire.dialect import Upload

_MB = 1_000_000
_MOST_PARTS = 64
_MOST_FIELD = 256_000
_PIECE = 262_144
# What aiohttp raises over a form, or over the body that the form is in, that is not as it must be.
_MALFORMED = (
    ValueError, AssertionError, RuntimeError, LookupError, OSError, HttpProcessingError, web.RequestPayloadError,
)


async def read_form(request: web.Request, server: Server) -> dict[str, Any]:
    """The form, within the limits of size, time and number of parts. Raises a GatewayError."""
    most = round(server.max_image_mb * _MB)
    check_body(request, most)
    await say_continue(request)
    try:
        async with asyncio.timeout(server.body_timeout_s + most / _MB):
            return await _parts(request, most)
    except TimeoutError:
        raise RequestTimeout("The request's body did not arrive in time") from None
    except (GatewayError, web.HTTPException):
        raise
    except _MALFORMED as exc:
        raise InvalidRequest("The request's form is malformed") from exc


async def _parts(request: web.Request, most: int) -> dict[str, Any]:
    form: dict[str, Any] = {}
    left = most
    reader = await request.multipart()
    for number in range(_MOST_PARTS + 1):
        part = await reader.next()
        if part is None:
            return form
        if number == _MOST_PARTS:
            raise InvalidRequest(f"The request's form has more than {_MOST_PARTS} parts")
        if not isinstance(part, BodyPartReader) or not part.name:
            raise InvalidRequest("The request's form has a part without a name")
        data = await _content(part, left, most)
        request[HIGH_WATER].check()
        left -= len(data)
        name = part.name.removesuffix("[]")
        if len(name) > 64 or not name.isascii():
            raise InvalidRequest("The request's form has an unknown field")
        value = _upload(part, data) if _is_file(part) else _text(data, name)
        form[name] = value if name not in form else [*_listed(form[name]), value]
    raise AssertionError  # the loop ends in itself


async def _content(part: BodyPartReader, left: int, most: int) -> bytes:
    if part.headers.get("Content-Encoding") or part.headers.get("Content-Transfer-Encoding", "binary").lower() not in (
        "binary", "7bit", "8bit",
    ):
        raise UnsupportedMedia("Encoded parts of a form are not taken")
    pieces = []
    while piece := await part.read_chunk(_PIECE):
        left -= len(piece)
        if left < 0:
            raise BodyTooLarge(f"The request's body is larger than {most} bytes")
        pieces.append(piece)
    data = await in_thread(b"".join, pieces) if len(pieces) > 1 else b"".join(pieces)
    if part.headers.get("Content-Length", str(len(data))) != str(len(data)):
        raise InvalidRequest("The request's form has a part of another length than it says")
    return data


def _is_file(part: BodyPartReader) -> bool:
    """A file has a name. Some clients have none for plain bytes (anthropic), and say what it is."""
    return part.filename is not None or part.headers.get("Content-Type") == "application/octet-stream"


def _upload(part: BodyPartReader, data: bytes) -> Upload:
    return Upload(data, part.filename or "", part.headers.get("Content-Type", ""))


def _text(data: bytes, name: str) -> str:
    if len(data) > _MOST_FIELD:
        raise BodyTooLarge(f"{name}: is too long for a field", param=name)
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise InvalidRequest(f"{name}: must be UTF-8", param=name) from None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
