"""Anthropic's Messages API: `POST /v1/messages` (whole and streamed), `count_tokens`, and the model list for clients that
send `anthropic-version`."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.errors import GatewayError, NotDownloadable, ThreadsRefused
from gateway.model import (
    Call,
    Event,
    Finished,
    FinishReason,
    ImageReady,
    Reply,
    RequestHead,
    TextDelta,
    ThoughtDelta,
    ToolCall,
    Usage,
)
from gateway.wire import anthropic_files, anthropic_input, anthropic_lists, pictures, sse
from gateway.wire.dialect import ModelCard, Request, Route
from gateway.wire.fields import Fields, bad, model_name, stop_words

IGNORED = ("temperature", "top_p", "top_k", "service_tier", "inference_geo", "container", "context_management")
# A gateway that has no room says 503; this API's word for it, which its clients wait and retry on, is 529.
OVERLOADED = 529
_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
_STOP = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.REFUSED: "refusal",
    FinishReason.TOOLS: "tool_use",
}
# The schema wants `citations`, one client (the AI SDK) refuses null there.
_TEXT: Mapping[str, Any] = {"text": "", "citations": []}
_PING = b'event: ping\ndata: {"type":"ping"}\n\n'


def asks_anthropic(head: RequestHead) -> bool:
    """Whether a request to an address that OpenAI has too (`GET /v1/models`) comes from an Anthropic client."""
    return "anthropic-version" in head.headers


class Anthropic(anthropic_files.AnthropicFiles):
    """The dialect of Anthropic's Messages API."""

    name = "anthropic"
    routes: tuple[Route, ...] = (
        Route("POST", "/v1/messages", "generate"),
        Route("POST", "/v1/messages/count_tokens", "count"),
        Route("GET", "/v1/messages/batches", "unsupported"),
        Route("POST", "/v1/messages/batches", "unsupported"),
        Route("GET", "/v1/messages/batches/{id}", "unsupported"),
        Route("DELETE", "/v1/messages/batches/{id}", "unsupported"),
        Route("POST", "/v1/messages/batches/{id}/cancel", "unsupported"),
        Route("GET", "/v1/messages/batches/{id}/results", "unsupported"),
        *anthropic_files.routes(asks_anthropic),
        Route("GET", "/v1/models", "models", claims=asks_anthropic),
        Route("GET", "/v1/models/{model}", "model", claims=asks_anthropic),
    )

    def decode(self, request: Request) -> Call:
        fields = Fields(request.body)
        anthropic_input.refuse_unsupported(fields)
        messages = anthropic_input.Conversation().read(fields)
        output = fields.table("output_config")
        tools, left = anthropic_input.tools(fields)
        choice, parallel = anthropic_input.tool_choice(fields, tools)
        effort = output.word("effort", of=anthropic_input.EFFORTS) if output else None
        extended, shown = anthropic_input.thinking(fields, effort)
        return Call(
            id=f"msg_{request.id}",
            created=request.created,
            dialect=self.name,
            model=model_name(fields.text("model")),
            messages=messages,
            stream=fields.flag("stream"),
            extended_thinking=extended,
            show_thoughts=shown,
            stop=stop_words(fields.get("stop_sequences"), "stop_sequences", most=8192),
            max_tokens=_max_tokens(fields, request.route),
            tools=tools,
            tool_choice=choice,
            parallel_tools=parallel,
            json_answer=anthropic_input.json_answer(fields, output),
            ignored=(*_ignored(fields), *left),
        )

    def stream_content_type(self, call: Call) -> str:
        return sse.CONTENT_TYPE

    def encode_start(self, call: Call) -> bytes:
        message = _message(call, [], None, None, Usage(prompt=call.prompt_tokens))
        return sse.named({"type": "message_start", "message": message}) + _PING

    def encode_event(self, event: Event, call: Call) -> bytes:
        stream = _stream(call)
        match event:
            case TextDelta(text=text):
                return stream.into("text", _TEXT) + stream.delta("text_delta", "text", text)
            case ThoughtDelta(text=text) if call.show_thoughts:
                opened = stream.into("thinking", {"thinking": "", "signature": ""})
                stream.thoughts.update(text.encode("utf-8", "replace"))
                return opened + stream.delta("thinking_delta", "thinking", text)
            case ToolCall():
                opened = stream.open("tool_use", _tool_use(event) | {"input": {}})
                return opened + stream.delta("input_json_delta", "partial_json", event.arguments or "{}")
            case ImageReady():
                deltas = [stream.delta("text_delta", "text", piece) for piece in pictures.paragraph(event)]
                return stream.into("text", _TEXT) + b"".join(deltas)
            case Finished():
                return stream.close() + _end(event)
            case _:
                return b""

    def encode_keep_alive(self, call: Call) -> bytes:
        return _PING

    def encode_late_error(self, error: GatewayError, call: Call) -> bytes:
        return sse.named(_error(error))

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        content: list[dict[str, Any]] = []
        if reply.thoughts and call.show_thoughts:
            seen = hashlib.sha256(reply.thoughts.encode("utf-8", "replace"))
            content.append({"type": "thinking", "thinking": reply.thoughts, "signature": _signature(seen)})
        text = pictures.text_of(reply)
        if text or not (reply.tool_calls or content):
            content.append({"type": "text", **_TEXT, "text": text})
        content += [{"type": "tool_use", **_tool_use(tool)} for tool in reply.tool_calls]
        return sse.dumps(_message(call, content, _reason(reply), reply.stop_word, reply.usage))

    def encode_count(self, tokens: int, call: Call) -> bytes:
        """The reply to `count_tokens`."""
        return sse.dumps({"input_tokens": tokens})

    def status(self, error: GatewayError) -> int:
        """The HTTP status of `error` in this API."""
        return OVERLOADED if error.status == 503 else error.status

    def encode_error(self, error: GatewayError) -> bytes:
        return sse.dumps(_error(error))

    def encode_models(self, cards: Sequence[ModelCard], query: Mapping[str, str]) -> bytes:
        shown, more = anthropic_lists.window([card.name for card in cards], query)
        page = cards[shown]
        first, last = (page[0].name, page[-1].name) if page else (None, None)
        return sse.dumps({"data": [_card(c) for c in page], "has_more": more, "first_id": first, "last_id": last})

    def encode_model(self, card: ModelCard) -> bytes:
        return sse.dumps(_card(card))


