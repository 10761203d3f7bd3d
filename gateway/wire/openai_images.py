"""OpenAI's picture endpoints: generations, edits (form or JSON) and variations; and the two simple forms beside them,
`/v1/images/edit` and `/v1/generate-images`, whose replies have the list `images`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from gateway.errors import GatewayError
from gateway.model import (
    Call,
    Event,
    Image,
    ImageReady,
    Message,
    Part,
    PictureWish,
    Reply,
    Text,
    Usage,
)
from gateway.wire import filing, media, openai, openai_files, pictures, sse
from gateway.wire.dialect import Request, Route, Upload
from gateway.wire.fields import Fields, bad, model_name, number_of

DEFAULT_MODEL = "gemini-2.5-flash-image"
MOST_PICTURES, MOST_INPUTS = 10, 16
# Taken because clients send them; the web has no such thing. Named in x-gateway-ignored.
IGNORED = ("quality", "moderation", "input_fidelity", "user")
_MOST_PARTIAL = 3
# The values that ImagesResponse.size may have.
_OFFICIAL_SIZES = ("1024x1024", "1024x1536", "1536x1024")
Task = Literal["generate", "edit", "vary"]
# What a stream calls the event of a finished picture. OpenAI streams these two alone.
_COMPLETED = {"generations": "image_generation.completed", "edits": "image_edit.completed"}
_TASKS: dict[str, Task] = {"generations": "generate", "simple": "generate", "edits": "edit", "variations": "vary"}


class OpenAIImages(openai.OpenAIShaped):
    """The dialect of `/v1/images/*` and `/v1/generate-images`. A stream of pictures carries each in one line, however
    long it is: so does the original, and its clients read nothing else."""

    name = "openai_images"
    routes: tuple[Route, ...] = (
        Route("POST", "/v1/images/generations", "generate", "generations", form=True),
        Route("POST", "/v1/images/edits", "generate", "edits", form=True),
        Route("POST", "/v1/images/edit", "generate", "edits", form=True),
        Route("POST", "/v1/images/variations", "generate", "variations", form=True),
        Route("POST", "/v1/generate-images", "generate", "simple"),
    )

    def decode(self, request: Request) -> Call:
        fields = Fields(_unformed(request.body))
        task = _TASKS[request.route.action]
        prompt = _prompt(fields, task)
        inputs = _inputs(fields) if task != "generate" else ()
        action = request.route.action
        if (stream := fields.flag("stream")) and action not in _COMPLETED:
            raise bad("stream", "must be false here: only generations and edits are streamed")
        partial = fields.whole("partial_images", low=0, high=_MOST_PARTIAL)
        as_url = _as_url(fields)
        parts: tuple[Part, ...] = (*inputs, Text(prompt)) if prompt else inputs
        return Call(
            id=f"img-{request.id}",
            created=request.created,
            dialect=self.name,
            model=model_name(fields.text("model") or DEFAULT_MODEL),
            messages=(Message("user", parts),),
            stream=stream,
            show_thoughts=False,
            pictures=_wish(fields, task),
            picture_delivery="url" if as_url else "bytes",
            ignored=(*fields.present(IGNORED), *(("partial_images",) if partial else ())),
            options={"action": action, "json": "multipart" not in _content_type(request)},
        )

    def encode_event(self, event: Event, call: Call) -> bytes:
        match event:
            case ImageReady(image=image):
                return sse.named(_completed(image, call))
            case _:
                return b""

    def encode_late_error(self, error: GatewayError, call: Call) -> bytes:
        return sse.data(openai.error(error))

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        if call.options.get("action") == "simple":
            body: dict[str, Any] = {"images": _references(reply), "model": call.served_model or call.model}
            return sse.dumps(body | _warnings(call))
        body = {"created": call.created, "data": [_datum(image, call) for image in reply.images]}
        body |= _common(reply)
        if call.options.get("action") == "edits" and call.options.get("json"):
            body["images"] = _references(reply)
        return sse.dumps(body | _warnings(call))


# --- reading ------------------------------------------------------------------------------------------------------


def _content_type(request: Request) -> str:
    return request.head.headers.get("Content-Type", "").lower()


def _unformed(body: Mapping[str, Any]) -> dict[str, Any]:
    """A form's fields with the types that they have in JSON."""
    plain = dict(body)
    for name in ("n", "output_compression", "partial_images"):
        if isinstance(value := plain.get(name), str) and (number := number_of(value.strip())) is not None:
            plain[name] = number
    if isinstance(value := plain.get("stream"), str) and (word := value.strip().lower()) in ("true", "false"):
        plain["stream"] = word == "true"
    return plain


def _prompt(fields: Fields, task: Task) -> str:
    prompt = (fields.text("prompt", most=32_000) or "").strip()
    if not prompt and task != "vary":
        raise bad("prompt", "is required")
    return prompt


