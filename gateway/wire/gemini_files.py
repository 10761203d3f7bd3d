"""The files of Google's Gemini API, as it shows them. Pure."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.clock import rfc3339
from gateway.model import RequestHead
from gateway.wire import filing, sse
from gateway.wire.dialect import Route
from gateway.wire.fields import bad, number_of
from gateway.wire.filing import FileRecord


def routes(prefix: str, claims: Callable[[RequestHead], bool]) -> tuple[Route, ...]:
    """The addresses under `prefix`, for callers whom `claims` knows."""
    return (
        Route("GET", prefix + "/files", "file", "list", claims=claims),
        Route("GET", prefix + "/files/{id}", "file", "get", claims=claims),
        Route("DELETE", prefix + "/files/{id}", "file", "delete", claims=claims),
    )


class GeminiFiles:
    """What Gemini's dialect says about files."""

    def stored_id(self, id: str) -> str | None:
        return filing.known_as(id, "")

    def encode_file(self, file: FileRecord, address: str) -> bytes:
        return sse.dumps(_file(file, address))

    def encode_uploaded(self, file: FileRecord, address: str) -> bytes:
        """The reply to the end of an upload."""
        return sse.dumps({"file": _file(file, address)})

    def encode_files(self, files: Sequence[FileRecord], query: Mapping[str, str], address: str) -> bytes:
        """A page, with `pageSize` (10 by default, at most 100) and `pageToken`."""
        size, start = number_of(query.get("pageSize") or "10"), number_of(query.get("pageToken") or "0")
        if start is None:
            raise bad("pageToken", "is not one of ours")
        if size is None or not 0 < size <= 100:
            raise bad("pageSize", "must be from 1 to 100")
        page: dict[str, Any] = {"files": [_file(file, address) for file in files[start : start + size]]}
        if start + size < len(files):
            page["nextPageToken"] = str(start + size)
        return sse.dumps(page if page["files"] else {})

    def encode_deleted(self, id: str) -> bytes:
        return b"{}"


def _file(file: FileRecord, address: str) -> dict[str, Any]:
    shown = {
        "name": f"files/{file.id}",
        "mimeType": file.mime,
        "sizeBytes": str(file.size),
        "createTime": rfc3339(file.created),
        "updateTime": rfc3339(file.created),
        "expirationTime": rfc3339(file.expires),
        "sha256Hash": base64.b64encode(file.sha256.encode()).decode(),
        "uri": f"{address}/{file.id}",
        "state": "ACTIVE",
        "source": "UPLOADED",
    }
    return shown | ({"displayName": file.title} if file.title else {})
