"""An account and an egress as the pool holds them, and how they look to operators. No I/O."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from config.settings import Account as AccountSettings
from gateway.accounts import rotation
from gateway.accounts.health import Health, State
from gateway.accounts.rotation import History
from gateway.model import AccountView
from gateway.upstream.protocol import Allowance, Cookies, Offer, Profile, UpstreamAccount

GUEST = "guest"


@dataclass(slots=True)
class Egress:
    """A network path out: a proxy, or none. A block takes out all accounts behind it. `full_until` is when its budget has
    room again."""

    name: str
    blocked_until: float = 0.0
    full_until: float = 0.0


@dataclass(slots=True, eq=False)
class Account:
    """An account in the pool. `settings` are those in force; `source` is settings, added or guest. `synced` are the
    cookies on which the store and the upstream last agreed; `guessed` the models whose cooldown is a guess, because the
    time of their reset was not known."""

    name: str
    settings: AccountSettings
    upstream: UpstreamAccount
    egress: Egress
    capacity: int
    source: str = "settings"
    health: Health = field(default_factory=Health)
    profile: Profile | None = None
    history: History = field(default_factory=History)
    rotations: Counter[str] = field(default_factory=Counter)
    allowance: Allowance = field(default_factory=Allowance)
    allowance_read: float | None = None
    allowance_asked: float = 0.0
    synced: Cookies = field(default_factory=Cookies)
    guessed: set[str] = field(default_factory=set)
    in_flight: int = 0
    calls: int = 0
    failures: int = 0
    last_used: float = 0.0
    last_success: float | None = None
    signing_in: asyncio.Task[None] | None = None
    removed: bool = False

    @property
    def offers(self) -> tuple[Offer, ...]:
        return self.profile.offers if self.profile else ()

    @property
    def is_guest(self) -> bool:
        """Whether it has no cookies: it serves only what nobody else can, and is marked."""
        return self.source == GUEST

    @property
    def is_out(self) -> bool:
        """Whether it serves nobody, whatever the time: switched off, or taken out of the pool."""
        return self.removed or self.health.state is State.DISABLED


def view(account: Account, now: float, rotation_interval_s: float) -> AccountView:
    """The account as operators see it."""
    health, history = account.health, account.history
    names = {offer.id: offer.name for offer in account.offers}
    state, reason, until = str(health.state), health.reason, health.until
    if account.egress.blocked_until > now and health.state in (State.READY, State.STARTING, State.UNREACHABLE):
        state, reason, until = "cooling", "its network address is blocked by Google", account.egress.blocked_until
    return AccountView(
        name=account.name,
        state=state,
        reason=reason,
        egress=account.egress.name,
        tier=account.profile.tier if account.profile else "unknown",
        models=tuple(names.values()),
        in_flight=account.in_flight,
        max_concurrency=account.capacity,
        cooldown_until=until if until > now else None,
        model_cooldowns={names.get(key, key): end for key, end in health.models.items() if end > now},
        last_success=account.last_success,
        calls=account.calls,
        failures=account.failures,
        source=account.source,
        fingerprint=account.upstream.cookies.fingerprint,
        cookies_entered=history.entered or None,
        cookies_renewed=history.renewed or None,
        rotations=dict(account.rotations),
        attention_by=_attention_by(account, now, rotation_interval_s),
        usage=account.allowance.windows,
        usage_read=account.allowance_read,
        flag=account.allowance.flag,
    )


def _attention_by(account: Account, now: float, interval_s: float) -> float | None:
    if account.health.state in (State.EXPIRED, State.REJECTED):
        return now
    if account.is_guest or account.is_out or not interval_s:
        return None
    return rotation.attention_by(account.history, interval_s=interval_s, now=now)
