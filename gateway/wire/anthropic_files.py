"""Anthropic's files: `/v1/files` and what stands below it, for callers that send `anthropic-version`. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.clock import rfc3339
from gateway.errors import NotDownloadable
from gateway.model import RequestHead
from gateway.wire import anthropic_lists, filing, sse
from gateway.wire.dialect import Route
from gateway.wire.fields import Fields, bad
from gateway.wire.filing import Arrival, FileRecord

PREFIX = "file_"
_LONGEST_S = 90 * 86_400
_MOST_IDS = 100
# Where a page begins: after the file of this time (µs since 1970) and id, also when that one is gone.
_CURSOR = re.compile(r"page_([0-9]{1,20})_([a-z0-9]{1,64})", re.ASCII)


def routes(claims: Callable[[RequestHead], bool]) -> tuple[Route, ...]:
    """The addresses, for callers whom `claims` knows."""
    return (
        Route("POST", "/v1/files", "file", "upload", claims=claims),
        Route("GET", "/v1/files", "file", "list", claims=claims),
        Route("GET", "/v1/files/{id}", "file", "get", claims=claims),
        Route("DELETE", "/v1/files/{id}", "file", "delete", claims=claims),
        Route("GET", "/v1/files/{id}/content", "file", "content", claims=claims),
    )


class AnthropicFiles:
    """What Anthropic's dialect says about files."""

    def stored_id(self, id: str) -> str | None:
        return filing.known_as(id, PREFIX)

    def arrival(self, form: Mapping[str, Any]) -> Arrival:
        return filing.arrived(form, kept_s=filing.lifetime(Fields(form), "expires_in_seconds", most=_LONGEST_S))

    def check_download(self, file: FileRecord) -> None:
        """Of this API only those can be downloaded that a tool made, and here none does."""
        raise NotDownloadable("This file cannot be downloaded: it was uploaded, not made by a tool")

    def encode_file(self, file: FileRecord, address: str) -> bytes:
        return sse.dumps(_file(file))

    def encode_files(self, files: Sequence[FileRecord], query: Mapping[str, str], address: str) -> bytes:
        """A page in both of its forms: older clients go on by `after_id`, newer ones by `next_page`."""
        if "ids" in query:
            return _listed(_chosen(files, query), more=False)
        if "page" in query:
            files = _after(files, query["page"])
        shown, more = anthropic_lists.window([PREFIX + file.id for file in files], query)
        return _listed(files[shown], more=more)

    def encode_deleted(self, id: str) -> bytes:
        return sse.dumps({"id": id, "type": "file_deleted"})


def _chosen(files: Sequence[FileRecord], query: Mapping[str, str]) -> Sequence[FileRecord]:
    wanted = set(query["ids"].split(","))
    if len(wanted) > _MOST_IDS:
        raise bad("ids", f"must be at most {_MOST_IDS}")
    if "page" in query or "limit" in query:
        raise bad("ids", "must come without page and limit")
    return [file for file in files if PREFIX + file.id in wanted]


def _after(files: Sequence[FileRecord], cursor: str) -> Sequence[FileRecord]:
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise bad("page", "is not one of ours")
    last = (-int(match.group(1)), match.group(2))
    return [file for file in files if (-_microseconds(file), file.id) > last]


def _listed(files: Sequence[FileRecord], *, more: bool) -> bytes:
    first, last = (PREFIX + files[0].id, PREFIX + files[-1].id) if files else (None, None)
    cursor = f"page_{_microseconds(files[-1])}_{files[-1].id}" if more and files else None
    page = {"data": [_file(file) for file in files], "has_more": more, "first_id": first, "last_id": last}
    return sse.dumps(page | {"next_page": cursor})


def _microseconds(file: FileRecord) -> int:
    return round(file.created * 1e6)


def _file(file: FileRecord) -> dict[str, Any]:
    return {
        "type": "file",
        "id": PREFIX + file.id,
        "filename": filing.name_of(file),
        "mime_type": file.mime or "application/octet-stream",
        "size_bytes": file.size,
        "created_at": rfc3339(file.created),
        "expires_at": rfc3339(file.expires),
        "downloadable": False,
    }
