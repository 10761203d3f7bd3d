"""OpenAI's files: `/v1/files` and what stands below it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.wire import filing, openai_lists, sse
from gateway.wire.dialect import Route
from gateway.wire.fields import Fields, bad
from gateway.wire.filing import Arrival, FileRecord

PREFIX = "file-"
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")
ROUTES = (
    Route("POST", "/v1/files", "file", "upload"),
    Route("GET", "/v1/files", "file", "list"),
    Route("GET", "/v1/files/{id}", "file", "get"),
    Route("DELETE", "/v1/files/{id}", "file", "delete"),
    Route("GET", "/v1/files/{id}/content", "file", "content"),
)
_LONGEST_S = 30 * 86_400
_MOST_LISTED = 10_000


class OpenAIFiles:
    """What a dialect of OpenAI's says about files."""

    def stored_id(self, id: str) -> str | None:
        return filing.known_as(id, PREFIX)

    def arrival(self, form: Mapping[str, Any]) -> Arrival:
        fields = Fields(form)
        purpose = fields.word("purpose", of=PURPOSES)
        if purpose is None:
            raise bad("purpose", "is required")
        return filing.arrived(form, purpose=purpose, kept_s=_kept_s(fields))

    def check_download(self, file: FileRecord) -> None:
        """Every file is given back."""

    def encode_file(self, file: FileRecord, address: str) -> bytes:
        return sse.dumps(_file(file))

    def encode_files(self, files: Sequence[FileRecord], query: Mapping[str, str], address: str) -> bytes:
        purpose = query.get("purpose")
        shown = [_file(file) for file in reversed(files) if purpose in (None, _purpose(file))]
        return openai_lists.page(shown, query, order="desc", limit=_MOST_LISTED, most=_MOST_LISTED)

    def encode_deleted(self, id: str) -> bytes:
        return sse.dumps({"id": id, "object": "file", "deleted": True})


def _kept_s(fields: Fields) -> float:
    """`expires_after`, whose fields stand alone in a form."""
    anchor, seconds = (f"expires_after[{name}]" for name in ("anchor", "seconds"))
    given = {name for name in (anchor, seconds) if fields.get(name) is not None}
    if given and (missing := {anchor, seconds} - given):
        raise bad(missing.pop(), "is required")
    fields.word(anchor, of=("created_at",))
    return filing.lifetime(fields, seconds, most=_LONGEST_S)


def _file(file: FileRecord) -> dict[str, Any]:
    return {
        "id": PREFIX + file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created),
        "expires_at": int(file.expires),
        "filename": filing.name_of(file),
        "purpose": _purpose(file),
        "status": "processed",
    }


def _purpose(file: FileRecord) -> str:
    """Only this API asks for one."""
    return file.purpose or "user_data"
