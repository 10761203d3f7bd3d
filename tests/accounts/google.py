"""A model of what Google does with cookies, in one process and by a clock that tests turn: values that end, renew, and are
refused."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace

from config.settings import Account as AccountSettings
from gateway.errors import AccountExpired, UpstreamUnavailable
from gateway.model import Call, Event, Finished, TextDelta
from gateway.testing import OFFERS
from gateway.upstream.protocol import Allowance, Cookies, Offer, Profile, Rotated, Rotation

GRACE_S = 600.0


class Killed(BaseException):
    """The process is dead: whatever it still does must not matter."""


@dataclass
class GoogleAccount:
    """`valid` maps each __Secure-1PSIDTS to when it ends. `mood` is what a rotation does now. `issued` holds every value
    that there ever was; `asked` are the times of all rotations that were asked for, `rotations` of those that were
    granted."""

    psid: str
    mood: Rotation = Rotation.RENEWED
    valid: dict[str, float] = field(default_factory=dict)
    issued: list[str] = field(default_factory=list)
    rotations: list[float] = field(default_factory=list)
    asked: list[float] = field(default_factory=list)


@dataclass
class Google:
    """Accounts by name. An unrenewed value lives for `life_s`; an old one for ten minutes after its renewal."""

    clock: Callable[[], float]
    life_s: float = 3 * 3600.0
    accounts: dict[str, GoogleAccount] = field(default_factory=dict)

    def sign_up(self, name: str) -> Cookies:
        """A person signs in, in a browser: new cookies."""
        account = self.accounts.setdefault(name, GoogleAccount(f"g.a000-{name}-{len(self.accounts)}-psid"))
        account.valid.clear()
        return Cookies(account.psid, self.issue(account))

    def issue(self, account: GoogleAccount) -> str:
        value = f"sidts-{account.psid}-{len(account.issued)}"
        account.issued.append(value)
        account.valid[value] = self.clock() + self.life_s
        return value

    def accepts(self, cookies: Cookies) -> bool:
        account = self._whose(cookies)
        return account is not None and account.valid.get(cookies.psidts, 0.0) > self.clock()

    def kill(self, name: str) -> None:
        """Google ends the session: no value of it signs in any more."""
        self.accounts[name].valid.clear()

    def rotate(self, cookies: Cookies) -> tuple[Rotated, Cookies]:
        account = self._whose(cookies)
        if account is None or not self.accepts(cookies):
            return Rotated(Rotation.REFUSED), cookies
        now = self.clock()
        account.asked.append(now)
        if account.mood is Rotation.FAILED:
            raise UpstreamUnavailable("no answer")
        if account.mood is not Rotation.RENEWED:
            wait = 60.0 if account.mood is Rotation.THROTTLED else None
            return Rotated(account.mood, wait), replace(cookies, psidcc=f"cc-{account.psid}-{now}")
        account.rotations.append(now)
        account.valid = {value: min(until, now + GRACE_S) for value, until in account.valid.items() if until > now}
        return Rotated(Rotation.RENEWED), replace(cookies, psidts=self.issue(account))

    def _whose(self, cookies: Cookies) -> GoogleAccount | None:
        return next((account for account in self.accounts.values() if account.psid == cookies.psid), None)

    def secrets(self) -> list[str]:
        """What the cookies of an account have in them, one for each account: every value that there ever was has it."""
        return [account.psid for account in self.accounts.values()]


@dataclass
class Process:
    """A gateway process that can be killed: between two steps, or inside one, at the points that `die_at` names."""

    google: Google
    alive: bool = True
    die_at: str | None = None

    def point(self, name: str) -> None:
        if self.die_at == name:
            self.alive = False
        if not self.alive:
            raise Killed(name)

    # --- the upstream ---------------------------------------------------------------------------------------------

    simulated = True

    def account(self, settings: AccountSettings) -> Link:
        return Link(self, settings)

    async def close(self) -> None:
        """Nothing to do."""


class Link:
    """An account of `Process`, as the pool knows it."""

    egress = "direct"

    def __init__(self, process: Process, settings: AccountSettings) -> None:
        self._process = process
        self.cookies = Cookies(settings.secure_1psid.get_secret_value(), settings.secure_1psidts.get_secret_value())

    def use(self, cookies: Cookies) -> None:
        self.cookies = cookies

    async def sign_in(self) -> Profile:
        self._process.point("sign in")
        if not self._process.google.accepts(self.cookies):
            raise AccountExpired("The Gemini account is signed out: its cookies have expired")
        return Profile("pro", OFFERS, 1_000_000)

    async def rotate(self) -> Rotated:
        self._process.point("before the request")
        rotated, cookies = self._process.google.rotate(self.cookies)
        self._process.point("before the answer")
        self.use(cookies)
        return rotated

    async def read_allowance(self) -> Allowance:
        return Allowance()

    async def generate(self, call: Call, offer: Offer) -> AsyncGenerator[Event, None]:
        if not self._process.google.accepts(self.cookies):
            raise AccountExpired("The Gemini account is signed out: it answers as a guest")
        yield TextDelta("hello")
        yield Finished()

    async def close(self) -> None:
        """Nothing to do."""
