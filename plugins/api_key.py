"""API keys: who may call, which models and accounts, how much. With a key configured, no key is a 401.

Keys are taken where each client sends them: `Authorization: Bearer` everywhere, `x-api-key`, `x-goog-api-key`, and
`?key=` on Gemini addresses only. Keys made at run time (the admin page) count like those of the settings. It is the last
authenticator in the list: what it does not know, it refuses."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from config.settings import Key as KeyValue
from gateway.errors import Overloaded, RateLimited, Unauthenticated
from gateway.hookspecs import Services, hookimpl
from gateway.model import Principal, RequestHead
from gateway.state.keys import FRESH_S, KeyBook, StoredKey
from gateway.state.store import StateAway

# Dialects whose callers may put their key into the query.
_GEMINI = ("gemini", "gemini_predict")
# Where the clients of a dialect put their key; the others send `Authorization: Bearer`.
_HEADERS = {"anthropic": "x-api-key"} | dict.fromkeys(_GEMINI, "x-goog-api-key")
_MOST_FAILURES, _FAILURE_SPAN_S, _MOST_PEERS = 30, 60.0, 10_000


class Limits(BaseModel):
    """Calls of one key; the plugin rate_limit enforces them. 0 is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    per_minute: int = Field(0, ge=0)
    per_hour: int = Field(0, ge=0)
    per_day: int = Field(0, ge=0)


class Options(BaseModel):
    """Wishes of one key, for other plugins; each of them reads its own. Left out: the plugin's default."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    watermark: Literal["remove", "keep"] | None = Field(None, description="The star on pictures (watermark_removal).")


class ApiKey(BaseModel):
    """One key."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._@-]+$", description="Name in logs, metrics.")
    key: KeyValue = Field(description="The key itself.")
    models: tuple[str, ...] | None = Field(None, description="Models that it may use; all if left out.")
    accounts: tuple[str, ...] | None = Field(None, description="Accounts that it may use; all if left out.")
    limits: Limits = Field(Limits(), description="per_minute, per_hour, per_day; 0 is no limit.")
    options: Options = Field(Options(), description="watermark: remove or keep (watermark_removal).")


class Settings(BaseModel):
    """`keys` empty: on loopback everybody is served as `anonymous`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    keys: tuple[ApiKey, ...] = Field((), description="The keys, each {name, key, models, accounts, limits, options}.")

    @field_validator("keys")
    @classmethod
    def _distinct(cls, keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        if len({key.name for key in keys}) < len(keys):
            raise ValueError("two keys have the same name")
        if len({key.key.get_secret_value() for key in keys}) < len(keys):
            raise ValueError("the same key is there twice")
        return keys


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._known = [(_digest(key.key), _principal(key)) for key in settings.keys]
        self._made: KeyBook | None = None
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self._made = gateway.keys
        yield

    @hookimpl
    async def authenticate(self, head: RequestHead) -> Principal | None:
        if not self._known and await self._none_made():
            return None
        credentials = dict(_credentials(head))
        found = [await self._find(credential) for credential in credentials.values()]
        # Several credentials must all be the same key: a good one does not excuse a bad one.
        if found and found[0] is not None and found.count(found[0]) == len(found):
            return found[0]
        if found:
            self._count_failure(head.peer)
            raise Unauthenticated(f"The API key in `{'`, `'.join(credentials)}` is not known here")
        place = _HEADERS.get(head.dialect, "Authorization: Bearer")
        raise Unauthenticated(f"An API key is needed: send it as `{place}`")

    async def _none_made(self) -> bool:
        if self._made is None:
            return True
        await _readable(self._made.freshen(FRESH_S))
        return self._made.empty

    async def _find(self, credential: str) -> Principal | None:
        if (match := self._find_configured(credential)) is not None or self._made is None:
            return match
        made = await _readable(self._made.find(credential))
        return _principal_of(made) if made is not None else None

    def _find_configured(self, credential: str) -> Principal | None:
        given = hashlib.sha256(credential.encode("utf-8", "surrogateescape")).digest()
        match = None
        for digest, principal in self._known:  # all of them, always: the time tells nothing
            if hmac.compare_digest(given, digest):
                match = principal
        return match

    def _count_failure(self, peer: str) -> None:
        """Slow down whoever tries keys. A good key from the same address is still served."""
        now = time.monotonic()
        failures = self._failures.setdefault(peer, deque(maxlen=_MOST_FAILURES))
        self._failures.move_to_end(peer)
        if len(self._failures) > _MOST_PEERS:
            self._failures.popitem(last=False)
        if len(failures) == _MOST_FAILURES and now - failures[0] < _FAILURE_SPAN_S:
            wait = _FAILURE_SPAN_S - (now - failures[0])
            raise RateLimited("Too many wrong keys from this address", retry_after=wait)
        failures.append(now)


def _credentials(head: RequestHead) -> Iterator[tuple[str, str]]:
    """(where it came, the key) of each."""
    if (authorization := head.headers.get("Authorization")) is not None:
        scheme, _, credential = authorization.partition(" ")
        yield "Authorization: Bearer", credential.strip() if scheme.lower() == "bearer" else ""
    for name in ("x-api-key", "x-goog-api-key"):
        if (credential := head.headers.get(name, "")) or name in head.headers:
            yield name, credential
    if head.dialect in _GEMINI and "key" in head.query:
        yield "?key=", head.query["key"]


T = TypeVar("T")


async def _readable(work: Awaitable[T]) -> T:
    """`work` on the keys made at run time, which may be out of reach."""
    try:
        return await work
    except StateAway as exc:
        raise Overloaded("The key cannot be checked now", retry_after=5, hint=str(exc)) from exc


def _principal_of(key: StoredKey) -> Principal:
    return Principal(
        name=key.name,
        models=frozenset(key.models) if key.models is not None else None,
        accounts=frozenset(key.accounts) if key.accounts is not None else None,
        limits={name: value for name, value in key.limits.items() if value},
    )


def _digest(key: SecretStr) -> bytes:
    return hashlib.sha256(key.get_secret_value().encode("utf-8", "surrogateescape")).digest()


def _principal(key: ApiKey) -> Principal:
    return Principal(
        name=key.name,
        models=frozenset(key.models) if key.models is not None else None,
        accounts=frozenset(key.accounts) if key.accounts is not None else None,
        limits={name: value for name, value in key.limits.model_dump().items() if value},
        options=key.options.model_dump(exclude_none=True),
    )
