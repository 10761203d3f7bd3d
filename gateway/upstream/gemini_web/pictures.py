"""The bytes of generated pictures, by the site's own download chain and in memory.

An answer names a preview. Its native pixels (about 1K) can be had from the preview's address; more comes only through
the RPC `c8o8Fe`: mode 19 names the full size (about 2K), mode 20 with the picture's token the largest (4K). The address
that it answers leads, by addresses in plain text, to the file. Each larger size falls back to the next smaller one; what
came is measured, never assumed. Mode 20 is known from records of third parties, and not from the library."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
from curl_cffi.requests.exceptions import RequestException
from gemini_webapi import exceptions as library_errors
from gemini_webapi.constants import GRPC, Headers
from gemini_webapi.types import ModelOutput, RPCData

from gateway.errors import GatewayError, UpstreamChanged, UpstreamUnavailable
from gateway.imaging import BadPicture, measure
from gateway.model import Image, PictureSize
from gateway.upstream.gemini_web.client import Client
from gateway.upstream.gemini_web.session import Session
from gateway.upstream.reply import FrameReader, ReplyReader
from gateway.upstream.rich import Drawn, at

log = logging.getLogger(__name__)
MOST_BYTES = 64_000_000
_FULL, _LARGEST = 19, 20
_LARGEST_FLOW = "imagen_default.complaintflow"
_MOST_HOPS = 6
# What of the time for a download the larger sizes may take; the rest is for the fallback.
_LARGER_SHARE = 0.75
_FAILURES = (
    GatewayError,
    RequestException,
    library_errors.APIError,
    library_errors.GeminiError,
    BadPicture,
    TimeoutError,
)

Borrow = Callable[[], AbstractAsyncContextManager[Client]]


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the account's history a picture is."""

    cid: str
    rid: str
    rcid: str

    @classmethod
    def of(cls, reader: ReplyReader) -> Place | None:
        """The place of the answer that `reader` read; None where it is in no history."""
        if reader.cid and reader.rid and reader.rcid:
            return cls(reader.cid, reader.rid, reader.rcid)
        return None


class Download:
    """Downloads the pictures of one answer. `session` is for that alone; `borrow` lends a client for the RPC; `place` None
    (a temporary chat) means previews only."""

    def __init__(self, session: Session, borrow: Borrow, place: Place | None, *, seconds: float) -> None:
        self._session = session
        self._borrow = borrow
        self._place = place
        self._end = time.monotonic() + seconds
        self._larger_end = time.monotonic() + seconds * _LARGER_SHARE

    async def images(self, pictures: Sequence[Drawn], size: PictureSize | None) -> list[Image]:
        """The pictures, in order. One that cannot be had is left out; raises UpstreamUnavailable when none can."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._image(picture, size)) for picture in pictures]
        images = [image for task in tasks if (image := task.result()) is not None]
        if not images:
            raise UpstreamUnavailable("Gemini made a picture, and it could not be downloaded")
        return images

    async def _image(self, picture: Drawn, size: PictureSize | None) -> Image | None:
        for name, way in self._ways(picture, size):
            try:
                data = await way()
                found = measure(data)
            except _FAILURES as exc:
                log.info("a picture could not be had as %s: %s", name, type(exc).__name__)
                continue
            return Image(data, found.mime, found.width, found.height)
        return None

    def _ways(self, picture: Drawn, size: PictureSize | None) -> Iterator[tuple[str, Callable[[], Awaitable[bytes]]]]:
        """The ways to the picture, the best one for `size` first."""
        if self._place is not None and picture.id:
            if size == "4K" and picture.token:
                yield "4K", partial(self._larger, picture, _LARGEST)
            if size in ("2K", "4K"):
                yield "full size", partial(self._larger, picture, _FULL)
        base = picture.url.partition("=")[0]
        for options in ("=s0-rp", "=s2048-rj"):
            yield f"preview {options}", partial(self._file, base + options, self._end)

    async def _larger(self, picture: Drawn, mode: int) -> bytes:
        async with asyncio.timeout(self._larger_end - time.monotonic()), self._borrow() as client:
            assert self._place is not None
            payload = orjson.dumps(_request(picture, self._place, mode)).decode()
            answer = await client._batch_execute([RPCData(rpcid=GRPC.DOWNLOAD_GENERATED_IMAGE, payload=payload)])
            url = _address(answer.text)
        return await self._file(url + "=d-I?alr=yes", self._larger_end)

    async def _file(self, url: str, end: float) -> bytes:
        """The file at `url`, following the addresses that come as text; the session checks the host of each."""
        for _ in range(_MOST_HOPS):
            seconds = max(end - time.monotonic(), 0.001)
            following, data = await self._session.hop(url, Headers.REFERER.value, seconds)
            if following is None:
                return data
            url = following
        raise UpstreamChanged("Gemini's download leads in circles")


def drawn_in(output: ModelOutput) -> tuple[Drawn, ...]:
    """The pictures of an answer that the library read from the chat's history; it keeps no token of them."""
    found = output.candidates[output.chosen].generated_images
    return tuple(Drawn(image.url, image.image_id) for image in found)


def _request(picture: Drawn, place: Place, mode: int) -> list[Any]:
    """The payload of c8o8Fe."""
    token = picture.token if mode == _LARGEST else ""
    wanted: list[Any] = [mode, ""]
    if mode == _LARGEST:
        wanted += [*[None] * 14, 1, None, _LARGEST_FLOW]
    item = [[None, None, None, [*[None] * 5, token]], [picture.id, 0], None, wanted, *[None] * 5, ""]
    return [item, [place.rid, place.rcid, place.cid, None, ""], 1, 0, 1]


def _address(text: str) -> str:
    """The address in the answer of c8o8Fe. Raises UpstreamChanged where there is none: it was refused."""
    frames = FrameReader()
    for part in [*frames.feed(text), *frames.finish()]:
        body = at(part, 2)
        if at(part, 0) == "wrb.fr" and isinstance(body, str):
            url = at(orjson.loads(body), 0)
            if isinstance(url, str) and url.startswith("https://"):
                return url
    raise UpstreamChanged("Gemini named no file for a picture")
