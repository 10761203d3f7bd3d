"""The files of all wire formats: whose they are, how large they may be, where they are kept. Each belongs to the key that
uploaded it, by whichever API, and does not exist for any other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from config.settings import Server
from gateway.errors import BodyTooLarge, InvalidRequest, NotFound, UnsupportedMedia
from gateway.http.boundary import read_body
from gateway.http.held import Share
from gateway.http.multipart import read_form
from gateway.http.stream import send_large
from gateway.state.files import FileStore, OutOfStep
from gateway.wire.filing import Arrival, FileRecord, Filing, Uploading

T = TypeVar("T")
log = logging.getLogger(__name__)
_MB = 1_000_000
_SWEEP_S = 600.0


class Files:
    """The files in `store`. Everything here raises GatewayErrors."""

    def __init__(self, store: FileStore, server: Server) -> None:
        self._store = store
        self._server = server
        self._most = round(server.max_image_mb * _MB)

    # --- addresses that formats have in common --------------------------------------------------------------------

    async def answer(
        self, request: web.Request, dialect: Filing, action: str, *, owner: str, share: Share
    ) -> web.StreamResponse:
        """The reply to `owner`, who asks for `action`. What is held meanwhile counts in `share`."""
        if action == "list":
            query = {name.removesuffix("[]"): ",".join(request.query.getall(name)) for name in request.query}
            files = await asyncio.to_thread(self._store.all, owner)
            return _json(dialect.encode_files(files, query, self.address(request)))
        if action == "upload":
            assert isinstance(dialect, Uploading)
            kept = await self.keep(owner, dialect.arrival(await self._form(request)))
            return _json(dialect.encode_file(kept, self.address(request)))
        file = await self._named(dialect, request.match_info["id"], owner)
        match action:
            case "delete":
                await asyncio.to_thread(self._store.delete, file.id, owner)
                return _json(dialect.encode_deleted(request.match_info["id"]))
            case "content":
                assert isinstance(dialect, Uploading)
                dialect.check_download(file)
                share.take(file.size)
                return await self._content(request, file)
        return _json(dialect.encode_file(file, self.address(request)))

    async def _named(self, dialect: Filing, id: str, owner: str) -> FileRecord:
        stored = dialect.stored_id(id)
        file = await asyncio.to_thread(self._store.find, stored, owner) if stored is not None else None
        if file is None:
            raise NotFound("There is no such file", param="id")
        return file

    async def _form(self, request: web.Request) -> dict[str, object]:
        if request.content_type != "multipart/form-data":
            raise UnsupportedMedia("A file is uploaded as multipart/form-data", param="file")
        return await read_form(request, self._server)

    async def _content(self, request: web.Request, file: FileRecord) -> web.StreamResponse:
        """The bytes, as nothing that a browser would show: they come from callers, and we have pages at this origin."""
        read = await asyncio.to_thread(self._store.read, file.id, file.owner)
        if read is None:
            raise NotFound("There is no such file", param="id")
        headers = {"Content-Disposition": "attachment", "Cache-Control": "no-store"}
        return await send_large(request, read[1], headers, content_type="application/octet-stream")

    # --- what uploads of all kinds do -----------------------------------------------------------------------------

    async def body(self, request: web.Request) -> bytes:
        """The whole body, which may be a file."""
        return await read_body(request, self._most, self._server.body_timeout_s)

    def check_size(self, size: int) -> None:
        """Raises BodyTooLarge for a file of more bytes than the settings allow."""
        if size > self._most:
            raise BodyTooLarge(f"A file has at most {self._most} bytes", param="file")

    async def keep(self, owner: str, file: Arrival) -> FileRecord:
        """A new file of `owner`."""
        return await _written(self._store.put, owner, file)

    async def begin(self, owner: str, title: str, mime: str) -> FileRecord:
        """A new upload of `owner`."""
        return await _written(self._store.begin, owner, title, mime)

    async def unfinished(self, id: str) -> FileRecord:
        """An upload that goes on."""
        return _still(await asyncio.to_thread(self._store.unfinished, id))

    async def append(self, upload: FileRecord, data: bytes) -> FileRecord:
        """The upload with more bytes."""
        self.check_size(upload.size + len(data))
        try:
            return _still(await _written(self._store.append, upload, data))
        except OutOfStep as exc:
            raise InvalidRequest(f"The upload has {exc.size} bytes by now", param="X-Goog-Upload-Offset") from None

    async def finish(self, upload: FileRecord) -> FileRecord:
        """The file that an upload has become."""
        return _still(await _written(self._store.finish, upload.id))

    # --- where they are -------------------------------------------------------------------------------------------

    def origin(self, request: web.Request) -> str:
        """The gateway, as the caller reaches it."""
        return (self._server.public_url or f"{request.scheme}://{request.host}").rstrip("/")

    def address(self, request: web.Request) -> str:
        """The URL of all files, as the caller reaches it."""
        prefix = request.path.partition("/files")[0].replace("/upload", "", 1)
        return f"{self.origin(request)}{prefix}/files"


async def sweep_for_ever(store: FileStore, every_s: float = _SWEEP_S) -> None:
    """Delete what has expired, at once and every `every_s` seconds: also where nobody uploads anything any more."""
    while True:
        try:
            await asyncio.to_thread(store.sweep)
        except OSError as exc:
            log.warning("expired files cannot be deleted: %s", type(exc).__name__)
        await asyncio.sleep(every_s)


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")


def _still(record: FileRecord | None) -> FileRecord:
    if record is None:
        raise NotFound("There is no such upload")
    return record


async def _written(work: Callable[..., T], *arguments: object) -> T:
    """The result of `work(*arguments)`, which writes to the disk, in a thread."""
    try:
        return await asyncio.to_thread(work, *arguments)
    except OSError as exc:
        raise BodyTooLarge("There is no more room for files", param="file") from exc