# --- reading ------------------------------------------------------------------------------------------------------


def _max_tokens(fields: Fields, route: Route) -> int | None:
    if route.operation == "count":
        return None
    most = fields.whole("max_tokens", low=1, high=10_000_000)
    if most is None:
        raise bad("max_tokens", "is required")
    return most


def _ignored(fields: Fields) -> tuple[str, ...]:
    fields.number("temperature", low=0, high=1)
    fields.number("top_p", low=0, high=1)
    fields.whole("top_k", low=0)
    fields.table("metadata")
    return fields.present(IGNORED)


# --- writing ------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Stream:
    """The content blocks of one streamed message: at most one is open."""

    index: int = -1
    kind: str = ""
    thoughts: Any = field(default_factory=hashlib.sha256)

    def into(self, kind: str, block: Mapping[str, Any]) -> bytes:
        """Open a block of `kind`, unless that is what is open."""
        return b"" if self.kind == kind else self.open(kind, block)

    def open(self, kind: str, block: Mapping[str, Any]) -> bytes:
        """Open a new block of `kind`."""
        closed = self.close()
        self.index, self.kind = self.index + 1, kind
        start = {"type": "content_block_start", "index": self.index, "content_block": {"type": kind, **block}}
        return closed + sse.named(start)

    def delta(self, kind: str, field: str, text: str) -> bytes:
        """More of the open block."""
        return b"".join(
            sse.named({"type": "content_block_delta", "index": self.index, "delta": {"type": kind, field: piece}})
            for piece in sse.pieces(text)
        )

    def close(self) -> bytes:
        """End the open block; a thinking block ends with its signature."""
        if not self.kind:
            return b""
        signed = b""
        if self.kind == "thinking":
            signed = self.delta("signature_delta", "signature", _signature(self.thoughts))
            self.thoughts = hashlib.sha256()
        self.kind = ""
        return signed + sse.named({"type": "content_block_stop", "index": self.index})


def _stream(call: Call) -> _Stream:
    found: _Stream = call.extras.setdefault(Anthropic.name, _Stream())
    return found


def _end(event: Finished) -> bytes:
    usage = _usage(event.usage)
    for name in ("cache_creation", "inference_geo", "service_tier"):
        del usage[name]
    delta = {"stop_reason": _reason(event), "stop_sequence": event.stop_word, "stop_details": None, "container": None}
    end = sse.named({"type": "message_delta", "delta": delta, "usage": usage})
    return end + sse.named({"type": "message_stop"})


def _message(
    call: Call, content: list[dict[str, Any]], reason: str | None, stop_word: str | None, usage: Usage
) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "message",
        "role": "assistant",
        "model": call.served_model or call.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": stop_word,
        "stop_details": None,
        "container": None,
        "usage": _usage(usage),
    }


def _reason(end: Finished | Reply) -> str:
    return "stop_sequence" if end.stop_word is not None else _STOP[end.reason]


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "output_tokens": usage.output + usage.thoughts,
        "output_tokens_details": {"thinking_tokens": usage.thoughts},
        "cache_creation": None,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "server_tool_use": None,
        "inference_geo": None,
        "service_tier": "standard",
    }


def _tool_use(tool: ToolCall) -> dict[str, Any]:
    return {
        "id": "toolu_" + tool.id.removeprefix("call_"),
        "name": tool.name,
        "input": orjson.loads(tool.arguments or "{}"),
        "caller": {"type": "direct"},
    }


def _signature(thoughts: Any) -> str:
    """The original signs thoughts so that they can be trusted when they come back. Here they never go to the model again:
    the digest only says that they came whole."""
    return base64.b64encode(thoughts.digest()).decode("ascii")


def _error(error: GatewayError) -> dict[str, Any]:
    kind = _TYPES.get(error.status) or ("invalid_request_error" if error.status < 500 else "api_error")
    told: dict[str, Any] = {"type": kind, "message": error.message}
    if isinstance(error, ThreadsRefused):  # their SDK's tool runner then sends the whole conversation by itself
        told["details"] = {"error_code": error.code, "unsupported": ["thread"]}
    elif isinstance(error, NotDownloadable):  # their SDK has an exception of its own for it
        told["details"] = {"error_code": error.code}
    return {
        "type": "error",
        "error": told,
        "request_id": f"req_{error.request_id}" if error.request_id else None,
    }


def _card(card: ModelCard) -> dict[str, Any]:
    return {
        "type": "model",
        "id": card.name,
        "display_name": card.title,
        "created_at": "1970-01-01T00:00:00Z",
        "max_input_tokens": card.window,
        "max_tokens": 65_536,
        "lifecycle": "active",
        "capabilities": None,
    }
