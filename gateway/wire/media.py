"""Media in requests: data URLs and base64 in, sniffed types, harmless names. Bytes only; nothing is fetched here."""

from __future__ import annotations

import base64
import binascii
import re

from gateway.model import Blob, Image
from gateway.wire.fields import bad

_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*(;base64)?,", re.ASCII)
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"%PDF-", "application/pdf"),
)
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


def blob(encoded: str, mime: str, number: int, param: str) -> Blob:
    """Base64 text as a file named by its number and type. Raises InvalidRequest."""
    try:
        data = base64.b64decode(encoded, validate=False) if encoded else b""
    except (binascii.Error, ValueError):
        raise bad(param, "is not base64") from None
    if not data:
        raise bad(param, "is empty or not base64")
    known = sniff(data)
    if mime.startswith("image/") and known is None and mime not in ("image/heic", "image/heif"):
        raise bad(param, "is not a PNG, JPEG, WebP or GIF picture")
    mime = known or mime
    if mime not in EXTENSIONS:
        raise bad(param, "has a media type that Gemini does not take")
    return Blob(data, mime, f"file-{number}.{EXTENSIONS[mime]}")


def from_url(url: str, number: int, param: str) -> Blob:
    """A `data:` URL as a file. Raises InvalidRequest; other schemes are refused."""
    if not url.startswith("data:"):
        raise bad(param, "must be a data: URL (base64); other addresses are not fetched")
    match = _DATA_URL.match(url)
    if match is None or not match.group(2):
        raise bad(param, "is not a base64 data: URL")
    return blob(url[match.end() :], (match.group(1) or "text/plain").lower(), number, param)


def markdown(image: Image) -> str:
    """A picture of an answer as Markdown, for formats that have no place for one: its URL, or itself as a data: URL."""
    return f"![image]({image.url or f'data:{image.mime};base64,{encode(image.data)}'})"


def encode(data: bytes) -> str:
    """Base64 text of `data`."""
    return base64.b64encode(data).decode("ascii")
