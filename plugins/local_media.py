"""Keeps finished pictures as files under `state.dir` and serves them at `/media/...` by signed addresses that expire: the
embedded answer to `response_format = "url"`. For one machine; several replicas share a store (see r2_upload) instead.

An address is its own key: its name is random, and its signature covers name and end. Old files go when `max_mb` is
reached, and when their address has expired."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from gateway.hookspecs import Routes, Services, hookimpl
from gateway.model import Call, Image
from gateway.state.kept_key import kept_key
from gateway.wire.media import EXTENSIONS

_NAME = re.compile(r"[A-Za-z0-9_-]{20,64}\.(png|jpg|webp|gif)")
_HOST = re.compile(r"[A-Za-z0-9.\-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_MIMES = {extension: mime for mime, extension in EXTENSIONS.items()}
_HEADERS = {"Content-Security-Policy": "default-src 'none'; sandbox", "Content-Disposition": "inline"}


class Settings(BaseModel):
    """How long and how much is kept."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    expires_s: int = Field(86_400, ge=60, le=31_536_000, description="How long an address works, in seconds.")
    max_mb: int = Field(1000, ge=1, description="Files kept, in MB; the oldest go first.")


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = Path()
        self._key = b""
        self._base = ""
        self._bytes = 0
        self._writing = asyncio.Lock()
        self._clock: Callable[[], float] = time.time

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self._folder = gateway.state_dir / "media"
        self._clock = gateway.clock
        server = gateway.settings.server
        self._base = (server.public_url or "").rstrip("/")
        self._key = await asyncio.to_thread(self._open, gateway.state_dir / "media_key")
        yield

    def _open(self, key_file: Path) -> bytes:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        self._evict(room=0)
        return kept_key(key_file)

    # --- keeping --------------------------------------------------------------------------------------------------

    @hookimpl
    async def store_image(self, image: Image, call: Call) -> str | None:
        base = self._base or _asked(call)
        if base is None:
            return None
        name = f"{secrets.token_urlsafe(24)}.{EXTENSIONS[image.mime]}"
        async with self._writing:
            await asyncio.to_thread(self._write, name, image.data)
        end = int(self._clock()) + self._settings.expires_s
        return f"{base}/media/{name}?expires={end}&signature={self._signature(name, end)}"

    def _write(self, name: str, data: bytes) -> None:
        if self._bytes + len(data) > self._settings.max_mb * 1_000_000:
            self._evict(room=len(data))
        unfinished = self._folder / f".{name}"
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(data)
        now = self._clock()
        os.utime(unfinished, (now, now))
        unfinished.rename(self._folder / name)
        self._bytes += len(data)

    def _evict(self, *, room: int) -> None:
        """Delete what has expired, then the oldest until there is `room`."""
        files = sorted(((file.stat(), file) for file in self._folder.iterdir()), key=lambda found: found[0].st_mtime)
        left = sum(stat.st_size for stat, _ in files)
        expired = self._clock() - self._settings.expires_s
        for stat, file in files:
            if stat.st_mtime >= expired and left + room <= self._settings.max_mb * 1_000_000:
                break
            file.unlink(missing_ok=True)
            left -= stat.st_size
        self._bytes = left

    def _signature(self, name: str, end: int) -> str:
        return hmac.new(self._key, f"{name}:{end}".encode(), hashlib.sha256).hexdigest()

    # --- serving --------------------------------------------------------------------------------------------------

    @hookimpl
    def register_routes(self, routes: Routes) -> None:
        routes.add("GET", "/media/{name}", self._serve)

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        name, end = request.match_info["name"], request.query.get("expires", "")
        signature = request.query.get("signature", "").encode("utf-8", "surrogateescape")
        if not _NAME.fullmatch(name) or not re.fullmatch(r"[0-9]{1,12}", end):
            raise web.HTTPNotFound
        good = hmac.compare_digest(signature, self._signature(name, int(end)).encode())
        left = int(end) - int(self._clock())
        if not good or left <= 0 or not (self._folder / name).is_file():
            raise web.HTTPNotFound
        response = web.FileResponse(self._folder / name, headers=_HEADERS)
        response.content_type = _MIMES[name.rpartition(".")[2]]
        response.headers["Cache-Control"] = f"private, max-age={left}, immutable"
        return response


def _asked(call: Call) -> str | None:
    """Where the caller reached us, when `server.public_url` says nothing: by the Host that it named itself."""
    host = call.head.headers.get("Host", "") if call.head else ""
    return f"http://{host}" if _HOST.fullmatch(host) else None
