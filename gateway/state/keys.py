"""API keys that were made at run time: records shared by replicas, the keys themselves only as SHA-256. The plugin api_key
asks whether a key is known; the admin's addresses make, change and revoke them."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import orjson

from gateway.state.store import StateAway, StateStore

_RECORD, _LEASE_S, _TRIES = "api-keys", 5.0, 20
# How old what is known may be: a key that was revoked on one replica is dead on all after this time.
FRESH_S = 2.0
# A key that nobody knows may be a new one: look again, but for a flood of wrong keys no more often than this.
_LOOK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key. `digest` is its SHA-256 in hex, `hint` its end, to tell keys apart; times are seconds since 1970. `models`
    and `accounts` of None allow all; `limits` has per_minute, per_hour, per_day."""

    id: str
    name: str
    digest: str
    hint: str
    created: float
    models: tuple[str, ...] | None = None
    accounts: tuple[str, ...] | None = None
    limits: Mapping[str, int] = field(default_factory=dict)


class _Place(Protocol):
    async def read(self) -> bytes | None: ...

    async def write(self, data: bytes) -> None: ...

    def alone(self) -> Any: ...


class KeyBook:
    """All run-time keys: in `store` where replicas share one, else in `file`. Its methods raise StateAway when the keys
    cannot be read or written now."""

    def __init__(self, store: StateStore, file: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._place: _Place = _File(file) if file is not None else _Shared(store)
        self._clock = clock
        self._by_digest: dict[str, StoredKey] = {}
        self._read_at: float | None = None

    @property
    def empty(self) -> bool:
        """Whether there is no key at all, as far as is known."""
        return not self._by_digest

    def all(self) -> list[StoredKey]:
        """The keys, oldest first."""
        return sorted(self._by_digest.values(), key=lambda key: key.created)

    async def find(self, key: str) -> StoredKey | None:
        """The record of `key`, if it is one of them."""
        digest = digest_of(key)
        await self.freshen(FRESH_S)
        if digest not in self._by_digest:
            await self.freshen(_LOOK_AGAIN_S)
        return self._by_digest.get(digest)

    async def freshen(self, most_s: float) -> None:
        """Read the records again unless that was done in the last `most_s` seconds. While they cannot be read, what was
        known before holds."""
        if self._read_at is not None and self._clock() - self._read_at < most_s:
            return
        try:
            await self.read()
        except StateAway:
            if self._read_at is None:
                raise
            self._read_at = self._clock()

    async def read(self) -> None:
        """Read the records."""
        data = await self._place.read()
        self._by_digest = {key.digest: key for key in map(_from_plain, orjson.loads(data or b"[]"))}
        self._read_at = self._clock()

    async def add(self, name: str, created: float, **rights: Any) -> tuple[StoredKey, str]:
        """Make a key; returns its record and, for this one time, the key. Raises ValueError when the name is taken."""
        made = "sk-" + secrets.token_urlsafe(32)
        record = StoredKey(secrets.token_hex(6), name, digest_of(made), made[-4:], created, **rights)
        async with self._changing():
            if any(key.name == name for key in self._by_digest.values()):
                raise ValueError("there is a key of this name already")
            await self._keep([*self.all(), record])
        return record, made

    async def change(self, id: str, **rights: Any) -> StoredKey | None:
        """Give the key other rights; None when there is no such key."""
        async with self._changing():
            found = next((key for key in self.all() if key.id == id), None)
            if found is None:
                return None
            changed = replace(found, **rights)
            await self._keep([changed if key.id == id else key for key in self.all()])
        return changed

    async def revoke(self, id: str) -> bool:
        """Forget the key; whether there was one."""
        async with self._changing():
            left = [key for key in self.all() if key.id != id]
            known = len(left) < len(self._by_digest)
            await self._keep(left)
        return known

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[None]:
        async with self._place.alone():
            await self.read()
            yield

    async def _keep(self, keys: Iterable[StoredKey]) -> None:
        kept = list(keys)
        await self._place.write(orjson.dumps([asdict(key) for key in kept]))
        self._by_digest = {key.digest: key for key in kept}


def digest_of(key: str) -> str:
    """What is stored of a key. A fast hash is enough: the keys are 32 random bytes, nobody can guess them."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def _from_plain(plain: dict[str, Any]) -> StoredKey:
    lists = {name: tuple(plain[name]) for name in ("models", "accounts") if plain[name] is not None}
    return StoredKey(**{**plain, **lists})


class _Shared:
    """One record of the state store; a lease keeps replicas from overwriting each other."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self._owner = secrets.token_hex(8)

    async def read(self) -> bytes | None:
        return await self._store.get(_RECORD)

    async def write(self, data: bytes) -> None:
        await self._store.put(_RECORD, data)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        for _ in range(_TRIES):
            if await self._store.lease(_RECORD, self._owner, _LEASE_S):
                break
            await asyncio.sleep(_LEASE_S / _TRIES)
        else:
            raise StateAway("another replica holds the keys")
        try:
            yield
        finally:
            await self._store.release(_RECORD, self._owner)


class _File:
    """A file for its owner alone, replaced whole: written beside, synced, renamed."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = asyncio.Lock()

    async def read(self) -> bytes | None:
        return await asyncio.to_thread(self._read)

    def _read(self) -> bytes | None:
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise StateAway(f"{self._file.name}: {exc.strerror}") from exc

    async def write(self, data: bytes) -> None:
        await asyncio.to_thread(self._write, data)

    def _write(self, data: bytes) -> None:
        beside = self._file.with_name(f".{self._file.name}.{secrets.token_hex(4)}.tmp")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
                opened.write(data)
                opened.flush()
                os.fsync(opened.fileno())
            beside.replace(self._file)
        except OSError as exc:
            beside.unlink(missing_ok=True)
            raise StateAway(f"{self._file.name}: {exc.strerror}") from exc

    def alone(self) -> asyncio.Lock:
        return self._lock


def book_of(store: StateStore, url: str, state_dir: Path) -> KeyBook:
    """The keys of a gateway whose `state.url` is `url`."""
    return KeyBook(store, state_dir / "api_keys.json" if url == "memory://" else None)
