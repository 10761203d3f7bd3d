"""OpenAI Chat Completions: `POST /v1/chat/completions`, and the model list that its clients ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

from gateway.errors import InvalidRequest
from gateway.model import (
    Call,
    Chosen,
    Citation,
    Event,
    Finished,
    FinishReason,
    ImageReady,
    Message,
    Part,
    Reply,
    Role,
    Text,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    ToolResult,
    ToolUse,
)
from gateway.wire import filing, media, openai, openai_files, openai_stored, openai_tools, pictures, sse
from gateway.wire.dialect import Request, Route
from gateway.wire.fields import Fields, bad, model_name, stop_words

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "user",
    "function": "user",
}
_ROLE_NAMES = tuple(ROLES)
# As in the original. How many of them run at once is choices.py's affair.
MOST_CHOICES = 128
_RECORDS = "/v1/chat/completions/{id}"
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh")
# Accepted because clients send them by habit; the web has no such thing. Named in x-gateway-ignored.
IGNORED = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "seed",
    "prediction",
    "audio",
    "verbosity",
    "moderation",
    "service_tier",
    "web_search_options",
)
_FINISH = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.REFUSED: "content_filter",
    FinishReason.TOOLS: "tool_calls",
}


class OpenAIChat(openai.OpenAIShaped, openai_files.OpenAIFiles):
    """The dialect of `/v1/chat/completions`."""

    name = "openai"
    routes: tuple[Route, ...] = (
        Route("POST", "/v1/chat/completions", "generate"),
        Route("GET", "/v1/chat/completions", "record", "list"),
        Route("GET", _RECORDS, "record", "get"),
        Route("POST", _RECORDS, "record", "update"),
        Route("DELETE", _RECORDS, "record", "delete"),
        Route("GET", _RECORDS + "/messages", "record", "messages"),
        Route("GET", "/v1/models", "models"),
        Route("GET", "/v1/models/{model}", "model"),
        Route("GET", "/api/models", "models"),
        *openai_files.ROUTES,
    )

    def decode(self, request: Request) -> Call:
        fields = Fields(request.body)
        messages = _messages(fields)
        _check(fields)
        options = fields.table("stream_options")
        tools = openai_tools.chat_tools(fields)
        effort = fields.word("reasoning_effort", of=EFFORTS)
        return Call(
            id=f"chatcmpl-{request.id}",
            created=request.created,
            dialect=self.name,
            model=model_name(fields.text("model")),
            messages=messages,
            stream=fields.flag("stream"),
            extended_thinking=effort in ("high", "xhigh"),
            stop=stop_words(fields.get("stop"), "stop", most=4),
            max_tokens=_max_tokens(fields),
            include_usage=options.flag("include_usage") if options else False,
            tools=tools,
            tool_choice=openai_tools.chat_choice(fields, tools),
            parallel_tools=fields.get("parallel_tool_calls") is not False and not fields.get("functions"),
            choices=fields.whole("n", low=1, high=MOST_CHOICES) or 1,
            json_answer=openai_tools.json_answer(fields.table("response_format")),
            ignored=fields.present(IGNORED),
            options={
                "older": bool(fields.get("functions")) and not fields.get("tools"),
                "kept": openai_stored.asked(fields),
            },
        )

    def encode_start(self, call: Call) -> bytes:
        first = {"role": "assistant", "content": ""}
        return b"".join(_chunk(call, first, index=index) for index in range(call.choices))

    def encode_event(self, event: Event, call: Call) -> bytes:
        if call.options.get("kept"):
            call.extras.setdefault(self.name, Reply()).add(event)
        match event:
            case TextDelta(text=text):
                return _text_chunk(call, b'"content":', text)
            case ThoughtDelta(text=text) if call.show_thoughts:
                return _text_chunk(call, b'"reasoning_content":', text)
            case Chosen(index=index, event=Finished(reason=reason)):
                return _chunk(call, {}, _finish(reason, call), index=index)
            case Chosen(index=index, event=inner):
                return b"".join(_chunk(call, delta, index=index) for delta in _deltas(inner, call))
            case Finished() if call.choices > 1:
                return _total(call, event)
            case Finished(reason=reason):
                return _chunk(call, {}, _finish(reason, call)) + _total(call, event)
        return b"".join(_chunk(call, delta) for delta in _deltas(event, call))

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        if call.options.get("kept"):
            call.extras[self.name] = reply
        return sse.dumps(_completion(reply, call))

    # --- what is kept ---------------------------------------------------------------------------------------------

    def needs(self, call: Call) -> frozenset[str]:
        return frozenset()

    def recall(self, call: Call, records: Mapping[str, bytes]) -> Call:
        return call

    def record(self, call: Call) -> bytes | None:
        """The question and its answer; None unless `store` is true."""
        reply = call.extras.get(self.name)
        return openai_stored.keep(call, _completion(reply, call)) if isinstance(reply, Reply) else None

    def encode_record(self, action: str, id: str, record: bytes, query: Mapping[str, str]) -> bytes:
        """The reply to a request about a kept completion."""
        return openai_stored.encode(action, id, record, query)

    def amend(self, record: bytes, body: Mapping[str, Any]) -> bytes:
        """The record with other metadata."""
        return openai_stored.amend(record, body)

    def encode_list(self, records: Sequence[bytes], query: Mapping[str, str]) -> bytes:
        """A page of the kept completions."""
        return openai_stored.encode_list(records, query)


# --- reading ------------------------------------------------------------------------------------------------------


def _messages(fields: Fields) -> tuple[Message, ...]:
    tables = fields.tables("messages")
    if not tables:
        raise bad("messages", "must be a list of at least one message")
    files: list[Part] = []
    return tuple([_message(table, files) for table in tables])


def _message(fields: Fields, files: list[Part]) -> Message:
    role = fields.word("role", of=_ROLE_NAMES)
    if role is None:
        raise bad(fields.at("role"), "is required")
    content = fields.get("content")
    if isinstance(content, str):
        parts: list[Part] = [Text(content)]
    elif isinstance(content, list):
        parts = [_part(item, files) for item in fields.tables("content")]
    elif content is None and role in ("assistant", "tool", "function"):
        parts = []
    else:
        raise bad(fields.at("content"), "must be a string or a list of parts")
    if role in ("tool", "function"):
        name = fields.text("name", most=200) or ""
        text = "\n".join(part.text for part in parts if isinstance(part, Text))
        result = ToolResult(fields.text("tool_call_id", most=200) or name, name, text)
        parts = [result, *(part for part in parts if not isinstance(part, Text))]
    return Message(ROLES[role], (*parts, *_uses(fields)))


def _uses(fields: Fields) -> Iterator[ToolUse]:
    """The tools that an assistant's turn called; the older form has no ids, and its results name the function."""
    for table in fields.tables("tool_calls"):
        function = table.table("function")
        if function is None:
            raise bad(table.at("function"), "is required")
        yield _use(table.text("id", most=200) or "", function)
    if older := fields.table("function_call"):
        yield _use(older.text("name", most=200) or "", older)


