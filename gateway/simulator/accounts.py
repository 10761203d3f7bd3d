"""The accounts that the simulated site knows: their models, usage, status, and how their cookies rotate."""

import hashlib
import secrets
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

Tier = Literal["free", "plus", "pro", "ultra"]
Rotation = Literal["psidts", "psidcc", "429", "401", "junk"]

_FIVE_HOURS = 5 * 3600
_WEEK = 7 * 86400


class Status(IntEnum):
    """Status codes of an account, as the status RPC reports them."""

    AVAILABLE = 1000
    TEMPORARILY_UNAVAILABLE = 1014
    UNAUTHENTICATED = 1016
    REJECTED = 1021
    UNTRUSTED = 1033
    TOS_PENDING = 1040
    TOS_OUT_OF_DATE = 1042
    GUARDIAN_REJECTED = 1054
    GUARDIAN_PENDING = 1057
    LOCATION_REJECTED = 1060


@dataclass(frozen=True, slots=True)
class Model:
    """A row of the model picker."""

    id: str
    category: str
    display: str
    text: str
    number: int
    default: bool = False


@dataclass(frozen=True, slots=True)
class _Plan:
    """What a tier means on the wire. The flags of pro and plus follow what the client library derives from them; those
    of ultra are inferred."""

    number: int
    tier_flags: tuple[int, ...]
    capability_flags: tuple[int, ...]
    ids: tuple[str, str, str]


_FREE_IDS = ("cf41b0e0dd7d53e5", "fbb127bbb056c959", "9d8ca3786ebdfbea")
_PAID_IDS = ("8c46e95b1a07cecc", "56fdd199312815e2", "e6fa609c3fa255c0")
_PLANS: dict[Tier, _Plan] = {
    "free": _Plan(1, (), (), _FREE_IDS),
    "plus": _Plan(4, (), (115,), _PAID_IDS),
    "pro": _Plan(2, (8,), (19,), _PAID_IDS),
    "ultra": _Plan(3, (16,), (106,), _PAID_IDS),
}


def models_of(tier: Tier) -> list[Model]:
    """The models of a tier, in the recorded order of the rows: Flash-Lite, Flash, Pro."""
    lite, flash, pro = _PLANS[tier].ids
    return [
        Model(lite, "Flash-Lite", "3.5 Flash-Lite", "Fastest answers", 6),
        Model(flash, "Flash", "3.8 Flash", "All-round help", 1, default=True),
        Model(pro, "Pro", "3.1 Pro", "Advanced maths and code", 3),
    ]


@dataclass
class Account:
    """One signed-in account. Every field may be changed while the site runs.

    `limit` is the number of generations after which the site answers 1037 (None: no limit); `used_ratio` is the share
    of the usage windows that the usage RPCs report (None: follows used/limit). `expired` makes the cookies those of a
    guest. `rotation` says what the rotation endpoint does: a new __Secure-1PSIDTS, only __Secure-1PSIDCC, a 429, a
    401, or Set-Cookie lines that a client must not believe.
    """

    name: str
    psid: str = ""
    psidts: str = ""
    tier: Tier = "pro"
    status: int = Status.AVAILABLE
    models: list[Model] = field(default_factory=list)
    limit: int | None = None
    used: int = 0
    used_ratio: float | None = None
    expired: bool = False
    rotation: Rotation = "psidts"
    rotations: int = 0
    served: str | None = None
    """Category of the model that answers whatever is asked ("Flash-Lite"); None: the one asked for."""
    _old: dict[str, float] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self.psid = self.psid or f"g.a000-sim-{self.name}-{secrets.token_urlsafe(12)}"
        self.psidts = self.psidts or f"sidts-sim-{self.name}-{secrets.token_urlsafe(12)}"
        self.models = self.models or models_of(self.tier)

    @property
    def cookies(self) -> dict[str, str]:
        """The two cookies that sign the account in, now."""
        return {"__Secure-1PSID": self.psid, "__Secure-1PSIDTS": self.psidts}

    @property
    def token(self) -> str:
        """The page token SNlM0e of this account; a guest has none."""
        return "AF" + hashlib.sha256(self.psid.encode()).hexdigest()[:32] + ":1790000000000"

    @property
    def plan(self) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        """Tier number, tier flags and capability flags, as the RPCs report them."""
        plan = _PLANS[self.tier]
        return plan.number, plan.tier_flags, plan.capability_flags

    @property
    def guest(self) -> bool:
        """Whether requests of this account are those of somebody who is not signed in."""
        return self.status == Status.UNAUTHENTICATED

    def accepts(self, psidts: str, now: float) -> bool:
        """Whether these cookies still sign in: the current value, or an older one within its grace."""
        if self.expired:
            return False
        return psidts == self.psidts or self._old.get(psidts, 0.0) > now

    def rotate(self, now: float, grace_s: float) -> str:
        """A new __Secure-1PSIDTS; the old one stays valid for `grace_s` seconds."""
        self._old = {value: until for value, until in self._old.items() if until > now}
        self._old[self.psidts] = now + grace_s
        self.rotations += 1
        self.psidts = f"sidts-sim-{self.name}-{self.rotations}-{secrets.token_urlsafe(12)}"
        return self.psidts

    def renew(self, psidts: str | None = None) -> dict[str, str]:
        """Sign the account in again, as a person would in a browser: a new __Secure-1PSIDTS, no old ones. Returns the
        cookies."""
        self.expired = False
        self._old.clear()
        self.psidts = psidts or f"sidts-sim-{self.name}-{secrets.token_urlsafe(12)}"
        return self.cookies

    def exhausted(self) -> bool:
        """Whether the usage limit is reached."""
        return self.limit is not None and self.used >= self.limit

    def ratio(self) -> float:
        """Used share of the usage windows, 0 to 1."""
        if self.used_ratio is not None:
            return self.used_ratio
        return min(1.0, self.used / self.limit) if self.limit else 0.0

    def model(self, model_id: str) -> Model | None:
        """The model with this id, if the account sees it."""
        return next((model for model in self.models if model.id == model_id), None)

    def default_model(self) -> Model:
        """The model that answers when none is asked for."""
        return next((model for model in self.models if model.default), self.models[0])


def windows(now: float) -> tuple[int, int]:
    """When the five-hour window and the week that hold `now` end, in seconds since the epoch."""
    return int(now // _FIVE_HOURS + 1) * _FIVE_HOURS, int(now // _WEEK + 1) * _WEEK


def guest() -> Account:
    """Somebody without valid cookies: sees the rows of a free account and may use the first."""
    return Account("guest", psid="-", psidts="-", tier="free", status=Status.UNAUTHENTICATED)


def make_accounts(count: int, tier: Tier = "pro") -> list[Account]:
    """Accounts named a, b, c, ... with random cookies, so that nobody's cookie cache of an earlier run fits them."""
    return [Account(_letters(number), tier=tier) for number in range(count)]


def _letters(number: int) -> str:
    text = ""
    number += 1
    while number:
        number, digit = divmod(number - 1, 26)
        text = chr(ord("a") + digit) + text
    return text