def _wish(fields: Fields, task: Task) -> PictureWish:
    size, aspect = pictures.size_and_aspect(fields.text("size", "image_size", most=40), "size")
    explicit = pictures.aspect(fields.text("aspect_ratio", "aspectRatio", most=10), "aspect_ratio")
    form = fields.word("output_format", of=("png", "jpeg", "webp"))
    compression = fields.whole("output_compression", low=0, high=100)
    background = fields.word("background", of=("transparent", "opaque", "auto"))
    style = fields.word("style", of=("vivid", "natural"))
    notes = ["Make its background transparent."] if background == "transparent" else []
    notes += [f"Style: {style}."] if style else []
    return PictureWish(
        task=task,
        count=fields.whole("n", low=1, high=MOST_PICTURES) or 1,
        aspect=explicit or aspect,
        size=size,
        format="png" if form == "png" else "jpeg" if form == "jpeg" else "webp" if form == "webp" else None,
        quality=max(compression, 1) if compression is not None else None,
        notes=" ".join(notes),
    )


def _as_url(fields: Fields) -> bool:
    """How the pictures go out: OpenAI's `response_format`, or the simple forms' `response_type`."""
    official = fields.word("response_format", of=("b64_json", "url"))
    simple = fields.word("response_type", of=("base64", "url"))
    return "url" in (official, simple)


def _inputs(fields: Fields) -> tuple[Part, ...]:
    """The pictures to work on, then the mask: from `image` or `images`, each one or several."""
    found: list[Part] = []
    for name in ("image", "images"):
        value = fields.get(name)
        for position, item in enumerate(value if isinstance(value, list) else [] if value is None else [value]):
            path = f"{name}.{position}" if isinstance(value, list) else name
            if len(found) == MOST_INPUTS:
                raise bad(path, f"must be at most {MOST_INPUTS} pictures")
            found.append(_picture(item, len(found) + 1, path))
    if not found:
        raise bad("image", "is required")
    if (mask := fields.get("mask")) is not None:
        found.append(_picture(mask, len(found) + 1, "mask", mask=True))
    return tuple(found)


def _picture(item: Any, number: int, path: str, *, mask: bool = False) -> Part:
    match item:
        case Upload(data=data):
            return media.only_picture(media.file(data, "image/png", number, path, mask=mask))
        case {"image_url": {"url": str() as url}} | {"image_url": str() as url} | {"url": str() as url}:
            return media.picture(url, number, f"{path}.image_url", mask=mask)
        case {"b64_json": str() as encoded}:
            return media.picture(encoded, number, f"{path}.b64_json", mask=mask)
        case {"file_id": _}:
            return filing.named(Fields(item, path), openai_files.PREFIX, number, mask=mask, picture=True)
        case str():
            return media.picture(item, number, path, mask=mask)
        case _:
            raise bad(path, "must be a data URL, base64, an https URL, {image_url} or {file_id}")


# --- writing ------------------------------------------------------------------------------------------------------


def _datum(image: Image, call: Call) -> dict[str, Any]:
    datum: dict[str, Any] = {"url": image.url} if image.url else {"b64_json": media.json_base64(image.data)}
    prompt = call.messages[-1].text if call.messages else ""
    return datum | {"revised_prompt": prompt, "gateway": pictures.facts(image)}


def _completed(image: Image, call: Call) -> dict[str, Any]:
    """The event of a finished picture. Its usage is what is known by then: the prompt."""
    event = {
        "type": _COMPLETED[call.options["action"]],
        "created_at": call.created,
        "size": f"{image.width}x{image.height}",
        "quality": "auto",
        "background": "auto",
        "output_format": image.mime.removeprefix("image/"),
        "usage": _usage(Usage(prompt=call.prompt_tokens)),
    }
    return event | _datum(image, call)


def _references(reply: Reply) -> list[Any]:
    return [pictures.reference(image) for image in reply.images]


def _common(reply: Reply) -> dict[str, Any]:
    body: dict[str, Any] = {"usage": _usage(reply.usage)}
    formats = {image.mime.removeprefix("image/") for image in reply.images}
    if len(formats) == 1:
        body["output_format"] = formats.pop()
    sizes = {f"{image.width}x{image.height}" for image in reply.images}
    if len(sizes) == 1 and (size := sizes.pop()) in _OFFICIAL_SIZES:
        body["size"] = size
    return body


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt,
        "input_tokens_details": {"text_tokens": usage.prompt, "image_tokens": 0},
        "output_tokens": usage.output + usage.thoughts,
        "total_tokens": usage.total,
    }


def _warnings(call: Call) -> dict[str, Any]:
    return {"warnings": list(call.warnings)} if call.warnings else {}
