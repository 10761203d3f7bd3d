"""Chooses an account for a call and lends it out. Knows no HTTP and no Google: health is pure (`health`), talking is the
upstream's. One attempt a call, never a retry: that is the plugin `retry`'s, through `call.tried`."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

from config.settings import Account as AccountSettings
from config.settings import Pool as PoolSettings
from gateway.accounts import health as rules
from gateway.accounts.catalogue import DEFAULT_WINDOW, Catalogue, PublicModel
from gateway.accounts.health import Health, State
from gateway.background import spawn
from gateway.errors import (
    AccountExhausted,
    AccountExpired,
    ContextTooLong,
    EgressBlocked,
    GatewayError,
    NoAccount,
    Overloaded,
    UpstreamChanged,
    UpstreamError,
)
from gateway.model import AccountChange, AccountView, Call, Event
from gateway.upstream.protocol import Offer, Profile, Upstream, UpstreamAccount
from gateway.wire.dialect import ModelCard

log = logging.getLogger(__name__)
_MINUTE, _HOUR = 60.0, 3600.0


@dataclass(slots=True)
class Egress:
    """A network path out: a proxy, or none. A block takes out all accounts behind it."""

    name: str
    blocked_until: float = 0.0
    recent: deque[float] = field(default_factory=deque)


@dataclass(slots=True, eq=False)
class Account:
    """An account in the pool."""

    name: str
    upstream: UpstreamAccount
    egress: Egress
    capacity: int
    health: Health = field(default_factory=Health)
    profile: Profile | None = None
    in_flight: int = 0
    calls: int = 0
    failures: int = 0
    last_used: float = 0.0
    last_success: float | None = None
    signing_in: asyncio.Task[None] | None = None

    @property
    def offers(self) -> tuple[Offer, ...]:
        return self.profile.offers if self.profile else ()


@dataclass(slots=True)
class Lease:
    """An account lent to one call, for one of its models."""

    account: Account
    offer: Offer


@dataclass(slots=True, eq=False)
class _Waiter:
    call: Call
    model: PublicModel
    turn: asyncio.Future[Lease]


class Pool:
    """The accounts of `accounts`. `clock` gives seconds since 1970; `changed` is told when an account changes state."""

    def __init__(
        self,
        accounts: Sequence[AccountSettings],
        upstream: Upstream,
        catalogue: Catalogue,
        settings: PoolSettings,
        *,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
        changed: Callable[[AccountChange], None] = lambda change: None,
    ) -> None:
        self.catalogue = catalogue
        self._settings = settings
        self._strict = strict
        self._clock = clock
        self._changed = changed
        self._egresses: dict[str, Egress] = {}
        self._waiting: deque[_Waiter] = deque()
        self._probes: dict[Account, asyncio.TimerHandle] = {}
        self._accounts = [self._account(account, upstream) for account in accounts]

    def _account(self, settings: AccountSettings, upstream: Upstream) -> Account:
        link = upstream.account(settings)
        egress = self._egresses.setdefault(link.egress, Egress(link.egress))
        account = Account(settings.name, link, egress, settings.max_concurrency or self._settings.max_concurrency)
        if not settings.enabled:
            account.health = Health(State.DISABLED, "switched off in the settings")
        return account

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to sign the accounts in; the pool can be asked at once, and calls wait for the first one."""
        for account in self._accounts:
            if account.health.state is not State.DISABLED:
                self._sign_in(account)

    async def close(self) -> None:
        """Stop signing in, and let go of all connections."""
        for timer in self._probes.values():
            timer.cancel()
        tasks = [account.signing_in for account in self._accounts if account.signing_in]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for account in self._accounts:
            await account.upstream.close()

    def _sign_in(self, account: Account) -> None:
        if account.signing_in is None or account.signing_in.done():
            account.signing_in = spawn(self._signing_in(account), f"sign in {account.name}")

    async def _signing_in(self, account: Account) -> None:
        try:
            account.profile = await account.upstream.sign_in()
        except UpstreamError as exc:
            log.warning("account %s cannot sign in: %s", account.name, exc.message)
            self._blame(account, exc, "")
            self._try_later(account)
        else:
            self._set(account, rules.signed_in(account.health))
        self._serve_waiting()

    def _try_later(self, account: Account) -> None:
        """Sign in again when the account's time, or its egress', is over."""
        due = max(account.health.until, account.egress.blocked_until)
        if (timer := self._probes.get(account)) is not None:
            timer.cancel()
        delay = max(due - self._clock(), 0.1)
        self._probes[account] = asyncio.get_running_loop().call_later(delay, self._sign_in, account)

    # --- asking ---------------------------------------------------------------------------------------------------

    async def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """One attempt: lease an account, pass on its events, report how it fared."""
        begun = time.monotonic()
        lease = await self._lease(call)
        call.spent["wait"] = call.spent.get("wait", 0.0) + time.monotonic() - begun
        account, offer = lease.account, lease.offer
        call.account = account.name
        call.served_model = None
        call.attempts += 1
        try:
            async with aclosing(account.upstream.generate(call, offer)) as events:
                async for event in events:
                    yield event
        except UpstreamError as exc:
            call.tried.accounts.add(account.name)
            if isinstance(exc, EgressBlocked):
                call.tried.egresses.add(account.egress.name)
            self._blame(account, exc, offer.id)
            raise
        else:
            account.last_success = self._clock()
            self._set(account, rules.succeeded(account.health, offer.id, account.last_success))
        finally:
            self._release(account)

    def find_model(self, name: str) -> PublicModel:
        """The model of that public name. Raises UnknownModel for one that no account serves."""
        return self.catalogue.find(name, self._all_offers())

    def cards(self) -> list[ModelCard]:
        """The models that can be asked for."""
        known = [account.profile.window for account in self._accounts if account.profile]
        return self.catalogue.cards(self._all_offers(), max(known, default=DEFAULT_WINDOW))

    def views(self) -> list[AccountView]:
        """The accounts as operators see them."""
        return [self._view(account) for account in self._accounts]

    @property
    def queued(self) -> int:
        """Calls that wait for an account."""
        return len(self._waiting)

    def why_not_ready(self) -> str | None:
        """None when some account could serve a call now, else the reason in words."""
        now = self._clock()
        if not self._accounts:
            return "no account is configured: put the cookies of one into gateway.toml (see README)"
        for account in self._accounts:
            if account.egress.blocked_until <= now and any(account.health.serves(o.id, now) for o in account.offers):
                return None
        return "; ".join(f"{view.name}: {view.state}, {view.reason}" for view in self.views())

    def _view(self, account: Account) -> AccountView:
        health, now = account.health, self._clock()
        names = {offer.id: offer.name for offer in account.offers}
        state, reason, until = str(health.state), health.reason, health.until
        if account.egress.blocked_until > now and health.state in (State.READY, State.STARTING):
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
        )

    def _all_offers(self) -> list[Offer]:
        return [offer for account in self._accounts for offer in account.offers]

    # --- leasing --------------------------------------------------------------------------------------------------

    async def _lease(self, call: Call) -> Lease:
        model = self.catalogue.find(call.model, self._all_offers())
        return self._choose_or_refuse(call, model) or await self._wait(call, model)

    def _choose_or_refuse(self, call: Call, model: PublicModel) -> Lease | None:
        """A free account; None when waiting for one has a point; else raises the reason why there will be none."""
        if (lease := self._choose(call, model)) is not None:
            return lease
        self._refuse_hopeless(call, model)
        return self._choose(call, model)

    def _choose(self, call: Call, model: PublicModel) -> Lease | None:
        """The best free account, taken; None when all that could serve are busy (or there are none)."""
        now = self._clock()
        best: tuple[tuple[float, ...], Lease] | None = None
        for account in self._accounts:
            if account.in_flight >= account.capacity or not self._within_budget(account.egress, now):
                continue
            if (found := self._could_serve(account, call, model, now)) is None:
                continue
            offer, rank = found
            key = (rank, account.in_flight / account.capacity, account.last_used)
            if best is None or key < best[0]:
                best = key, Lease(account, offer)
        if best is None:
            return None
        self._take(best[1].account, now)
        return best[1]

    def _could_serve(self, account: Account, call: Call, model: PublicModel, now: float) -> tuple[Offer, int] | None:
        """What the account would serve the call with, if it were free; None when it is out of question."""
        if not self._allowed(account, call) or account.egress.blocked_until > now:
            return None
        if account.egress.name in call.tried.egresses or account.name in call.tried.accounts:
            return None
        found = self.catalogue.match(model, account.offers, strict=self._strict)
        if found is None or call.prompt_tokens > (account.profile.window if account.profile else 0):
            return None
        if account.health.serves(found[0].id, now):
            # A rested account gets one call as a probe, not all that wait.
            return None if account.health.state is State.COOLING and account.in_flight else found
        return None

    def _allowed(self, account: Account, call: Call) -> bool:
        allowed = call.principal.accounts
        return account.health.state is not State.DISABLED and (allowed is None or account.name in allowed)

    def _within_budget(self, egress: Egress, now: float) -> bool:
        while egress.recent and egress.recent[0] <= now - _HOUR:
            egress.recent.popleft()
        hourly, minutely = self._settings.egress_per_hour, self._settings.egress_per_minute
        if hourly and len(egress.recent) >= hourly:
            return False
        return not (minutely and len(egress.recent) >= minutely and egress.recent[-minutely] > now - _MINUTE)

    def _take(self, account: Account, now: float) -> None:
        account.in_flight += 1
        account.calls += 1
        account.last_used = now
        if self._settings.egress_per_hour or self._settings.egress_per_minute:
            account.egress.recent.append(now)

    def _release(self, account: Account) -> None:
        account.in_flight -= 1
        self._serve_waiting()

    # --- waiting --------------------------------------------------------------------------------------------------

    async def _wait(self, call: Call, model: PublicModel) -> Lease:
        limit = self._settings.queue_timeout_s
        if len(self._waiting) >= self._settings.queue_size:
            raise Overloaded("Too many calls wait for an account", retry_after=max(1.0, limit / 2))
        waiter = _Waiter(call, model, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(limit):
                return await waiter.turn
        except BaseException as exc:
            if waiter.turn.done() and not waiter.turn.cancelled() and waiter.turn.exception() is None:
                self._release(waiter.turn.result().account)  # the turn came in the moment in which the caller left
            if isinstance(exc, TimeoutError):
                raise Overloaded("No account became free in time", retry_after=max(1.0, limit / 2)) from None
            raise
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _serve_waiting(self) -> None:
        """Give free accounts to those who wait, oldest first; tell those for whom there is no more hope."""
        for waiter in list(self._waiting):
            if waiter.turn.done():
                self._waiting.remove(waiter)
                continue
            try:
                lease = self._choose_or_refuse(waiter.call, waiter.model)
            except GatewayError as exc:
                self._waiting.remove(waiter)
                waiter.turn.set_exception(exc)
                continue
            if lease is not None:
                self._waiting.remove(waiter)
                waiter.turn.set_result(lease)

    def _refuse_hopeless(self, call: Call, model: PublicModel) -> None:
        """Return when waiting has a point: some account that fits is busy, or still signing in. Else raise the error
        that says best why there is none, with the time at which to come back."""
        now = self._clock()
        candidates = [account for account in self._accounts if self._allowed(account, call)]
        if not candidates:
            raise NoAccount("No Gemini account is configured for this key", retry_after=60)
        fresh = [account for account in candidates if account.name not in call.tried.accounts]
        fresh = [account for account in fresh if account.egress.name not in call.tried.egresses]
        able = [account for account in fresh if self._could_serve(account, call, model, now)]
        if any(account.in_flight >= account.capacity or self._within_budget(account.egress, now) for account in able):
            return
        if able:
            raise Overloaded("The request budget of the gateway's network address is used up", retry_after=60)
        if any(self._is_signing_in(account, now) for account in fresh):
            return
        if probe := self._soonest(fresh, call, model, now):
            # All are cooling for failures that may pass: better one that may fail than none.
            probe.health = rules.signed_in(probe.health)
            return
        raise self._verdict(fresh or candidates, call, model, now)

    def _is_signing_in(self, account: Account, now: float) -> bool:
        task = account.signing_in
        return task is not None and not task.done() and account.egress.blocked_until <= now

    def _soonest(self, accounts: Sequence[Account], call: Call, model: PublicModel, now: float) -> Account | None:
        cooling = [
            account
            for account in accounts
            if account.health.state is State.COOLING and not account.in_flight and account.egress.blocked_until <= now
            and (found := self.catalogue.match(model, account.offers, strict=self._strict))
            and account.health.models.get(found[0].id, 0.0) <= now
        ]
        return min(cooling, key=lambda account: account.health.until, default=None)

    def _verdict(self, accounts: Sequence[Account], call: Call, model: PublicModel, now: float) -> GatewayError:
        """Why none of `accounts` can serve the call."""
        unblocked = [account for account in accounts if account.egress.blocked_until <= now]
        if not unblocked:
            wait = min(account.egress.blocked_until for account in accounts) - now
            return EgressBlocked("Google blocks the gateway's network address", retry_after=math.ceil(wait))
        signed_in = [a for a in unblocked if a.health.state in (State.READY, State.COOLING)]
        windows = [account.profile.window for account in signed_in if account.profile]
        if windows and call.prompt_tokens > max(windows):
            return ContextTooLong(
                f"The conversation has about {call.prompt_tokens} tokens; the accounts take {max(windows)}",
                param="messages",
            )
        matches = [(a, self.catalogue.match(model, a.offers, strict=self._strict)) for a in signed_in]
        resets = [account.health.models.get(found[0].id, 0.0) for account, found in matches if found]
        if resets and min(resets) > now:
            wait = math.ceil(min(resets) - now)
            return AccountExhausted(f"The usage limit for {model.name} is reached", retry_after=wait)
        if signed_in and not resets:
            return NoAccount(f"No account offers {model.name}", retry_after=3600)
        wait = min((account.health.until for account in unblocked), default=now + 30) - now
        return NoAccount("No Gemini account can serve this now", retry_after=max(1, math.ceil(wait)))

    # --- reporting ------------------------------------------------------------------------------------------------

    def _blame(self, account: Account, error: UpstreamError, model_id: str) -> None:
        now = self._clock()
        account.failures += 1
        if isinstance(error, EgressBlocked):
            account.egress.blocked_until = now + rules.blocked_for(error)
            log.warning("egress %s is blocked by Google", account.egress.name)
        self._set(account, rules.failed(account.health, error, model_id, now))
        if isinstance(error, AccountExpired) and model_id:
            # Tokens may be stale while the cookies live: find out at once, in the background.
            self._sign_in(account)
        elif isinstance(error, UpstreamChanged) and model_id and account.health.strikes >= rules.STRIKES:
            self._sign_in(account)

    def _set(self, account: Account, health: Health) -> None:
        before, account.health = account.health, health
        if before.state is not health.state:
            log.info("account %s: %s -> %s %s", account.name, before.state, health.state, health.reason)
            self._changed(AccountChange(account.name, str(before.state), str(health.state), health.reason))
