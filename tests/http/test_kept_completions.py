"""Chat completions that are kept (`store`): by the official SDK, as with the original."""

from __future__ import annotations

import threading
from typing import Any

import openai
import pytest

from gateway.hookspecs import Dialects, hookimpl
from gateway.model import Call, Image, ImageReady
from gateway.testing import Script
from gateway.wire.openai_chat import OpenAIChat
from tests.http.test_kept_responses import FLASH, gateway, sdk

ASKED: Any = [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_completion_is_kept_looked_at_changed_and_deleted(stream: bool) -> None:
    async with gateway(script=[Script("Hello", " Ada")]) as client, sdk(client) as ada:
        create = ada.chat.completions.create
        made: Any = await create(model=FLASH, messages=ASKED, store=True, metadata={"a": "b"}, stream=stream)
        id = {chunk.id async for chunk in made}.pop() if stream else made.id
        kept = await ada.chat.completions.retrieve(id)
        assert (kept.choices[0].message.content, kept.choices[0].finish_reason) == ("Hello Ada", "stop")
        assert kept.metadata == {"a": "b"}
        said = await ada.chat.completions.messages.list(id)
        assert [(message.role, message.content) for message in said.data] == [("user", "Hi")]
        changed = await ada.chat.completions.update(id, metadata={"c": "d"})
        assert (changed.id, changed.metadata) == (id, {"c": "d"})
        found = await ada.chat.completions.list(metadata={"c": "d"})
        assert [one.id for one in found.data] == [id]
        assert (await ada.chat.completions.list(metadata={"c": "x"})).data == []
        assert (await ada.chat.completions.delete(id)).deleted
        with pytest.raises(openai.NotFoundError):
            await ada.chat.completions.retrieve(id)


async def test_only_what_is_to_be_stored_is_kept_and_for_its_owner() -> None:
    async with gateway() as client, sdk(client) as ada, sdk(client, "sk-bob") as bob:
        passing = await ada.chat.completions.create(model=FLASH, messages=ASKED)
        with pytest.raises(openai.NotFoundError):
            await ada.chat.completions.retrieve(passing.id)
        kept = await ada.chat.completions.create(model=FLASH, messages=ASKED, store=True)
        with pytest.raises(openai.NotFoundError):
            await bob.chat.completions.retrieve(kept.id)
        assert (await bob.chat.completions.list()).data == []
        assert [one.id async for one in ada.chat.completions.list(limit=1)] == [kept.id]


async def test_what_another_format_keeps_is_not_found() -> None:
    async with gateway() as client, sdk(client) as ada:
        completion = (await ada.chat.completions.create(model=FLASH, messages=ASKED, store=True)).id
        response = (await ada.responses.create(model=FLASH, input="Hi")).id
        for asked in (
            ada.chat.completions.retrieve(response),
            ada.chat.completions.update(response, metadata={}),
            ada.chat.completions.messages.list(response),
            ada.responses.retrieve(completion),
            ada.responses.cancel(completion),
            ada.responses.input_items.list(completion),
        ):
            with pytest.raises(openai.NotFoundError):
                await asked
        with pytest.raises(openai.BadRequestError, match="not found"):
            await ada.responses.create(model=FLASH, input="Go on", previous_response_id=completion)
        assert [one.id async for one in ada.chat.completions.list()] == [completion]


async def test_a_page_has_a_size_that_can_be_read() -> None:
    async with gateway() as client, sdk(client) as ada:
        for limit in ("0", "101", "x", "9" * 5000):
            with pytest.raises(openai.BadRequestError, match="limit"):
                await ada.chat.completions.list(extra_query={"limit": limit})


class Watched(OpenAIChat):
    """Chat completions that note which thread makes a record; as a plugin."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[threading.Thread] = []

    @hookimpl
    def register_dialects(self, dialects: Dialects) -> None:
        dialects.add(self)

    def record(self, call: Call) -> bytes | None:
        self.threads.append(threading.current_thread())
        return super().record(call)


async def test_pictures_are_encoded_for_the_record_beside_the_loop() -> None:
    watched = Watched()
    drawn = ImageReady(Image(b"\x89PNG\r\n\x1a\n", "image/png", 1024, 1024))
    script = [Script("Hi"), Script("Look: ", drawn)]
    async with gateway([("watched", watched)], script=script) as client, sdk(client) as ada:
        for _ in range(2):
            await ada.chat.completions.create(model=FLASH, messages=ASKED, store=True)
    assert [thread is threading.main_thread() for thread in watched.threads] == [True, False]
