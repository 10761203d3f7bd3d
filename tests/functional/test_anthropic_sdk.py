"""The official anthropic package against the running gateway: it gets answers, and raises its own typed exceptions."""

from __future__ import annotations

import base64
import json
from typing import Any

import anthropic
import pytest

from gateway.simulator import Fault, filler
from tests.functional.conftest import KEY, Launch, Live
from tests.wire.goldens import PIXEL

FLASH = "gemini-2.5-flash"
SAY: Any = [{"role": "user", "content": "[[sim text=hello frames=5]]"}]
WEATHER: Any = {
    "name": "weather",
    "description": "Weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALLED = 'Let me look.\n\n```tool_call\n{"name": "weather", "arguments": {"city": "Oslo"}}\n```'


def sdk(live: Live, key: str = KEY, **options: Any) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=live.url, api_key=key, max_retries=0, **options)


async def test_it_chats_streams_counts_and_lists_models(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        whole = await client.messages.create(model=FLASH, max_tokens=100, messages=SAY)
        assert (whole.content[0].text, whole.stop_reason) == ("hello", "end_turn")  # type: ignore[union-attr]
        assert whole.model == "gemini-3.8-flash" and whole.usage.input_tokens > 0
        async with client.messages.stream(model=FLASH, max_tokens=100, messages=SAY) as stream:
            assert "".join([text async for text in stream.text_stream]) == "hello"
        assert (await client.messages.count_tokens(model=FLASH, messages=SAY)).input_tokens > 0
        names = [model.id async for model in client.models.list(limit=3)]  # several pages
        assert {FLASH, "gemini-3.0-pro"} <= set(names) and len(names) == len(set(names)) > 3
        assert (await client.models.retrieve(FLASH)).id == FLASH


async def test_a_key_goes_as_either_header(launch: Launch) -> None:
    async with launch() as live, anthropic.AsyncAnthropic(base_url=live.url, auth_token=KEY, max_retries=0) as client:
        assert (await client.messages.create(model=FLASH, max_tokens=100, messages=SAY)).content


async def test_the_model_names_of_its_users_work(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        for asked, served in (("claude-haiku-4-5-20251001", "gemini-3.8-flash"), ("claude-opus-4-8", "gemini-3.1-pro")):
            assert (await client.messages.create(model=asked, max_tokens=100, messages=SAY)).model == served


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_a_tool_is_called_and_its_result_answered(launch: Launch, stream: bool) -> None:
    async with launch() as live, sdk(live) as client:
        live.site.line(CALLED, match="weather in Oslo")
        live.site.line("It is 12 C.", match="12 degrees")
        messages: Any = [{"role": "user", "content": "The weather in Oslo?"}]
        ask: Any = {"model": FLASH, "max_tokens": 500, "tools": [WEATHER]}
        if stream:
            async with client.messages.stream(**ask, messages=messages) as events:
                reply: Any = await events.get_final_message()
        else:
            reply = await client.messages.create(**ask, messages=messages)
        text, use = reply.content
        assert (text.text.strip(), use.name, use.input, reply.stop_reason) == (
            "Let me look.",
            "weather",
            {"city": "Oslo"},
            "tool_use",
        )
        result = {"type": "tool_result", "tool_use_id": use.id, "content": [{"type": "text", "text": "12 degrees"}]}
        messages += [{"role": "assistant", "content": reply.to_dict()["content"]}, {"role": "user", "content": [result]}]
        final = await client.messages.create(**ask, messages=messages)
        assert final.content[0].text == "It is 12 C."  # type: ignore[union-attr]


async def test_its_tool_runner_plays_all_rounds(launch: Launch) -> None:
    """It asks to have the conversation kept (`thread`), is told no, and goes on by sending all of it."""
    written: dict[str, str] = {}

    @anthropic.beta_async_tool
    async def write(path: str, text: str) -> str:
        """Write a file."""
        written[path] = text
        return "done"

    async with launch() as live, sdk(live) as client:
        steps = [{"name": "write", "arguments": {"path": path, "text": path.upper()}} for path in ("a", "b")]
        ask: Any = [{"role": "user", "content": f"[[sim steps={json.dumps(json.dumps(steps))}]]"}]
        runner = client.beta.messages.tool_runner(model=FLASH, max_tokens=500, messages=ask, tools=[write])
        final = await runner.until_done()
        assert (final.content[0].text, written) == ("All steps are done.", {"a": "A", "b": "B"})  # type: ignore[union-attr]
        with pytest.raises(anthropic.BadRequestError, match="send all of its messages"):
            await client.beta.messages.create(model=FLASH, max_tokens=10, messages=SAY, thread={"type": "create"})
        assert (await client.beta.messages.create(model=FLASH, max_tokens=10, messages=SAY, thread=None)).content


async def test_thoughts_come_as_signed_blocks_and_may_be_sent_back(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        messages: Any = [{"role": "user", "content": "[[sim thoughts=40 text=hi]]"}]
        ask: Any = {"model": FLASH, "max_tokens": 5000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
        whole = await client.messages.create(**ask, messages=messages)
        async with client.messages.stream(**ask, messages=messages) as events:
            streamed = await events.get_final_message()
        thought, text = whole.to_dict()["content"]  # type: ignore[misc]
        assert (thought["thinking"], text["text"]) == (filler(40, "ascii"), "hi")  # type: ignore[index]
        assert streamed.content[0].signature == thought["signature"] != ""  # type: ignore[index,union-attr]
        messages += [{"role": "assistant", "content": [thought, text]}, SAY[0]]
        assert (await client.messages.create(**ask, messages=messages)).stop_reason == "end_turn"


async def test_a_picture_and_a_document_reach_the_model(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        picture = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PIXEL).decode()}
        document = {"type": "base64", "media_type": "application/pdf", "data": base64.b64encode(b"%PDF-1.7").decode()}
        content: Any = [{"type": "image", "source": picture}, {"type": "document", "source": document}]
        content.append({"type": "text", "text": "[[sim text=seen]]"})
        reply = await client.messages.create(model=FLASH, max_tokens=50, messages=[{"role": "user", "content": content}])
        assert reply.content[0].text == "seen"  # type: ignore[union-attr]
        assert [file.type for file in live.site.log.generates[-1].files] == ["image/png", "application/pdf"]


async def test_a_stop_sequence_ends_the_answer_and_is_named(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        messages: Any = [{"role": "user", "content": '[[sim text="one two three" frames=3]]'}]
        ask: Any = {"model": FLASH, "max_tokens": 100, "stop_sequences": ["two"], "messages": messages}
        whole = await client.messages.create(**ask)
        assert (whole.content[0].text, whole.stop_reason, whole.stop_sequence) == ("one ", "stop_sequence", "two")  # type: ignore[union-attr]
        async with client.messages.stream(**ask) as events:
            assert (await events.get_final_message()).stop_sequence == "two"
        cut = await client.messages.create(model=FLASH, max_tokens=1, messages=messages)
        assert cut.stop_reason == "max_tokens"


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        (Fault("1037"), anthropic.RateLimitError, 429),
        (Fault("1060"), anthropic.InternalServerError, 529),
        (Fault("500"), anthropic.InternalServerError, 502),
        (Fault("hang"), anthropic.InternalServerError, 504),
    ],
    ids=lambda value: getattr(value, "name", None),
)
async def test_it_raises_its_own_exceptions_for_upstream_trouble(
    launch: Launch, fault: Fault, error: type[anthropic.APIStatusError], status: int
) -> None:
    async with launch(settings={"upstream": {"first_byte_timeout_s": 1.5}}) as live, sdk(live) as client:
        live.site.fault("a", "generate", fault, times=None)
        with pytest.raises(error) as raised:
            await client.messages.create(model=FLASH, max_tokens=10, messages=SAY)
        assert raised.value.status_code == status
        assert raised.value.request_id and f"req_{raised.value.request_id}" == raised.value.body["request_id"]  # type: ignore[index]


async def test_it_raises_its_own_exceptions_for_mistakes_of_the_caller(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client, sdk(live, "sk-wrong") as stranger:
        create = client.messages.create
        with pytest.raises(anthropic.NotFoundError):
            await create(model="gpt-nothing", max_tokens=10, messages=SAY)
        with pytest.raises(anthropic.BadRequestError, match="max_tokens"):
            await create(model=FLASH, max_tokens=0, messages=SAY)
        with pytest.raises(anthropic.AuthenticationError):
            await stranger.messages.create(model=FLASH, max_tokens=10, messages=SAY)
        with pytest.raises(anthropic.AuthenticationError) as raised:
            await stranger.models.list()
        assert raised.value.body["type"] == "error"  # type: ignore[index]
        with pytest.raises(anthropic.APIStatusError) as large:
            await create(model=FLASH, max_tokens=10, messages=[{"role": "user", "content": "x " * 3_000_000}])
        assert large.value.status_code == 413
        with pytest.raises(anthropic.APIStatusError) as batch:
            await client.messages.batches.create(requests=[])
        assert batch.value.status_code == 501


async def test_it_raises_in_the_middle_of_a_stream_that_broke(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        live.site.fault("a", "generate", Fault("reset_mid"), times=None)
        messages: Any = [{"role": "user", "content": "[[sim chars=400 frames=8]]"}]
        text = ""
        with pytest.raises(anthropic.APIStatusError):
            async with client.messages.stream(model=FLASH, max_tokens=1000, messages=messages) as events:
                async for piece in events.text_stream:
                    text += piece
        assert text and filler(400, "ascii").startswith(text)


async def test_a_probe_without_a_key_is_answered(launch: Launch) -> None:
    async with launch() as live, live.client.http.head("/", headers={"Authorization": ""}) as reply:
        assert reply.status == 200


async def test_a_model_is_found_by_every_name_that_can_be_asked(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        assert (await client.models.retrieve("claude-sonnet-4-5")).id == "claude-sonnet-4-5"
        with pytest.raises(anthropic.NotFoundError):
            await client.models.retrieve("gpt-nothing")


async def test_batches_are_a_501_at_each_of_their_addresses(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        for path in ("", "/msgbatch_1", "/msgbatch_1/results"):
            with pytest.raises(anthropic.APIStatusError) as raised:
                await client.get(f"/v1/messages/batches{path}", cast_to=object)
            assert raised.value.status_code == 501
