"""Google's own Gemini API: generateContent and streamGenerateContent (server-sent events or a JSON array), models.

Served as `v1` and `v1beta`, under `/gemini` and at the root: google-genai 3 asks `v1`, older versions and gemini-cli
`v1beta`. Stream lines are exactly `data: {json}`; a comment or `[DONE]` raises in Google's own clients."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError, NotFound
from gateway.model import (
    Call,
    Chosen,
    Citation,
    Event,
    Finished,
    FinishReason,
    Image,
    ImageReady,
    Message,
    Part,
    PictureWish,
    Reply,
    RequestHead,
    Role,
    StoredFile,
    Text,
    TextDelta,
    Thought,
    ThoughtDelta,
    ToolCall,
    Usage,
)
from gateway.wire import gemini_files, gemini_tools, media, pictures, sse
from gateway.wire.dialect import ModelCard, Request, Route, anyone
from gateway.wire.fields import Fields, bad, model_name, stop_words

ROLES: dict[str, Role] = {
    "user": "user",
    "model": "assistant",
    "function": "user",
    "tool": "user",
    "system": "system",
    "assistant": "assistant",
}
IGNORED = (
    "temperature",
    "topP",
    "topK",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "speechConfig",
    "mediaResolution",
)
STATUS = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_FINISH = {
    FinishReason.STOP: "STOP",
    FinishReason.LENGTH: "MAX_TOKENS",
    FinishReason.REFUSED: "SAFETY",
    FinishReason.TOOLS: "STOP",
}
_NO_INTERACTIONS = "use models/MODEL:generateContent (client.models.generate_content or chats) in place of interactions"
EXTENDED_BUDGET = 8192
# As in the original.
MOST_CANDIDATES = 8
# The URI or the name of a file that was uploaded here.
_STORED = re.compile(r"(?:https?://[^/\s]{1,300})?(?:/gemini)?/?(?:v1(?:beta)?/)?files/([a-z0-9]{1,64})", re.ASCII)


def asks_gemini(head: RequestHead) -> bool:
    """Whether a request to an address that OpenAI has too (`GET /v1/models`) comes from a Gemini client."""
    return "x-goog-api-key" in head.headers or "key" in head.query


def _routes() -> tuple[Route, ...]:
    routes = []
    for prefix in ("/gemini/v1beta", "/gemini/v1", "/v1beta", "/v1"):
        claims = asks_gemini if prefix == "/v1" else anyone
        routes += [
            Route("POST", prefix + "/interactions", "unsupported", instead=_NO_INTERACTIONS),
            Route("POST", prefix + "/models/{model:[^:]*}:countTokens", "count", "countTokens"),
            Route("POST", prefix + "/models/{model:[^:]*}:{action:[^:]*}", "generate", prefix),
            Route("GET", prefix + "/models", "models", claims=claims),
            Route("GET", prefix + "/models/{model}", "model", claims=claims),
            *gemini_files.routes(prefix, claims),
        ]
    return tuple(routes)


class Gemini(gemini_files.GeminiFiles):
    """The dialect of Google's Gemini API."""

    name = "gemini"
    routes: tuple[Route, ...] = _routes()

    def decode(self, request: Request) -> Call:
        action = request.params.get("action", request.route.action)
        if action not in ("generateContent", "streamGenerateContent", "countTokens"):
            raise NotFound(f"models has no method {_echo(action)}")
        fields = Fields(request.body)
        if action == "countTokens":
            fields = fields.table("generateContentRequest", "generate_content_request") or fields
        config = fields.table("generationConfig", "generation_config") or Fields({}, "generationConfig")
        thinking = config.table("thinkingConfig", "thinking_config")
        tools, others = gemini_tools.tools(fields)
        return Call(
            id=request.id,
            created=request.created,
            dialect=self.name,
            model=model_name(request.params.get("model")),
            messages=_messages(fields),
            stream=action == "streamGenerateContent",
            extended_thinking=_extended(thinking),
            show_thoughts=thinking.flag("includeThoughts", "include_thoughts") if thinking else False,
            stop=stop_words(config.get("stopSequences", "stop_sequences"), "generationConfig.stopSequences", most=5),
            max_tokens=config.whole("maxOutputTokens", "max_output_tokens", low=1, high=10_000_000),
            pictures=_pictures(config),
            picture_delivery="bytes",
            tools=tools,
            tool_choice=gemini_tools.choice(fields, tools),
            choices=config.whole("candidateCount", "candidate_count", low=1, high=MOST_CANDIDATES) or 1,
            json_answer=gemini_tools.json_answer(config),
            ignored=_ignored(fields, config) + others,
            options={"sse": request.head.query.get("alt") == "sse"},
        )

    def stream_content_type(self, call: Call) -> str:
        return sse.CONTENT_TYPE if call.options.get("sse") else "application/json"

    def encode_start(self, call: Call) -> bytes:
        return b"" if call.options.get("sse") else b"["

    def encode_event(self, event: Event, call: Call) -> bytes:
        index = 0
        if isinstance(event, Chosen):
            index, event = event.index, event.event
            if isinstance(event, Finished):
                return _framed(call, _answer(call, [{"text": ""}], event.reason, event.usage, index=index))
        match event:
            case Finished(usage=usage) if call.choices > 1:
                return _framed(call, _answer(call, [{"text": ""}], usage=usage), last=True)
            case TextDelta(text=text):
                return _framed(call, _answer(call, [{"text": text}], index=index))
            case ThoughtDelta(text=text) if call.show_thoughts:
                return _framed(call, _answer(call, [{"text": text, "thought": True}], index=index))
            case ToolCall():
                return _framed(call, _answer(call, [gemini_tools.part(event)], index=index))
            case ImageReady(image=image):
                return _framed(call, _answer(call, [_inline(image)]))
            case Citation():
                return _framed(call, _answer(call, [{"text": ""}], sources=[event], index=index))
            case Finished(reason=reason, usage=usage):
                return _framed(call, _answer(call, [{"text": ""}], reason, usage), last=True)
            case _:
                return b""

    def encode_keep_alive(self, call: Call) -> bytes:
        return _framed(call, _answer(call, [{"text": ""}]))

    def encode_late_error(self, error: GatewayError, call: Call) -> bytes:
        return _framed(call, _error(error), last=True)

    def encode_whole(self, reply: Reply, call: Call) -> bytes:
        answers = [_whole(one, call, index) for index, one in enumerate(reply.choices or [reply])]
        answers[0]["candidates"] = [answer["candidates"][0] for answer in answers]
        answers[0]["usageMetadata"] = _usage(reply.usage)
        return sse.dumps(answers[0])

    def encode_count(self, tokens: int, call: Call) -> bytes:
        details = [{"modality": "TEXT", "tokenCount": tokens}]
        return sse.dumps({"totalTokens": tokens, "promptTokensDetails": details})

    def encode_error(self, error: GatewayError) -> bytes:
        return sse.dumps(_error(error))

    def encode_models(self, cards: Sequence[ModelCard], query: Mapping[str, str]) -> bytes:
        size, start = _page(query, len(cards))
        page: dict[str, Any] = {"models": [_card(card) for card in cards[start : start + size]]}
        if start + size < len(cards):
            page["nextPageToken"] = str(start + size)
        return sse.dumps(page)

    def encode_model(self, card: ModelCard) -> bytes:
        return sse.dumps(_card(card))


