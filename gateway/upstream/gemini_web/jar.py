"""The cookies of a session: put in, read back, and renewed by Google's own rotation request, which is sent here and not by
the library (that one reports an old value as a new one, and writes files named after cookies)."""

from __future__ import annotations

import re
from dataclasses import replace

from gemini_webapi.constants import Endpoint, Headers

from gateway.errors import AccountExhausted, AccountExpired
from gateway.upstream.gemini_web.session import Session
from gateway.upstream.protocol import Cookies, Rotated, Rotation

_NAMES = {"__Secure-1PSID": "psid", "__Secure-1PSIDTS": "psidts", "__Secure-1PSIDCC": "psidcc"}
# What Google may change in passing. The first of the three is the account's identity and stays.
_CHANGING = ("__Secure-1PSIDTS", "__Secure-1PSIDCC")
_DOMAIN = ".google.com"
_SOUND = re.compile(r"[!#-+\--.0-:<-\[\]-~]{8,4096}")
_BODY = '[000,"-0000000000000000000"]'


def dress(session: Session, cookies: Cookies) -> None:
    """Let `session` send `cookies`."""
    session.dressed = cookies
    for name, field in _NAMES.items():
        if value := getattr(cookies, field):
            session.cookies.set(name, value, domain=_DOMAIN, secure=True)


def learned(session: Session, cookies: Cookies) -> Cookies:
    """`cookies` with the values that Google set in `session` since it was dressed: what it was dressed with may be older
    than `cookies`. Junk never replaces what works."""
    found = {
        _NAMES[cookie.name]: cookie.value
        for cookie in session.cookies.jar
        if cookie.name in _CHANGING and cookie.domain == _DOMAIN and cookie.value and _SOUND.fullmatch(cookie.value)
    }
    return replace(cookies, **{field: value for field, value in found.items() if value != getattr(session.dressed, field)})


async def rotate(session: Session, cookies: Cookies) -> tuple[Rotated, Cookies]:
    """Ask Google for new values: what came of it, and the cookies to use from now on. Raises an UpstreamError for what
    says nothing about the cookies."""
    try:
        await session.post(Endpoint.ROTATE_COOKIES, headers=Headers.ROTATE_COOKIES.value, data=_BODY)
    except AccountExpired:
        return Rotated(Rotation.REFUSED), cookies
    except AccountExhausted as exc:
        return Rotated(Rotation.THROTTLED, exc.retry_after), cookies
    fresh = learned(session, cookies)
    if fresh.psidts != cookies.psidts:
        return Rotated(Rotation.RENEWED), fresh
    return Rotated(Rotation.STAMPED if fresh.psidcc != cookies.psidcc else Rotation.FAILED), fresh
