"""Media in requests: data URLs and base64 in, sniffed types, harmless names. Bytes only; nothing is fetched here."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import replace

from gateway.model import Blob, Link
from gateway.wire import sse
from gateway.wire.fields import bad

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*(;base64)?,", re.ASCII)
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
MOST_URL = 8192
_STEP = 96_000  # a multiple of 3 and of 4: pieces of base64 join without padding between them
EXTENSIONS = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/webp": "webp",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif",
    "application/pdf": "pdf",
    "application/json": "json",
    "text/plain": "txt",
    "text/markdown": "md",
    "text/csv": "csv",
    "text/html": "html",
    "audio/wav": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "video/mp4": "mp4",
}


def sniff(data: bytes) -> str | None:
    """The media type that the first bytes tell, or None. What a caller claims is not proof."""
    for signature, mime in _SIGNATURES:
        if data.startswith(signature):
            return mime
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None


def blob(encoded: str, mime: str, number: int, param: str, *, mask: bool = False) -> Blob:
    """Base64 text as a file named by its number and type. Raises InvalidRequest."""
    try:
        data = decode(encoded)
    except (binascii.Error, ValueError):
        raise bad(param, "is not base64") from None
    if not data:
        raise bad(param, "is empty or not base64")
    return file(data, mime, number, param, mask=mask)


def file(data: bytes, mime: str, number: int, param: str, *, mask: bool = False) -> Blob:
    """Bytes as a file named by its number and type. `mime` is a claim: what the bytes show goes before it. Raises
    InvalidRequest."""
    known = sniff(data)
    shown = known or (mime if mime in ("image/heic", "image/heif") else "")
    if mime.startswith("image/") and not shown.startswith("image/"):
        raise bad(param, "is not a PNG, JPEG, WebP or GIF picture")
    mime = known or mime
    if mime not in EXTENSIONS:
        raise bad(param, "has a media type that Gemini does not take")
    name = "mask" if mask else f"file-{number}"
    return Blob(data, mime, f"{name}.{EXTENSIONS[mime]}", param, mask)


def from_url(url: str, number: int, param: str, *, mask: bool = False) -> Blob | Link:
    """A `data:` URL as a file, an http(s) one as a link to it. Raises InvalidRequest for other schemes."""
    if url[:8].lower().startswith(("https://", "http://")):
        if len(url) > MOST_URL:
            raise bad(param, f"must be at most {MOST_URL} characters")
        return Link(url, number, param, mask)
    if url[:5].lower() != "data:":
        raise bad(param, "must be a data: or https: URL")
    match = _DATA_URL.match(url)
    if match is None or not match.group(2):
        raise bad(param, "is not a base64 data: URL")
    mime = (match.group(1) or "text/plain").lower()
    return blob(url[match.end() :], mime, number, param, mask=mask)


def picture(text: str, number: int, param: str, *, mask: bool = False) -> Blob | Link:
    """A picture as callers write it: a data URL, an https URL, or bare base64. Raises InvalidRequest."""
    bare = ":" not in text[:12]
    found = blob(text, "image/png", number, param, mask=mask) if bare else from_url(text, number, param, mask=mask)
    return replace(found, picture=True) if isinstance(found, Link) else only_picture(found)


def only_picture(found: Blob) -> Blob:
    """`found`, if it is a picture. Raises InvalidRequest."""
    if not found.mime.startswith("image/"):
        raise bad(found.param, "is not a picture")
    return found


def encode(data: bytes) -> str:
    """Base64 text of `data`."""
    return b"".join(_encoded(data)).decode("ascii")


def data_url(data: bytes, mime: str) -> str:
    """`data` as a data: URL."""
    return f"data:{mime};base64,{encode(data)}"


def json_base64(data: bytes, *, url_of: str | None = None) -> sse.Pieces:
    """Base64 text of `data` as a JSON string for `sse.dumps`. With `url_of` (a media type) it is a data: URL."""
    prefix = f"data:{url_of};base64," if url_of else ""
    return sse.Pieces((b'"' + prefix.encode("ascii"), *_encoded(data), b'"'))


def _encoded(data: bytes) -> list[bytes]:
    """In pieces, so that other threads get their turn between them."""
    return [base64.b64encode(data[at : at + _STEP]) for at in range(0, len(data), _STEP)]


def decode(encoded: str) -> bytes:
    """The bytes of base64 text; in pieces, as in `_encoded`. Raises ValueError."""
    if len(encoded) <= _STEP:
        return base64.b64decode(encoded)
    if "\n" in encoded or "\r" in encoded or " " in encoded:
        encoded = "".join(encoded.split())
    return b"".join(base64.b64decode(encoded[at : at + _STEP]) for at in range(0, len(encoded), _STEP))
