"""What the model gets wrong about tools and schemas it may correct once, unseen; then the caller is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.model import Call, Image, ImageReady, Message, Text, ToolResult, ToolUse
from gateway.testing import ChatReply, Client, Script, make_client
from plugins.structured_output import Plugin, Settings

WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
TOOLS = [{"type": "function", "function": WEATHER}]
ANSWER = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": ANSWER}}

DRAWN = ImageReady(Image(b"\x89PNG\r\n\x1a\n", "image/png", 1024, 1024))


def block(**arguments: Any) -> str:
    return f"```tool_call\n{json.dumps({'name': 'get_weather', 'arguments': arguments})}\n```\n"


async def asked(*script: Script, **body: Any) -> tuple[ChatReply, list[Call]]:
    async with make_client(plugins=[("structured_output", Plugin(Settings()))], script=script) as client:
        return await client.chat("hi", **body), calls_of(client)


def calls_of(client: Client) -> list[Call]:
    return [call for _, call in client.upstream.asked]


def arguments(reply: ChatReply) -> list[Any]:
    """Arguments of the calls of a whole reply or of a stream."""
    if isinstance(reply.body, dict):
        made = reply.body["choices"][0]["message"].get("tool_calls", [])
        return [json.loads(call["function"]["arguments"]) for call in made]
    joined: dict[int, str] = {}
    for chunk in reply.body:
        for delta in chunk["choices"][0]["delta"].get("tool_calls", []) if "choices" in chunk else []:
            joined[delta["index"]] = joined.get(delta["index"], "") + delta["function"]["arguments"]
    return [json.loads(text) for text in joined.values()]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_that_fits_passes_with_the_text_before_it(stream: bool) -> None:
    reply, calls = await asked(Script("Let me see.\n", block(city="Paris"), "It rains."), tools=TOOLS, stream=stream)
    assert (reply.text, arguments(reply), len(calls)) == ("Let me see.\n", [{"city": "Paris"}], 1)
    last = reply.body[-1] if stream else reply.body
    assert last["choices"][0]["finish_reason"] == "tool_calls"


@pytest.mark.parametrize("stream", [True, False])
async def test_arguments_that_do_not_fit_are_corrected_unseen(stream: bool) -> None:
    script = (Script("Now.\n", block(days=1)), Script("Sorry!\n", block(city="Rome")))
    reply, (_, repair) = await asked(*script, tools=TOOLS, stream=stream)
    assert (reply.text, arguments(reply)) == ("Now.\n", [{"city": "Rome"}])
    assert '"city" is a required property' in repair.messages[-1].text
    assert any(isinstance(part, ToolUse) for part in repair.messages[-2].parts)


async def test_only_the_calls_that_do_not_fit_are_written_again() -> None:
    reply, _ = await asked(Script(block(city="Paris"), block(days=1)), Script(block(city="Rome")), tools=TOOLS)
    assert arguments(reply) == [{"city": "Paris"}, {"city": "Rome"}]
    ids = [call["id"] for call in reply.body["choices"][0]["message"]["tool_calls"]]
    assert len(set(ids)) == 2


@pytest.mark.parametrize(
    "second", [block(days=2), "```tool_call\n{cut", '```tool_call\n{"name": "rm", "arguments": {}}\n```']
)
async def test_what_still_does_not_fit_is_a_clear_error(second: str) -> None:
    reply, calls = await asked(Script(block(days=1)), Script(second), tools=TOOLS)
    assert (reply.status, reply.body["error"]["code"], len(calls)) == (502, "invalid_answer", 2)
    streamed, _ = await asked(Script("text ", block(days=1)), Script(second), tools=TOOLS, stream=True)
    assert streamed.body[-1]["error"]["code"] == "invalid_answer"


async def test_a_tool_that_must_be_called_is_called() -> None:
    for choice in ("required", {"type": "function", "function": {"name": "get_weather"}}):
        reply, (first, repair) = await asked(Script("No."), Script(block(city="Oslo")), tools=TOOLS, tool_choice=choice)
        assert arguments(reply) == [{"city": "Oslo"}]
        assert first.tool_choice.mode == "required"
        assert "must be called" in repair.messages[-1].text


async def test_a_call_where_none_is_allowed_becomes_words() -> None:
    reply, _ = await asked(Script(block(city="Oslo")), Script("It rains."), tools=TOOLS, tool_choice="none")
    assert (reply.text, arguments(reply)) == ("It rains.", [])
    assert reply.body["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize(
    "answer", ['{"a": 1}', '```json\n{"a": 1}\n```', 'Here you are:\n\n```\n{\n "a": 1,\n}\n```\nEnjoy!', 'It is {"a": 1}.']
)
@pytest.mark.parametrize("stream", [True, False])
async def test_json_arrives_without_what_is_around_it(answer: str, stream: bool) -> None:
    reply, calls = await asked(Script(*answer), response_format=FORMAT, stream=stream)
    assert (json.loads(reply.text), len(calls)) == ({"a": 1}, 1)


@pytest.mark.parametrize("stream", [True, False])
async def test_json_stays_json_where_the_model_drew_unasked(stream: bool) -> None:
    reply, calls = await asked(Script('{"a": 1}', DRAWN), response_format=FORMAT, stream=stream)
    assert (json.loads(reply.text), len(calls)) == ({"a": 1}, 1)


async def test_a_picture_that_was_asked_for_comes_beside_the_json() -> None:
    config = {"responseMimeType": "application/json", "responseModalities": ["TEXT", "IMAGE"]}
    body = {"contents": [{"parts": [{"text": "draw"}]}], "generationConfig": config}
    plugins = [("structured_output", Plugin(Settings()))]
    async with (
        make_client(plugins=plugins, script=[Script('{"a": 1}', DRAWN)]) as client,
        client.http.post("/gemini/v1/models/gemini-2.5-flash:generateContent", json=body) as response,
    ):
        parts = (await response.json())["candidates"][0]["content"]["parts"]
    assert [list(part) for part in parts] == [["text"], ["inlineData"]]


@pytest.mark.parametrize("stream", [True, False])
async def test_json_that_does_not_fit_is_corrected_unseen(stream: bool) -> None:
    reply, (_, repair) = await asked(Script('{"a": "x"}'), Script('{"a": 2}'), response_format=FORMAT, stream=stream)
    assert json.loads(reply.text) == {"a": 2}
    assert 'a: "x" is not of type "integer"' in repair.messages[-1].text


async def test_json_that_still_does_not_fit_is_a_clear_error() -> None:
    reply, _ = await asked(Script('{"b": 1}'), Script('{"b": 2}'), response_format=FORMAT)
    assert (reply.status, reply.body["error"]["code"]) == (502, "invalid_answer")


async def test_words_instead_of_json_are_the_refusal_that_they_are() -> None:
    reply, _ = await asked(Script("I cannot."), Script("I really cannot."), response_format=FORMAT)
    assert reply.body["choices"][0]["message"]["refusal"] == "I really cannot."


async def test_an_object_is_due_where_no_schema_says_more() -> None:
    reply, (_, repair) = await asked(Script("[1]"), Script('{"x": [1]}'), response_format={"type": "json_object"})
    assert json.loads(reply.text) == {"x": [1]}
    assert "object" in repair.messages[-1].text


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "objekt"},
        {"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:1/x.json"}}},
        {"type": "object", "properties": {"a": {"pattern": "("}}},
        {
            "$ref": "#/$defs/d0",
            "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)} | {"d40": {}},
        },
    ],
    ids=["a type that is none", "a schema elsewhere", "a pattern that is none", "references that multiply"],
)
async def test_a_schema_that_is_none_is_refused_before_anything_is_asked(schema: dict[str, Any]) -> None:
    parameters = {"type": "object", "properties": {"x": schema}, "$defs": schema.get("$defs", {})}
    tools = [{"type": "function", "function": {"name": "f", "parameters": parameters}}]
    reply, calls = await asked(Script("x"), tools=tools)
    assert (reply.status, reply.body["error"]["param"], calls) == (400, "tools", [])
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    reply, calls = await asked(Script("x"), response_format=form)
    assert (reply.status, reply.body["error"]["param"], calls) == (400, "response_format.json_schema.schema", [])


async def test_results_reach_the_model_with_the_calls_that_they_answer() -> None:
    async with make_client(plugins=[("structured_output", Plugin(Settings()))]) as client:
        function = {"name": "get_weather", "arguments": '{"city": "Paris"}'}
        turns = [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "tool_calls": [{"id": "call_7", "type": "function", "function": function}]},
            {"role": "tool", "tool_call_id": "call_7", "content": "sunny"},
        ]
        body = {"model": "gemini-2.5-flash", "messages": turns, "tools": TOOLS}
        async with client.http.post("/v1/chat/completions", json=body) as response:
            assert response.status == 200
        (call,) = calls_of(client)
    assert call.messages == (
        Message("user", (Text("Weather?"),)),
        Message("assistant", (ToolUse("call_7", "get_weather", '{"city": "Paris"}'),)),
        Message("user", (ToolResult("call_7", "", "sunny"),)),
    )


@pytest.mark.parametrize("answers", [["blue"], ['```json\n"blue"\n```'], ["It is blue.", '"blue"']])
async def test_one_of_the_words_of_a_gemini_enum_arrives_bare(answers: list[str]) -> None:
    """`responseMimeType: text/x.enum`, as google-genai sends it for an Enum."""
    script = [Script(answer) for answer in answers]
    config = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["red", "blue"]}}
    body = {"contents": [{"parts": [{"text": "The colour of the sky?"}]}], "generationConfig": config}
    async with make_client(plugins=[("structured_output", Plugin(Settings()))], script=script) as client:
        async with client.http.post("/gemini/v1/models/gemini-2.5-flash:generateContent", json=body) as response:
            assert (await response.json())["candidates"][0]["content"]["parts"] == [{"text": "blue"}]
        assert len(calls_of(client)) == len(answers)
