"""What arrived at the simulated site: a bounded list of entries, and a way to wait for one."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

Outcome = Literal["open", "whole", "aborted", "cut"]
_MOST_CHARACTERS = 32_000_000


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a generation: the name that the prompt gave it, and what was uploaded under that id (type None: nothing
    known was)."""

    name: str
    uploaded_name: str | None = None
    type: str | None = None
    size: int = 0


@dataclass(slots=True)
class Entry:
    """One request. `outcome` is open while it runs; whole: the reply went out to its end; aborted: the client left
    before; cut: the simulator ended it on purpose (a fault). Times are seconds since the epoch."""

    account: str
    host: str
    method: str
    path: str
    at: float = field(default_factory=time.time)
    endpoint: str = ""
    rpcs: tuple[str, ...] = ()
    status: int | None = None
    outcome: Outcome = "open"
    ended_at: float | None = None
    sent: int = 0
    fault: str | None = None
    prompt: str | None = None
    files: tuple[Attachment, ...] = ()
    model_id: str | None = None
    model: str | None = None
    """Category of the model that answered."""
    temporary: bool = False
    thinking: bool = False
    cid: str | None = None
    rid: str | None = None
    cookies: tuple[str, ...] = ()
    """Names of the cookies that came."""

    def end(self, outcome: Outcome) -> None:
        """Close the entry; the first call counts."""
        if self.outcome == "open":
            self.outcome, self.ended_at = outcome, time.time()


class Log:
    """The last entries, at most `most` of them and about 32 million characters of prompts."""

    def __init__(self, most: int = 20_000) -> None:
        self._entries: deque[Entry] = deque()
        self._most = most
        self._characters = 0
        self._watchers: set[asyncio.Future[None]] = set()

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries))

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, index: int) -> Entry:
        return self._entries[index]

    @property
    def generates(self) -> list[Entry]:
        """The generations, oldest first."""
        return [entry for entry in self._entries if entry.endpoint == "generate"]

    def count(self, endpoint: str, account: str | None = None) -> int:
        """How many requests of an endpoint name or RPC id are in the log."""
        return sum(
            (entry.endpoint == endpoint or endpoint in entry.rpcs) and account in (None, entry.account)
            for entry in self._entries
        )

    def add(self, entry: Entry) -> Entry:
        """Keep `entry`, and forget the oldest ones where there are too many."""
        self._entries.append(entry)
        while len(self._entries) > self._most:
            self._forget()
        self.changed()
        return entry

    def set_prompt(self, entry: Entry, prompt: str) -> None:
        """Note the prompt of a generation."""
        entry.prompt = prompt
        self._characters += len(prompt)
        while self._characters > _MOST_CHARACTERS and len(self._entries) > 1:
            self._forget()

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self._characters = 0

    def changed(self) -> None:
        """Wake those who wait for an entry."""
        for watcher in self._watchers:
            if not watcher.done():
                watcher.set_result(None)

    async def wait(self, matches: Callable[[Entry], Any], timeout_s: float = 10.0) -> Entry:
        """The first entry that matches, now or later. Raises TimeoutError."""
        async with asyncio.timeout(timeout_s):
            while (found := next((entry for entry in self if matches(entry)), None)) is None:
                await self._next_change()
        return found

    async def _next_change(self) -> None:
        watcher = asyncio.get_running_loop().create_future()
        self._watchers.add(watcher)
        try:
            await watcher
        finally:
            self._watchers.discard(watcher)

    def _forget(self) -> None:
        gone = self._entries.popleft()
        self._characters -= len(gone.prompt or "")
