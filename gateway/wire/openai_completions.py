"""OpenAI's legacy `POST /v1/completions`, and the addresses of OpenAI that the web cannot serve."""

from __future__ import annotations

from typing import Any

from gateway.model import Call, Chosen, Event, Finished, FinishReason, Message, Reply, Text, TextDelta
from gateway.wire import openai, sse
from gateway.wire.dialect import Request, Route
from gateway.wire.fields import Fields, bad, model_name, stop_words

IGNORED = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "logit_bias", "seed")
UNSERVED = (
    "/v1/embeddings",
    "/v1/moderations",
    "/v1/audio/speech",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/uploads",
    "/v1/batches",
)
MOST_CHOICES = 8
_FINISH = {
    FinishReason.STOP: "stop",
    FinishReason.LENGTH: "length",
    FinishReason.REFUSED: "content_filter",
    FinishReason.TOOLS: "stop",
}


class OpenAICompletions(openai.OpenAIShaped):
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
            choices=fields.whole("n", low=1, high=MOST_CHOICES) or 1,
            include_usage=options.flag("include_usage") if options else False,
            ignored=_ignored(fields),
            options={"echo": prompt if fields.flag("echo") else ""},
        )

    def encode_start(self, call: Call) -> bytes:
        echo = call.options["echo"]
        return b"".join(_text(call, echo, index) for index in range(call.choices)) if echo else b""

    def encode_event(self, event: Event, call: Call) -> bytes:
        match event:
            case Chosen(index=index, event=TextDelta(text=text)):
                return _text(call, text, index)
            case Chosen(index=index, event=Finished(reason=reason)):
                return _chunk(call, "", index, _FINISH[reason])
            case TextDelta(text=text):
                return _text(call, text, 0)
            case Finished() if call.choices > 1:
                return _total(call, event)
            case Finished(reason=reason):
                return _chunk(call, "", 0, _FINISH[reason]) + _total(call, event)
            case _:
                return b""

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        echo = call.options["echo"]
        found = [
            _choice(echo + one.text, index, _FINISH[one.reason]) for index, one in enumerate(reply.choices or [reply])
        ]
        return sse.dumps(_completion(call, found) | {"usage": openai.usage(reply.usage)})


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
    if (fields.whole("best_of", low=1, high=20) or 1) > (fields.whole("n", low=1, high=MOST_CHOICES) or 1):
        raise bad("best_of", "must be at most n: the Gemini web does not say which answer is best")
    if fields.whole("logprobs", low=0, high=5) is not None:
        raise bad("logprobs", "must be absent: the Gemini web reports no probabilities")


def _ignored(fields: Fields) -> tuple[str, ...]:
    fields.number("temperature", low=0, high=2)
    fields.number("top_p", low=0, high=1)
    return fields.present(IGNORED)


# --- writing ------------------------------------------------------------------------------------------------------


def _completion(call: Call, choices: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": call.id,
        "object": "text_completion",
        "created": call.created,
        "model": call.served_model or call.model,
        "choices": choices,
    }


def _choice(text: str, index: int, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": index, "logprobs": None, "finish_reason": finish}


def _chunk(call: Call, text: str, index: int, finish: str | None = None) -> bytes:
    return sse.data(_completion(call, [_choice(text, index, finish)]))


def _text(call: Call, text: str, index: int) -> bytes:
    return b"".join(_chunk(call, piece, index) for piece in sse.pieces(text))


def _total(call: Call, event: Finished) -> bytes:
    """What a stream ends with."""
    if not call.include_usage:
        return sse.DONE
    return sse.data(_completion(call, []) | {"usage": openai.usage(event.usage)}) + sse.DONE
