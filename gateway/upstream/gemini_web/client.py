"""The library's client, tamed: one call at a time on a session of its own, none of its retries, side calls, cookie files
or re-initialisations, and a frame parser that is linear in the bytes."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import gemini_webapi.client as library
from gemini_webapi import exceptions as library_errors
from gemini_webapi.constants import AccountStatus
from gemini_webapi.types import AvailableModel
from loguru import logger as library_log

from config.settings import Upstream as UpstreamSettings
from gateway.background import spawn
from gateway.upstream.gemini_web.session import Session
from gateway.upstream.reply import ReplyReader

# The library logs cookie paths and prompts' neighbourhood through loguru to the application's handlers; ours go
# through logging, with what may be said chosen here.
library_log.disable("gemini_webapi")


@dataclass(slots=True)
class Reading:
    """Who reads the answer of the generation that runs in this context. Empty when that is over: timers of the account's
    connections keep the context, and would keep a whole answer with it."""

    reader: ReplyReader | None = None


current_reading: ContextVar[Reading] = ContextVar("gemini_reading", default=Reading())  # noqa: B039 - nobody fills this one


class _Parser:
    """Stands in for the library's StreamingFrameParser: hands the network text to the reader of a call."""

    def __init__(self, reader: ReplyReader) -> None:
        self._reader = reader

    def feed(self, content: str) -> list[Any]:
        return self._reader.feed(content) if content else []

    def flush(self) -> list[Any]:
        return self._reader.finish()


_library_parser = library.StreamingFrameParser


def _parser() -> Any:
    """A parser for the generation that begins in this context: ours for a call of ours, else the library's own, so that
    the library stays what it was for everybody else in the process."""
    reader = current_reading.get().reader
    return _library_parser() if reader is None else _Parser(reader)


library.StreamingFrameParser = _parser  # type: ignore[assignment,misc] # a module global, read at each generation


@dataclass(slots=True)
class Tokens:
    """What signing in gave, enough to make a client without the library's eleven initial requests."""

    access_token: str | None
    build_label: str | None
    session_id: str | None
    language: str
    push_id: str
    status: AccountStatus = AccountStatus.AVAILABLE
    models: dict[str, AvailableModel] = field(default_factory=dict)


class _Endless(float):
    """A time-out that never comes. The library adds to it and waits for each chunk by asyncio.wait_for, which in Python
    3.11 loses a cancellation that comes together with a chunk (a caller who left, a time that is over); with None as the
    time-out it waits for nothing else, and loses none."""

    def __add__(self, other: object) -> None:  # type: ignore[override]
        return None


class Client(library.GeminiClient):
    """A GeminiClient for one call at a time. Closing it ends its own session and nothing else."""

    client: Session

    def __init__(self, tokens: Tokens, session: Session) -> None:
        super().__init__()
        self.client = session
        self.auto_refresh = False
        self.timeout = self.watchdog_timeout = _Endless("inf")  # stalls are ours to notice, by bytes
        self.idle_since = 0.0
        self.login = 0
        self.reads_history = False
        self._running = True
        self.adopt(tokens)

    def adopt(self, tokens: Tokens) -> None:
        """Take over what the account knows."""
        self.access_token = tokens.access_token
        self.build_label = tokens.build_label
        self.session_id = tokens.session_id
        self.language = tokens.language
        self.push_id = tokens.push_id
        self.account_status = tokens.status
        self._model_registry = tokens.models
        self._recent_chats = None

    async def init(self, *args: Any, **kwargs: Any) -> None:
        """A session that ended is not revived: the library would re-send the prompt on it."""
        raise library_errors.APIError("the session of this call is over")

    async def close(self, delay: float = 0) -> None:
        """End the session. The library's own version also writes the cookies to a file named after them."""
        self._running = False
        await self.client.close()

    async def _batch_execute(self, payloads: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("current_retry", 0)
        return await super()._batch_execute(payloads, *args, **kwargs)

    async def _sync_activity(self) -> None:
        """The library calls this before every generation; `ping_activity` does it off the reply's path."""

    async def _fetch_usage_info(self) -> None:
        """The library calls this after every answer, and the answer waits for it."""

    async def ping_activity(self) -> None:
        """Tell Google that the account is in use."""
        await super()._sync_activity()

    async def read_chat(self, cid: str, *args: Any, **kwargs: Any) -> Any:
        """The library's way to recover a cut answer. A temporary chat has no history: waiting for it is waiting for
        nothing."""
        if not self.reads_history:
            raise library_errors.APIError("the answer was cut off")
        return await super().read_chat(cid, *args, **kwargs)


class Deadlines:
    """Ends a client's session when nothing came for too long. One timer that re-arms itself only when it fires."""

    def __init__(self, client: Client, limits: UpstreamSettings) -> None:
        self._client = client
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + limits.total_timeout_s
        self._message = "Gemini did not begin to answer in time"
        self.expired: str | None = None
        self.tail = False
        self.begin()
        self._timer = self._loop.call_at(self._next, self._due)

    def begin(self) -> None:
        """Wait for the first sign of life from now on: what came before it, an upload, was ours to send."""
        self._next = min(self._loop.time() + self._limits.first_byte_timeout_s, self._end)

    def alive(self, *, complete: bool) -> None:
        """Something came. A complete answer gets only a short time to close its connection."""
        now = self._loop.time()
        self.tail = complete
        if complete:
            self._next = now + self._limits.tail_timeout_s
            self._timer.cancel()
            self._timer = self._loop.call_at(self._next, self._due)
            return
        self._message = "Gemini fell silent in the middle of its answer"
        self._next = min(now + self._limits.stall_timeout_s, self._end)

    def _due(self) -> None:
        now = self._loop.time()
        if now < self._next:
            self._timer = self._loop.call_at(self._next, self._due)
            return
        self.expired = self._message if now < self._end else "Gemini took too long to answer"
        spawn(self._client.close(), "end a stalled transfer")

    def stop(self) -> None:
        self._timer.cancel()
