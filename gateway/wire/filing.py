"""Files that callers upload and name by an id later, as the wire formats share them: what is known of one, what a format
says about it, and how a form brings one. Pure."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from gateway.model import StoredFile
from gateway.wire import media
from gateway.wire.dialect import Dialect, Upload
from gateway.wire.fields import Fields, bad, number_of

KEPT_S = 48 * 3600.0
UPLOAD_S = 3600.0
SHORTEST_S = 3600
MISSING = "names a file that is not here (any more): files are kept for 48 hours"
_ID = re.compile(r"[a-z0-9]{1,64}", re.ASCII)
_MIME = re.compile(r"[\w.+-]{1,100}/[\w.+-]{1,100}", re.ASCII)
_UNKNOWN = "application/octet-stream"
_MOST_NAME = 500  # as Anthropic's FileMetadata has it
_LOOKED_AT = 65_536
_TYPES = {extension: mime for mime, extension in media.EXTENSIONS.items()}


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What is known of a file. `mime` is the caller's claim; times in seconds since 1970; `sha256` in hex. `size` of an
    unfinished one is what has arrived. `kept_s` is how long it is kept once it is finished."""

    id: str
    owner: str
    title: str
    mime: str
    size: int
    created: float
    finished: bool = False
    sha256: str = ""
    purpose: str = ""
    kept_s: float = KEPT_S

    @property
    def expires(self) -> float:
        return self.created + (self.kept_s if self.finished else UPLOAD_S)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A file that came whole, in a form."""

    title: str
    mime: str
    data: bytes
    purpose: str = ""
    kept_s: float = KEPT_S


@runtime_checkable
class Filing(Dialect, Protocol):
    """A format with files (operation `file`; actions list, get and delete). `address` is the URL of all files, as the
    caller reached it."""

    def stored_id(self, id: str) -> str | None:
        """The store's own id in a caller's; None where it cannot be one."""

    def encode_file(self, file: FileRecord, address: str) -> bytes:
        """One file."""

    def encode_files(self, files: Sequence[FileRecord], query: Mapping[str, str], address: str) -> bytes:
        """A page of `files`, which come newest first. Of a repeated name in `query` the values are joined by commas."""

    def encode_deleted(self, id: str) -> bytes:
        """The reply to a caller who deleted `id`."""


@runtime_checkable
class Uploading(Filing, Protocol):
    """A format that takes files in forms, and gives them back (actions upload and content)."""

    def arrival(self, form: Mapping[str, Any]) -> Arrival:
        """The file in a form. Raises InvalidRequest that names the field."""

    def check_download(self, file: FileRecord) -> None:
        """Raises NotDownloadable where this API gives such a file back to nobody."""


# --- a file that is named -----------------------------------------------------------------------------------------


def known_as(id: str, prefix: str) -> str | None:
    """The store's own id in `id`, which begins with `prefix`; None where it cannot be one."""
    rest = id.removeprefix(prefix)
    return rest if id.startswith(prefix) and _ID.fullmatch(rest) else None


def named(fields: Fields, prefix: str, number: int, *, mask: bool = False, picture: bool = False) -> StoredFile:
    """The file that `file_id` names. Raises InvalidRequest."""
    id = known_as(fields.needed("file_id", most=200), prefix)
    if id is None:
        raise bad(fields.at("file_id"), MISSING)
    return StoredFile(id, number, fields.at("file_id"), mask=mask, picture=picture)


def name_of(file: FileRecord) -> str:
    """The name under which a file is shown."""
    return file.title[:_MOST_NAME] or _unnamed(file.mime)


# --- a file that arrives ------------------------------------------------------------------------------------------


def arrived(form: Mapping[str, Any], *, purpose: str = "", kept_s: float = KEPT_S) -> Arrival:
    """What the field `file` of a form holds. Raises InvalidRequest."""
    match form.get("file"):
        case Upload(data=b""):
            raise bad("file", "is empty")
        case Upload(data=data, name=name, mime=claimed):
            mime = kind(data, claimed, name)
            return Arrival(_harmless(name) or _unnamed(mime), mime, data, purpose, kept_s)
        case None:
            raise bad("file", "is required")
        case _:
            raise bad("file", "must be one file, sent with a file name")


def lifetime(fields: Fields, name: str, *, most: int) -> float:
    """The seconds for which a caller wants a file to be kept, up to `most` in that API; here never more than two days.
    Raises InvalidRequest."""
    text = fields.text(name, most=100)
    if text is None:
        return KEPT_S
    seconds = number_of(text.strip())
    if seconds is None or not SHORTEST_S <= seconds <= most:
        raise bad(name, f"must be a whole number from {SHORTEST_S} to {most}")
    return min(float(seconds), KEPT_S)


def _harmless(name: str) -> str:
    """The last component of a path, without what cannot be shown."""
    last = re.split(r"[/\\]", name)[-1]
    return "".join(char for char in last if char.isprintable()).strip()[:_MOST_NAME]


def _unnamed(mime: str) -> str:
    extension = media.EXTENSIONS.get(mime)
    return f"unnamed.{extension}" if extension else "unnamed"


def kind(data: bytes, claimed: str, name: str) -> str:
    """The media type: as the bytes show it, else as claimed, else by the name. Forms call source code and logs by a
    hundred names, or by none: what reads as text is text."""
    claimed = claimed.partition(";")[0].strip().lower()
    by_name = _TYPES.get(name.rpartition(".")[2].lower())
    for mime in (media.sniff(data), claimed, by_name):
        if mime in media.EXTENSIONS:
            return mime
    if _is_text(data):
        return "text/plain"
    return claimed if _MIME.fullmatch(claimed) else _UNKNOWN


def _is_text(data: bytes) -> bool:
    """Whether what comes first is UTF-8 without NUL."""
    start = data[:_LOOKED_AT]
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return b"\0" not in start
