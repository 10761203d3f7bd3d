"""Puts the bytes of files that were uploaded before into the calls that name them."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.model import Blob, Call, Message, Part, StoredFile
from gateway.state.files import FileStore
from gateway.wire import media
from gateway.wire.fields import bad


class StoredFiles:
    """The files in `store`, for calls. Runs after a call was admitted."""

    def __init__(self, store: FileStore) -> None:
        self._store = store

    async def ready(self, call: Call) -> Call:
        """The call with the bytes of the files that it names. Raises InvalidRequest that names the field."""
        if not any(isinstance(part, StoredFile) for message in call.messages for part in message.parts):
            return call
        messages = [await self._filled(message, call.principal.name) for message in call.messages]
        return replace(call, messages=tuple(messages))

    async def _filled(self, message: Message, owner: str) -> Message:
        parts: list[Part] = []
        for part in message.parts:
            parts.append(await self._blob(part, owner) if isinstance(part, StoredFile) else part)
        return replace(message, parts=tuple(parts))

    async def _blob(self, file: StoredFile, owner: str) -> Blob:
        found = await asyncio.to_thread(self._store.read, file.id, owner)
        if found is None:
            raise bad(file.param, "names a file that is not here (any more): files are kept for 48 hours")
        record, data = found
        mime = media.sniff(data) or record.mime
        if mime not in media.EXTENSIONS:
            raise bad(file.param, "has a media type that Gemini does not take")
        return Blob(data, mime, f"file-{file.number}.{media.EXTENSIONS[mime]}", file.param)
