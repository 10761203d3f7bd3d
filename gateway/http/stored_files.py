"""Puts the bytes of files that were uploaded before into the calls that name them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from gateway.errors import BodyTooLarge, InvalidRequest
from gateway.http.held import Share
from gateway.http.incoming import MOST_FILES
from gateway.model import Blob, Call, Link, Message, Part, StoredFile
from gateway.state.files import FileStore
from gateway.wire import filing, media
from gateway.wire.fields import bad


class StoredFiles:
    """The files in `store`, for calls, `most_bytes` in each. Runs after a call was admitted."""

    def __init__(self, store: FileStore, most_bytes: int) -> None:
        self._store = store
        self._most_bytes = most_bytes

    async def ready(self, call: Call, share: Share) -> Call:
        """The call with the bytes of the files that it names, which count in `share`. Raises InvalidRequest that names
        the field, Overloaded."""
        named = [part for message in call.messages for part in message.parts if isinstance(part, StoredFile)]
        if not named:
            return call
        files = [part for message in call.messages for part in message.parts if isinstance(part, (Blob, Link, StoredFile))]
        if len(files) > MOST_FILES:  # before any of them is read: a name is short, a file is not
            raise InvalidRequest(f"There are more than {MOST_FILES} files in the request", param=files[MOST_FILES].param)
        read = await self._read(named, call.principal.name, share)
        return replace(call, messages=tuple(_filled(message, read) for message in call.messages))

    async def _read(self, named: Sequence[StoredFile], owner: str, share: Share) -> dict[str, tuple[str, bytes]]:
        """Media type and bytes of each file, each read once, `most_bytes` in all."""
        read: dict[str, tuple[str, bytes]] = {}
        left = self._most_bytes
        for file in named:
            if file.id in read:
                continue
            found = await asyncio.to_thread(self._store.read, file.id, owner)
            if found is None:
                raise bad(file.param, filing.MISSING)
            record, data = found
            left -= len(data)
            if left < 0:
                raise BodyTooLarge(f"The files of the request are larger than {self._most_bytes} bytes together")
            share.take(len(data))
            read[file.id] = (filing.kind(data, record.mime, record.title), data)  # a claim, where Google's API took it
        return read


def _filled(message: Message, read: Mapping[str, tuple[str, bytes]]) -> Message:
    parts: list[Part] = [_blob(part, *read[part.id]) if isinstance(part, StoredFile) else part for part in message.parts]
    return replace(message, parts=tuple(parts))


def _blob(file: StoredFile, claimed: str, data: bytes) -> Blob:
    found = media.file(data, claimed, file.number, file.param, mask=file.mask)
    return media.only_picture(found) if file.picture else found
