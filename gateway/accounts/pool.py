"""Lends accounts to calls. Knows no HTTP and no Google: health is pure (`health`), choosing is `choosing`'s, talking is the
upstream's, and `keeping` keeps the accounts alive. One attempt a call, never a retry: that is the plugin `retry`'s,
through `call.tried`."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace

from config.settings import Pool as PoolSettings
from gateway.accounts import health as rules
from gateway.accounts.account import Account, Egress, view
from gateway.accounts.budget import Budget
from gateway.accounts.catalogue import DEFAULT_WINDOW, Catalogue, PublicModel
from gateway.accounts.choosing import Choice, Chooser
from gateway.accounts.health import Health, State
from gateway.accounts.queue import Queue
from gateway.accounts.roster import Member
from gateway.background import spawn
from gateway.errors import AccountExhausted, EgressBlocked, UpstreamError
from gateway.model import AccountChange, AccountView, Call, Event, Finished
from gateway.state.memory import MemoryStore
from gateway.state.store import StateStore
from gateway.upstream.protocol import Offer, Profile, Upstream
from gateway.wire.dialect import ModelCard

log = logging.getLogger(__name__)

Advice = Callable[[Call, Sequence[AccountView]], Awaitable[str | None]]
NO_ACCOUNT = "no account is configured: paste the cookies of one into POST /api/cookies or gateway.toml (see README)"
REMOVED = (
    "it was removed at run time, so what gateway.toml says of it is ignored; `python -m gateway accounts enable NAME`, "
    "POST /api/accounts/NAME/enable, or new cookies bring it back"
)


class Pool:
    """The accounts, once `join` brought them. `clock` gives seconds since 1970; `changed` is told when an account changes
    state; `advice` is asked which of the free accounts a call should get; `state` counts what egresses may; `troubled` is
    told of every failure of an account, and the id of the model (none: it was signing in). `left_out` are the accounts
    that gateway.toml names and a person removed."""

    def __init__(
        self,
        upstream: Upstream,
        catalogue: Catalogue,
        settings: PoolSettings,
        *,
        strict: bool = False,
        clock: Callable[[], float] = time.time,
        changed: Callable[[AccountChange], None] = lambda change: None,
        state: StateStore | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.clock = clock
        self.left_out: tuple[str, ...] = ()
        self.troubled: Callable[[Account, UpstreamError, str], None] = lambda account, error, model_id: None
        self._upstream = upstream
        self._settings = settings
        self._changed = changed
        self.advice: Advice | None = None
        self._chooser = Chooser(catalogue, strict=strict, clock=clock)
        self._budget = Budget(settings, state or MemoryStore(clock), clock)
        self._queue = Queue(settings.queue_size, settings.queue_timeout_s, lambda choice: self._release(choice.account))
        self._egresses: dict[str, Egress] = {}
        self._exhausted: dict[str, Mapping[str, float]] = {}
        self._accounts: list[Account] = []

    def inherit(self, before: Pool) -> None:
        """Know of blocks and usage limits what the pool `before` knew; for a reload, ahead of the accounts."""
        self._egresses = before._egresses
        for egress in self._egresses.values():
            egress.full_until = 0.0  # by the budget before; what was spent is in the state store
        self._exhausted = {account.name: account.health.models for account in before.accounts}

    # --- who is in ------------------------------------------------------------------------------------------------

    @property
    def accounts(self) -> Sequence[Account]:
        """The accounts, in their order."""
        return self._accounts

    def find(self, name: str) -> Account | None:
        """The account of this name."""
        return next((account for account in self._accounts if account.name == name), None)

    def join(self, member: Member) -> Account:
        """Take an account in. It serves once it is signed in (`welcome`)."""
        link = self._upstream.account(member.settings)
        link.use(member.cookies)
        account = Account(
            member.settings.name,
            member.settings,
            link,
            self._egress(link.egress),
            self._capacity(member),
            member.source,
            history=member.history,
            synced=member.cookies,
        )
        account.health = replace(account.health, models=self._exhausted.get(account.name, {}))
        self._accounts.append(account)
        if member.off:
            self.switch_off(account, member.off)
        return account

    def adapt(self, account: Account, member: Member) -> None:
        """Let other settings hold for an account: those that need no other connection."""
        account.settings = member.settings
        account.source = member.source
        account.capacity = self._capacity(member)
        self.serve_waiting()

    def replace(self, account: Account, member: Member) -> Account:
        """Another account in the place of one, where the connection has to be another."""
        place = self._accounts.index(account)
        self._retire(account)
        fresh = self.join(member)
        self._accounts.remove(fresh)
        self._accounts.insert(place, fresh)
        return fresh

    def leave(self, account: Account) -> None:
        """Take an account out."""
        self._retire(account)
        self._changed(AccountChange(account.name, str(account.health.state), "removed", "taken out of the pool"))
        self.serve_waiting()

    def _retire(self, account: Account) -> None:
        """Let the account answer what it answers now, and nothing else."""
        account.removed = True
        self._accounts.remove(account)
        if account.signing_in is not None:
            account.signing_in.cancel()
        self._close_when_idle(account)

    def _close_when_idle(self, account: Account) -> None:
        if account.removed and not account.in_flight:
            spawn(account.upstream.close(), "close a retired account")

    def switch_off(self, account: Account, why: str) -> None:
        """Let the account serve no further call."""
        self.set(account, Health(State.DISABLED, why))

    def _capacity(self, member: Member) -> int:
        return member.settings.max_concurrency or self._settings.max_concurrency

    def _egress(self, name: str) -> Egress:
        return self._egresses.setdefault(name, Egress(name))

    async def close(self) -> None:
        """Let go of all connections."""
        for account in self._accounts:
            await account.upstream.close()

    # --- asking ---------------------------------------------------------------------------------------------------

    async def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """One attempt: lease an account, pass on its events, report how it fared."""
        begun = time.monotonic()
        model = self.find_model(call.model)
        choice = await self._lease(call, model)
        call.spent["wait"] = call.spent.get("wait", 0.0) + time.monotonic() - begun
        account, offer = choice.account, choice.offer
        call.account = account.name
        call.guest = account.is_guest
        call.served_model = None
        call.attempts += 1
        log.debug("call %s: account %s (%s)", call.id, account.name, call.route)
        answered = False
        try:
            async with aclosing(account.upstream.generate(call, offer)) as events:
                async for event in events:
                    if isinstance(event, Finished):
                        # Not behind the loop: who has the whole answer asks for nothing more.
                        self._succeeded(account, offer)
                    answered = True
                    yield event
        except GeneratorExit:
            if answered:  # whoever leaves in the middle, at a stop word or max_tokens, was served well so far
                self._succeeded(account, offer)
            raise
        except UpstreamError as exc:
            call.tried.accounts.add(account.name)
            if isinstance(exc, EgressBlocked):
                call.tried.egresses.add(account.egress.name)
            self.blame(account, exc, offer.id)
            if isinstance(exc, (AccountExhausted, EgressBlocked)):
                # Google spoke of this account; the caller asks when any of them serves.
                exc.retry_after = self._chooser.wait(self._accounts, call, model)
            raise
        finally:
            self._release(account)

    def _succeeded(self, account: Account, offer: Offer) -> None:
        account.last_success = self.clock()
        self.set(account, rules.succeeded(account.health, offer.id, account.last_success))

    def find_model(self, name: str) -> PublicModel:
        """The model of that public name. Raises UnknownModel for one that no account serves."""
        return self.catalogue.find(name, self._all_offers())

    def cards(self) -> list[ModelCard]:
        """The models that can be asked for."""
        known = [account.profile.window for account in self._accounts if account.profile]
        return self.catalogue.cards(self._all_offers(), max(known, default=DEFAULT_WINDOW))

    def views(self) -> list[AccountView]:
        """The accounts as operators see them."""
        return [self.view(account) for account in self._accounts]

    def view(self, account: Account) -> AccountView:
        """One account as operators see it."""
        return view(account, self.clock(), self._settings.rotation_interval_s)

    def signed_out(self) -> set[str]:
        """The names of the accounts whose cookies sign nobody in."""
        return {account.name for account in self._accounts if account.health.state is State.EXPIRED}

    @property
    def queued(self) -> int:
        """Calls that wait for an account."""
        return len(self._queue)

    def why_not_ready(self) -> str | None:
        """None when some account could serve a call now, else the reason in words."""
        now = self.clock()
        if not self._accounts:
            return f"no account is left of gateway.toml: {REMOVED}" if self.left_out else NO_ACCOUNT
        for account in self._accounts:
            if account.egress.blocked_until <= now and any(account.health.serves(o.id, now) for o in account.offers):
                return None
        # Anybody may ask: no names.
        return "; ".join(sorted({f"{view.state}: {view.reason or 'its models are cooling down'}" for view in self.views()}))

    def _all_offers(self) -> Iterator[Offer]:
        return (offer for account in self._accounts for offer in account.offers)

    # --- leasing --------------------------------------------------------------------------------------------------

    async def _lease(self, call: Call, model: PublicModel) -> Choice:
        """A free account, taken, through an egress that may take one more call."""
        while True:
            choice = await self._free(call, model)
            if await self._spend(choice.account):
                choice.account.calls += 1
                return choice

    async def _spend(self, account: Account) -> bool:
        """Count a call against the budget of the account's egress; gives the account back where that is used up."""
        spent = False
        try:
            spent = await self._budget.spend(account.egress)
        finally:
            if not spent:
                self._release(account)
        return spent

    async def _free(self, call: Call, model: PublicModel) -> Choice:
        """A free account, taken. Waits for one where that has a point, else raises the reason why there will be none."""
        call.route = ""
        free = self._chooser.free(self._accounts, call, model)
        if free and self.advice is not None:
            advised = await self.advice(call, [self.view(choice.account) for choice in free])
            # While it thought about it, others may have taken what was free.
            free = self._chooser.free(self._accounts, call, model)
            free.sort(key=lambda choice: choice.account.name != advised)
            if not free or free[0].account.name != advised:
                call.route = ""
        return self._take(free, call) or self._attempt(call, model) or await self._queue.wait(call, model)

    def _attempt(self, call: Call, model: PublicModel) -> Choice | None:
        """A free account, taken; None when waiting for one has a point; else raises why there will be none."""
        free = self._chooser.free(self._accounts, call, model)
        if not free and (probe := self._chooser.hope(self._accounts, call, model)) is not None:
            # All are cooling for failures that may pass: better one that may fail than none.
            probe.health = replace(probe.health, until=self.clock())
            free = self._chooser.free(self._accounts, call, model)
        return self._take(free, call)

    def _take(self, free: Sequence[Choice], call: Call) -> Choice | None:
        if not free:
            return None
        account = free[0].account
        call.route = call.route or f"{account.name}: the least busy of {len(free)} free"
        account.in_flight += 1
        account.last_used = self.clock()
        return free[0]

    def _release(self, account: Account) -> None:
        account.in_flight -= 1
        self._close_when_idle(account)
        self.serve_waiting()

    def serve_waiting(self) -> None:
        """Give what has become free to those who wait, and tell those for whom there is no more hope."""
        self._queue.serve(self._attempt)

    # --- reporting ------------------------------------------------------------------------------------------------

    def welcome(self, account: Account, profile: Profile) -> None:
        """The account signed in."""
        account.profile = profile
        self.set(account, rules.signed_in(account.health))
        self.serve_waiting()

    def blame(self, account: Account, error: UpstreamError, model_id: str = "") -> None:
        """A call failed with `error`, or (without a model) signing in did."""
        now = self.clock()
        account.failures += 1
        if isinstance(error, EgressBlocked):
            account.egress.blocked_until = now + rules.rest_of(error)
            log.warning("egress %s is blocked by Google", account.egress.name)
        if account.removed or (account.health.state is State.DISABLED):
            return
        self.set(account, rules.failed(account.health, error, model_id, now))
        if isinstance(error, AccountExhausted) and error.retry_after is None:
            account.guessed.add(model_id)
        self.troubled(account, error, model_id)

    def set(self, account: Account, health: Health) -> None:
        """Let the account be in this state, and tell who wants to know."""
        before, account.health = account.health, health
        if before.state is not health.state:
            why = f" ({health.reason})" if health.reason else ""
            log.info("account %s: %s -> %s%s", account.name, before.state, health.state, why)
            self._changed(AccountChange(account.name, str(before.state), str(health.state), health.reason))
