"""The files of Google's Gemini API: upload (resumable, multipart, raw), list, get, delete. Kept for two days in the state
folder, each for the key that uploaded it."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email import policy
from email.message import Message
from email.parser import BytesParser
from typing import Any

from aiohttp import web

from config.settings import Server
from gateway.errors import BodyTooLarge, InvalidRequest, NotFound, UnsupportedMedia
from gateway.http import plain
from gateway.http.boundary import expect_later, read_body
from gateway.http.handlers import Handlers, head_of
from gateway.state.files import FileRecord, FileStore
from gateway.wire import sse
from gateway.wire.dialect import Dialect
from gateway.wire.fields import Fields, bad, number_of

_API = re.compile(r"(/gemini)?(?:/upload)?/(v1(?:beta)?)/files")
_MB = 1_000_000
_COMMANDS = {"start", "upload", "query", "finalize", "cancel"}


class GeminiFiles:
    """Routes for files. `dialect` is Gemini's: its callers get its errors."""

    def __init__(self, store: FileStore, handlers: Handlers, dialect: Dialect, server: Server) -> None:
        self._store = store
        self._handlers = handlers
        self._dialect = dialect
        self._server = server
        self._most = round(server.max_image_mb * _MB)

    def routes(self) -> list[web.RouteDef]:
        """Where Google's clients look for files: `v1` and `v1beta`, under `/gemini` and at the root."""
        found = []
        for prefix in ("", "/gemini"):
            for version in ("v1beta", "v1"):
                files = f"{prefix}/{version}/files"
                found += [
                    web.post(f"{prefix}/upload/{version}/files", self._upload, expect_handler=expect_later),
                    web.put(f"{prefix}/upload/{version}/files", self._upload, expect_handler=expect_later),
                    web.get(files, self._list),
                    web.get(files + "/{id}", self._get),
                    web.delete(files + "/{id}", self._delete),
                ]
        return found

    async def _owner(self, request: web.Request) -> str:
        return (await self._handlers.authenticate(head_of(request, self._dialect))).name

    # --- uploading ------------------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        if id := request.query.get("upload_id"):
            return await self._more(request, id)
        owner = await self._owner(request)
        protocol = request.headers.get("X-Goog-Upload-Protocol", request.query.get("uploadType", "resumable")).lower()
        match protocol:
            case "resumable":
                _commands(request)
                return await self._begin(request, owner)
            case "multipart":
                body = await self._body(request)
                return await self._at_once(request, owner, *await asyncio.to_thread(_parted, request, body))
            case "raw" | "media":
                about = ("", request.content_type)
                return await self._at_once(request, owner, about, await self._body(request))
        raise InvalidRequest("X-Goog-Upload-Protocol must be resumable, multipart or raw", param="uploadType")

    async def _body(self, request: web.Request) -> bytes:
        return await read_body(request, self._most, self._server.body_timeout_s)

    async def _begin(self, request: web.Request, owner: str) -> web.Response:
        announced = number_of(request.headers.get("X-Goog-Upload-Header-Content-Length", "0"))
        if announced is None or announced > self._most:
            raise BodyTooLarge(f"A file has at most {self._most} bytes")
        title, mime = _described(await self._body(request))
        mime = mime or request.headers.get("X-Goog-Upload-Header-Content-Type", "").lower()
        record = await asyncio.to_thread(self._store.begin, owner, title, mime)
        address = f"{self._origin(request)}{request.path}?upload_id={record.id}&upload_protocol=resumable"
        headers = {"X-Goog-Upload-URL": address, "X-Goog-Upload-Status": "active", "Location": address}
        return web.Response(headers=headers, content_type="application/json", body=b"{}")

    async def _more(self, request: web.Request, id: str) -> web.Response:
        """The next piece of a resumable upload. The id in its address is secret, and all that Google asks for too."""
        record = await asyncio.to_thread(self._store.unfinished, id)
        if record is None:
            raise NotFound("There is no such upload")
        commands = _commands(request)
        if "cancel" in commands:
            raise InvalidRequest("An upload is cancelled by leaving it: it is forgotten after an hour")
        if "upload" in commands:
            record = await self._append(record, request.headers.get("X-Goog-Upload-Offset"), await self._body(request))
        if "finalize" not in commands:
            headers = {"X-Goog-Upload-Status": "active", "X-Goog-Upload-Size-Received": str(record.size)}
            return web.Response(headers=headers)
        return await self._finish(request, record)

    async def _append(self, record: FileRecord, offset: str | None, data: bytes) -> FileRecord:
        if offset is not None and offset != str(record.size):
            raise InvalidRequest(f"The upload has {record.size} bytes so far", param="X-Goog-Upload-Offset")
        if record.size + len(data) > self._most:
            raise BodyTooLarge(f"A file has at most {self._most} bytes")
        try:
            grown = await asyncio.to_thread(self._store.append, record.id, data)
        except OSError as exc:
            raise BodyTooLarge("There is no more room for files") from exc
        if grown is None:
            raise NotFound("There is no such upload")
        return grown

    async def _at_once(self, request: web.Request, owner: str, about: tuple[str, str], data: bytes) -> web.Response:
        record = await asyncio.to_thread(self._store.begin, owner, *about)
        return await self._finish(request, await self._append(record, None, data))

    async def _finish(self, request: web.Request, record: FileRecord) -> web.Response:
        done = await asyncio.to_thread(self._store.finish, record.id)
        if done is None:
            raise NotFound("There is no such upload")
        headers = {"X-Goog-Upload-Status": "final", "X-Goog-Upload-Size-Received": str(done.size)}
        return _reply({"file": _resource(done, self._base(request))}, headers)

    # --- looking --------------------------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.Response:
        records = await asyncio.to_thread(self._store.all, await self._owner(request))
        return _reply(_page(records, request.query, self._base(request)))

    async def _get(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        record = await asyncio.to_thread(self._store.find, request.match_info["id"], owner)
        if record is None:
            raise NotFound("There is no such file")
        return _reply(_resource(record, self._base(request)))

    async def _delete(self, request: web.Request) -> web.Response:
        owner = await self._owner(request)
        if not await asyncio.to_thread(self._store.delete, request.match_info["id"], owner):
            raise NotFound("There is no such file")
        return _reply({})

    def _origin(self, request: web.Request) -> str:
        return (self._server.public_url or f"{request.scheme}://{request.host}").rstrip("/")

    def _base(self, request: web.Request) -> str:
        match = _API.match(request.path)
        assert match is not None
        return f"{self._origin(request)}{match.group(1) or ''}/{match.group(2)}"


def _commands(request: web.Request) -> set[str]:
    """What a step of a resumable upload is to do; without a word of it, all that is left to do."""
    given = request.headers.get("X-Goog-Upload-Command", "upload, finalize").lower()
    commands = {word.strip() for word in given.split(",")}
    if not commands <= _COMMANDS:
        known = ", ".join(sorted(_COMMANDS))
        raise InvalidRequest(f"X-Goog-Upload-Command must be of {known}", param="X-Goog-Upload-Command")
    return commands


def _reply(value: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=sse.dumps(value), content_type="application/json", headers=headers)


# --- as Google writes it ------------------------------------------------------------------------------------------


def _described(body: bytes) -> tuple[str, str]:
    """Title and media type in the JSON that begins an upload."""
    file = Fields(plain.as_object(plain.parsed(body or b"{}"))).table("file") or Fields({}, "file")
    title = file.text("displayName", "display_name", most=512) or ""
    return title, (file.text("mimeType", "mime_type", most=200) or "").lower()


def _parted(request: web.Request, body: bytes) -> tuple[tuple[str, str], bytes]:
    """What a multipart/related body holds: the JSON about the file, and the file."""
    if not request.content_type.startswith("multipart/"):
        raise UnsupportedMedia("A multipart upload has the content type multipart/related")
    headers = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode("latin-1", "replace")
    parts = list(BytesParser(policy=policy.HTTP).parsebytes(headers + body).iter_parts())
    if len(parts) != 2:
        raise InvalidRequest("A multipart upload has two parts: JSON about the file, and the file")
    about, file = parts
    title, mime = _described(_payload(about))
    return (title, mime or file.get_content_type()), _payload(file)


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _resource(record: FileRecord, base: str) -> dict[str, Any]:
    shown = {
        "name": f"files/{record.id}",
        "mimeType": record.mime,
        "sizeBytes": str(record.size),
        "createTime": _time(record.created),
        "updateTime": _time(record.created),
        "expirationTime": _time(record.expires),
        "sha256Hash": base64.b64encode(record.sha256.encode()).decode(),
        "uri": f"{base}/files/{record.id}",
        "state": "ACTIVE",
        "source": "UPLOADED",
    }
    return shown | ({"displayName": record.title} if record.title else {})


def _page(records: Sequence[FileRecord], query: Mapping[str, str], base: str) -> dict[str, Any]:
    """`GET files`, with `pageSize` (10 by default, at most 100) and `pageToken`."""
    try:
        size, start = int(query.get("pageSize") or 10), int(query.get("pageToken") or 0)
    except ValueError:
        raise bad("pageToken", "is not one of ours") from None
    if not 0 < size <= 100 or start < 0:
        raise bad("pageSize", "must be from 1 to 100")
    shown: dict[str, Any] = {"files": [_resource(record, base) for record in records[start : start + size]]}
    if start + size < len(records):
        shown["nextPageToken"] = str(start + size)
    return shown if shown["files"] else {}


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