def _use(id: str, fields: Fields) -> ToolUse:
    name = fields.text("name", most=200)
    if not name:
        raise bad(fields.at("name"), "is required")
    return ToolUse(id, name, fields.text("arguments") or "{}")


def _part(fields: Fields, files: list[Part]) -> Part:
    kind = fields.text("type", most=100)
    match kind:
        case "text" | "input_text" | "output_text" | "refusal":
            text = fields.text("refusal" if kind == "refusal" else "text")
            if text is None:
                raise bad(fields.at("text"), "is required")
            return Text(text)
        case "image_url":
            url = fields.get("image_url")
            inner = Fields({"url": url}, fields.at("image_url")) if isinstance(url, str) else fields.table("image_url")
            address = inner.text("url", most=100_000_000) if inner else None
            if inner is None or address is None:
                raise bad(fields.at("image_url.url"), "is required")
            files.append(media.from_url(address, len(files) + 1, inner.at("url")))
            return files[-1]
        case "file":
            return _file(fields, files)
        case _:
            raise bad(fields.at("type"), "must be text, image_url or file")


def _file(fields: Fields, files: list[Part]) -> Part:
    inner = fields.table("file") or Fields({}, fields.at("file"))
    if inner.get("file_id") is not None:
        files.append(filing.named(inner, openai_files.PREFIX, len(files) + 1))
    else:
        data = inner.needed("file_data", most=100_000_000)
        files.append(media.from_url(data, len(files) + 1, inner.at("file_data")))
    return files[-1]


def _max_tokens(fields: Fields) -> int | None:
    high = 10_000_000
    most = fields.whole("max_completion_tokens", low=1, high=high)
    older = fields.whole("max_tokens", low=1, high=high)
    return most if most is not None else older


# What cannot be honoured is still checked: a wrong value is the caller's mistake today or tomorrow.
_CHECKS: dict[str, Callable[[Fields], object]] = {
    "temperature": lambda fields: fields.number("temperature", low=0, high=2),
    "top_p": lambda fields: fields.number("top_p", low=0, high=1),
    "presence_penalty": lambda fields: fields.number("presence_penalty", low=-2, high=2),
    "frequency_penalty": lambda fields: fields.number("frequency_penalty", low=-2, high=2),
    "seed": lambda fields: fields.whole("seed", low=-(2**63), high=2**63 - 1),
    "logit_bias": lambda fields: fields.table("logit_bias"),
    "metadata": lambda fields: fields.table("metadata"),
    "user": lambda fields: fields.text("user"),
    "logprobs": lambda fields: _no_probabilities(fields),
    "top_logprobs": lambda fields: _no_probabilities(fields),
}


