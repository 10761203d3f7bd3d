"""Files that come with a call: those that it names by address are fetched, and every picture is decoded once, in a thread,
before Google sees it. Runs after the call was admitted: who may not call makes us fetch nothing."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from config.settings import Pictures as PictureSettings
from gateway.errors import InvalidRequest
from gateway.http.fetch import Basket, Fetcher
from gateway.http.held import Share
from gateway.imaging import BadPicture, Easel, checked, mask_guide
from gateway.model import Blob, Call, Link, Message, Part
from gateway.wire import media
from gateway.wire.fields import bad

MOST_FILES = 32
_UNREADABLE = ("image/heic", "image/heif")  # taken as they are: nothing here can look into them


class Incoming:
    """Makes the files of a call ready."""

    def __init__(self, fetcher: Fetcher, easel: Easel, settings: PictureSettings) -> None:
        self._fetcher = fetcher
        self._easel = easel
        self._most_pixels = settings.max_megapixels * 1e6

    async def ready(self, call: Call, share: Share) -> Call:
        """The call with all its files fetched and checked; what is fetched counts in `share`. Raises InvalidRequest that
        names the field, Overloaded."""
        files = [part for message in call.messages for part in message.parts if isinstance(part, (Blob, Link))]
        if not files:
            return call
        if len(files) > MOST_FILES:
            raise InvalidRequest(f"There are more than {MOST_FILES} files in the request", param=files[MOST_FILES].param)
        basket = self._fetcher.basket(share)
        basket.check([file for file in files if isinstance(file, Link)])
        try:
            async with asyncio.TaskGroup() as group:
                tasks = {id(file): group.create_task(self._file(file, basket)) for file in files}
        except BaseExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None
        ready = {key: task.result() for key, task in tasks.items()}
        return replace(call, messages=tuple(_with_files(message, ready) for message in call.messages))

    async def _file(self, file: Blob | Link, basket: Basket) -> Blob:
        if isinstance(file, Link):
            data, claimed = await self._fetcher.fetch(file.url, file.param, basket)
            fetched = media.file(data, claimed, file.number, file.param, mask=file.mask)
            file = media.only_picture(fetched) if file.picture else fetched
        if not file.mime.startswith("image/") or file.mime in _UNREADABLE:
            return file
        work = mask_guide if file.mask else checked
        try:
            data, mime = await self._easel.run(work, file.data, self._most_pixels)
        except BadPicture as exc:
            raise bad(file.param or "image", str(exc)) from None
        name = f"{file.name.rpartition('.')[0]}.{media.EXTENSIONS[mime]}"
        return replace(file, data=data, mime=mime, name=name)


def _with_files(message: Message, ready: dict[int, Blob]) -> Message:
    parts: tuple[Part, ...] = tuple(ready.get(id(part), part) for part in message.parts)
    return replace(message, parts=parts)
