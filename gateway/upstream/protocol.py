"""What the pool needs of an upstream: accounts that sign in and answer calls."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Protocol

from config.settings import Account as AccountSettings
from gateway.model import Call, Event, UsageWindow


@dataclass(frozen=True, slots=True, repr=False)
class Cookies:
    """The cookies of an account: the values of __Secure-1PSID, __Secure-1PSIDTS and __Secure-1PSIDCC. An empty text is
    one that is not there; a guest has none. Their text form hides them."""

    psid: str = ""
    psidts: str = ""
    psidcc: str = ""

    def __repr__(self) -> str:
        return f"Cookies({self.fingerprint})"

    @property
    def fingerprint(self) -> str:
        """Twelve hex digits by which two sets can be told apart, and from which none can be guessed: the values are
        far longer than any guess."""
        return _fingerprint(self.psid, self.psidts) if self.psid else ""


@lru_cache(maxsize=256)
def _fingerprint(*values: str) -> str:
    return hashlib.sha256("\0".join(values).encode()).hexdigest()[:12]


class Rotation(StrEnum):
    """What became of a rotation. Only RENEWED brought a new __Secure-1PSIDTS; STAMPED only a new __Secure-1PSIDCC, which
    keeps nothing alive; REFUSED says that Google no longer knows the cookies."""

    RENEWED = "renewed"
    STAMPED = "stamped"
    THROTTLED = "throttled"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Rotated:
    """The result of a rotation, and after how many seconds Google wants the next one at the earliest."""

    result: Rotation
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """A model as an account offers it. `id` is the upstream's own; `label` is what families are matched against."""

    id: str
    name: str
    label: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What signing in told: the tier, the models, the context window in tokens, and whether Google sees a guest."""

    tier: str
    offers: tuple[Offer, ...]
    window: int
    guest: bool = False


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the site says of the account's use: its windows (five hours, a week, each kind of model), whether extra
    features are blocked, and its flag for abuse, in words (empty: none)."""

    windows: tuple[UsageWindow, ...] = ()
    blocked: bool = False
    flag: str = ""


class UpstreamAccount(Protocol):
    """One account of an upstream. `cookies` are those that its next request sends: they change by `use`, by `rotate`,
    and when the site sets new ones in passing."""

    egress: str
    cookies: Cookies

    def use(self, cookies: Cookies) -> None:
        """Send `cookies` from the next request on."""

    async def rotate(self) -> Rotated:
        """Ask for a new __Secure-1PSIDTS. Raises an UpstreamError when the question could not be asked."""

    async def read_allowance(self) -> Allowance:
        """How much of the account is used up. Raises an UpstreamError."""

    async def sign_in(self) -> Profile:
        """Sign in anew. Raises an UpstreamError: AccountExpired for cookies that no longer do."""

    def generate(self, call: Call, offer: Offer) -> AsyncGenerator[Event, None]:
        """Answer `call` with the model `offer`: content events, then one `Finished`. Never retries. Raises an
        UpstreamError, whose `elsewhere` is cleared once content was seen. Closing the iterator stops the transfer."""

    async def close(self) -> None:
        """Let go of all connections."""


class Upstream(Protocol):
    """Makes accounts from their settings; one without cookies is a guest."""

    simulated: bool

    def account(self, settings: AccountSettings) -> UpstreamAccount:
        """The account of `settings`; connects to nothing yet."""

    async def close(self) -> None:
        """Let go of everything."""


def public_name(display: str) -> str:
    """The public name of a model by its display name: "3.8 Flash" is `gemini-3.8-flash`."""
    slug = re.sub(r"[^a-z0-9.]+", "-", display.lower()).strip("-")
    return slug if slug.startswith("gemini") else f"gemini-{slug}"


def find_offer(offers: Sequence[Offer], model_id: str) -> Offer | None:
    """The offer with the upstream's own id `model_id`."""
    return next((offer for offer in offers if offer.id == model_id), None)
