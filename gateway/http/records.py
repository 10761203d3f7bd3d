"""Answers that are kept for later requests of the same caller (OpenAI's `store` and `previous_response_id`), in the state
store. What a record holds is the dialect's affair."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import BodyTooLarge, NotFound, Overloaded
from gateway.model import Blob, Call, Principal
from gateway.state.store import StateAway, StateStore
from gateway.threads import in_thread
from gateway.wire.dialect import Dialect, Listing, Recording, Route, keeps_records

log = logging.getLogger(__name__)
DAY_S = 86_400.0
# A conversation with its pictures. What is larger is answered, and not kept.
MOST_BYTES = 16_000_000
_THREAD_FROM = 256_000
_MOST_LISTED, _MOST_LISTED_BYTES = 1000, 64_000_000
_AWAY = "The store of responses cannot be reached now"


class Records:
    """Keeps records for `days` (0: none at all)."""

    def __init__(self, store: StateStore, days: float) -> None:
        self._store = store
        self._seconds = days * DAY_S

    async def recall(self, dialect: Dialect, call: Call) -> Call:
        """`call` with what it builds upon. Raises PreviousNotFound or NotFound where that is not kept."""
        if not keeps_records(dialect) or not (needs := dialect.needs(call)):
            return call
        found = {id: await self._get(_key(dialect, call.principal, id)) for id in sorted(needs)}
        records = {id: record for id, record in found.items() if record is not None}
        if sum(map(len, records.values())) > _THREAD_FROM:
            return await asyncio.to_thread(dialect.recall, call, records)
        return dialect.recall(call, records)

    @property
    def kept(self) -> bool:
        """Whether anything is kept at all."""
        return self._seconds > 0

    async def keep(self, dialect: Dialect, call: Call, seconds: float | None = None) -> None:
        """`put` that never fails: the answer is there already."""
        try:
            await self.put(dialect, call, seconds)
        except (BodyTooLarge, Overloaded) as exc:
            log.warning("an answer is not kept: %s", exc.for_the_log)

    async def put(self, dialect: Dialect, call: Call, seconds: float | None = None) -> None:
        """Keep what `dialect` wants kept of a call, for the time set or `seconds`. Raises BodyTooLarge, Overloaded."""
        if not self._seconds or not keeps_records(dialect):
            return
        record = await in_thread(dialect.record, call) if _is_large(call) else dialect.record(call)
        if record is None:
            return
        if len(record) > MOST_BYTES:
            raise BodyTooLarge(f"What is to be kept is larger than {MOST_BYTES} bytes: it has {len(record)}")
        try:
            await self._store.put(_key(dialect, call.principal, call.id), record, seconds=seconds or self._seconds)
        except StateAway as exc:
            raise Overloaded(_AWAY, retry_after=5, hint=str(exc)) from exc

    async def has(self, dialect: Dialect, call: Call) -> bool:
        """Whether something is kept of `call`. Raises Overloaded."""
        return await self._get(_key(dialect, call.principal, call.id)) is not None

    async def answer(
        self,
        dialect: Recording,
        route: Route,
        principal: Principal,
        id: str,
        query: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The reply to a request about the record `id`; `body` is what it shall be changed to. Raises NotFound for one
        that `principal` has not."""
        key = _key(dialect, principal, id)
        record = await self._get(key)
        if record is None:
            kind = "Completion" if isinstance(dialect, Listing) else "Response"
            raise NotFound(f"{kind} with id '{id[:80]}' not found.", param="id")
        if body is not None and isinstance(dialect, Listing):
            record = dialect.amend(record, body)
        reply = dialect.encode_record(route.action, id, record, query)
        try:
            if body is not None:
                await self._store.put(key, record, seconds=self._seconds)
            if route.action == "delete":
                await self._store.delete(key)
        except StateAway as exc:
            raise Overloaded(_AWAY, retry_after=5, hint=str(exc)) from exc
        return reply

    async def listed(self, dialect: Listing, principal: Principal, query: Mapping[str, str]) -> bytes:
        """A page of the records of `principal`. Walks the store: for people, not programs."""
        try:
            keys = await self._store.keys(_key(dialect, principal, ""))
            found = await self._first(keys)
        except StateAway as exc:
            raise Overloaded(_AWAY, retry_after=5, hint=str(exc)) from exc
        return await asyncio.to_thread(dialect.encode_list, found, query)

    async def _first(self, keys: Sequence[str]) -> list[bytes]:
        """The records under the first of `keys`, as many as one request may hold."""
        found, left = [], _MOST_LISTED_BYTES
        for key in keys[:_MOST_LISTED]:
            record = await self._store.get(key) or b""
            left -= len(record)
            if left < 0:
                log.warning("a list of kept answers is cut short: they are larger than %d bytes", _MOST_LISTED_BYTES)
                break
            if record:
                found.append(record)
        return found

    async def _get(self, key: str) -> bytes | None:
        try:
            return await self._store.get(key)
        except StateAway as exc:
            raise Overloaded(_AWAY, retry_after=5, hint=str(exc)) from exc


def _is_large(call: Call) -> bool:
    """Whether there may be megabytes to encode: files came with the call, or pictures with its answer."""
    return "generate" in call.spent or any(isinstance(part, Blob) for message in call.messages for part in message.parts)


def _key(dialect: Dialect, principal: Principal, id: str) -> str:
    """One dialect cannot read what another keeps, nor one caller what another has."""
    return f"answer:{dialect.name}:{principal.name}:{id[:200]}"
