"""The one cookie store: what is known of each account's cookies, kept encrypted where it outlives the process.

Of two notes about one account the newer counts, and the two halves of a note are compared apart: cookies with their
history (a person's word before a rotation), and how the account is set. So replicas come to the same state in whatever
order they write, and a fresh value wins over a stale one. What cannot be written now is kept in memory and written
later."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import orjson

from gateway.accounts.rotation import History
from gateway.accounts.shelf import Shelf
from gateway.accounts.vault import Vault
from gateway.state.store import StateAway
from gateway.upstream.protocol import Cookies

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Record:
    """An account in the store. `configured` is the fingerprint of the cookies that gateway.toml had when its values were
    last taken; while it stays, the store's values win over it. `added` says that the account came at run time and
    stands in no file. `enabled` and the settings below it override those of gateway.toml where they are not None.
    `edited` is when a person changed them, in seconds since 1970."""

    name: str
    cookies: Cookies = field(default_factory=Cookies)
    configured: str = ""
    history: History = field(default_factory=History)
    edited: float = 0.0
    added: bool = False
    removed: bool = False
    enabled: bool | None = None
    proxy: str | None = field(default=None, repr=False)
    language: str | None = None
    max_concurrency: int | None = None


_COOKIE_SIDE = ("cookies", "configured", "history")


def merged(one: Record, other: Record) -> Record:
    """What is known after both."""
    fresh = max(one, other, key=_freshness)
    edited = max(one, other, key=lambda record: record.edited)
    return replace(edited, **{name: getattr(fresh, name) for name in _COOKIE_SIDE})


def _freshness(record: Record) -> tuple[float, float, float]:
    history = record.history
    return history.entered, history.attempted, history.renewed


class CookieStore:
    """The records of `shelf`, encrypted by `vault`. `get` and `all` look at memory; `save` and `refresh` talk to the
    shelf, and never fail. `revision` goes up with each change of what is known, whoever made it and whichever call found
    it: who follows the store compares revisions, so that no news is lost to somebody else's `save`."""

    def __init__(self, shelf: Shelf, vault: Vault) -> None:
        self._shelf = shelf
        self._vault = vault
        self.revision = 0
        self._records: dict[str, Record] = {}
        self._unsaved: set[str] = set()
        self._outdated: dict[str, set[str]] = {}
        self._version: str | None = None
        self._failing = False
        self._seen: dict[str, bytes] = {}

    def get(self, name: str) -> Record | None:
        """The record of the account `name`."""
        return self._records.get(name)

    def all(self) -> list[Record]:
        """All records, those of removed accounts included."""
        return list(self._records.values())

    async def save(self, record: Record) -> Record:
        """Keep `record`: in memory at once, then on the shelf. Returns what holds from now on: another one where somebody
        else was there with newer cookies."""
        self._hold(record)
        self._unsaved.add(record.name)
        await self._read()
        await self._write(record.name)
        return self._records[record.name]

    async def refresh(self) -> None:
        """Look what others wrote, and write what could not be written before."""
        if await self._read():
            for name in list(self._unsaved):
                await self._write(name)

    async def _read(self) -> bool:
        try:
            version = await self._shelf.version()
            if version != self._version:
                self._take(await self._shelf.read())
                self._version = version
        except (OSError, StateAway) as exc:
            self._failed("read", exc)
            return False
        return True

    def _take(self, found: dict[str, bytes]) -> None:
        for key, locked in found.items():
            if self._seen.get(key) == locked:
                continue
            self._seen[key] = locked
            record = _decoded(self._vault.open(locked))
            if record is None or not self._vault.names(record.name, key):
                log.warning("a stored account cannot be read: was GATEWAY_SECRET, or the key in state.dir, another one?")
                continue
            if self._hold(record) != record:
                self._unsaved.add(record.name)
            if key != self._vault.name_of(record.name):  # written under the other secret: moves to ours
                self._unsaved.add(record.name)
                self._outdated.setdefault(record.name, set()).add(key)

    def _hold(self, record: Record) -> Record:
        """Put `record` together with what is known; returns what comes of it."""
        known = self._records.get(record.name)
        now = merged(record, known) if known else record
        if now != known:
            self._records[record.name] = now
            self.revision += 1
        return now

    async def _write(self, name: str) -> None:
        record = self._records[name]
        key, locked = self._vault.name_of(name), self._vault.lock(_encoded(record))
        try:
            await self._shelf.write(key, locked)
            for outdated in self._outdated.pop(name, set()):
                await self._shelf.delete(outdated)
        except (OSError, StateAway) as exc:
            self._failed("write", exc)
            return
        self._seen[key] = locked
        if self._records[name] == record:
            self._unsaved.discard(name)
        else:  # a later write may have ended before this one
            self._unsaved.add(name)
        if self._failing:
            self._failing = False
            log.warning("the cookie store can be written again")

    def _failed(self, what: str, exc: Exception) -> None:
        if not self._failing:
            self._failing = True
            reason = getattr(exc, "strerror", None) or type(exc).__name__
            log.warning("cannot %s the cookie store (%s): rotated cookies are kept in memory until it works", what, reason)


def _encoded(record: Record) -> bytes:
    return orjson.dumps(asdict(record))


def _decoded(data: bytes | None) -> Record | None:
    """The record that was encoded; names that this version does not know are left out."""
    if data is None:
        return None
    try:
        table: dict[str, Any] = orjson.loads(data)
        table["cookies"] = Cookies(**_known(Cookies, table["cookies"]))
        history = _known(History, table["history"])
        table["history"] = History(**{**history, "lives": tuple(history.get("lives", ()))})
        return Record(**_known(Record, table))
    except (ValueError, KeyError, TypeError):
        return None


def _known(kind: type, table: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in table.items() if name in kind.__dataclass_fields__}  # type: ignore[attr-defined]