def _check(fields: Fields) -> None:
    for name in fields.data:
        if (check := _CHECKS.get(name)) is not None:
            check(fields)


def _no_probabilities(fields: Fields) -> None:
    if fields.flag("logprobs") or fields.whole("top_logprobs", low=0, high=20):
        raise InvalidRequest("logprobs: the Gemini web reports no probabilities", param="logprobs")


# --- writing ------------------------------------------------------------------------------------------------------


def _envelope(call: Call, kind: str) -> dict[str, Any]:
    return {"id": call.id, "object": kind, "created": call.created, "model": call.served_model or call.model}


def _completion(reply: Reply, call: Call) -> dict[str, Any]:
    choices = [_choice(one, call, index) for index, one in enumerate(reply.choices or [reply])]
    return _envelope(call, "chat.completion") | {"choices": choices, "usage": openai.usage(reply.usage)}


def _choice(reply: Reply, call: Call, index: int) -> dict[str, Any]:
    content = None if reply.tool_calls and not reply.text and not reply.images else pictures.text_of(reply)
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
    message["annotations"] = [openai.annotation(citation) for citation in reply.citations]
    if reply.thoughts and call.show_thoughts:
        message["reasoning_content"] = reply.thoughts
    if reply.reason is FinishReason.REFUSED:
        message["refusal"] = reply.text
    if reply.tool_calls and call.options.get("older"):
        message["function_call"] = _function(reply.tool_calls[0])
    elif reply.tool_calls:
        message["tool_calls"] = [_whole_call(one) for one in reply.tool_calls]
    return {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(reply.reason, call)}


def _deltas(event: Event, call: Call) -> Iterator[dict[str, Any]]:
    """What an event adds to the message of its choice."""
    match event:
        case TextDelta(text=text):
            yield {"content": text}
        case ThoughtDelta(text=text) if call.show_thoughts:
            yield {"reasoning_content": text}
        case ToolCall():
            yield from _called(event, call)
        case Citation():
            yield {"annotations": [openai.annotation(event)]}
        case ImageReady():
            yield from ({"content": piece} for piece in pictures.paragraph(event))


def _chunk(call: Call, delta: dict[str, Any], finish: str | None = None, *, index: int = 0) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    chunk = _envelope(call, "chat.completion.chunk")
    chunk["choices"] = [choice]
    return sse.data(chunk)


def _text_chunk(call: Call, field: bytes, text: str) -> bytes:
    """`_chunk` for a delta of one text, which is what streams are made of: around it nothing changes."""
    model = _quoted(call.served_model or call.model)
    return _TEXT_CHUNK % (call.id.encode(), call.created, model, field, sse.dumps(text))


_TEXT_CHUNK = (
    b'data: {"id":"%b","object":"chat.completion.chunk","created":%d,"model":%b,"choices":[{"index":0,"delta":{%b%b},'
    b'"logprobs":null,"finish_reason":null}]}\n\n'
)


@lru_cache(maxsize=256)
def _quoted(model: str) -> bytes:
    return sse.dumps(model)


def _called(event: ToolCall, call: Call) -> Iterator[dict[str, Any]]:
    """A call in two deltas, as the original begins it: who is called, then with what."""
    function = {"name": event.name, "arguments": ""}
    if call.options.get("older"):
        yield {"function_call": function}
        yield {"function_call": {"arguments": event.arguments}}
        return
    first = {"index": event.index, "id": event.id, "type": "function", "function": function}
    rest = {"index": event.index, "function": {"arguments": event.arguments}}
    yield {"tool_calls": [first]}
    yield {"tool_calls": [rest]}


def _whole_call(call: ToolCall) -> dict[str, Any]:
    return {"id": call.id, "type": "function", "function": _function(call)}


def _function(call: ToolCall) -> dict[str, Any]:
    return {"name": call.name, "arguments": call.arguments}


def _finish(reason: FinishReason, call: Call) -> str:
    older = reason is FinishReason.TOOLS and call.options.get("older")
    return "function_call" if older else _FINISH[reason]


def _total(call: Call, event: Finished) -> bytes:
    """What closes a stream: the usage, where it was asked for, and the mark of the end."""
    if not call.include_usage:
        return sse.DONE
    chunk = _envelope(call, "chat.completion.chunk") | {"choices": [], "usage": openai.usage(event.usage)}
    return sse.data(chunk) + sse.DONE
