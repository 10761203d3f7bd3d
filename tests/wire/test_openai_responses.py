"""OpenAI's Responses API on the wire: what is read, what goes out, and what is kept of it."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from gateway.errors import InvalidRequest, NotFound, PreviousNotFound, RateLimited
from gateway.model import Blob, Call, Event, JsonAnswer, Text, TextDelta, Thought, ToolCall, ToolChoice, ToolResult, ToolUse
from gateway.wire.openai_responses import OpenAIResponses
from tests.wire.goldens import ANSWERS, PIXEL, all_errors, asked, data, same, streamed, whole
from tests.wire.schemas import valid

DIALECT = OpenAIResponses()
FUNCTION = {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {}}, "strict": True}
PATCH = {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: x"}}
PIXEL_URL = "data:image/png;base64," + base64.b64encode(PIXEL).decode()


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "gemini-2.5-flash", "input": "hi", **fields}


FULL = ask(
    instructions="Be brief",
    reasoning={"effort": "high", "summary": "auto"},
    tools=[FUNCTION],
    metadata={"a": "b"},
    include=["reasoning.encrypted_content"],
)


def answered(call: Call, answer: str = "plain") -> bytes:
    """`call` answered, and the record of it."""
    whole(DIALECT, call, ANSWERS[answer])
    record = DIALECT.record(call)
    assert record is not None
    return record


# --- writing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_goes_out_as_the_original_writes_it(answer: str) -> None:
    body = whole(DIALECT, asked(DIALECT, FULL), ANSWERS[answer])
    valid(orjson.loads(body), "openai_responses", "Response")
    valid(orjson.loads(body), "openresponses", "ResponseResource") if answer not in ("picture", "empty") else None
    same(f"openai_responses/{answer}.json", body)


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_stream_goes_out_as_the_original_writes_it(answer: str) -> None:
    stream = streamed(DIALECT, asked(DIALECT, FULL), ANSWERS[answer])
    events = data(stream)
    for event in events:
        valid(event, "openai_responses", "ResponseStreamEvent")
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert events[-1]["type"] in ("response.completed", "response.incomplete")
    same(f"openai_responses/{answer}.sse", stream)


@pytest.mark.parametrize("answer", [name for name in ANSWERS if name != "empty"])
def test_a_stream_ends_with_what_a_whole_reply_says(answer: str) -> None:
    final = data(streamed(DIALECT, asked(DIALECT, FULL), ANSWERS[answer]))[-1]["response"]
    assert final == orjson.loads(whole(DIALECT, asked(DIALECT, FULL), ANSWERS[answer]))


def test_an_item_is_told_from_its_beginning_to_its_end() -> None:
    events = data(streamed(DIALECT, asked(DIALECT, FULL), ANSWERS["tools"]))
    assert [event["type"].removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        *["output_item.added", "function_call_arguments.delta", "function_call_arguments.done", "output_item.done"] * 2,
        "completed",
    ]
    assert [event["output_index"] for event in events if event["type"].endswith("item.added")] == [0, 1, 2]


def test_long_text_goes_out_in_lines_that_clients_can_read() -> None:
    call = asked(DIALECT, ask())
    stream = DIALECT.encode_start(call) + DIALECT.encode_event(TextDelta('"\x01' * 100_000), call)
    assert max(map(len, stream.split(b"\n"))) < 64_000
    assert "".join(event.get("delta", "") for event in data(stream)) == '"\x01' * 100_000


def test_every_error_has_the_originals_body() -> None:
    body = all_errors(DIALECT)
    for error in orjson.loads(body).values():
        valid(error["body"], "openai_responses", "ErrorResponse")
    same("openai_responses/errors.json", body)


def test_an_error_in_mid_stream_fails_the_response() -> None:
    call = asked(DIALECT, ask())
    streamed(DIALECT, call, [TextDelta("Half an ans")])
    error, failed = data(DIALECT.encode_late_error(RateLimited("Slow down"), call))
    valid(error, "openai_responses", "ResponseErrorEvent")
    valid(failed, "openai_responses", "ResponseFailedEvent")
    assert error["error"]["message"] == "Slow down"  # what the official SDKs raise on
    assert failed["response"]["status"] == "failed"
    assert failed["response"]["error"] == {"code": "rate_limit_exceeded", "message": "Slow down"}


def test_thoughts_are_summed_up_only_for_those_who_ask() -> None:
    reply = orjson.loads(whole(DIALECT, asked(DIALECT, ask()), ANSWERS["thoughts"]))
    assert reply["output"][0]["summary"] == []
    assert b"reasoning_summary" not in streamed(DIALECT, asked(DIALECT, ask()), ANSWERS["thoughts"])


# --- tools --------------------------------------------------------------------------------------------------------


def calling(call: Call, *calls: Event) -> list[dict[str, Any]]:
    return list(orjson.loads(whole(DIALECT, call, [*calls, ANSWERS["tools"][-1]]))["output"])


def test_tools_of_a_namespace_are_called_by_it() -> None:
    space = {"type": "namespace", "name": "mcp__files", "description": "Files", "tools": [FUNCTION, PATCH]}
    call = asked(DIALECT, ask(tools=[FUNCTION, space]))
    assert [tool.name for tool in call.tools] == ["weather", "mcp__files.weather", "mcp__files.patch"]
    plain, spaced = calling(call, ToolCall("c1", "weather", "{}"), ToolCall("c2", "mcp__files.weather", "{}", 1))
    assert (plain["name"], plain.get("namespace")) == ("weather", None)
    assert (spaced["name"], spaced["namespace"]) == ("weather", "mcp__files")


def test_a_custom_tool_gets_its_input_as_text() -> None:
    call = asked(DIALECT, ask(tools=[PATCH]))
    assert "start: x" in call.tools[0].description
    stream = data(streamed(DIALECT, call, [ToolCall("c1", "patch", '{"input":"*** Begin"}'), ANSWERS["tools"][-1]]))
    for event in stream:
        valid(event, "openai_responses", "ResponseStreamEvent")
    (item,) = stream[-1]["response"]["output"]
    assert (item["type"], item["name"], item["input"]) == ("custom_tool_call", "patch", "*** Begin")


def test_tools_of_openais_servers_are_left_out_or_refused() -> None:
    call = asked(DIALECT, ask(tools=[{"type": "web_search"}, {"type": "image_generation"}, FUNCTION]))
    assert [tool.name for tool in call.tools] == ["weather"]
    assert call.ignored == ("tools.web_search", "tools.image_generation")
    with pytest.raises(InvalidRequest, match=r"tools\.0\.type"):
        asked(DIALECT, ask(tools=[{"type": "file_search", "vector_store_ids": ["x"]}]))


@pytest.mark.parametrize(
    ("choice", "wanted"),
    [
        ("auto", ToolChoice()),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "weather"}, ToolChoice("required", frozenset(["weather"]))),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "weather"}]},
            ToolChoice("auto", frozenset(["weather"])),
        ),
    ],
    ids=str,
)
def test_tools_may_be_demanded(choice: Any, wanted: ToolChoice) -> None:
    assert asked(DIALECT, ask(tools=[FUNCTION, PATCH], tool_choice=choice)).tool_choice == wanted


# --- input --------------------------------------------------------------------------------------------------------


def test_input_of_all_forms_becomes_turns() -> None:
    look = [{"type": "input_text", "text": "Look"}, {"type": "input_image", "image_url": PIXEL_URL}]
    items = [
        {"role": "developer", "content": "Rules"},
        {"type": "message", "role": "user", "content": look},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Oslo"}'},
        {"type": "custom_tool_call", "call_id": "c2", "name": "patch", "input": "x"},
        {"type": "function_call_output", "call_id": "c1", "output": "12 C"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "done"}]},
        {"type": "message", "role": "user", "content": "Thanks"},
    ]
    call = asked(DIALECT, ask(input=items, instructions="First"))
    assert [message.role for message in call.messages] == ["system", "system", "user", "assistant", "user", "user"]
    assert [type(part) for part in call.messages[2].parts] == [Text, Blob]
    assert call.messages[3].parts == (
        Thought("hm"),
        Text("I look."),
        ToolUse("c1", "weather", '{"city":"Oslo"}'),
        ToolUse("c2", "patch", '{"input":"x"}'),
    )
    assert call.messages[4].parts == (ToolResult("c1", "weather", "12 C"), ToolResult("c2", "patch", "done"))


def test_an_answer_may_be_asked_for_as_json() -> None:
    form = {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True}
    call = asked(DIALECT, ask(text={"format": form}))
    assert call.json_answer == JsonAnswer({"type": "object"}, "city", strict=True)
    assert orjson.loads(whole(DIALECT, call, ANSWERS["json"]))["text"]["format"] == form
    assert asked(DIALECT, ask(text={"format": {"type": "json_object"}})).json_answer == JsonAnswer()


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": 5}, "input"),
        ({"input": [{"type": "computer_call"}]}, "input.0.type"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input.0.role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]}, "input.0.content.0.file_id"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input.0.call_id"),
        ({"background": True, "store": False}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"temperature": 3}, "temperature"),
        ({"max_output_tokens": 15}, "max_output_tokens"),
        ({"tools": [FUNCTION, FUNCTION]}, "tools.1.name"),
        ({"tool_choice": {"type": "function", "name": "x"}}, "tool_choice.name"),
        ({"text": {"format": {"type": "json_schema", "name": "x"}}}, "text.format.schema"),
    ],
)
def test_a_mistake_names_its_field(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        asked(DIALECT, ask(**fields))
    assert raised.value.param == param


# --- what is kept -------------------------------------------------------------------------------------------------


def test_a_conversation_goes_on_from_a_kept_response() -> None:
    first = asked(DIALECT, ask(instructions="Be brief"))
    record = answered(first)
    call = asked(DIALECT, ask(input="And now?", previous_response_id=first.id))
    assert DIALECT.needs(call) == {first.id}
    went_on = DIALECT.recall(call, {first.id: record})
    # The instructions of the first response are not carried over, as in the original.
    assert [message.text for message in went_on.messages] == ["hi", "Hello wörld", "And now?"]
    third = answered(went_on)
    assert len(orjson.loads(third)["input"]) == 3


def test_an_item_may_be_referred_to_by_its_id() -> None:
    first = asked(DIALECT, ask())
    record = answered(first, "tools")
    item = orjson.loads(record)["response"]["output"][1]
    result = {"type": "function_call_output", "call_id": "call_1", "output": "x"}
    items = [{"type": "item_reference", "id": item["id"]}, result]
    call = asked(DIALECT, ask(input=items))
    assert DIALECT.needs(call) == {first.id}
    said, _ = DIALECT.recall(call, {first.id: record}).messages
    assert said.parts == (ToolUse("call_1", "weather", '{"city":"Oslo"}'),)
    with pytest.raises(NotFound, match="not found"):
        DIALECT.recall(call, {})


def test_what_is_not_kept_is_said_to_be_missing() -> None:
    call = asked(DIALECT, ask(previous_response_id="resp_gone"))
    with pytest.raises(PreviousNotFound) as raised:
        DIALECT.recall(call, {})
    assert (raised.value.status, raised.value.param) == (400, "previous_response_id")
    unkept = asked(DIALECT, ask(store=False))
    whole(DIALECT, unkept, ANSWERS["plain"])
    assert DIALECT.record(unkept) is None
    assert DIALECT.record(asked(DIALECT, ask())) is None  # not answered


def test_the_items_of_a_kept_response_are_listed_in_pages() -> None:
    items = [{"role": "user", "content": f"number {number}"} for number in range(5)]
    call = asked(DIALECT, ask(input=items))
    record = answered(call)
    page = orjson.loads(DIALECT.encode_record("input_items", call.id, record, {"limit": "2"}))
    assert [item["content"][0]["text"] for item in page["data"]] == ["number 4", "number 3"]
    assert page["has_more"] is True
    rest = orjson.loads(DIALECT.encode_record("input_items", call.id, record, {"after": page["last_id"], "limit": "9"}))
    assert [item["content"][0]["text"] for item in rest["data"]] == ["number 2", "number 1", "number 0"]
    with pytest.raises(InvalidRequest, match="limit"):
        DIALECT.encode_record("input_items", call.id, record, {"limit": "0"})
