"""Keeps the accounts of a pool alive: signs them in, renews their cookies, asks what is used up, and follows the cookie
store, in which other replicas and the command line write. All of it beside the calls, each account for itself.

`tick` does what is due now and starts the slow parts as tasks; `run` calls it for ever. With a clock of its own a test
lets months pass by calling `tick` and `settled`."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from config.settings import Account as AccountSettings
from config.settings import Pool as PoolSettings
from gateway.accounts import knowledge, roster, rotation
from gateway.accounts.account import Account
from gateway.accounts.cookies import CookieStore, Record
from gateway.accounts.health import Health, State
from gateway.accounts.notices import Notices
from gateway.accounts.pool import REMOVED, Pool
from gateway.accounts.roster import Member
from gateway.background import spawn
from gateway.errors import AccountExhausted, AccountExpired, EgressBlocked, UpstreamChanged, UpstreamError
from gateway.state.store import StateAway, StateStore
from gateway.upstream.protocol import Rotated, Rotation

log = logging.getLogger(__name__)
TICK_S = 1.0
LEASE_S = 90.0
STALE_USE_S = 3600.0
NEEDS_COOKIES = "it needs new cookies"


class Keeper:
    """Keeps the accounts of `configured` and of `store` in `pool`. `state` is what replicas share."""

    def __init__(
        self,
        pool: Pool,
        configured: Sequence[AccountSettings],
        settings: PoolSettings,
        store: CookieStore,
        state: StateStore,
    ) -> None:
        self._pool = pool
        self._configured = configured
        self._settings = settings
        self._store = store
        self._state = state
        self._notices = Notices(pool, state)
        self._followed = -1
        self._replica = uuid.uuid4().hex
        self._busy: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._serving = False
        self._loop: asyncio.Task[None] | None = None
        pool.troubled = self._troubled

    # --- life -----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Read the store and bring the accounts into the pool. Connects to nothing yet."""
        await self._follow()
        await self._notices.hear()

    def start(self, *, ticking: bool = True) -> None:
        """Begin to sign the accounts in, and (without `ticking`: only when told by `tick`) to keep them alive. Calls may
        come at once, and wait for the first one."""
        self._serving = True
        for account in self._pool.accounts:
            self.sign_in(account)
        self._loop = spawn(self._run(), "keep the accounts alive", endless=True) if ticking else None

    async def close(self) -> None:
        """Stop. What was learned last is written down."""
        self._serving = False
        tasks = [task for task in (self._loop, *self._busy.values()) if task is not None]
        tasks += [account.signing_in for account in self._pool.accounts if account.signing_in]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._note_learned()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self.tick()
            except Exception:
                log.exception("keeping the accounts alive failed once")

    async def tick(self) -> None:
        """Do what is due."""
        await self._note_learned()
        await self._follow()
        await self._notices.hear()
        now = self._pool.clock()
        for account in list(self._pool.accounts):
            if self._wants_to_sign_in(account, now):
                self.sign_in(account)
            if self._wants_rotation(account, now):
                self._work("rotate", account, self._rotate_when_due(account))
            if self._wants_allowance(account, now):
                self._work("usage", account, self._read_allowance(account))

    async def settled(self) -> None:
        """Wait for the slow work that was started."""
        while work := [*self._busy.values(), *(a.signing_in for a in self._pool.accounts if _runs(a.signing_in))]:
            await asyncio.gather(*(task for task in work if task), return_exceptions=True)

    def _work(self, what: str, account: Account, work: Coroutine[Any, Any, None]) -> None:
        """Run one piece of slow work for an account, unless it still runs."""
        key = what, account.name
        if key in self._busy:
            work.close()
            return
        task = self._busy[key] = spawn(work, f"{what} {account.name}")
        task.add_done_callback(lambda _: self._busy.pop(key, None))

    # --- who is in the pool ---------------------------------------------------------------------------------------

    async def save(self, record: Record) -> None:
        """Keep what a person changed, and let it hold at once."""
        await self._store.save(record)
        await self._reconcile()

    def record(self, name: str) -> Record | None:
        """What is stored of an account."""
        return self._store.get(name)

    async def _follow(self) -> None:
        """Let the pool hold what others wrote into the store, whoever of us came across it."""
        await self._store.refresh()
        if self._followed != self._store.revision:
            await self._reconcile()

    async def _reconcile(self) -> None:
        """Let the pool hold what gateway.toml and the store say."""
        self._followed = self._store.revision
        records = {record.name: record for record in self._store.all()}
        for record in roster.taken_over(self._configured, records, self._pool.clock()):
            records[record.name] = await self._store.save(record)
        left_out = roster.left_out(self._configured, records)
        if new := set(left_out) - set(self._pool.left_out):
            log.warning("left out: %s: %s", ", ".join(sorted(new)), REMOVED)
        self._pool.left_out = left_out
        wanted = roster.members(self._configured, records, self._settings)
        names = {member.settings.name for member in wanted}
        for account in list(self._pool.accounts):
            if account.name not in names:
                self._pool.leave(account)
        for member in wanted:
            if (known := self._pool.find(member.settings.name)) is not None:
                self._adapt(known, member)
            else:
                self.sign_in(self._pool.join(member))

    def _adapt(self, account: Account, member: Member) -> None:
        before, cookies = account.settings, account.synced
        if (before.proxy, before.language) != (member.settings.proxy, member.settings.language):
            self.sign_in(self._pool.replace(account, member))
            return
        if member.settings != before or member.source != account.source:
            self._pool.adapt(account, member)
        account.history = member.history
        if member.cookies != cookies:
            account.upstream.use(member.cookies)
            account.synced = member.cookies
        if member.off:
            if account.health.reason != member.off:
                self._pool.switch_off(account, member.off)
        elif account.health.state is State.DISABLED:
            self._pool.set(account, Health())
            self.sign_in(account)
        elif member.cookies.psid != cookies.psid or (
            member.cookies != cookies and account.health.state is State.EXPIRED
        ):
            self.sign_in(account, anew=True)

    async def _note_learned(self) -> None:
        """Store values that Google set in passing."""
        now = self._pool.clock()
        for account in list(self._pool.accounts):
            cookies = account.upstream.cookies
            if cookies == account.synced or account.is_guest or cookies.psid != account.synced.psid:
                continue
            if cookies.psidts != account.synced.psidts:
                account.history = rotation.renewed(account.history, now)
            await self._keep(account)

    async def _keep(self, account: Account) -> None:
        """Write down the account's cookies and their history. Somebody's newer ones win, and hold from now on."""
        known = self._store.get(account.name)
        if known is None or known.removed:
            return
        account.synced = account.upstream.cookies
        saved = await self._store.save(replace(known, cookies=account.synced, history=account.history))
        if saved.cookies != account.synced:
            await self._reconcile()

    # --- signing in -----------------------------------------------------------------------------------------------

    def sign_in(self, account: Account, *, anew: bool = False) -> None:
        """Sign the account in, in the background; with `anew` once more after a sign-in that runs with other cookies."""
        if not self._serving or account.is_out:
            return
        running = account.signing_in if _runs(account.signing_in) else None
        if running is None or anew:
            account.signing_in = spawn(self._signing_in(account, running), f"sign in {account.name}")
            # Calls wait for this task: they may go on, or give up, when it has ended.
            account.signing_in.add_done_callback(lambda _: self._pool.serve_waiting())

    async def _signing_in(self, account: Account, first: asyncio.Task[None] | None = None) -> None:
        if first is not None:
            await asyncio.wait([first])
        try:
            profile = await self._signed_in_or_rescued(account)
        except UpstreamError as exc:
            await self._not_signed_in(account, exc)
        except Exception as exc:
            log.exception("account %s cannot sign in", account.name)
            await self._not_signed_in(account, UpstreamChanged("Signing in failed", hint=type(exc).__name__))
        else:
            if not account.is_out:
                self._pool.welcome(account, profile)

    async def _not_signed_in(self, account: Account, error: UpstreamError) -> None:
        log.warning("account %s cannot sign in: %s", account.name, error.message)
        was = account.health.state
        self._pool.blame(account, error)
        if isinstance(error, AccountExpired):
            await self._mourn(account, was)

    async def _signed_in_or_rescued(self, account: Account) -> Any:
        """Sign in; cookies that no longer do so get one rotation."""
        try:
            return await account.upstream.sign_in()
        except AccountExpired:
            if account.is_guest or not rotation.may_hurry(account.history, account.name, self._pool.clock()):
                raise
            before = account.upstream.cookies
            rotated = await self.rotate(account)
            if rotated.result is not Rotation.RENEWED and account.upstream.cookies == before:
                raise
            return await account.upstream.sign_in()

    async def _mourn(self, account: Account, was: State) -> None:
        """The account is signed out for good: a person has to bring cookies."""
        if account.is_out:
            return
        health = account.health
        self._pool.set(account, replace(health, reason=f"{health.reason}; {NEEDS_COOKIES}"))
        if was is not State.EXPIRED:
            account.history = rotation.died(account.history, self._pool.clock())
            await self._keep(account)

    def _wants_to_sign_in(self, account: Account, now: float) -> bool:
        """Whether an account that is not signed in is to try again: its time, and its egress', is over."""
        waiting = account.health.state in (State.STARTING, State.UNREACHABLE, State.EXPIRED, State.REJECTED)
        return waiting and now >= max(account.health.until, account.egress.blocked_until)

    def _troubled(self, account: Account, error: UpstreamError, model_id: str) -> None:
        """A call failed: find out more at once, in the background."""
        if isinstance(error, (AccountExhausted, EgressBlocked)):
            self._refine(account)
            spawn(self._notices.tell(account), f"tell replicas of {account.name}")
        if not model_id:
            return
        if isinstance(error, AccountExhausted):
            account.allowance_asked = 0.0  # how much is used, and when it comes back, is worth a question now
        elif isinstance(error, AccountExpired) or (
            # Tokens may be stale while the cookies live.
            isinstance(error, UpstreamChanged) and account.health.state is State.COOLING
        ):
            self.sign_in(account)

    # --- rotation -------------------------------------------------------------------------------------------------

    def _wants_rotation(self, account: Account, now: float) -> bool:
        alive = account.health.state in (State.READY, State.COOLING, State.REJECTED)
        interval = self._settings.rotation_interval_s
        if not interval or not alive or account.is_guest or account.is_out:
            return False
        return rotation.is_due(account.history, account.name, interval_s=interval, now=now)

    async def _rotate_when_due(self, account: Account) -> None:
        rotated = await self._rotate_alone(account, lambda: self._wants_rotation(account, self._pool.clock()))
        if rotated is not None and rotated.result is Rotation.REFUSED:
            self.sign_in(account)  # which tells whether the account is really signed out

    async def rotate(self, account: Account) -> Rotated:
        """Renew the account's cookies now. FAILED where another replica does so at this moment."""
        return await self._rotate_alone(account, lambda: True) or Rotated(Rotation.FAILED)

    async def _rotate_alone(self, account: Account, wanted: Callable[[], bool]) -> Rotated | None:
        """Rotate under the lease of the account, if that is still `wanted` once it is held. None: it was not done."""
        lease = f"rotate:{account.name}"
        try:
            if not await self._state.lease(lease, self._replica, LEASE_S):
                return None
        except StateAway:
            # Nobody can say who rotates. An account that waited for long must not die of that.
            if self._pool.clock() < rotation.due_at(account.history, account.name, 2 * self._settings.rotation_interval_s):
                return None
        try:
            await self._follow()
            return await self._rotate(account) if wanted() else None
        finally:
            with suppress(StateAway):
                await self._state.release(lease, self._replica)

    async def _rotate(self, account: Account) -> Rotated:
        psid = account.upstream.cookies.psid
        try:
            rotated = await account.upstream.rotate()
        except UpstreamError as exc:
            log.info("account %s: the rotation could not be asked for: %s", account.name, exc.message)
            rotated = Rotated(Rotation.FAILED)
        account.rotations[str(rotated.result)] += 1
        if account.upstream.cookies.psid == psid:
            account.history = rotation.after(account.history, rotated, self._pool.clock())
            await self._keep(account)
        log.info("account %s: rotation %s", account.name, rotated.result)
        return rotated

    # --- what is used up ------------------------------------------------------------------------------------------

    def _wants_allowance(self, account: Account, now: float) -> bool:
        interval = self._settings.usage_interval_s
        if not interval or account.is_guest or account.is_out or account.health.state is not State.READY:
            return False
        in_use = account.last_used > (account.allowance_read or 0.0) or account.allowance_read is None
        wait = interval if in_use else max(interval, STALE_USE_S)
        return not account.allowance_asked <= now < account.allowance_asked + wait

    async def _read_allowance(self, account: Account) -> None:
        """Learn from another replica what is used up, or ask the site."""
        urgent, account.allowance_asked = not account.allowance_asked, self._pool.clock()
        lease = f"usage:{account.name}"
        try:
            await self._notices.learn(account)
            known = account.allowance_read is not None and self._pool.clock() - account.allowance_read
            fresh = known is not False and known < self._settings.usage_interval_s
            if (fresh and not urgent) or not await self._state.lease(lease, self._replica, LEASE_S):
                return
            account.allowance = await account.upstream.read_allowance()
            account.allowance_read = self._pool.clock()
            self._refine(account)
            await self._notices.tell(account)
            await self._state.release(lease, self._replica)
        except UpstreamError as exc:
            log.debug("account %s: its use cannot be read: %s", account.name, exc.message)
        except StateAway:
            log.debug("account %s: its use cannot be shared now", account.name)

    def _refine(self, account: Account) -> None:
        """Replace guessed cooldowns by the reset that the site tells."""
        reset = knowledge.reset_of(account.allowance, self._pool.clock())
        guessed = account.guessed & account.health.models.keys()
        if reset is not None and guessed:
            models = {**account.health.models, **dict.fromkeys(guessed, reset)}
            account.health = replace(account.health, models=models)
        account.guessed = guessed if reset is None else set()


def _runs(task: asyncio.Task[None] | None) -> bool:
    return task is not None and not task.done()
