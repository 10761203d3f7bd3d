"""The simplest format of all: `POST /v1/generate` takes `{"prompt", "model"}` and answers `{"text", "model"}`."""

from __future__ import annotations

from gateway.model import Call, Event, Finished, ImageReady, Message, Reply, Text, TextDelta
from gateway.wire import openai, pictures, sse
from gateway.wire.dialect import Request, Route
from gateway.wire.fields import Fields, bad, model_name

DEFAULT_MODEL = "gemini-2.5-flash"


class Simple(openai.OpenAIShaped):
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

    def encode_event(self, event: Event, call: Call) -> bytes:
        match event:
            case TextDelta(text=text):
                return sse.data({"text": text, "model": call.served_model or call.model})
            case ImageReady():
                return b"".join(
                    sse.data({"text": piece, "model": call.served_model or call.model})
                    for piece in pictures.paragraph(event)
                )
            case Finished():
                return sse.DONE
            case _:
                return b""

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        return sse.dumps({"text": pictures.text_of(reply), "model": call.served_model or call.model})
