"""The simplest format of all: `POST /v1/generate` takes `{"prompt", "model"}` and answers `{"text", "model"}`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.errors import GatewayError
from gateway.model import Call, Event, Finished, ImageReady, Message, Reply, Text, TextDelta
from gateway.wire import openai, pictures, sse
from gateway.wire.dialect import ModelCard, Request, Route
from gateway.wire.fields import Fields, bad, model_name

DEFAULT_MODEL = "gemini-2.5-flash"


class Simple:
    """The dialect of `/v1/generate`. Streams (with `"stream": true`) as server-sent `{"text"}` events."""

    name = "simple"
    routes: tuple[Route, ...] = (Route("POST", "/v1/generate", "generate"),)

    def decode(self, request: Request) -> Call:
        fields = Fields(request.body)
        prompt = fields.text("prompt")
        if not prompt or not prompt.strip():
            raise bad("prompt", "is required")
        return Call(
            id=request.id,
            created=request.created,
            dialect=self.name,
            model=model_name(fields.text("model") or DEFAULT_MODEL),
            messages=(Message("user", (Text(prompt),)),),
            stream=fields.flag("stream"),
            show_thoughts=False,
        )

    def stream_content_type(self, call: Call) -> str:
        return sse.CONTENT_TYPE

    def encode_start(self, call: Call) -> bytes:
        return b""

    def encode_event(self, event: Event, call: Call) -> bytes:
        match event:
            case TextDelta(text):
                return sse.data({"text": text, "model": call.served_model or call.model})
            case ImageReady(image):
                return b"".join(
                    sse.data({"text": piece, "model": call.served_model or call.model})
                    for piece in ("\n\n", *pictures.markdown(image))
                )
            case Finished():
                return sse.DONE
            case _:
                return b""

    def encode_keep_alive(self, call: Call) -> bytes:
        return sse.COMMENT

    def encode_late_error(self, error: GatewayError, call: Call) -> bytes:
        return sse.data(openai.error(error)) + sse.DONE

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        text = "\n\n".join([reply.text.rstrip(), *("".join(pictures.markdown(image)) for image in reply.images)])
        return sse.dumps({"text": text if reply.images else reply.text, "model": call.served_model or call.model})

    def encode_error(self, error: GatewayError) -> bytes:
        return sse.dumps(openai.error(error))

    def encode_models(self, cards: Sequence[ModelCard], query: Mapping[str, str]) -> bytes:
        return openai.models(cards)

    def encode_model(self, card: ModelCard) -> bytes:
        return openai.model(card)
