"""API keys over HTTP, for operators: those of the settings to look at, those made at run time to make, change and revoke.
A new key is in the answer to the request that made it, and nowhere after."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from config.settings import Server
from gateway.console.journal import Journal
from gateway.errors import NotFound, Overloaded
from gateway.http import plain
from gateway.state.keys import KeyBook, StoredKey
from gateway.state.store import StateAway, StateStore, Window
from gateway.wire.fields import bad

SPANS = {"per_minute": 60.0, "per_hour": 3600.0, "per_day": 86_400.0}
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_ITEM = re.compile(r"[A-Za-z0-9._:@/+-]{1,128}")
_MOST_BODY, _MOST_ITEMS, _MOST_LIMIT = 100_000, 100, 1_000_000_000


class KeysApi:
    """The addresses under /api/keys. `configured` are the keys of the settings, as plain data without the key itself."""

    def __init__(
        self,
        book: KeyBook,
        store: StateStore,
        journal: Journal,
        server: Server,
        *,
        configured: Sequence[Mapping[str, Any]],
        authorise: Callable[[web.Request], Awaitable[None]],
    ) -> None:
        self._book = book
        self._store = store
        self._journal = journal
        self._server = server
        self._configured = configured
        self._authorise = authorise

    def routes(self) -> list[web.RouteDef]:
        """The addresses, for `app.add_routes`."""
        return [
            web.get("/api/keys", self._guarded(self.list_keys)),
            web.post("/api/keys", self._guarded(self.create)),
            web.patch("/api/keys/{id}", self._guarded(self.change)),
            web.delete("/api/keys/{id}", self._guarded(self.revoke)),
        ]

    def _guarded(self, handler: Callable[[web.Request], Awaitable[web.Response]]) -> Callable[..., Any]:
        async def guarded(request: web.Request) -> web.Response:
            await self._authorise(request)
            try:
                return await handler(request)
            except StateAway as exc:
                raise Overloaded("The keys cannot be reached now", retry_after=5, hint=str(exc)) from exc

        guarded.__doc__ = handler.__doc__
        return guarded

    # --- looking --------------------------------------------------------------------------------------------------

    async def list_keys(self, request: web.Request) -> web.Response:
        """All API keys, without the keys themselves: rights, limits, and how much of them is used."""
        await self._book.read()
        shown = [await self._shown({**key, "id": None, "source": "settings"}) for key in self._configured]
        shown += [await self._shown(_plain(key)) for key in self._book.all()]
        return plain.reply({"keys": shown})

    async def _shown(self, key: Mapping[str, Any]) -> dict[str, Any]:
        limits = {rule: limit for rule, limit in key["limits"].items() if limit}
        windows = [Window(f"key:{key['name']}:{rule}", limit, SPANS[rule]) for rule, limit in limits.items()]
        used = dict(zip(limits, await self._store.used(windows), strict=True))
        use = self._journal.use_of(key["name"])
        counted = {"requests": use.requests, "errors": use.errors, "tokens": use.tokens, "last": use.last or None}
        return {**key, "limits": limits, "used": used, **counted}

    # --- changing -------------------------------------------------------------------------------------------------

    async def create(self, request: web.Request) -> web.Response:
        """Make a key. The answer holds it, this one time."""
        value = await self._value(request)
        name = value.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise bad("name", "must be 1 to 64 letters, digits or any of . _ @ -")
        if any(key["name"] == name for key in self._configured):
            raise bad("name", "there is a key of this name already")
        try:
            record, made = await self._book.add(name, time.time(), **_rights(value))
        except ValueError as exc:
            raise bad("name", str(exc)) from exc
        return plain.reply({"key": made, **await self._shown(_plain(record))}, 201)

    async def change(self, request: web.Request) -> web.Response:
        """Give a key other models, accounts or limits."""
        changed = await self._book.change(request.match_info["id"], **_rights(await self._value(request)))
        if changed is None:
            raise NotFound("There is no such key")
        return plain.reply(await self._shown(_plain(changed)))

    async def revoke(self, request: web.Request) -> web.Response:
        """Revoke a key: within two seconds no replica takes it any more."""
        if not await self._book.revoke(request.match_info["id"]):
            raise NotFound("There is no such key")
        return plain.reply({"revoked": request.match_info["id"]})

    async def _value(self, request: web.Request) -> Mapping[str, Any]:
        value = plain.as_object(await plain.read(request, _MOST_BODY, self._server.body_timeout_s))
        if unknown := set(value) - {"name", "models", "accounts", "limits"}:
            raise bad(sorted(map(str, unknown))[0][:40], "is not known here")
        return value


def _rights(value: Mapping[str, Any]) -> dict[str, Any]:
    rights: dict[str, Any] = {name: _names(value[name], name) for name in ("models", "accounts") if name in value}
    if "limits" in value:
        rights["limits"] = _limits(value["limits"])
    return rights


def _names(value: Any, param: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or len(value) > _MOST_ITEMS:
        raise bad(param, f"must be a list of at most {_MOST_ITEMS} names, or null for all")
    if not all(isinstance(item, str) and _ITEM.fullmatch(item) for item in value):
        raise bad(param, "has something in it that is no name")
    return tuple(value)


def _limits(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise bad("limits", "must be an object")
    for rule, limit in value.items():
        if rule not in SPANS:
            raise bad(f"limits.{rule[:40]}", f"must be one of {', '.join(SPANS)}")
        if isinstance(limit, bool) or not isinstance(limit, int) or not 0 <= limit <= _MOST_LIMIT:
            raise bad(f"limits.{rule}", "must be a whole number, 0 for no limit")
    return {rule: limit for rule, limit in value.items() if limit}


def _plain(key: StoredKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "source": "page",
        "hint": key.hint,
        "created": key.created,
        "models": key.models,
        "accounts": key.accounts,
        "limits": dict(key.limits),
    }
