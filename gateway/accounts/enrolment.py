"""Takes cookies that a person brings: tries them, and only if they sign in lets them hold. The answer says what the
account is, or what exactly is wrong with the cookies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr, ValidationError

from config.loader import explain
from config.settings import Account as AccountSettings
from gateway.accounts import intake, roster
from gateway.accounts.account import GUEST
from gateway.accounts.cookies import CookieStore, Record
from gateway.accounts.intake import Pasted
from gateway.accounts.rotation import History
from gateway.errors import AccountExpired, AccountRejected, CookiesRefused, GatewayError, InvalidRequest, NotFound
from gateway.upstream.protocol import Allowance, Cookies, Profile, Rotation, Upstream, UpstreamAccount

OPTIONS = intake.OPTIONS


@dataclass(frozen=True, slots=True)
class Enrolled:
    """An account whose cookies sign in. `replaced` says that it was there before."""

    record: Record
    profile: Profile
    allowance: Allowance = field(default_factory=Allowance)
    replaced: bool = False


class Enrolment:
    """Tries cookies against `upstream`. `store` has the accounts that there are, `configured` are those of gateway.toml;
    `needs_cookies` names the accounts that are signed out."""

    def __init__(
        self,
        upstream: Upstream,
        store: CookieStore,
        configured: Sequence[AccountSettings],
        *,
        clock: Callable[[], float],
        needs_cookies: Callable[[], set[str]] = set,
    ) -> None:
        self._upstream = upstream
        self._store = store
        self._configured = {settings.name: settings for settings in configured}
        self._clock = clock
        self._needs_cookies = needs_cookies

    async def enrol(self, pasted: Pasted, options: Mapping[str, Any] | None = None) -> Enrolled:
        """Try the cookies. The record in the answer is for the caller to save. Raises CookiesRefused for cookies that
        sign nobody in, another InvalidRequest for options, and an UpstreamError when they could not be tried."""
        record = self._record(pasted, options or {})
        profile, allowance, cookies = await self._tried(record, pasted.cookies)
        await self._store.refresh()  # that took a while: somebody else may have brought an account
        record = self._record(pasted, options or {})
        known = self._here(record.name)
        history = replace(
            known.history if known else History(), entered=self._clock(), attempted=0.0, result="", throttled=0
        )
        return Enrolled(replace(record, cookies=cookies, history=history), profile, allowance, replaced=known is not None)

    def _record(self, pasted: Pasted, options: Mapping[str, Any]) -> Record:
        """The record of the account that the paste is for, with other settings. What gateway.toml says of its cookies is
        older than the paste, whether a gateway has seen it or not."""
        name = pasted.name or self._name_for(pasted.cookies)
        if name == GUEST and name not in self._configured:
            raise InvalidRequest(f"name: {GUEST!r} is the name of the account without cookies", param="name")
        if (other := self._owner(pasted.cookies)) not in (None, name):  # each would rotate the other's cookies away
            raise CookiesRefused(f"These are cookies of the account {other}, which is here already", param="name")
        settings = self._configured.get(name)
        record = self._here(name) or Record(name, added=settings is None)
        if settings is not None:
            record = replace(record, configured=roster.cookies_of(settings).fingerprint)
        return changed(record, options, self._clock())

    def _here(self, name: str) -> Record | None:
        record = self._store.get(name)
        return None if record is None or record.removed else record

    def _owner(self, cookies: Cookies) -> str | None:
        """The account that has the same __Secure-1PSID: in the store, or in a gateway.toml that no gateway read yet."""
        records = {record.name: record for record in self._store.all()}
        waiting = [s for s in self._configured.values() if s.name not in records]
        psids = {settings.name: settings.secure_1psid.get_secret_value() for settings in waiting}
        psids |= {name: record.cookies.psid for name, record in records.items() if not record.removed}
        return next((name for name, psid in psids.items() if psid == cookies.psid), None)

    def _name_for(self, cookies: Cookies) -> str:
        """The account that a paste without a name means: the one with the same __Secure-1PSID, or the only one there is
        if that needs cookies; else a new one."""
        if (owner := self._owner(cookies)) is not None:
            return owner
        here = [record for record in self._store.all() if not record.removed]
        if len(here) == 1 and here[0].name in self._needs_cookies():
            return here[0].name
        taken = {record.name for record in self._store.all()} | self._configured.keys()
        return next(name for n in range(1, len(taken) + 2) if (name := f"account-{n}") not in taken)

    async def _tried(self, record: Record, cookies: Cookies) -> tuple[Profile, Allowance, Cookies]:
        settings = self._configured.get(record.name) or roster.blank(record.name)
        link = self._upstream.account(roster.in_force(settings, record))
        link.use(cookies)
        try:
            profile = await self._signed_in(link)
            try:
                allowance = await link.read_allowance()
            except GatewayError:
                allowance = Allowance()  # nice to know, no condition
            return profile, allowance, link.cookies
        finally:
            await link.close()

    async def _signed_in(self, link: UpstreamAccount) -> Profile:
        """Sign in; what no longer does gets one rotation, for a value that is only a little stale."""
        try:
            return await link.sign_in()
        except AccountRejected as exc:
            raise CookiesRefused(f"The cookies are good, but the account cannot be used: {exc.message}") from exc
        except AccountExpired:
            pass
        try:
            if (await link.rotate()).result is Rotation.RENEWED:
                return await link.sign_in()
        except AccountExpired:
            pass
        known = {record.name: record.cookies for record in self._store.all() if record.cookies.psid}
        raise intake.diagnosis(link.cookies, known)


def changed(record: Record, options: Mapping[str, Any], now: float) -> Record:
    """`record` with other settings. Raises InvalidRequest for a setting that does not exist or a value that it cannot
    have."""
    if unknown := options.keys() - set(OPTIONS):
        name = min(unknown)
        raise InvalidRequest(f"{name[:64]}: there is no such setting; there are {', '.join(OPTIONS)}", param=name[:64])
    try:
        AccountSettings.model_validate({"secure_1psid": SecretStr("x" * 30), **options})
    except ValidationError as exc:
        problem = explain(exc, AccountSettings)[0]
        raise InvalidRequest(problem, param=problem.partition(":")[0]) from None
    given = {name: value for name, value in options.items() if name != "proxy"}
    if "proxy" in options:
        given["proxy"] = options["proxy"] or ""
    return replace(record, edited=now, **given)


def known_record(records: Mapping[str, Record], name: str) -> Record:
    """The record of an account that is there. Raises NotFound."""
    record = records.get(name)
    if record is None or record.removed:
        raise NotFound("There is no account of this name")
    return record


def restored(name: str, now: float) -> Record:
    """The record of an account of gateway.toml that was deleted and is wanted again: what stands there holds anew."""
    return Record(name, history=History(entered=now), edited=now)


def erased(record: Record, now: float) -> Record:
    """The record of an account that a person deleted: its cookies are gone, and the note that it is."""
    return Record(
        record.name,
        configured=record.configured,
        history=History(entered=now),
        edited=now,
        added=record.added,
        removed=True,
    )
