"""The values that flow through the gateway. Frozen slots dataclasses (`Call` alone changes on its way), stdlib only:
no I/O, no wire format, no behaviour beyond what a value knows about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

Role = Literal["system", "user", "assistant"]


# --- who asks, and how the request looked -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request before its body was read. `headers` has lower-case names; `query` the first value of each name."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    peer: str
    request_id: str
    dialect: str


@dataclass(frozen=True, slots=True)
class Principal:
    """Who is calling. `models` and `accounts` of None allow all; `limits` and `options` are for plugins."""

    name: str
    models: frozenset[str] | None = None
    accounts: frozenset[str] | None = None
    limits: Mapping[str, float] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


ANONYMOUS = Principal("anonymous")


# --- what is asked ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text in a message."""

    text: str


@dataclass(frozen=True, slots=True)
class Thought:
    """What an assistant turn thought. Kept out of the prompt: the web has no place for it."""

    text: str


@dataclass(frozen=True, slots=True)
class Blob:
    """A file that came with the request: its bytes, media type and a harmless file name. `param` is the field that it
    came in, for errors; `mask` says that it marks a region of another picture."""

    data: bytes
    mime: str
    name: str
    param: str = field(default="", compare=False)
    mask: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """A file that the caller named by an address. It becomes a Blob before an upstream sees the call; `number` goes
    into its name, `param` and `mask` are as in Blob; `picture` says that nothing else will do."""

    url: str
    number: int
    param: str
    mask: bool = False
    picture: bool = False


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that the caller uploaded before: it becomes a Blob before an upstream sees the call. `number` goes into its
    name, `param`, `mask` and `picture` are as in Link."""

    id: str
    number: int
    param: str
    mask: bool = False
    picture: bool = False


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A call of a tool that an earlier assistant turn made. `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool that was called answered. `id` and `name` are those of its ToolUse where the caller gave them."""

    id: str
    name: str
    text: str
    failed: bool = False


Part = Text | Thought | Blob | Link | StoredFile | ToolUse | ToolResult


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text parts, joined by newlines."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call. `parameters` is the JSON Schema of its arguments."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """Whether the model may, must or must not call a tool; with `only`, one of these."""

    mode: Literal["auto", "none", "required"] = "auto"
    only: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """The answer must be JSON; with `schema`, JSON that fits this JSON Schema. A `bare` one is a string, which the caller
    gets without its quotes. `param` is the field that the schema came in, for errors."""

    schema: Mapping[str, Any] | None = None
    name: str = ""
    strict: bool = False
    bare: bool = False
    param: str = field(default="response_format", compare=False)


PictureSize = Literal["1K", "2K", "4K"]


@dataclass(frozen=True, slots=True)
class PictureWish:
    """Pictures are asked for. `task` "answer" is a chat with a picture model, where text alone is an answer too; for all
    others a picture must come. `count` pictures are as many runs. `aspect` is a ratio such as "16:9"; `format` and
    `quality` (1 to 100) are how the file shall be encoded (None: as it came); `notes` go to the model as they are;
    `insist` is set for the second try, after an answer without a picture."""

    task: Literal["generate", "edit", "vary", "answer"] = "answer"
    count: int = 1
    aspect: str | None = None
    size: PictureSize | None = None
    format: Literal["png", "jpeg", "webp"] | None = None
    quality: int | None = None
    notes: str = ""
    insist: bool = False

    @property
    def required(self) -> bool:
        return self.task != "answer"


@dataclass(slots=True)
class Tried:
    """Where a call has been already: the pool leaves these out of its next choice."""

    accounts: set[str] = field(default_factory=set)
    egresses: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Call:
    """One question on its way. Dialects make it, `prepare_call` plugins may return a changed one, and the pool and the
    upstream write down what became of it (`account`, `route`: why that one, `served_model`, `guest`). Plugins keep their
    own under `extras[NAME]`, and put headers for the caller into `reply_headers` before the first content.

    `background` says that the caller does not wait: it gets a receipt, and looks for the answer later.

    `pictures` of None is a call that does not ask for any. `picture_delivery` says how those that come go out (None: as
    the settings say). `warnings` are for the caller, in words; `spent` are the seconds of each stage of a picture call,
    `usage` what came of an answer, be it cut short, once it has ended."""

    id: str
    created: int
    dialect: str
    model: str = ""
    messages: tuple[Message, ...] = ()
    stream: bool = False
    principal: Principal = ANONYMOUS
    extended_thinking: bool = False
    show_thoughts: bool = True
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    include_usage: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tools: bool = True
    json_answer: JsonAnswer | None = None
    background: bool = False
    choices: int = 1
    pictures: PictureWish | None = None
    picture_delivery: Literal["bytes", "url"] | None = None
    ignored: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    head: RequestHead | None = None
    prompt_tokens: int = 0
    tried: Tried = field(default_factory=Tried)
    attempts: int = 0
    account: str | None = None
    route: str = ""
    served_model: str | None = None
    guest: bool = False
    reply_headers: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    spent: dict[str, float] = field(default_factory=dict)
    usage: Usage | None = None
    extras: dict[str, Any] = field(default_factory=dict)


