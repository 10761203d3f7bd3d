"""Responses in the background: a receipt at once, the answer when it is there, an end when it is not wanted any more."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import openai
import orjson
import pytest
from openai.types.responses import Response

from gateway.errors import AccountExhausted
from gateway.hookspecs import hookimpl
from gateway.model import Call, Outcome
from gateway.state.memory import MemoryStore
from gateway.testing import Script
from tests.http.test_kept_responses import FLASH, gateway, sdk, with_file
from tests.waiting import until


async def ended(ada: openai.AsyncOpenAI, id: str) -> Response:
    """Poll as a client does."""
    async with asyncio.timeout(20):
        while (response := await ada.responses.retrieve(id)).status in ("queued", "in_progress"):
            pass
    return response


async def test_a_receipt_comes_at_once_and_the_answer_is_polled_for() -> None:
    go_on = asyncio.Event()
    async with gateway(script=[Script("Hel", go_on, "lo")]) as client, sdk(client) as ada:
        receipt = await ada.responses.create(model=FLASH, input="Hi", background=True)
        assert (receipt.status, receipt.background, receipt.output) == ("queued", True, [])
        await until(lambda: client.upstream.asked)
        assert (await ada.responses.retrieve(receipt.id)).status == "in_progress"
        go_on.set()
        final = await ended(ada, receipt.id)
        assert (final.status, final.output_text, final.background) == ("completed", "Hello", True)
        assert final.usage is not None and final.usage.output_tokens > 0
        assert await ada.responses.cancel(receipt.id) == final
        again = await ada.responses.create(model=FLASH, input="And?", previous_response_id=receipt.id)
        assert again.output_text == "Hello"


async def test_what_is_not_wanted_any_more_frees_its_account() -> None:
    async with gateway(script=[Script("Hel", asyncio.Event())]) as client, sdk(client) as ada:
        receipt = await ada.responses.create(model=FLASH, input="Hi", background=True)
        await until(lambda: client.upstream.asked)
        cancelled = await ada.responses.cancel(receipt.id)
        assert cancelled.status == "cancelled"
        assert await ada.responses.retrieve(receipt.id) == cancelled
        assert client.upstream.closed == 1
        assert [account.in_flight for account in client.gateway.pool.views()] == [0]


async def test_a_failure_is_in_the_response() -> None:
    async with gateway(script=[Script(AccountExhausted("used up", retry_after=60))]) as client, sdk(client) as ada:
        receipt = await ada.responses.create(model=FLASH, input="Hi", background=True)
        final = await ended(ada, receipt.id)
        assert final.status == "failed" and final.error is not None
        assert final.error.code == "rate_limit_exceeded"


async def test_it_needs_a_place_for_the_answer() -> None:
    async with gateway() as client, sdk(client) as ada:
        with pytest.raises(openai.BadRequestError, match="store"):
            await ada.responses.create(model=FLASH, input="Hi", background=True, store=False)
    async with gateway(settings={"state": {"keep_responses_days": 0}}) as client, sdk(client) as ada:
        with pytest.raises(openai.BadRequestError, match="keep_responses_days"):
            await ada.responses.create(model=FLASH, input="Hi", background=True)


async def test_a_stream_in_the_background_is_a_stream() -> None:
    async with gateway(script=[Script("Hello")]) as client, sdk(client) as ada:
        raw = await ada.responses.with_raw_response.create(model=FLASH, input="Hi", background=True, stream=True)
        assert "background" in raw.headers["x-gateway-ignored"]
        events = [event async for event in raw.parse()]
        assert events[-1].type == "response.completed"


async def test_a_conversation_is_made_short_and_gone_on_from() -> None:
    async with gateway(script=[Script("They speak of Oslo."), Script("Yes")]) as client, sdk(client) as ada:
        short = await ada.responses.compact(model=FLASH, input="Tell me of Oslo")
        assert [item.type for item in short.output] == ["compaction"]
        await ada.responses.create(model=FLASH, input=[*short.model_dump()["output"], {"role": "user", "content": "Go on"}])
        said = [message.text for message in client.upstream.asked[-1][1].messages]
        assert said == ["Summary of the conversation so far:\nThey speak of Oslo.", "Go on"]
        with pytest.raises(openai.NotFoundError):
            await ada.responses.retrieve(short.id)


async def test_a_summary_is_waited_for() -> None:
    async with gateway(script=[Script("They speak of Oslo.")]) as client, sdk(client) as ada:
        short = await ada.responses.compact(model=FLASH, input="Tell me of Oslo", extra_body={"background": True})
        assert [item.type for item in short.output] == ["compaction"]


class Finished:
    """Notes how calls ended."""

    def __init__(self) -> None:
        self.found: list[str | None] = []

    @hookimpl
    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        self.found.append(outcome.error)


async def kept(store: MemoryStore) -> Any:
    """The one response in `store`."""
    (key,) = await store.keys("answer:")
    return orjson.loads(await store.get(key) or b"")["response"]


@pytest.mark.parametrize("in_time", [True, False], ids=["in time", "too late"])
async def test_the_end_of_the_gateway_waits_for_it_or_says_so_in_its_record(in_time: bool) -> None:
    store, finished, go_on = MemoryStore(), Finished(), asyncio.Event()
    options: Any = {"state": store, "settings": {"server": {"shutdown_grace_s": 5 if in_time else 0.1}}}
    async with AsyncExitStack() as stack:
        plugins = [("finished", finished)]
        client = await stack.enter_async_context(gateway(plugins, script=[Script("Hel", go_on, "lo")], **options))
        ada = await stack.enter_async_context(sdk(client))
        await ada.responses.create(model=FLASH, input="Hi", background=True)
        await until(lambda: client.upstream.asked)
        closing = asyncio.create_task(stack.aclose())
        await until(lambda: client.gateway.boundary.stopping)
        if in_time:
            go_on.set()
        await closing
    final = await kept(store)
    assert final["status"] == ("completed" if in_time else "failed")
    assert in_time or "shut down" in final["error"]["message"]
    assert finished.found == [None if in_time else "ClientLeft"]
    assert client.upstream.closed == (0 if in_time else 1)


class Far(MemoryStore):
    """A store behind a network."""

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        await asyncio.sleep(0.05)
        await super().put(key, value, seconds=seconds)


async def test_it_is_over_once_however_often_it_is_cancelled() -> None:
    finished = Finished()
    options: Any = {"script": [Script("Hel", asyncio.Event())], "state": Far()}
    async with gateway([("finished", finished)], **options) as client, sdk(client) as ada:
        receipt = await ada.responses.create(model=FLASH, input="Hi", background=True)
        await until(lambda: client.upstream.asked)
        found = await asyncio.gather(*(ada.responses.cancel(receipt.id) for _ in range(5)))
        assert {one.status for one in found} == {"cancelled"}
        await until(lambda: finished.found)
    assert finished.found == ["ClientLeft"]


async def test_its_files_count_until_it_is_over() -> None:
    settings = {"server": {"max_held_mb": 1.5}}
    question = with_file(1.2)
    go_on = asyncio.Event()
    async with gateway(script=[Script("Hel", go_on, "lo")], settings=settings) as client, sdk(client) as ada:
        receipt = await ada.responses.create(model=FLASH, input=question, background=True)
        with pytest.raises(openai.InternalServerError, match="large requests"):
            await ada.responses.create(model=FLASH, input=question, background=True)
        go_on.set()
        assert (await ended(ada, receipt.id)).status == "completed"
        await ada.responses.create(model=FLASH, input=question)


async def test_what_is_too_large_to_be_kept_has_failed() -> None:
    async with gateway(script=[Script("x" * 16_000_000)]) as client, sdk(client) as ada:
        final = await ended(ada, (await ada.responses.create(model=FLASH, input="Hi", background=True)).id)
        assert final.status == "failed" and final.error is not None and "larger than" in final.error.message
        with pytest.raises(openai.APIStatusError) as raised:
            await ada.responses.create(model=FLASH, input=with_file(16), background=True)
        assert raised.value.status_code == 413


async def test_one_caller_leaves_room_for_others() -> None:
    options: Any = {"script": [Script(asyncio.Event())], "settings": {"server": {"shutdown_grace_s": 0}}}
    async with gateway(**options) as client, sdk(client) as ada, sdk(client, "sk-bob") as bob:
        first, *_ = [await ada.responses.create(model=FLASH, input="Hi", background=True) for _ in range(32)]
        with pytest.raises(openai.InternalServerError, match="background"):
            await ada.responses.create(model=FLASH, input="Hi", background=True)
        other = await bob.responses.create(model=FLASH, input="Hi", background=True)
        await bob.responses.cancel(other.id)
        await ada.responses.cancel(first.id)
        await ada.responses.cancel((await ada.responses.create(model=FLASH, input="Hi", background=True)).id)


async def test_what_another_process_deletes_stays_deleted() -> None:
    store, finished, go_on = MemoryStore(), Finished(), asyncio.Event()
    options: Any = {"script": [Script("Hel", go_on, "lo")], "state": store}
    async with gateway([("finished", finished)], **options) as client, sdk(client) as ada:
        await ada.responses.create(model=FLASH, input="Hi", background=True)
        await until(lambda: client.upstream.asked)
        (key,) = await store.keys("answer:")
        await store.delete(key)
        go_on.set()
        await until(lambda: finished.found)
        assert await store.keys("answer:") == []
