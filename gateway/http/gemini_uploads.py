"""Uploads of Google's Gemini API: resumable, multipart and raw."""

from __future__ import annotations

import asyncio
import re
from email import policy
from email.message import Message
from email.parser import BytesHeaderParser

from aiohttp import web

from gateway.errors import BodyTooLarge, InvalidRequest, UnsupportedMedia
from gateway.http import plain
from gateway.http.boundary import expect_later
from gateway.http.files import Files
from gateway.http.handlers import Handlers, head_of
from gateway.wire import media
from gateway.wire.fields import Fields, number_of
from gateway.wire.filing import Arrival, FileRecord
from gateway.wire.gemini import Gemini

_HEAD_ENDS = re.compile(rb"\n\r?\n")
_MOST_HEAD = 8192
_COMMANDS = {"start", "upload", "query", "finalize", "cancel"}


class GeminiUploads:
    """Routes for uploads. `dialect` is Gemini's: its callers get its errors."""

    def __init__(self, files: Files, handlers: Handlers, dialect: Gemini) -> None:
        self._files = files
        self._handlers = handlers
        self._dialect = dialect

    def routes(self) -> list[web.RouteDef]:
        """Where Google's clients upload: `v1` and `v1beta`, under `/gemini` and at the root."""
        return [
            method(f"{prefix}/upload/{version}/files", self._upload, expect_handler=expect_later)
            for prefix in ("", "/gemini")
            for version in ("v1beta", "v1")
            for method in (web.post, web.put)
        ]

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        if id := request.query.get("upload_id"):
            return await self._more(request, id)
        owner = (await self._handlers.authenticate(head_of(request, self._dialect))).name
        with self._handlers.holding(request):
            return await self._first(request, owner)

    async def _first(self, request: web.Request, owner: str) -> web.Response:
        protocol = request.headers.get("X-Goog-Upload-Protocol", request.query.get("uploadType", "resumable")).lower()
        match protocol:
            case "resumable":
                _commands(request)
                return await self._begin(request, owner)
            case "multipart":
                file = await asyncio.to_thread(_parted, request, await self._files.body(request))
                return self._done(request, await self._files.keep(owner, file))
            case "raw" | "media":
                file = Arrival("", request.content_type, await self._files.body(request))
                return self._done(request, await self._files.keep(owner, file))
        raise InvalidRequest("X-Goog-Upload-Protocol must be resumable, multipart or raw", param="uploadType")

    async def _begin(self, request: web.Request, owner: str) -> web.Response:
        announced = number_of(request.headers.get("X-Goog-Upload-Header-Content-Length", "0"))
        if announced is None:
            raise BodyTooLarge("The size of the file is no number of bytes that any file has")
        self._files.check_size(announced)
        title, mime = _described(await self._files.body(request))
        mime = mime or request.headers.get("X-Goog-Upload-Header-Content-Type", "").lower()
        upload = await self._files.begin(owner, title, mime)
        address = f"{self._files.origin(request)}{request.path}?upload_id={upload.id}&upload_protocol=resumable"
        headers = {"X-Goog-Upload-URL": address, "X-Goog-Upload-Status": "active", "Location": address}
        return web.Response(headers=headers, content_type="application/json", body=b"{}")

    async def _more(self, request: web.Request, id: str) -> web.Response:
        """The next piece of a resumable upload. The id in its address is secret, and all that Google asks for too."""
        upload = await self._files.unfinished(id)
        commands = _commands(request)
        if "cancel" in commands:
            raise InvalidRequest("An upload is cancelled by leaving it: it is forgotten after an hour")
        if "upload" in commands:
            _check_offset(upload, request.headers.get("X-Goog-Upload-Offset"))
            with self._handlers.holding(request):
                upload = await self._files.append(upload, await self._files.body(request))
        if "finalize" not in commands:
            headers = {"X-Goog-Upload-Status": "active", "X-Goog-Upload-Size-Received": str(upload.size)}
            return web.Response(headers=headers)
        return self._done(request, await self._files.finish(upload))

    def _done(self, request: web.Request, file: FileRecord) -> web.Response:
        headers = {"X-Goog-Upload-Status": "final", "X-Goog-Upload-Size-Received": str(file.size)}
        body = self._dialect.encode_uploaded(file, self._files.address(request))
        return web.Response(body=body, content_type="application/json", headers=headers)


def _commands(request: web.Request) -> set[str]:
    """What a step of a resumable upload is to do; without a word of it, all that is left to do."""
    given = request.headers.get("X-Goog-Upload-Command", "upload, finalize").lower()
    commands = {word.strip() for word in given.split(",")}
    if not commands <= _COMMANDS:
        known = ", ".join(sorted(_COMMANDS))
        raise InvalidRequest(f"X-Goog-Upload-Command must be of {known}", param="X-Goog-Upload-Command")
    return commands


def _check_offset(upload: FileRecord, offset: str | None) -> None:
    if offset is not None and offset != str(upload.size):
        raise InvalidRequest(f"The upload has {upload.size} bytes so far", param="X-Goog-Upload-Offset")


# --- as Google writes it ------------------------------------------------------------------------------------------


def _described(body: bytes) -> tuple[str, str]:
    """Title and media type in the JSON that begins an upload."""
    file = Fields(plain.as_object(plain.parsed(body or b"{}"))).table("file") or Fields({}, "file")
    title = file.text("displayName", "display_name", most=512) or ""
    return title, (file.text("mimeType", "mime_type", most=200) or "").lower()


def _parted(request: web.Request, body: bytes) -> Arrival:
    """What a multipart/related body holds: the JSON about the file, and the file."""
    boundary = request.content_type.startswith("multipart/") and _header(request.headers["Content-Type"]).get_boundary()
    if not boundary:
        raise UnsupportedMedia("A multipart upload has the content type multipart/related, with its boundary")
    # Not email's parser, which takes lines apart, and seconds for each MB of short ones.
    _, *parts = (b"\n" + body).split(b"\n--" + boundary.encode("utf-8", "surrogateescape"), 4)
    if len(parts) != 3 or not parts[2].startswith(b"--"):
        raise InvalidRequest("A multipart upload has two parts: JSON about the file, and the file")
    (_, about), (claimed, data) = _part(parts[0]), _part(parts[1])
    title, mime = _described(about)
    return Arrival(title, mime or claimed, data)


def _part(part: bytes) -> tuple[str, bytes]:
    """Media type and bytes of a part, given from the end of its boundary to the next. Raises InvalidRequest."""
    end = _HEAD_ENDS.search(part, 0, _MOST_HEAD)
    if end is None:
        raise InvalidRequest("A part of the upload has no end of its head")
    head = BytesHeaderParser(policy=policy.HTTP).parsebytes(part[: end.start()].lstrip())
    data = part[end.end() :].removesuffix(b"\r")
    match str(head.get("Content-Transfer-Encoding", "binary")).lower():
        case "binary" | "8bit" | "7bit":
            return head.get_content_type(), data
        case "base64":
            return head.get_content_type(), _from_base64(data)
    raise UnsupportedMedia("A part of the upload has a Content-Transfer-Encoding other than binary and base64")


def _from_base64(data: bytes) -> bytes:
    try:
        return media.decode(data.decode("ascii"))
    except ValueError:
        raise InvalidRequest("A part of the upload is not base64") from None


def _header(content_type: str) -> Message:
    message = Message()
    message["Content-Type"] = content_type
    return message
