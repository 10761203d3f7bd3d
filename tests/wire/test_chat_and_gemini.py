"""What OpenAI's and Google's clients get, to the byte (tests/golden), and that it fits the originals' own schemas.

A golden file that does not exist is written and fails the test once: look at it, then commit it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from gateway import errors
from gateway.errors import GatewayError, InvalidRequest
from gateway.model import (
    Call,
    Chosen,
    Citation,
    Event,
    Finished,
    FinishReason,
    Reply,
    RequestHead,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolResult,
    Usage,
)
from gateway.wire.dialect import Dialect, ModelCard, Request, Route
from gateway.wire.gemini import Gemini
from gateway.wire.openai_chat import OpenAIChat

TESTS = Path(__file__).parent.parent
COUNTS = Usage(12, 5, 3)
END = Finished(usage=COUNTS)
ANSWERS: Mapping[str, Sequence[Event]] = {
    "plain": (TextDelta("Hello "), TextDelta("wörld \ud83d"), END),
    "thoughts": (ThoughtDelta("Let me "), ThoughtDelta("see."), TextDelta("Yes"), END),
    "tools": (
        TextDelta("Let me look."),
        ToolCall("call_1", "weather", '{"city":"Oslo","days":[1,2.5,null]}'),
        ToolCall("call_2", "list_files", "{}", 1),
        Finished(FinishReason.TOOLS, COUNTS),
    ),
    "json": (TextDelta('{"city":"Oslo"}'), END),
    "cited": (TextDelta("So they say."), Citation("https://example.com/a", "A page"), END),
    "cut": (TextDelta("Hello wo"), Finished(FinishReason.LENGTH, COUNTS)),
    "refused": (TextDelta("I cannot help with that."), Finished(FinishReason.REFUSED, COUNTS)),
    "empty": (Finished(usage=Usage(12)),),
    "two": (
        Chosen(0, TextDelta("Heads")),
        Chosen(1, TextDelta("Tails")),
        Chosen(1, END),
        Chosen(0, Finished(FinishReason.LENGTH, COUNTS)),
        Finished(usage=Usage(12, 10, 6)),
    ),
}
SHOWN_ERRORS = (
    "InvalidRequest",
    "ContextTooLong",
    "Unauthenticated",
    "Forbidden",
    "NotFound",
    "UnknownModel",
    "MethodNotAllowed",
    "BodyTooLarge",
    "UnsupportedMedia",
    "RateLimited",
    "ContentRefused",
    "AccountExhausted",
    "AccountExpired",
    "EgressBlocked",
    "UpstreamUnavailable",
    "UpstreamTimeout",
    "InvalidAnswer",
    "NoAccount",
    "Overloaded",
    "NotSupported",
    "Internal",
)
CHAT: dict[str, Any] = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "x"}]}
CONTENTS: dict[str, Any] = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}


def decoded(dialect: Dialect, route: Route, body: Mapping[str, Any], query: Mapping[str, str], **params: str) -> Call:
    head = RequestHead("POST", route.path, {}, query, "127.0.0.1", "0123456789abcdef", dialect.name)
    call = dialect.decode(Request(head, route, params, body, head.request_id, 1_700_000_000))
    call.served_model, call.prompt_tokens = "gemini-3.8-flash", 12
    return call


def chat(*, stream: bool, **more: Any) -> Call:
    body = {**CHAT, "stream": stream, "stream_options": {"include_usage": True}, **more}
    return decoded(OpenAIChat(), OpenAIChat.routes[0], body, {})


def gemini(*, stream: bool, sse: bool = True, **config: Any) -> Call:
    action = "streamGenerateContent" if stream else "generateContent"
    body = {**CONTENTS, "generationConfig": {"thinkingConfig": {"includeThoughts": True}, **config}}
    route = next(route for route in Gemini.routes if "{action" in route.path)
    query = {"alt": "sse"} if sse else {}
    return decoded(Gemini(), route, body, query, model="gemini-2.5-flash", action=action)


def written(dialect: Dialect, call: Call, events: Sequence[Event]) -> bytes:
    if call.stream:
        return dialect.encode_start(call) + b"".join(dialect.encode_event(event, call) for event in events)
    reply = Reply()
    for event in events:
        reply.add(event)
    return dialect.encode_whole(reply, call)


def same_as_golden(path: str, made: bytes) -> None:
    file = TESTS / "golden" / path
    if not file.exists():
        file.write_bytes(made)
        raise AssertionError(f"{path} is new: look at it, and commit it")
    assert made == file.read_bytes()


def every_error() -> Iterator[GatewayError]:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, GatewayError):
            yield kind("What went wrong", param="messages.0.content" if kind.status == 400 else None, retry_after=7.2)


# --- the originals' schemas ---------------------------------------------------------------------------------------


def fits(document: str, reference: str) -> Callable[[Any], None]:
    schema = json.loads((TESTS / "schemas" / document).read_text("utf-8"))
    validator = Draft202012Validator({**schema, "$ref": reference})

    def check(value: Any) -> None:
        found = sorted(validator.iter_errors(value), key=lambda error: len(error.path))
        assert not found, f"{found[0].json_path}: {found[0].message[:300]}"

    return check


whole_chat = fits("openai_chat.json", "#/components/schemas/CreateChatCompletionResponse")
chat_chunk = fits("openai_chat.json", "#/components/schemas/CreateChatCompletionStreamResponse")
chat_error = fits("openai_chat.json", "#/components/schemas/ErrorResponse")
chat_models = fits("openai_chat.json", "#/components/schemas/ListModelsResponse")
gemini_answer = fits("gemini.json", "#/schemas/GenerateContentResponse")
gemini_error = fits("gemini.json", "#/schemas/ErrorEnvelope")


def chunks(raw: bytes) -> list[Any]:
    return [json.loads(line[6:]) for line in raw.decode().split("\n") if line.startswith("data: {")]


# --- what goes out ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", ANSWERS)
def test_openai_gets_a_whole_reply(answer: str) -> None:
    made = written(OpenAIChat(), chat(stream=False, n=2 if answer == "two" else 1), ANSWERS[answer])
    whole_chat(json.loads(made))
    same_as_golden(f"openai_chat/{answer}.json", made)


@pytest.mark.parametrize("answer", ANSWERS)
def test_openai_gets_a_stream(answer: str) -> None:
    made = written(OpenAIChat(), chat(stream=True, n=2 if answer == "two" else 1), ANSWERS[answer])
    for chunk in chunks(made):
        chat_chunk(chunk)
    assert made.endswith(b"data: [DONE]\n\n") and b"\r" not in made
    same_as_golden(f"openai_chat/{answer}.sse", made)


@pytest.mark.parametrize("stream", [True, False])
def test_openai_gets_a_call_of_the_older_form(stream: bool) -> None:
    call = chat(stream=stream, functions=[{"name": "weather", "parameters": {}}])
    made = written(OpenAIChat(), call, ANSWERS["tools"][1:2] + ANSWERS["tools"][3:])
    same_as_golden(f"openai_chat/function.{'sse' if stream else 'json'}", made)


@pytest.mark.parametrize("answer", ANSWERS)
def test_gemini_gets_a_whole_reply(answer: str) -> None:
    made = written(Gemini(), gemini(stream=False, candidateCount=2 if answer == "two" else 1), ANSWERS[answer])
    gemini_answer(json.loads(made))
    same_as_golden(f"gemini/{answer}.json", made)


@pytest.mark.parametrize("answer", ANSWERS)
def test_gemini_gets_a_stream(answer: str) -> None:
    count = 2 if answer == "two" else 1
    made = written(Gemini(), gemini(stream=True, candidateCount=count), ANSWERS[answer])
    found = chunks(made)
    assert re.fullmatch(rb"(data: \{[^\n]*\}\n\n)+", made)
    for chunk in found:
        gemini_answer(chunk)
        assert chunk["candidates"][0]["content"]["parts"] and chunk["candidates"][0]["content"]["role"] == "model"
    same_as_golden(f"gemini/{answer}.sse", made)
    array = written(Gemini(), gemini(stream=True, sse=False, candidateCount=count), ANSWERS[answer])
    assert json.loads(array) == found


@pytest.mark.parametrize("dialect", [OpenAIChat(), Gemini()], ids=["openai_chat", "gemini"])
def test_every_error_has_its_form(dialect: Dialect) -> None:
    made = {type(error).__name__: json.loads(dialect.encode_error(error)) for error in every_error()}
    for body in made.values():
        (chat_error if dialect.name == "openai" else gemini_error)(body)
    name = "openai_chat" if dialect.name == "openai" else "gemini"
    shown = {error: made[error] for error in SHOWN_ERRORS}
    same_as_golden(f"{name}/errors.json", json.dumps(shown, indent=1).encode())


def test_lists_of_models_fit() -> None:
    cards = [ModelCard(f"gemini-{number}", f"Gemini {number}", 1000) for number in range(3)]
    chat_models(json.loads(OpenAIChat().encode_models(cards, {})))
    first = json.loads(Gemini().encode_models(cards, {"pageSize": "2"}))
    rest = json.loads(Gemini().encode_models(cards, {"pageSize": "2", "pageToken": first["nextPageToken"]}))
    assert [card["name"] for card in first["models"] + rest["models"]] == [f"models/gemini-{n}" for n in range(3)]


# --- what comes in ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"type": "web"}]}, "tools.0.type"),
        ({"tools": [{"type": "function"}]}, "tools.0.function"),
        ({"tools": [{"type": "function", "function": {"name": "a b"}}]}, "tools.0.function.name"),
        (
            {"tools": [{"type": "function", "function": {"name": "a", "parameters": {"type": "string"}}}]},
            "tools.0.function.parameters.type",
        ),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": {"type": "function", "function": {"name": "b"}}}, "tool_choice.function.name"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}, "response_format.json_schema.name"),
        ({"n": 0}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "x"}]}]}, "messages.0.tool_calls.0.function"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_in_a_chat_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        chat(stream=False, **body)
    assert raised.value.param == param


def test_habits_of_clients_are_accepted() -> None:
    call = chat(
        stream=False,
        user="u",
        metadata={"a": "b"},
        prediction={"type": "content", "content": "x"},
        seed=7,
        temperature=1,
        store=True,
        service_tier="auto",
        never_heard_of={"x": 1},
        tool_choice="auto",
        parallel_tool_calls=False,
    )
    assert call.ignored == ("temperature", "seed", "prediction", "service_tier")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (
            {"tools": [{"functionDeclarations": [{"name": "a", "parameters": {"type": "STRANGE"}}]}]},
            "tools.0.functionDeclarations.0.parameters.type",
        ),
        ({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, "toolConfig.functionCallingConfig.mode"),
        (
            {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["b"]}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        ({"generationConfig": {"responseMimeType": "image/png"}}, "generationConfig.responseMimeType"),
        ({"generationConfig": {"responseSchema": {"type": "OBJECT"}}}, "generationConfig.responseSchema"),
        ({"contents": [{"parts": [{"functionCall": {}}]}]}, "contents.0.parts.0.functionCall.name"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_to_gemini_is_named(body: dict[str, Any], param: str) -> None:
    route = next(route for route in Gemini.routes if "{action" in route.path)
    with pytest.raises(InvalidRequest) as raised:
        decoded(Gemini(), route, {**CONTENTS, **body}, {}, model="m", action="generateContent")
    assert raised.value.param == param


@pytest.mark.parametrize("role", ["user", "function", "tool"])
def test_a_result_of_a_tool_comes_under_the_role_that_the_client_knows(role: str) -> None:
    called = {"functionCall": {"id": "call_1", "name": "weather", "args": {"city": "Oslo"}}}
    result = {"functionResponse": {"id": "call_1", "name": "weather", "response": {"result": "rain"}}}
    contents = [*CONTENTS["contents"], {"role": "model", "parts": [called]}, {"role": role, "parts": [result]}]
    route = next(route for route in Gemini.routes if "{action" in route.path)
    call = decoded(Gemini(), route, {"contents": contents}, {}, model="m", action="generateContent")
    assert call.messages[-1].role == "user"
    assert [type(part) for part in call.messages[-1].parts] == [ToolResult]


def test_googles_schema_becomes_json_schema() -> None:
    google = {
        "type": "OBJECT",
        "properties": {
            "name": {"type": "STRING", "nullable": True, "minLength": "2"},
            "tags": {"type": "ARRAY", "items": {"type": "STRING", "enum": ["a", "b"]}, "min_items": 1},
            "size": {"anyOf": [{"type": "INTEGER", "format": "int32"}, {"type": "NULL"}]},
        },
        "propertyOrdering": ["name", "tags"],
        "required": ["name"],
    }
    answer = gemini(stream=False, responseMimeType="application/json", responseSchema=google).json_answer
    assert answer is not None and answer.schema == {
        "type": "object",
        "properties": {
            "name": {"type": ["string", "null"], "minLength": 2},
            "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}, "minItems": 1},
            "size": {"anyOf": [{"type": "integer", "format": "int32"}, {"type": "null"}]},
        },
        "required": ["name"],
    }
