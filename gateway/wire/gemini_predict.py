"""Google's older picture method, which some clients still call: `POST .../models/{model}:predict`."""

from __future__ import annotations

from typing import Any

from gateway.model import Call, Message, PictureWish, Reply, RequestHead, Text
from gateway.wire import media, pictures, sse
from gateway.wire.dialect import Request, Route
from gateway.wire.fields import Fields, bad, model_name
from gateway.wire.gemini import Gemini

MOST_PICTURES = 10
_ACTION = ":predict"


def asks_predict(head: RequestHead) -> bool:
    """Whether a request to the Gemini API's methods is this one."""
    return head.path.endswith(_ACTION)


class GeminiPredict(Gemini):
    """The dialect of `:predict`. Its errors are Gemini's."""

    name = "gemini_predict"
    routes: tuple[Route, ...] = tuple(
        Route("POST", prefix + "/models/{model:[^:]*}:{action:[^:]*}", "generate", prefix, claims=asks_predict)
        for prefix in ("/gemini/v1beta", "/gemini/v1", "/v1beta", "/v1")
    )

    def decode(self, request: Request) -> Call:
        fields = Fields(request.body)
        instance = _instance(fields)
        prompt = (instance.text("prompt", most=32_000) or "").strip()
        if not prompt:
            raise bad(instance.at("prompt"), "is required")
        wanted = fields.table("parameters") or Fields({}, "parameters")
        size, _ = pictures.size_and_aspect(wanted.text("sampleImageSize", most=10), "parameters.sampleImageSize")
        return Call(
            id=request.id,
            created=request.created,
            dialect=self.name,
            model=model_name(request.params.get("model")),
            messages=(Message("user", (Text(prompt),)),),
            show_thoughts=False,
            pictures=PictureWish(
                task="generate",
                count=wanted.whole("sampleCount", low=1, high=MOST_PICTURES) or 1,
                aspect=pictures.aspect(wanted.text("aspectRatio", most=10), "parameters.aspectRatio"),
                size=size,
            ),
            picture_delivery="bytes",
        )

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        made: list[dict[str, Any]] = [
            {"mimeType": image.mime, "bytesBase64Encoded": media.json_base64(image.data)} for image in reply.images
        ]
        return sse.dumps({"predictions": made})


def _instance(fields: Fields) -> Fields:
    """The one instance: an object, or a list of one."""
    if isinstance(fields.get("instances"), list):
        found = fields.tables("instances", most=1)
        if not found:
            raise bad("instances", "must have one item")
        return found[0]
    single = fields.table("instances")
    if single is None:
        raise bad("instances", "is required")
    return single
