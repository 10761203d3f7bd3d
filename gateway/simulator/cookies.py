"""Set-Cookie lines, and the endpoint that rotates them."""

import secrets

from aiohttp import web

from gateway.simulator.accounts import Account
from gateway.simulator.visit import Visit

_YEAR = 365 * 86400
_JUNK = (
    "__Secure-1PSIDTS=; Domain=.google.com; Path=/; Max-Age=0; Secure; HttpOnly",
    "__Secure-1PSIDTS=sidts-of-somebody-else; Domain=.example.com; Path=/; Secure",
    "__Secure-1PSIDTS=EXPIRED; Domain=.google.com; Path=/; Secure; HttpOnly",
    "=nameless; Path=/",
    "broken",
)


def line(name: str, value: str, *, http_only: bool = True) -> str:
    """A Set-Cookie line for all of google.com, valid for a year."""
    end = "; HttpOnly" if http_only else ""
    return f"{name}={value}; Domain=.google.com; Path=/; Max-Age={_YEAR}; Secure{end}; SameSite=none"


def anonymous() -> list[str]:
    """What www.google.com gives to anybody."""
    return [line("NID", "530=" + secrets.token_urlsafe(24)), line("AEC", secrets.token_urlsafe(16))]


async def rotate(visit: Visit) -> web.StreamResponse:
    """RotateCookies: what it does is the account's `rotation`."""
    await visit.body()
    account = visit.account
    if account.guest or account.rotation == "401":
        return await visit.reply(web.Response(status=401, text="Unauthorized"))
    if account.rotation == "429" or not visit.site.may_rotate(account):
        return await visit.reply(web.Response(status=429, text="Too Many Requests", headers={"Retry-After": "60"}))
    visit.extra_cookies += _rotated(visit, account)
    body = b")]}'\n\n" + b'[["identity.hfcr",600],["di",21]]'
    return await visit.reply(web.Response(body=body, content_type="application/json"))


def _rotated(visit: Visit, account: Account) -> list[str]:
    stamp = line("__Secure-1PSIDCC", "AKEyXz" + secrets.token_urlsafe(24))
    match account.rotation:
        case "psidcc":
            return [stamp]
        case "junk":
            return [*_JUNK, stamp]
        case _:
            fresh = account.rotate(visit.site.clock(), visit.site.settings.rotation_grace_s)
            return [line("__Secure-1PSIDTS", fresh), line("__Secure-3PSIDTS", fresh), stamp]