# --- reading ------------------------------------------------------------------------------------------------------


def _messages(fields: Fields) -> tuple[Message, ...]:
    files: list[Part] = []
    ids = gemini_tools.Ids()
    messages = []
    system = fields.get("systemInstruction", "system_instruction")
    if isinstance(system, str):
        messages.append(Message("system", (Text(system),)))
    elif (table := fields.table("systemInstruction", "system_instruction")) is not None:
        messages.append(Message("system", _parts(table, files, ids)))
    contents = fields.get("contents")
    if isinstance(contents, dict):
        fields = Fields({"contents": [contents]})
    tables = fields.tables("contents")
    if not tables:
        raise bad("contents", "must be a list of at least one content")
    for table in tables:
        role = ROLES[table.word("role", of=tuple(ROLES)) or "user"]
        messages.append(Message(role, _parts(table, files, ids)))
    return tuple(messages)


def _parts(fields: Fields, files: list[Part], ids: gemini_tools.Ids) -> tuple[Part, ...]:
    single = fields.get("parts")
    if isinstance(single, dict):
        fields = Fields({"parts": [single]}, fields.path)
    return tuple(_part(table, files, ids) for table in fields.tables("parts"))


def _part(fields: Fields, files: list[Part], ids: gemini_tools.Ids) -> Part:
    text = fields.text("text")
    if text is not None:
        return Thought(text) if fields.flag("thought") else Text(text)
    if inline := fields.table("inlineData", "inline_data"):
        encoded = inline.text("data", most=100_000_000) or ""
        mime = inline.text("mimeType", "mime_type", most=200) or "application/octet-stream"
        # Google takes the URL-safe alphabet too.
        encoded = encoded.replace("-", "+").replace("_", "/")
        files.append(media.blob(encoded, mime.split(";")[0].lower(), len(files) + 1, inline.at("data")))
        return files[-1]
    if file := fields.table("fileData", "file_data"):
        address = file.text("fileUri", "file_uri", most=100_000_000) or ""
        if stored := _STORED.fullmatch(address):
            files.append(StoredFile(stored.group(1), len(files) + 1, file.at("fileUri")))
        else:
            files.append(media.from_url(address, len(files) + 1, file.at("fileUri")))
        return files[-1]
    if call := fields.table("functionCall", "function_call"):
        return ids.use(call)
    if result := fields.table("functionResponse", "function_response"):
        return ids.result(result)
    if set(fields.data) <= {"thoughtSignature", "thought_signature", "thought", "text", "partMetadata"}:
        return Text("")
    raise bad(fields.path, "must have text, inlineData, fileData, functionCall or functionResponse")


