"""What goes into each address: the schema of its body, and examples that its own decoder takes (a test feeds them to it).
Everything that clients send beside these fields is taken too where the wire formats allow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MODEL = {"type": "string", "description": "A name from the model list.", "examples": ["gemini-2.5-flash"]}
_TEXT: dict[str, Any] = {"type": "string"}
_FLAG: dict[str, Any] = {"type": "boolean"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 1}
_OBJECT: dict[str, Any] = {"type": "object"}
_LIST: dict[str, Any] = {"type": "array", "items": {"type": "object"}}
_STREAM = {"type": "boolean", "description": "Answer in server-sent events."}
_HELLO = "Say hello."


@dataclass(frozen=True, slots=True)
class Asked:
    """The body of one address. `streams` says that it can answer in server-sent events too, `form` that the body is
    multipart/form-data."""

    summary: str
    schema: Mapping[str, Any]
    examples: Mapping[str, Mapping[str, Any]]
    streams: bool = False
    form: bool = False


def _object(required: tuple[str, ...] = (), /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


_MESSAGES = {
    "type": "array",
    "minItems": 1,
    "items": _object(
        ("role", "content"),
        role={"type": "string", "enum": ["system", "developer", "user", "assistant", "tool"]},
        content={"oneOf": [_TEXT, _LIST], "description": "Text, or parts: text, image_url, file."},
    ),
}
_CHAT = _object(
    ("model", "messages"),
    model=_MODEL,
    messages=_MESSAGES,
    stream=_STREAM,
    stream_options=_OBJECT,
    max_completion_tokens=_COUNT,
    stop={"oneOf": [_TEXT, {"type": "array", "items": _TEXT}]},
    reasoning_effort={"type": "string", "enum": ["none", "minimal", "low", "medium", "high", "xhigh"]},
    tools=_LIST,
    tool_choice={"oneOf": [_TEXT, _OBJECT]},
    response_format=_OBJECT,
)
_CHAT_EXAMPLE = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": _HELLO}]}
_CONTENTS = {
    "type": "array",
    "minItems": 1,
    "items": _object(("parts",), role={"type": "string", "enum": ["user", "model"]}, parts=_LIST),
}
_GENERATE_CONTENT = _object(
    ("contents",),
    contents=_CONTENTS,
    systemInstruction=_OBJECT,
    generationConfig=_OBJECT,
    tools=_LIST,
    toolConfig=_OBJECT,
    safetySettings=_LIST,
)
_CONTENT_EXAMPLE = {"contents": [{"role": "user", "parts": [{"text": _HELLO}]}]}
_ANTHROPIC = _object(
    ("model", "messages", "max_tokens"),
    model=_MODEL,
    max_tokens=_COUNT,
    messages=_LIST,
    system={"oneOf": [_TEXT, _LIST]},
    stream=_STREAM,
    tools=_LIST,
    tool_choice=_OBJECT,
    thinking=_OBJECT,
    stop_sequences={"type": "array", "items": _TEXT},
)
_ANTHROPIC_COUNT = _object(
    ("model", "messages"), model=_MODEL, messages=_LIST, system={"oneOf": [_TEXT, _LIST]}, tools=_LIST
)
_ANTHROPIC_EXAMPLE = {**_CHAT_EXAMPLE, "max_tokens": 1024}
_RESPONSES = _object(
    ("model", "input"),
    model=_MODEL,
    input={"oneOf": [_TEXT, _LIST]},
    instructions=_TEXT,
    previous_response_id=_TEXT,
    store=_FLAG,
    stream=_STREAM,
    tools=_LIST,
    text=_OBJECT,
    reasoning=_OBJECT,
)
_RESPONSES_EXAMPLE = {"model": "gemini-2.5-flash", "input": _HELLO}
_PICTURE = _object(
    ("prompt",),
    model=_MODEL,
    prompt=_TEXT,
    n={"type": "integer", "minimum": 1, "maximum": 10},
    size={"type": "string", "description": "1024x1024, 1536x1024, 2K, 4K, auto, ..."},
    response_format={"type": "string", "enum": ["b64_json", "url"]},
    output_format={"type": "string", "enum": ["png", "jpeg", "webp"]},
    stream=_STREAM,
)
_PICTURE_EXAMPLE = {"prompt": "A red fox in the snow", "size": "1024x1024", "response_format": "b64_json"}
_PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
_EDIT = {
    **_PICTURE,
    "properties": {
        **_PICTURE["properties"],
        "images": {"type": "array", "items": _object(image_url={"type": "string", "description": "A data URL."})},
        "mask": _OBJECT,
    },
}
_EDIT_EXAMPLE = {"prompt": "Make it night", "images": [{"image_url": _PIXEL}]}
_FILE: dict[str, Any] = {"type": "string", "format": "binary", "minLength": 1}
_UPLOAD = _object(
    ("file", "purpose"),
    file=_FILE,
    purpose={"type": "string", "enum": ["assistants", "batch", "fine-tune", "vision", "user_data", "evals"]},
)
_PREDICT = _object(("instances",), instances=_LIST, parameters=_OBJECT)
_LIMITS = _object(per_minute=_COUNT, per_hour=_COUNT, per_day=_COUNT)
_NAMES = {"type": ["array", "null"], "items": _TEXT, "description": "null for all."}
_RIGHTS: dict[str, Any] = {"models": _NAMES, "accounts": _NAMES, "limits": _LIMITS}

# (dialect, path) -> what goes there; for plain addresses ("", "METHOD path"); for Google's methods (dialect, ":method").
REQUESTS: dict[tuple[str, str], Asked] = {
    ("openai", "/v1/chat/completions"): Asked("Chat (OpenAI)", _CHAT, {"hello": _CHAT_EXAMPLE}, streams=True),
    ("simple", "/v1/generate"): Asked(
        "The simplest way: a prompt in, a text out",
        _object(("prompt",), prompt=_TEXT, model=_MODEL, stream=_STREAM),
        {"hello": {"prompt": _HELLO, "model": "gemini-2.5-flash"}},
        streams=True,
    ),
    ("gemini", ":generateContent"): Asked("Chat (Gemini)", _GENERATE_CONTENT, {"hello": _CONTENT_EXAMPLE}),
    ("gemini", ":streamGenerateContent"): Asked(
        "Chat in a stream (Gemini); with `?alt=sse` as server-sent events",
        _GENERATE_CONTENT,
        {"hello": _CONTENT_EXAMPLE},
        streams=True,
    ),
    ("gemini", ":countTokens"): Asked("Count tokens (Gemini)", _GENERATE_CONTENT, {"hello": _CONTENT_EXAMPLE}),
    ("gemini", ":predict"): Asked(
        "Make pictures (Gemini)",
        _PREDICT,
        {"fox": {"instances": [{"prompt": "A red fox"}], "parameters": {"sampleCount": 1}}},
    ),
    ("anthropic", "/v1/messages"): Asked("Chat (Anthropic)", _ANTHROPIC, {"hello": _ANTHROPIC_EXAMPLE}, streams=True),
    ("anthropic", "/v1/messages/count_tokens"): Asked(
        "Count tokens (Anthropic)", _ANTHROPIC_COUNT, {"hello": _CHAT_EXAMPLE}
    ),
    ("openai_responses", "/v1/responses"): Asked(
        "Responses (OpenAI)", _RESPONSES, {"hello": _RESPONSES_EXAMPLE}, streams=True
    ),
    ("openai_responses", "/v1/responses/input_tokens"): Asked(
        "Count tokens (OpenAI)", _RESPONSES, {"hello": _RESPONSES_EXAMPLE}
    ),
    ("openai_responses", "/v1/responses/compact"): Asked(
        "Make a conversation short (OpenAI)", _RESPONSES, {"hello": _RESPONSES_EXAMPLE}
    ),
    ("openai_completions", "/v1/completions"): Asked(
        "Completions (OpenAI, legacy)",
        _object(("model", "prompt"), model=_MODEL, prompt=_TEXT, stream=_STREAM, max_tokens=_COUNT),
        {"hello": {"model": "gemini-2.5-flash", "prompt": _HELLO}},
        streams=True,
    ),
    ("openai_images", "/v1/images/generations"): Asked(
        "Make pictures (OpenAI)", _PICTURE, {"fox": _PICTURE_EXAMPLE}, streams=True
    ),
    ("openai_images", "/v1/images/edits"): Asked(
        "Change pictures (OpenAI)", _EDIT, {"night": _EDIT_EXAMPLE}, streams=True
    ),
    ("openai_images", "/v1/images/edit"): Asked(
        "Change pictures (simple)", _EDIT, {"night": _EDIT_EXAMPLE}, streams=True
    ),
    ("openai_images", "/v1/images/variations"): Asked("Vary a picture (OpenAI)", _EDIT, {"vary": _EDIT_EXAMPLE}),
    ("openai_images", "/v1/generate-images"): Asked("Make pictures (simple)", _PICTURE, {"fox": {"prompt": "A red fox"}}),
    ("openai", "/v1/files"): Asked(
        "Upload a file (OpenAI; with `anthropic-version` Anthropic's, without `purpose`)",
        _UPLOAD,
        {"notes": {"file": "The moon is far.", "purpose": "user_data"}},
        form=True,
    ),
    ("anthropic", "/v1/files"): Asked(
        "Upload a file (Anthropic)", _object(("file",), file=_FILE), {"notes": {"file": "The moon is far."}}, form=True
    ),
    ("", "POST /api/session"): Asked(
        "Sign in on the admin page, with the admin key or the console's one-time token",
        _object(key=_TEXT, token=_TEXT),
        {"key": {"key": "adm-..."}},
    ),
    ("", "POST /api/keys"): Asked(
        "Make an API key; the answer holds it, this one time",
        _object(("name",), name=_TEXT, **_RIGHTS),
        {"team": {"name": "team", "models": None, "limits": {"per_minute": 10}}},
    ),
    ("", "PATCH /api/keys/{id}"): Asked(
        "Give a key other models, accounts or limits", _object(**_RIGHTS), {"slower": {"limits": {"per_minute": 2}}}
    ),
}
