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
    """A file that came with the request: its bytes, media type and a harmless file name."""

    data: bytes
    mime: str
    name: str


Part = Text | Thought | Blob


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation."""

    role: Role
    parts: tuple[Part, ...]

    @property
    def text(self) -> str:
        """The text parts, joined by newlines."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))


@dataclass(slots=True)
class Tried:
    """Where a call has been already: the pool leaves these out of its next choice."""

    accounts: set[str] = field(default_factory=set)
    egresses: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Call:
    """One question on its way. Dialects make it, `prepare_call` plugins may return a changed one, and the pool and the
    upstream write down what became of it (`account`, `served_model`). Plugins keep their own under `extras[NAME]`."""

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
    ignored: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    head: RequestHead | None = None
    prompt_tokens: int = 0
    tried: Tried = field(default_factory=Tried)
    attempts: int = 0
    account: str | None = None
    served_model: str | None = None
    extras: dict[str, Any] = field(default_factory=dict)


# --- what comes back ----------------------------------------------------------------------------------------------


class FinishReason(StrEnum):
    """Why an answer ended. Each dialect has its own word for it."""

    STOP = "stop"
    LENGTH = "length"
    REFUSED = "refused"


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
class ImageReady:
    """A picture of the answer, with its bytes: they were fetched while the account was leased."""

    data: bytes
    mime: str
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole. Exactly one of these, or one error, ends a call."""

    reason: FinishReason = FinishReason.STOP
    usage: Usage = Usage()


Event = TextDelta | ThoughtDelta | ImageReady | Citation | Finished


@dataclass(slots=True)
class Reply:
    """The events of a call put together: what a caller gets who does not stream."""

    text: str = ""
    thoughts: str = ""
    images: list[ImageReady] = field(default_factory=list)
    citations: list[Citation] = field(default_factory=list)
    reason: FinishReason = FinishReason.STOP
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a request. `error` is the class name of the error (None: it went well); times in seconds;
    `first_content_s` is None when no content was seen."""

    status: int
    error: str | None
    duration_s: float
    first_content_s: float | None = None
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True)
class AccountChange:
    """An account went from one state to another, and why, in words."""

    account: str
    before: str
    after: str
    reason: str


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as operators see it: no cookie in it. `state` is ready, cooling, expired, rejected, starting or
    disabled; any other than ready has its `reason` in words. Times are seconds since 1970."""

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
