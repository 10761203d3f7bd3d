"""Responses that are kept: gone on from, looked at, deleted; by their owner alone, and on any replica."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest

from gateway.model import Finished, Text, TextDelta
from gateway.state.memory import MemoryStore
from gateway.state.store import StateAway
from gateway.testing import Client, Script, make_client
from plugins import api_key

FLASH = "gemini-2.5-flash"
KEYS = [{"name": "ada", "key": "sk-ada"}, {"name": "bob", "key": "sk-bob"}]


@asynccontextmanager
async def gateway(plugins: Sequence[tuple[str, Any]] = (), **options: Any) -> AsyncIterator[Client]:
    settings = api_key.Settings.model_validate({"keys": KEYS})
    async with make_client(plugins=[("api_key", api_key.Plugin(settings)), *plugins], **options) as client:
        yield client


def sdk(client: Client, key: str = "sk-ada") -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{client.url}/v1", api_key=key, max_retries=0)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_conversation_goes_on_from_the_last_response(stream: bool) -> None:
    async with gateway(script=[Script("Hello Ada")]) as client, sdk(client) as ada:
        first = await ada.responses.create(model=FLASH, input="I am Ada")
        if stream:
            events = await ada.responses.create(model=FLASH, input="And?", previous_response_id=first.id, stream=True)
            second = [event async for event in events][-1].response  # type: ignore[union-attr]
        else:
            second = await ada.responses.create(model=FLASH, input="And?", previous_response_id=first.id)
        assert second.previous_response_id == first.id
        await ada.responses.create(model=FLASH, input="Who am I?", previous_response_id=second.id)
        said = [message.text for message in client.upstream.asked[-1][1].messages]
        assert said == ["I am Ada", "Hello Ada", "And?", "Hello Ada", "Who am I?"]
        assert await ada.responses.retrieve(second.id) == second


async def test_what_is_kept_belongs_to_its_owner() -> None:
    async with gateway() as client, sdk(client) as ada, sdk(client, "sk-bob") as bob:
        kept = await ada.responses.create(model=FLASH, input="A secret")
        for asked in (bob.responses.retrieve(kept.id), bob.responses.delete(kept.id)):
            with pytest.raises(openai.NotFoundError):
                await asked
        with pytest.raises(openai.BadRequestError) as raised:
            await bob.responses.create(model=FLASH, input="Go on", previous_response_id=kept.id)
        assert (raised.value.code, raised.value.param) == ("previous_response_not_found", "previous_response_id")
        assert len(client.upstream.asked) == 1


async def test_a_response_is_looked_at_listed_and_deleted() -> None:
    async with gateway() as client, sdk(client) as ada:
        kept = await ada.responses.create(model=FLASH, input=[{"role": "user", "content": "one"}], metadata={"a": "b"})
        assert (await ada.responses.retrieve(kept.id)).metadata == {"a": "b"}
        items = [item async for item in ada.responses.input_items.list(kept.id)]
        assert items[0].content[0].text == "one"  # type: ignore[union-attr]
        with pytest.raises(openai.BadRequestError, match="synchronous"):
            await ada.responses.cancel(kept.id)
        await ada.responses.delete(kept.id)
        with pytest.raises(openai.NotFoundError):
            await ada.responses.retrieve(kept.id)


@pytest.mark.parametrize(("store", "days"), [(False, 30), (True, 0)], ids=["store=false", "keep_responses_days=0"])
async def test_nothing_is_kept_that_should_not_be(store: bool, days: float) -> None:
    async with gateway(settings={"state": {"keep_responses_days": days}}) as client, sdk(client) as ada:
        passing = await ada.responses.create(model=FLASH, input="hi", store=store)
        with pytest.raises(openai.NotFoundError):
            await ada.responses.retrieve(passing.id)


def with_file(megabytes: float) -> Any:
    """A question about a text file, which takes so many MB in a request, and in a record."""
    data = "data:text/plain;base64," + "QUJD" * round(megabytes * 250_000)
    file = {"type": "input_file", "filename": "long.txt", "file_data": data}
    return [{"role": "user", "content": [file, {"type": "input_text", "text": "Hi"}]}]


async def test_what_is_too_large_is_answered_and_not_kept() -> None:
    async with gateway() as client, sdk(client) as ada:
        large = await ada.responses.create(model=FLASH, input=with_file(16))
        assert large.output_text == "Hello"
        with pytest.raises(openai.NotFoundError):
            await ada.responses.retrieve(large.id)


class _Away(MemoryStore):
    async def get(self, key: str) -> bytes | None:
        raise StateAway("ConnectionError")

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        raise StateAway("ConnectionError")


async def test_a_store_that_is_away_costs_no_answer() -> None:
    async with gateway(state=_Away()) as client, sdk(client) as ada:
        assert (await ada.responses.create(model=FLASH, input="hi")).output_text == "Hello"
        with pytest.raises(openai.InternalServerError) as raised:
            await ada.responses.create(model=FLASH, input="more", previous_response_id="resp_0123456789abcdef")
        assert raised.value.response.headers["retry-after"] == "5"
        assert raised.value.status_code == 503


async def test_tokens_are_counted_before_a_call_is_made() -> None:
    async with gateway(script=[Script(TextDelta("x"), Finished())]) as client, sdk(client) as ada:
        counted = await ada.responses.input_tokens.count(model=FLASH, input="word " * 100)
        assert counted.input_tokens > 50
        assert client.upstream.asked == []


async def test_a_caller_may_send_a_message_item_back() -> None:
    async with gateway(script=[Script("Hello")]) as client, sdk(client) as ada:
        first = await ada.responses.create(model=FLASH, input="hi")
        back: Any = [{"type": "item_reference", "id": first.output[0].id}, {"role": "user", "content": "and?"}]
        await ada.responses.create(model=FLASH, input=back)
        assert [m.parts for m in client.upstream.asked[-1][1].messages] == [(Text("Hello"),), (Text("and?"),)]
        with pytest.raises(openai.NotFoundError):
            await ada.responses.create(model=FLASH, input=[{"type": "item_reference", "id": "msg_0123456789abcdef0000"}])
