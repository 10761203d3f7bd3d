"""The accounts over HTTP, for operators: look at them, bring cookies, change, try, renew and delete them while the gateway
serves. What goes in is never shown again, only a fingerprint of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web

from config.settings import Server
from gateway.accounts import enrolment, intake
from gateway.accounts.account import Account
from gateway.accounts.enrolment import Enrolled, Enrolment
from gateway.accounts.health import State
from gateway.accounts.intake import Pasted
from gateway.accounts.keeping import Keeper
from gateway.accounts.pool import REMOVED, Pool
from gateway.errors import GatewayError, InvalidRequest, NotFound
from gateway.http import plain
from gateway.http.openapi import ACTIONS, document
from gateway.upstream.protocol import Rotation

_MOST_BODY = 1_000_000
_MEANING = {
    Rotation.RENEWED: "Google gave a new __Secure-1PSIDTS",
    Rotation.STAMPED: "Google answered without a new __Secure-1PSIDTS: nothing was renewed",
    Rotation.THROTTLED: "Google asks to rotate less often; the cookies are as they were",
    Rotation.REFUSED: "Google no longer knows these cookies: the account needs new ones",
    Rotation.FAILED: "the rotation could not be asked for, or another replica does so now; the cookies are as they were",
}


class AccountsApi:
    """The addresses under /api/accounts, and /api/cookies. `authorise` raises for a caller without the admin key."""

    def __init__(
        self,
        pool: Pool,
        keeper: Keeper,
        enrolment: Enrolment,
        server: Server,
        *,
        authorise: Callable[[web.Request], Awaitable[None]],
    ) -> None:
        self._pool = pool
        self._keeper = keeper
        self._enrolment = enrolment
        self._server = server
        self._authorise = authorise
        self._one_at_a_time = asyncio.Lock()

    def routes(self) -> list[web.RouteDef]:
        """The addresses, for `app.add_routes`."""
        guarded = self._guarded
        return [
            web.get("/api/openapi.json", self._describe),
            web.get("/api/accounts", guarded(self._list)),
            web.post("/api/accounts", guarded(self._add)),
            web.post("/api/cookies", guarded(self._cookies)),
            web.get("/api/accounts/{name}", guarded(self._show)),
            web.patch("/api/accounts/{name}", guarded(self._change)),
            web.delete("/api/accounts/{name}", guarded(self._delete)),
            *(web.post(f"/api/accounts/{{name}}/{action}", guarded(getattr(self, f"_{action}"))) for action in ACTIONS),
        ]

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            await self._authorise(request)
            return await handler(request)

        return guarded

    async def _describe(self, request: web.Request) -> web.Response:
        return plain.reply(document())

    # --- looking --------------------------------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.Response:
        removed = [{"name": name, "reason": REMOVED.replace("NAME", name)} for name in self._pool.left_out]
        return plain.reply({"accounts": self._pool.views(), "removed": removed})

    async def _show(self, request: web.Request) -> web.Response:
        return plain.reply(self._shown(self._account(request)))

    def _account(self, request: web.Request) -> Account:
        account = self._pool.find(request.match_info["name"])
        if account is None:
            raise NotFound("There is no account of this name")
        return account

    def _shown(self, account: Account) -> dict[str, Any]:
        return {"account": self._pool.view(account)}

    # --- bringing cookies -----------------------------------------------------------------------------------------

    async def _add(self, request: web.Request) -> web.Response:
        """One account, with its settings beside its cookies."""
        value = plain.as_object(await self._value(request))
        (pasted, *more) = await _read(value)
        if more:
            raise InvalidRequest("One account at a time; POST /api/cookies takes a list")
        enrolled = await self._enrol(pasted, _options(value))
        return plain.reply(self._told(enrolled), 200 if enrolled.replaced else 201)

    async def _cookies(self, request: web.Request) -> web.Response:
        """The cookies of one account, or of several: each is told apart, and those that are good are taken."""
        value = await self._value(request)
        pasted = await _read(value)
        if isinstance(value, Mapping) and len(pasted) == 1:
            enrolled = await self._enrol(pasted[0], _options(value))
            return plain.reply({"status": "ok", "message": _message(enrolled), **self._told(enrolled)})
        results = [await self._told_or_not(one) for one in pasted]
        failed = sum("error" in result for result in results)
        status = "ok" if not failed else "partial" if failed < len(results) else "failed"
        return plain.reply({"status": status, "accounts": results}, 400 if status == "failed" else 200)

    async def _told_or_not(self, pasted: Pasted) -> dict[str, Any]:
        try:
            enrolled = await self._enrol(pasted, pasted.options)
        except GatewayError as exc:
            return {"name": pasted.name, "error": {"message": exc.message, "code": exc.code, "param": exc.param}}
        return {"name": enrolled.record.name, "message": _message(enrolled), **self._told(enrolled)}

    async def _enrol(self, pasted: Pasted, options: Mapping[str, Any]) -> Enrolled:
        # Shielded: a person who closes the page after the cookies were tried has still brought them.
        return await asyncio.shield(self._enrolled(pasted, options))

    async def _enrolled(self, pasted: Pasted, options: Mapping[str, Any]) -> Enrolled:
        async with self._one_at_a_time:
            enrolled = await self._enrolment.enrol(pasted, options)
            await self._keeper.save(enrolled.record)
            account = self._pool.find(enrolled.record.name)
            if account is not None and account.signing_in is not None:
                await asyncio.wait([account.signing_in])
            return enrolled

    def _told(self, enrolled: Enrolled) -> dict[str, Any]:
        account = self._pool.find(enrolled.record.name)
        return {
            "replaced": enrolled.replaced,
            "tier": enrolled.profile.tier,
            "models": [offer.name for offer in enrolled.profile.offers],
            "usage": enrolled.allowance.windows,
            "fingerprint": enrolled.record.cookies.fingerprint,
            **(self._shown(account) if account else {}),
        }

    async def _value(self, request: web.Request) -> Any:
        return await plain.read(request, _MOST_BODY, self._server.body_timeout_s)

    # --- changing -------------------------------------------------------------------------------------------------

    async def _change(self, request: web.Request) -> web.Response:
        """Other settings, other cookies, or both."""
        account = self._account(request)
        value = plain.as_object(await self._value(request))
        if value.get("name", account.name) != account.name:
            raise InvalidRequest("name: an account cannot be renamed; delete it and add it anew", param="name")
        options = _options(value)
        if value.keys() <= {"name", *enrolment.OPTIONS}:
            await self._set(account, options)
        else:
            (pasted, *_) = await _read({**value, "name": account.name})
            await self._enrol(pasted, options)
        return plain.reply(self._shown(self._account(request)))

    async def _set(self, account: Account, options: Mapping[str, Any]) -> None:
        record = self._keeper.record(account.name)
        if record is None:
            raise InvalidRequest("The guest account cannot be changed here: set pool.allow_guest = false")
        await self._keeper.save(enrolment.changed(record, options, self._pool.clock()))

    async def _delete(self, request: web.Request) -> web.Response:
        """Take the account out and forget its cookies. One of gateway.toml stays out until it is enabled, or new cookies
        stand there."""
        account = self._account(request)
        record = self._keeper.record(account.name)
        if record is None:
            raise InvalidRequest("The guest account cannot be deleted: set pool.allow_guest = false")
        await self._keeper.save(enrolment.erased(record, self._pool.clock()))
        note = {"note": REMOVED.replace("NAME", account.name)} if account.name in self._pool.left_out else {}
        return plain.reply({"deleted": account.name, **note})

    async def _enable(self, request: web.Request) -> web.Response:
        """Let the account serve again: one that was switched off, or one of gateway.toml that was deleted."""
        if (name := request.match_info["name"]) in self._pool.left_out:
            await self._keeper.save(enrolment.restored(name, self._pool.clock()))
        else:
            await self._set(self._account(request), {"enabled": True})
        return plain.reply(self._shown(self._account(request)))

    async def _disable(self, request: web.Request) -> web.Response:
        await self._set(self._account(request), {"enabled": False})
        return plain.reply(self._shown(self._account(request)))

    async def _test(self, request: web.Request) -> web.Response:
        """Sign the account in anew and say what came of it."""
        account = self._account(request)
        if account.health.state is State.DISABLED:
            raise InvalidRequest("The account is switched off; enable it first")
        self._keeper.sign_in(account, anew=True)
        if account.signing_in is not None:
            await asyncio.wait([account.signing_in])
        return plain.reply({"ok": account.health.state is State.READY, **self._shown(account)})

    async def _rotate(self, request: web.Request) -> web.Response:
        """Renew the cookies now, and tell the truth about the result."""
        account = self._account(request)
        if account.is_guest:
            raise InvalidRequest("The guest account has no cookies to renew")
        result = (await self._keeper.rotate(account)).result
        return plain.reply({"result": str(result), "message": _MEANING[result], **self._shown(account)})


async def _read(value: Any) -> list[Pasted]:
    """The accounts in a JSON value. In a thread: a paste may have a megabyte."""
    return await asyncio.to_thread(intake.from_json, value)


def _options(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {name: value[name] for name in enrolment.OPTIONS if name in value}


def _message(enrolled: Enrolled) -> str:
    did = "has new cookies" if enrolled.replaced else "was added"
    return f"The account {enrolled.record.name} {did}: {enrolled.profile.tier}, {len(enrolled.profile.offers)} models"