def _pictures(config: Fields) -> PictureWish | None:
    """The pictures that `responseModalities` and `imageConfig` ask for. IMAGE alone: one must come."""
    modalities = config.items("responseModalities", "response_modalities") or ()
    named = {str(item).upper() for item in modalities}
    if unknown := named - {"TEXT", "IMAGE", "MODALITY_UNSPECIFIED"}:
        raise bad("generationConfig.responseModalities", f"cannot be {min(unknown)[:20]}: TEXT and IMAGE are served")
    wanted = config.table("imageConfig", "image_config")
    if "IMAGE" not in named and wanted is None:
        return None
    wanted = wanted or Fields({}, "generationConfig.imageConfig")
    size, _ = pictures.size_and_aspect(wanted.text("imageSize", "image_size", most=10), wanted.at("imageSize"))
    return PictureWish(
        task="generate" if named == {"IMAGE"} else "answer",
        aspect=pictures.aspect(wanted.text("aspectRatio", "aspect_ratio", most=10), wanted.at("aspectRatio")),
        size=size,
    )


def _extended(thinking: Fields | None) -> bool:
    if thinking is None:
        return False
    level = (thinking.text("thinkingLevel", "thinking_level", most=100) or "").lower()
    budget = thinking.whole("thinkingBudget", "thinking_budget", low=-1, high=10_000_000)
    # The web shows thoughts only when it thinks at length: who wants to see them gets that, unless thinking is off.
    shown = thinking.flag("includeThoughts", "include_thoughts") and budget != 0 and level != "minimal"
    return shown or level == "high" or (budget is not None and budget > EXTENDED_BUDGET)


