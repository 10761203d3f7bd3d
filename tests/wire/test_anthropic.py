"""Anthropic's Messages API on the wire: what is read, and what goes out, to the byte and by the original's schemas."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from gateway.errors import InvalidRequest, Overloaded, UpstreamTimeout
from gateway.model import Blob, JsonAnswer, Message, Text, Thought, ToolChoice, ToolResult, ToolUse
from gateway.wire.anthropic import Anthropic
from tests.wire.goldens import ANSWERS, PIXEL, all_errors, asked, data, same, streamed, whole
from tests.wire.schemas import valid

DIALECT = Anthropic()
PIXEL_B64 = base64.b64encode(PIXEL).decode()
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL_B64}}
WEATHER = {"name": "weather", "description": "Weather now", "input_schema": {"type": "object", "properties": {}}}
EVENTS = {
    "message_start": "MessageStartEvent",
    "content_block_start": "ContentBlockStartEvent",
    "content_block_delta": "ContentBlockDeltaEvent",
    "content_block_stop": "ContentBlockStopEvent",
    "message_delta": "MessageDeltaEvent",
    "message_stop": "MessageStopEvent",
    "error": "ErrorResponse",
}


def ask(**fields: Any) -> dict[str, Any]:
    messages = [{"role": "user", "content": "hi"}]
    return {"model": "claude-opus-4-8", "max_tokens": 100, "messages": messages, **fields}


THINKING = ask(thinking={"type": "adaptive"})


# --- writing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_goes_out_as_the_original_writes_it(answer: str) -> None:
    body = whole(DIALECT, asked(DIALECT, THINKING), ANSWERS[answer])
    valid(orjson.loads(body), "anthropic", "Message")
    same(f"anthropic/{answer}.json", body)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_stream_goes_out_as_the_original_writes_it(answer: str) -> None:
    stream = streamed(DIALECT, asked(DIALECT, THINKING), ANSWERS[answer])
    for event in data(stream):
        if event["type"] != "ping":
            valid(event, "anthropic", EVENTS[event["type"]])
    same(f"anthropic/{answer}.sse", stream)


def test_every_error_has_the_originals_body_and_status() -> None:
    body = all_errors(DIALECT)
    for name, error in orjson.loads(body).items():
        if error["status"] != 413:  # documented by the original, and missing in its schema
            valid(error["body"], "anthropic", "ErrorResponse")
        assert name != "Overloaded" or error["status"] == 529
    same("anthropic/errors.json", body)


def test_an_error_in_mid_stream_is_an_error_event() -> None:
    stream = DIALECT.encode_late_error(Overloaded("Full"), asked(DIALECT, ask()))
    (event,) = data(stream)
    assert stream.startswith(b"event: error\n")
    assert event["error"] == {"type": "overloaded_error", "message": "Full"}
    assert DIALECT.status(UpstreamTimeout("x")) == 504


def test_thoughts_are_shown_only_to_those_who_ask() -> None:
    for body in (ask(), ask(thinking={"type": "disabled"}), ask(thinking={"type": "adaptive", "display": "omitted"})):
        reply = orjson.loads(whole(DIALECT, asked(DIALECT, body), ANSWERS["thoughts"]))
        assert [block["type"] for block in reply["content"]] == ["text"]
        assert b"thinking_delta" not in streamed(DIALECT, asked(DIALECT, body), ANSWERS["thoughts"])


# --- reading ------------------------------------------------------------------------------------------------------


def test_a_system_prompt_may_stand_anywhere() -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "system", "content": [{"type": "text", "text": "Be brief"}]}]
    call = asked(DIALECT, ask(system=[{"type": "text", "text": "You are Ada"}], messages=messages))
    assert [(message.role, message.text) for message in call.messages] == [
        ("system", "You are Ada"),
        ("user", "hi"),
        ("system", "Be brief"),
    ]


def test_a_turn_with_tools_keeps_ids_names_and_pictures() -> None:
    turn = [
        {"type": "thinking", "thinking": "hm", "signature": "xyz"},
        {"type": "redacted_thinking", "data": "abc"},
        {"type": "text", "text": "I look."},
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Oslo"}},
    ]
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "12 C"}, PICTURE]}
    failed = {"type": "tool_result", "tool_use_id": "toolu_2", "content": "no", "is_error": True}
    messages = [{"role": "assistant", "content": turn}, {"role": "user", "content": [result, failed]}]
    said, results = asked(DIALECT, ask(messages=messages)).messages
    assert said.parts == (Thought("hm"), Text("I look."), ToolUse("toolu_1", "weather", '{"city":"Oslo"}'))
    assert results.parts == (
        ToolResult("toolu_1", "weather", "12 C"),
        Blob(PIXEL, "image/png", "file-1.png"),
        ToolResult("toolu_2", "", "no", failed=True),
    )


def test_pictures_and_documents_come_in_every_form() -> None:
    pdf = base64.b64encode(b"%PDF-1.7 x").decode()
    content = [
        PICTURE,
        {"type": "image", "source": {"type": "url", "url": f"data:image/png;base64,{PIXEL_B64}"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": pdf}, "title": "Deed"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain words"}},
        {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "a block"}]}},
        {"type": "search_result", "title": "T", "source": "https://x", "content": [{"type": "text", "text": "found"}]},
    ]
    (message,) = asked(DIALECT, ask(messages=[{"role": "user", "content": content}])).messages
    assert [part.mime for part in message.parts if isinstance(part, Blob)] == ["image/png", "image/png", "application/pdf"]
    assert message.text == "Deed\nplain words\na block\nT\nhttps://x\nfound"


@pytest.mark.parametrize(
    ("choice", "wanted", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(), True),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required"), False),
        ({"type": "tool", "name": "weather"}, ToolChoice("required", frozenset(["weather"])), True),
        ({"type": "tool", "name": "web_search"}, ToolChoice(), True),
        ({"type": "none"}, ToolChoice("none"), True),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_tools_may_be_demanded(choice: dict[str, Any], wanted: ToolChoice, parallel: bool) -> None:
    search = {"type": "web_search_20250305", "name": "web_search"}
    call = asked(DIALECT, ask(tools=[WEATHER, search], tool_choice=choice))
    assert [tool.name for tool in call.tools] == ["weather"]
    assert (call.tool_choice, call.parallel_tools, call.ignored) == (wanted, parallel, ("tools.web_search_20250305",))


def test_an_answer_may_be_asked_for_as_json_and_thinking_as_long() -> None:
    schema = {"type": "object"}
    form = {"type": "json_schema", "schema": schema}
    call = asked(DIALECT, ask(output_config={"effort": "max", "format": form}, stop_sequences=["END"], temperature=0.5))
    assert call.json_answer == JsonAnswer(schema, strict=True)
    assert (call.extended_thinking, call.show_thoughts, call.stop) == (True, False, ("END",))
    assert call.ignored == ("temperature",)
    long = asked(DIALECT, ask(thinking={"type": "enabled", "budget_tokens": 20_000}))
    assert (long.extended_thinking, long.show_thoughts) == (True, True)


def test_tokens_are_counted_without_a_limit_for_the_answer() -> None:
    body = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": "hi"}]}
    call = asked(DIALECT, body, route=1)
    assert call.messages == (Message("user", (Text("hi"),)),)
    reply = orjson.loads(DIALECT.encode_count(7, call))
    valid(reply, "anthropic", "CountMessageTokensResponse")
    assert reply == {"input_tokens": 7}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"max_tokens": None}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages.0.content"),
        ({"messages": [{"role": "user", "content": [{"type": "video"}]}]}, "messages.0.content.0.type"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "messages.0.content.0.tool_use_id"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]}]}, None),
        ({"system": 5}, "system"),
        ({"temperature": 1.5}, "temperature"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"tools": [{"name": "x"}]}, "tools.0.input_schema"),
        ({"tools": [{"type": "computer_20250124", "name": "computer"}]}, "tools.0.type"),
        ({"tool_choice": {"type": "tool", "name": "nothing"}}, "tool_choice.name"),
        ({"mcp_servers": [{"url": "https://x"}]}, "mcp_servers"),
        ({"thread": {"type": "create"}}, "thread"),
        ({"thread": {"type": "continue", "previous_message_id": "msg_1"}, "messages": []}, "thread"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ],
)
def test_a_mistake_names_its_field(fields: dict[str, Any], param: str | None) -> None:
    with pytest.raises(InvalidRequest) as raised:
        asked(DIALECT, ask(**fields))
    assert raised.value.param == (param or "messages.0.content.0.source.file_id")
