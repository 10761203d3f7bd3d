"""Signing in: the start page's tokens, and what the site says of the account. No state of its own."""

from __future__ import annotations

import gemini_webapi.client as library
from gemini_webapi.constants import AccountStatus, Endpoint, Headers
from gemini_webapi.types import AvailableModel
from gemini_webapi.utils.get_access_token import _extract_payload

from gateway.errors import AccountExpired, AccountRejected, EgressBlocked, UpstreamChanged, UpstreamUnavailable
from gateway.upstream.gemini_web.client import Client, Tokens
from gateway.upstream.gemini_web.faults import BLOCK_SECONDS, CAPTCHA
from gateway.upstream.gemini_web.session import Session
from gateway.upstream.protocol import Offer, Profile, public_name

# Context windows by capacity, in tokens, as users report them.
_TIERS = {1: ("free", 32_768), 2: ("pro", 1_048_576), 3: ("pro", 1_048_576), 4: ("plus", 131_072)}
_REFUSALS = {
    AccountStatus.ACCOUNT_REJECTED: "Google refuses the account: look at it in a browser, at myaccount.google.com",
    AccountStatus.TOS_PENDING: "the terms of service wait to be accepted: open gemini.google.com once and accept them",
    AccountStatus.TOS_OUT_OF_DATE: "new terms of service wait to be accepted: open gemini.google.com and accept them",
    AccountStatus.ACCOUNT_REJECTED_BY_GUARDIAN: "a parent or guardian has blocked Gemini for the account",
    AccountStatus.GUARDIAN_APPROVAL_REQUIRED: "a parent or guardian has to approve Gemini for the account",
    AccountStatus.LOCATION_REJECTED: "Gemini is not offered where the account, or its proxy, is: use another proxy",
}


async def fetch_tokens(session: Session, language: str) -> Tokens:
    """The tokens of the start page. Raises an UpstreamError."""
    response = await session.get(Endpoint.INIT, headers=Headers.GEMINI.value)
    payload = _extract_payload(response)
    if payload is None:
        if CAPTCHA.search(response.content[:65_536]):
            raise EgressBlocked("Google asks this network address for a captcha", retry_after=BLOCK_SECONDS)
        raise AccountExpired("The Gemini page carries no tokens: the account is signed out")
    token, build, session_id, page_language, push = payload
    return Tokens(token, build, session_id, page_language or language, push or library.DEFAULT_PUSH_ID)


async def read_status(client: Client, *, guest: bool) -> None:
    """Let `client` learn its account's status and models. Raises an UpstreamError for an account that cannot serve;
    being signed out is only right for a `guest`."""
    await client._fetch_user_status()
    match client.account_status:
        case AccountStatus.UNAUTHENTICATED if not guest:
            raise AccountExpired("The Gemini account is signed out: its cookies have expired")
        case AccountStatus.ACCESS_TEMPORARILY_UNAVAILABLE:
            raise UpstreamUnavailable("Google keeps the account out for the moment")
        case status if status in _REFUSALS:
            raise AccountRejected(_REFUSALS[status])
    if not client._model_registry:
        raise UpstreamChanged("Gemini named no models for the account")


def profile(tokens: Tokens) -> Profile:
    """What signing in told."""
    capacity = max((model.capacity for model in tokens.models.values()), default=1)
    tier, window = _TIERS.get(capacity, ("free", 32_768))
    guest = tokens.status is AccountStatus.UNAUTHENTICATED
    offers = tuple(_offer(model) for model in tokens.models.values() if model.is_available)
    return Profile("guest" if guest else tier, offers, window, guest)


def _offer(model: AvailableModel) -> Offer:
    return Offer(model.model_id, public_name(model.display_name), f"{model.model_name} {model.display_name}")
