"""What the pool needs of an upstream: accounts that sign in and answer calls."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from config.settings import Account as AccountSettings
from gateway.model import Call, Event


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


class UpstreamAccount(Protocol):
    """One account of an upstream."""

    egress: str

    async def sign_in(self) -> Profile:
        """Sign in anew. Raises an UpstreamError: AccountExpired for cookies that no longer do."""

    def generate(self, call: Call, offer: Offer) -> AsyncGenerator[Event, None]:
        """Answer `call` with the model `offer`: content events, then one `Finished`. Never retries. Raises an
        UpstreamError, whose `elsewhere` is cleared once content was seen. Closing the iterator stops the transfer."""

    async def close(self) -> None:
        """Let go of all connections."""


class Upstream(Protocol):
    """Makes accounts from their settings."""

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