def _ignored(fields: Fields, config: Fields) -> tuple[str, ...]:
    config.number("temperature", low=0, high=2)
    config.number("topP", "top_p", low=0, high=1)
    config.number("topK", "top_k", low=0)
    snake = {name: "".join("_" + c.lower() if c.isupper() else c for c in name) for name in IGNORED}
    found = [name for name in IGNORED if config.get(name, snake[name]) is not None]
    if fields.items("safetySettings", "safety_settings"):
        found.append("safetySettings")
    return tuple(found)


def _page(query: Mapping[str, str], count: int) -> tuple[int, int]:
    try:
        size = int(query.get("pageSize") or 50)
        start = int(query.get("pageToken") or 0)
    except ValueError:
        raise bad("pageToken", "is not one of ours") from None
    if size < 0 or not 0 <= start <= count:
        raise bad("pageSize" if size < 0 else "pageToken", "is out of range")
    return min(size or 50, 1000), start


# --- writing ------------------------------------------------------------------------------------------------------


def _whole(reply: Reply, call: Call, index: int) -> dict[str, Any]:
    parts: list[dict[str, Any]] = []
    if reply.thoughts and call.show_thoughts:
        signed = gemini_tools.signature(reply.thoughts)
        parts.append({"text": reply.thoughts, "thought": True, "thoughtSignature": signed})
    if reply.text or not (reply.images or reply.tool_calls or parts):
        parts.append({"text": reply.text})
    parts += [gemini_tools.part(one) for one in reply.tool_calls]
    parts += [_inline(image) for image in reply.images]
    return _answer(call, parts, reply.reason, reply.usage, sources=reply.citations, index=index)


def _answer(
    call: Call,
    parts: list[dict[str, Any]],
    reason: FinishReason | None = None,
    usage: Usage | None = None,
    *,
    sources: Sequence[Citation] = (),
    index: int = 0,
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": index}
    answer: dict[str, Any] = {"candidates": [candidate]}
    if reason is not None:
        candidate["finishReason"] = _FINISH[reason]
    if sources:
        chunks = [{"web": {"uri": source.url, "title": source.title}} for source in sources]
        candidate["groundingMetadata"] = {"groundingChunks": chunks}
    if reason is FinishReason.REFUSED:
        answer["promptFeedback"] = {"blockReason": "OTHER"}
    answer["usageMetadata"] = _usage(usage or Usage(prompt=call.prompt_tokens))
    answer["modelVersion"] = call.served_model or call.model
    answer["responseId"] = call.id
    return answer


def _usage(usage: Usage) -> dict[str, int]:
    counts = {"promptTokenCount": usage.prompt, "totalTokenCount": usage.total}
    if usage.output:
        counts["candidatesTokenCount"] = usage.output
    if usage.thoughts:
        counts["thoughtsTokenCount"] = usage.thoughts
    return counts


def _inline(image: Image) -> dict[str, Any]:
    return {"inlineData": {"mimeType": image.mime, "data": media.json_base64(image.data)}}


def _framed(call: Call, value: dict[str, Any], last: bool = False) -> bytes:
    if call.options.get("sse"):
        return sse.data(value)
    return sse.dumps(value) + (b"]" if last else b"\n,\r\n")


def _error(exc: GatewayError) -> dict[str, Any]:
    default = "INVALID_ARGUMENT" if exc.status < 500 else "INTERNAL"
    error: dict[str, Any] = {"code": exc.status, "message": exc.message, "status": STATUS.get(exc.status, default)}
    details: list[dict[str, Any]] = []
    if exc.retry_after is not None:
        delay = f"{max(1, round(exc.retry_after))}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay})
    if exc.param is not None:
        violation = {"field": exc.param, "description": exc.message}
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]})
    if details:
        error["details"] = details
    return {"error": error}


def _card(card: ModelCard) -> dict[str, Any]:
    return {
        "name": f"models/{card.name}",
        "version": "001",
        "displayName": card.title,
        "description": f"{card.title}, served from a Gemini web account",
        "inputTokenLimit": card.window,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": ["generateContent", "countTokens"],
    }


def _echo(text: str) -> str:
    return "".join(char for char in text[:60] if char.isalnum() or char in "._-") or "of that name"
