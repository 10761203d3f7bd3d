"""Which accounts there should be: gateway.toml and the cookie store, put together. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import SecretStr

from config.settings import Account as AccountSettings
from config.settings import Pool as PoolSettings
from gateway.accounts.account import GUEST
from gateway.accounts.cookies import Record
from gateway.accounts.rotation import History
from gateway.upstream.protocol import Cookies

OFF_HERE, OFF_THERE = "switched off by a person: enable it", "switched off by enabled = false in gateway.toml"


@dataclass(frozen=True, slots=True)
class Member:
    """An account that should be in the pool. `settings` are those in force; their cookies may be older than `cookies`.
    `off` says why it serves nobody, where it is not to."""

    settings: AccountSettings
    cookies: Cookies = field(default_factory=Cookies)
    source: str = "settings"
    history: History = field(default_factory=History)
    off: str = ""


def cookies_of(settings: AccountSettings) -> Cookies:
    """The cookies that stand in the settings."""
    return Cookies(
        settings.secure_1psid.get_secret_value(),
        settings.secure_1psidts.get_secret_value(),
        settings.secure_1psidcc.get_secret_value(),
    )


def taken_over(configured: Sequence[AccountSettings], records: Mapping[str, Record], now: float) -> list[Record]:
    """The records to be stored because gateway.toml holds cookies that the store has not seen: new accounts, and those
    that a person gave new cookies there. These win over whatever was rotated before."""
    found = []
    for settings in configured:
        cookies, known = cookies_of(settings), records.get(settings.name)
        if known is None or known.configured != cookies.fingerprint:
            record = replace(
                known or Record(settings.name),
                cookies=cookies,
                configured=cookies.fingerprint,
                history=replace(known.history if known else History(), entered=now, attempted=0.0, result="", throttled=0),
            )
            if record.removed:
                record = replace(record, removed=False, edited=now)
            found.append(record)
    return found


def members(configured: Sequence[AccountSettings], records: Mapping[str, Record], pool: PoolSettings) -> list[Member]:
    """The accounts: those of gateway.toml in their order, those added at run time, and the guest."""
    found = [
        _member(settings, records[settings.name], "settings")
        for settings in configured
        if settings.name in records and not records[settings.name].removed
    ]
    names = {settings.name for settings in configured}
    found += [
        _member(blank(record.name), record, "added")
        for record in records.values()
        if record.added and not record.removed and record.name not in names
    ]
    if pool.allow_guest and GUEST not in {member.settings.name for member in found}:
        found.append(Member(blank(GUEST).model_copy(update={"proxy": pool.guest_proxy}), source=GUEST))
    return found


def left_out(configured: Sequence[AccountSettings], records: Mapping[str, Record]) -> tuple[str, ...]:
    """The accounts that gateway.toml names and a person removed at run time: they stay out until somebody enables them,
    brings cookies for them, or writes new ones there."""
    return tuple(s.name for s in configured if s.name in records and records[s.name].removed)


def blank(name: str) -> AccountSettings:
    """The settings of an account that stands in no file. It is not validated: a guest has no cookie."""
    return AccountSettings.model_construct(
        name=name, secure_1psid=SecretStr(""), secure_1psidts=SecretStr(""), secure_1psidcc=SecretStr("")
    )


def _member(settings: AccountSettings, record: Record, source: str) -> Member:
    off = OFF_HERE if record.enabled is False else "" if record.enabled or settings.enabled else OFF_THERE
    return Member(in_force(settings, record), record.cookies, source, record.history, off)


def in_force(settings: AccountSettings, record: Record) -> AccountSettings:
    """`settings` with what the record overrides."""
    overrides: dict[str, Any] = {
        name: value
        for name in ("enabled", "language", "max_concurrency")
        if (value := getattr(record, name)) is not None
    }
    if record.proxy is not None:
        overrides["proxy"] = SecretStr(record.proxy) if record.proxy else None
    return settings.model_copy(update=overrides)