# --- what comes back ----------------------------------------------------------------------------------------------


class FinishReason(StrEnum):
    """Why an answer ended. Each dialect has its own word for it."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"
    TOOLS = "tools"


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts. Estimates: the web reports none (see `gateway/wire/tokens.py`)."""

    prompt: int = 0
    output: int = 0
    thoughts: int = 0

    @property
    def total(self) -> int:
        return self.prompt + self.output + self.thoughts


@dataclass(frozen=True, slots=True)
class TextDelta:
    """New text of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ThoughtDelta:
    """New text of the model's thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class Citation:
    """A source that the answer names."""

    url: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """The model calls a tool: whole, `arguments` is the text of a JSON object. An empty `name` is a call that could not be
    read; `arguments` then holds what the model wrote, and such a call never reaches a caller.
    `index` counts the calls of one answer from 0."""

    id: str
    name: str
    arguments: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """A picture on its way out. `mime`, `width` and `height` (px) are measured, not claimed; `native` is False when we
    upscaled it; `watermark` says what became of the visible star (None: nobody looked); `url` is where it is stored
    (None: it goes out as bytes); `warnings` are for the caller, in words."""

    data: bytes
    mime: str
    width: int
    height: int
    native: bool = True
    watermark: Literal["removed", "absent", "kept"] | None = None
    url: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageReady:
    """A picture of the answer, with its bytes: they were fetched while the account was leased. `gap` is what makes
    it a paragraph of its own where pictures go into the text of the answer."""

    image: Image
    gap: str = ""


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole. Exactly one of these, or one error, ends a call. `stop_word` is the one that ended it, if one
    did."""

    reason: FinishReason = FinishReason.STOP
    usage: Usage = Usage()
    stop_word: str | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """An event of one of several answers to one question; its Finished ends that answer only."""

    index: int
    event: TextDelta | ThoughtDelta | ToolCall | ImageReady | Citation | Finished | Chosen


Event = TextDelta | ThoughtDelta | ToolCall | ImageReady | Citation | Finished | Chosen


@dataclass(slots=True)
class Reply:
    """The events of a call put together: what a caller gets who does not stream. Of several answers each is one of
    `choices`, and only the usage is that of all."""

    text: str = ""
    thoughts: str = ""
    tool_calls: list[ToolCall] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    reason: FinishReason = FinishReason.STOP
    usage: Usage = Usage()
    stop_word: str | None = None
    choices: list[Reply] = field(default_factory=list)

    def add(self, event: Event) -> None:
        """Put one more event into it."""
        match event:
            case TextDelta(text=text):
                self.text += text
            case ThoughtDelta(text=text):
                self.thoughts += text
            case ToolCall():
                self.tool_calls.append(event)
            case ImageReady(image=image):
                self.images.append(image)
            case Citation():
                self.citations.append(event)
            case Chosen(index=index, event=inner):
                while len(self.choices) <= index:
                    self.choices.append(Reply())
                self.choices[index].add(inner)
            case Finished(reason=reason, usage=usage, stop_word=stop_word):
                self.reason, self.usage, self.stop_word = reason, usage, stop_word


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request. `error` is the class name of the error (None: it went well), `reason` what it says to
    operators, in words; times in seconds; `first_content_s` is None when no content was seen."""

    status: int
    error: str | None
    duration_s: float
    first_content_s: float | None = None
    usage: Usage = Usage()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class AccountChange:
    """An account went from one state to another, and why, in words."""

    account: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class UsageWindow:
    """A span in which an account may do so much: five hours, a week, or the quota of a kind of model. `used` is the used
    share, 0 to 1; `resets_at` seconds since 1970."""

    name: str
    used: float
    resets_at: float | None = None


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as operators see it: no cookie in it, only the `fingerprint` of its cookies. `state` is ready, cooling,
    expired, rejected, starting, unreachable or disabled; any other than ready has its `reason` in words. Times are
    seconds since 1970. `source` is where the account comes from: settings, added (at run time) or guest. `rotations`
    counts the attempts to renew the cookies by their result; `attention_by` is when the account will probably need new
    ones."""

    name: str
    state: str
    reason: str
    egress: str
    tier: str
    models: tuple[str, ...]
    in_flight: int
    max_concurrency: int
    cooldown_until: float | None = None
    model_cooldowns: Mapping[str, float] = field(default_factory=dict)
    last_success: float | None = None
    calls: int = 0
    failures: int = 0
    source: str = "settings"
    fingerprint: str = ""
    cookies_entered: float | None = None
    cookies_renewed: float | None = None
    rotations: Mapping[str, int] = field(default_factory=dict)
    attention_by: float | None = None
    usage: tuple[UsageWindow, ...] = ()
    usage_read: float | None = None
    flag: str = ""

    def used(self, window: str) -> float:
        """The used share of `window`, 0 where nothing is known."""
        return next((usage.used for usage in self.usage if usage.name == window), 0.0)
