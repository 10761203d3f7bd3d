"""OpenAI's Responses API: `POST /v1/responses` (whole and streamed), and what is kept of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from gateway.errors import GatewayError, InvalidRequest, NotFound, PreviousNotFound
from gateway.model import (
    Call,
    Event,
    Finished,
    FinishReason,
    ImageReady,
    Message,
    Reply,
    TextDelta,
    ThoughtDelta,
    Usage,
)
from gateway.wire import openai, openai_lists, responses_compact, responses_input, sse
from gateway.wire.dialect import ModelCard, Request, Route
from gateway.wire.fields import Fields, bad, model_name
from gateway.wire.responses_input import Conversation, Tools
from gateway.wire.responses_output import Output

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
IGNORED = (
    "temperature",
    "top_p",
    "max_tool_calls",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_retention",
    "moderation",
)
# Echoed in the response as they came, or with these defaults, as the original does.
_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
_FIXED: Mapping[str, Any] = {
    "service_tier": "default",
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_logprobs": 0,
}
_INCOMPLETE = {FinishReason.LENGTH: "max_output_tokens", FinishReason.REFUSED: "content_filter"}
_RECORDS = "/v1/responses/{id}"
_PENDING = ("queued", "in_progress")
_SEED = 16
# The original refuses less.
LEAST_OUTPUT = 16


class OpenAIResponses:
    """The dialect of `/v1/responses`."""

    name = "openai_responses"
    routes: tuple[Route, ...] = (
        Route("POST", "/v1/responses", "generate"),
        Route("POST", "/v1/responses/input_tokens", "count"),
        Route("POST", "/v1/responses/compact", "generate", "compact"),
        Route("GET", _RECORDS, "record", "get"),
        Route("DELETE", _RECORDS, "record", "delete"),
        Route("POST", _RECORDS + "/cancel", "record", "cancel"),
        Route("GET", _RECORDS + "/input_items", "record", "input_items"),
    )

    def decode(self, request: Request) -> Call:
        fields = Fields(request.body)
        _refuse_unsupported(fields)
        compact = request.route.action == "compact"
        stream = fields.flag("stream") and not compact
        background = fields.flag("background") and not compact
        given = responses_input.items(fields, request.id)
        instructions = fields.text("instructions")
        tools = Tools().read(fields)
        reasoning = fields.table("reasoning") or Fields({}, "reasoning")
        text = fields.table("text")
        effort = reasoning.word("effort", of=EFFORTS)
        return Call(
            id=f"resp_{request.id}",
            created=request.created,
            dialect=self.name,
            model=model_name(fields.text("model")),
            messages=_messages(instructions, given, compact),
            stream=stream,
            background=background and not stream,
            extended_thinking=effort in ("high", "xhigh", "max"),
            show_thoughts=reasoning.word("summary", "generate_summary", of=("auto", "concise", "detailed")) is not None,
            max_tokens=fields.whole("max_output_tokens", low=LEAST_OUTPUT, high=10_000_000),
            tools=tuple(tools.offered),
            tool_choice=tools.choice(fields),
            parallel_tools=fields.get("parallel_tool_calls") is not False,
            json_answer=responses_input.json_answer(text),
            ignored=(*_ignored(fields), *tools.left, *(["background"] if background and stream else [])),
            options={
                "seed": request.id,
                "targets": tools.targets,
                "items": given,
                "instructions": instructions,
                "previous": fields.text("previous_response_id", most=200),
                "store": fields.get("store") is not False and not compact,
                "compact": compact,
                "sealed": "reasoning.encrypted_content" in (fields.items("include") or ()),
                "echo": _echo(fields, text, reasoning),
            },
        )

    # --- streams --------------------------------------------------------------------------------------------------

    def stream_content_type(self, call: Call) -> str:
        return sse.CONTENT_TYPE

    def encode_start(self, call: Call) -> bytes:
        begun = _response(call, "in_progress")
        events = ({"type": kind, "response": begun} for kind in ("response.created", "response.in_progress"))
        return _state(call).encode(events)

    def encode_event(self, event: Event, call: Call) -> bytes:
        state = _state(call)
        told = state.encode(state.output.add(event))
        if isinstance(event, Finished):
            final = state.finish(call, event)
            told += state.encode([{"type": f"response.{final['status']}", "response": final}])
        return told

    def encode_keep_alive(self, call: Call) -> bytes:
        return sse.COMMENT

    def encode_late_error(self, error: GatewayError, call: Call) -> bytes:
        state = _state(call)
        body = openai.error(error)["error"]
        about = {"code": _failure(error), "message": error.message}
        failed = _response(call, "failed", error=about, output=state.output.items)
        # The first raises in the official SDKs, the second is the end that the format asks for.
        said = {"code": body["code"], "message": body["message"], "param": body["param"], "error": body}
        return state.encode([{"type": "error", **said}, {"type": "response.failed", "response": failed}])

    # --- whole replies --------------------------------------------------------------------------------------------

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        state = _state(call)
        if call.options["compact"]:
            made = responses_compact.compacted(call, call.options["seed"], reply.text, _usage(reply.usage))
            return sse.dumps(made)
        end = Finished(reply.reason, reply.usage)
        for event in (*_events(reply), end):
            for _ in state.output.add(event):
                pass
        return sse.dumps(state.finish(call, end))

    def encode_count(self, tokens: int, call: Call) -> bytes:
        """The reply to `POST /v1/responses/input_tokens`."""
        return sse.dumps({"object": "response.input_tokens", "input_tokens": tokens})

    def encode_error(self, error: GatewayError) -> bytes:
        return sse.dumps(openai.error(error))

    def encode_models(self, cards: Sequence[ModelCard], query: Mapping[str, str]) -> bytes:
        return openai.models(cards)

    def encode_model(self, card: ModelCard) -> bytes:
        return openai.model(card)

    # --- what is kept ---------------------------------------------------------------------------------------------

    def needs(self, call: Call) -> frozenset[str]:
        """The response to go on from, and those whose items the input refers to."""
        found = {_owner(item["id"]) for item in call.options["items"] if item["type"] == "item_reference"}
        return frozenset(found | {call.options["previous"]}) - {None}

    def recall(self, call: Call, records: Mapping[str, bytes]) -> Call:
        """The call with the turns before it, and with the items that its input refers to."""
        kept = {id: orjson.loads(record) for id, record in records.items()}
        previous = call.options["previous"]
        if previous is not None and previous not in kept:
            message = f"Previous response with id '{_short(previous)}' not found."
            raise PreviousNotFound(message, param="previous_response_id")
        before = _context(kept[previous]) if previous is not None else []
        known = {item["id"]: item for record in kept.values() for item in _context(record)}
        items = before + [_resolved(item, known) for item in call.options["items"]]
        messages = _messages(call.options["instructions"], items, call.options["compact"])
        return replace(call, messages=messages, options={**call.options, "items": items})

    def record(self, call: Call) -> bytes | None:
        """The response and all that it was made from; None where `store` is false."""
        final = _state(call).final
        if final is None or not call.options["store"]:
            return None
        return sse.dumps({"input": call.options["items"], "response": final})

    def encode_record(self, action: str, id: str, record: bytes, query: Mapping[str, str]) -> bytes:
        """The reply to a request about a kept response."""
        match action:
            case "delete":
                return sse.dumps({"id": id, "object": "response", "deleted": True})
            case "cancel":
                return sse.dumps(_cancelled(orjson.loads(record)["response"]))
            case "input_items":
                return openai_lists.page(orjson.loads(record)["input"], query, order="desc")
            case _:
                if query.get("stream") == "true":
                    raise bad("stream", "must be false: what is kept is sent whole")
                return sse.dumps(orjson.loads(record)["response"])

    def stand(self, call: Call, status: str, error: GatewayError | None = None) -> None:
        """What the record of a response in the background says before it is final, or in place of it."""
        failed = {"code": _failure(error), "message": error.message} if error is not None else None
        _state(call).final = _response(call, status, error=failed, usage=None)


# --- reading ------------------------------------------------------------------------------------------------------


def _refuse_unsupported(fields: Fields) -> None:
    if fields.flag("background") and fields.get("store") is False:
        raise bad("background", "needs store: the answer is looked for later")
    for name in ("conversation", "prompt"):
        if fields.get(name) is not None:
            raise bad(name, "is kept on OpenAI's servers only; use input or previous_response_id")
    if fields.whole("top_logprobs", low=0, high=20):
        raise bad("top_logprobs", "must be 0: the Gemini web reports no probabilities")


def _messages(instructions: str | None, given: Sequence[Mapping[str, Any]], compact: bool) -> tuple[Message, ...]:
    messages = Conversation().read(instructions, given)
    return responses_compact.asking(messages) if compact else messages


def _ignored(fields: Fields) -> tuple[str, ...]:
    fields.number("temperature", low=0, high=2)
    fields.number("top_p", low=0, high=1)
    fields.whole("max_tool_calls", low=0)
    fields.word("truncation", of=("auto", "disabled"))
    fields.table("metadata")
    return fields.present(IGNORED)


def _echo(fields: Fields, text: Fields | None, reasoning: Fields) -> dict[str, Any]:
    echo = {name: fields.get(name) if fields.get(name) is not None else value for name, value in _ECHOED.items()}
    echo["tools"] = [_echoed_tool(table.data) for table in fields.tables("tools")]
    echo["text"] = {"format": {"type": "text"}, "verbosity": "medium"}
    if text is not None:
        echo["text"] = echo["text"] | {name: value for name, value in text.data.items() if value is not None}
    echo["reasoning"] = {"effort": reasoning.get("effort"), "summary": reasoning.get("summary", "generate_summary")}
    if echo["user"] is None:
        del echo["user"]
    return echo


def _echoed_tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    if tool.get("type") != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}


# --- writing ------------------------------------------------------------------------------------------------------


class _State:
    """How far an answer is: its items, the number of the next event, and the response once it is final."""

    __slots__ = ("final", "number", "output")

    def __init__(self, call: Call) -> None:
        options = call.options
        self.output = Output(options["seed"], options["targets"], shown=call.show_thoughts, sealed=options["sealed"])
        self.number = 0
        self.final: dict[str, Any] | None = None

    def encode(self, events: Iterator[dict[str, Any]] | Sequence[dict[str, Any]]) -> bytes:
        """`events`, numbered. Each is encoded before the next is made: they share items that grow."""
        told = []
        for event in events:
            event["sequence_number"] = self.number
            self.number += 1
            told.append(sse.named(event))
        return b"".join(told)

    def finish(self, call: Call, end: Finished) -> dict[str, Any]:
        """The final response."""
        reason = _INCOMPLETE.get(end.reason)
        self.final = _response(
            call,
            "incomplete" if reason else "completed",
            output=self.output.items,
            usage=_usage(end.usage),
            incomplete_details={"reason": reason} if reason else None,
        )
        return self.final


def _state(call: Call) -> _State:
    found = call.extras.get(OpenAIResponses.name)
    if found is None:
        found = call.extras[OpenAIResponses.name] = _State(call)
    assert isinstance(found, _State)
    return found


def _response(call: Call, status: str, **values: Any) -> dict[str, Any]:
    return {
        "id": call.id,
        "object": "response",
        "created_at": call.created,
        "completed_at": None,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "model": call.served_model or call.model,
        "output": [],
        "usage": _usage(Usage(prompt=call.prompt_tokens)),
        "background": call.background,
        **_FIXED,
        **call.options["echo"],
        **values,
    }


def _failure(error: GatewayError) -> str:
    return "rate_limit_exceeded" if error.status == 429 else "server_error"


def _cancelled(response: dict[str, Any]) -> dict[str, Any]:
    """The response after a request to cancel it: those that are over stay what they are."""
    if not response["background"]:
        raise InvalidRequest("Cannot cancel a synchronous response.", param="response_id")
    if response["status"] in _PENDING:
        raise InvalidRequest("Another process of this gateway makes that response: only that one can cancel it", param="id")
    return response


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": usage.output + usage.thoughts,
        "output_tokens_details": {"reasoning_tokens": usage.thoughts},
        "total_tokens": usage.total,
    }


def _events(reply: Reply) -> Iterator[Event]:
    if reply.thoughts:
        yield ThoughtDelta(reply.thoughts)
    if reply.text or not (reply.tool_calls or reply.images):
        yield TextDelta(reply.text)
    yield from reply.citations
    yield from reply.tool_calls
    for image in reply.images:
        yield ImageReady(image)


# --- what is kept -------------------------------------------------------------------------------------------------


def _owner(item_id: str) -> str:
    """The response that an item of ours belongs to: its id holds that of the response."""
    return "resp_" + item_id.partition("_")[2][:_SEED]


def _context(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [*record["input"], *record["response"]["output"]]


def _resolved(item: dict[str, Any], known: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if item["type"] != "item_reference":
        return item
    if item["id"] not in known:
        raise NotFound(f"Item with id '{_short(item['id'])}' not found.", param="input")
    return known[item["id"]]


def _short(id: str) -> str:
    return id if len(id) <= 80 else id[:80] + "..."
