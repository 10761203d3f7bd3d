"""OpenAI's legacy `POST /v1/completions`, and the addresses of OpenAI that the web cannot serve."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError
from gateway.model import Call, Event, Finished, FinishReason, Message, Reply, Text, TextDelta
from gateway.wire import openai, sse
from gateway.wire.dialect import ModelCard, Request, Route
from gateway.wire.fields import Fields, bad, model_name, stop_words

IGNORED = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed")
UNSERVED = (
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
)
_FINISH = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.REFUSED: "content_filter",
    FinishReason.TOOLS: "stop",
}


class OpenAICompletions:
    """The dialect of `/v1/completions`."""

    name = "openai_completions"
    routes: tuple[Route, ...] = (
        Route("POST", "/v1/completions", "generate"),
        *(Route("POST", path, "unsupported") for path in UNSERVED),
    )

    def decode(self, request: Request) -> Call:
        fields = Fields(request.body)
        prompt = _prompt(fields)
        _refuse_unsupported(fields)
        options = fields.table("stream_options")
        return Call(
            id=f"cmpl-{request.id}",
            created=request.created,
            dialect=self.name,
            model=model_name(fields.text("model")),
            messages=(Message("user", (Text(prompt),)),),
            stream=fields.flag("stream"),
            show_thoughts=False,
            stop=stop_words(fields.get("stop"), "stop", most=4),
            max_tokens=fields.whole("max_tokens", low=1, high=10_000_000),
            include_usage=options.flag("include_usage") if options else False,
            ignored=_ignored(fields),
            options={"echo": prompt if fields.flag("echo") else ""},
        )

    def stream_content_type(self, call: Call) -> str:
        return sse.CONTENT_TYPE

    def encode_start(self, call: Call) -> bytes:
        echo = call.options["echo"]
        return b"".join(_chunk(call, piece) for piece in sse.pieces(echo)) if echo else b""

    def encode_event(self, event: Event, call: Call) -> bytes:
        match event:
            case TextDelta(text):
                return b"".join(_chunk(call, piece) for piece in sse.pieces(text))
            case Finished():
                return _end(call, event)
            case _:
                return b""

    def encode_keep_alive(self, call: Call) -> bytes:
        return sse.COMMENT

    def encode_late_error(self, error: GatewayError, call: Call) -> bytes:
        return sse.data(openai.error(error)) + sse.DONE

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        completion = _completion(call, call.options["echo"] + reply.text, _FINISH[reply.reason])
        return sse.dumps(completion | {"usage": openai.usage(reply.usage)})

    def encode_error(self, error: GatewayError) -> bytes:
        return sse.dumps(openai.error(error))

    def encode_models(self, cards: Sequence[ModelCard], query: Mapping[str, str]) -> bytes:
        return openai.models(cards)

    def encode_model(self, card: ModelCard) -> bytes:
        return openai.model(card)


# --- reading ------------------------------------------------------------------------------------------------------


def _prompt(fields: Fields) -> str:
    prompt = fields.get("prompt")
    if isinstance(prompt, list) and len(prompt) == 1:
        prompt = prompt[0]
    if isinstance(prompt, list):
        several = all(isinstance(item, (str, list)) for item in prompt)
        raise bad("prompt", "must be one text; send several one by one" if several else "must be text, not tokens")
    if not isinstance(prompt, str) or not prompt.strip():
        raise bad("prompt", "is required")
    return prompt


def _refuse_unsupported(fields: Fields) -> None:
    if fields.text("suffix"):
        raise bad("suffix", "is not supported: the Gemini web cannot fill in between texts")
    for name in ("n", "best_of"):
        if (fields.whole(name, low=1, high=128) or 1) > 1:
            raise bad(name, "must be 1: the Gemini web gives one answer a question")
    if fields.whole("logprobs", low=0, high=5) is not None:
        raise bad("logprobs", "must be absent: the Gemini web reports no probabilities")


def _ignored(fields: Fields) -> tuple[str, ...]:
    fields.number("temperature", low=0, high=2)
    fields.number("top_p", low=0, high=1)
    return fields.present(IGNORED)


# --- writing ------------------------------------------------------------------------------------------------------


def _completion(call: Call, text: str, finish: str | None) -> dict[str, Any]:
    return {
        "id": call.id,
        "object": "text_completion",
        "created": call.created,
        "model": call.served_model or call.model,
        "choices": [{"text": text, "index": 0, "logprobs": None, "finish_reason": finish}],
    }


def _chunk(call: Call, text: str, finish: str | None = None) -> bytes:
    return sse.data(_completion(call, text, finish))


def _end(call: Call, event: Finished) -> bytes:
    end = _chunk(call, "", _FINISH[event.reason])
    if call.include_usage:
        end += sse.data(_completion(call, "", None) | {"choices": [], "usage": openai.usage(event.usage)})
    return end + sse.DONE
