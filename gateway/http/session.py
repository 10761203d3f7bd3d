"""Who is signed in on the admin page. A session is a random cookie (HttpOnly, SameSite=Strict) and a token that the page
sends with whatever changes something; the state store keeps both, the cookie only as SHA-256, so that every replica knows.

Where no admin key is set (loopback) nobody signs in: the page gets the token for the asking, other sites' pages do not."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

import orjson
from aiohttp import web

from config.settings import Server
from gateway.errors import Forbidden, InvalidRequest, Overloaded, RateLimited, Unauthenticated
from gateway.http import plain
from gateway.http.boundary import CREDENTIALS, Boundary
from gateway.model import RequestHead
from gateway.state.store import StateAway, StateStore, Window

SESSION_S = 24 * 3600.0
LINK_S = 24 * 3600.0
CSRF = "x-csrf-token"
_SAFE = ("GET", "HEAD")
_TRIES = Window("sign-in", 10, 60.0)
_MOST_BODY = 10_000


@dataclass(frozen=True, slots=True)
class _Session:
    csrf: str
    key: str


def new_link(now: float) -> str:
    """A one-time token that opens the page; it says itself until when (seconds since 1970)."""
    return f"{now + LINK_S:.0f}-{secrets.token_urlsafe(24)}"


class Sessions:
    """`store` keeps them. Say who may sign in by `guard` before the first request, and again when that changes. Processes
    that share a port share a `link`, too: whichever of them the page reaches knows it."""

    def __init__(self, store: StateStore, clock: Callable[[], float] = time.time, link: str | None = None) -> None:
        self._store = store
        self._clock = clock
        self._key: bytes | None = None
        self.is_open = False
        self._link = link or new_link(clock())
        self._link_until = float(self._link.partition("-")[0])
        self._link_used = False
        self._open_token = hashlib.sha256(f"open {self._link}".encode()).hexdigest()

    def guard(self, key: str | None, *, is_open: bool) -> None:
        """`key` is the admin key from now on; without one, `is_open` says whether everybody here may look."""
        self._key = key.encode("utf-8", "surrogateescape") if key else None
        self.is_open = self._key is None and is_open

    @property
    def link(self) -> str | None:
        """What opens the page once without the key; None when there is no key, or it was used."""
        good = self._key is not None and not self._link_used and self._clock() < self._link_until
        return self._link if good else None

    # --- signing in and out ---------------------------------------------------------------------------------------

    async def begin(self, *, key: str = "", link: str = "") -> tuple[str, str]:
        """A new session for who has the admin key or the one-time token: (cookie, CSRF token). Raises Unauthenticated."""
        if key and self._key is not None and _same(key, self._key):
            return await self._begin()
        if link and self.link is not None and _same(link, self.link.encode()) and await self._first_use():
            return await self._begin()
        raise Unauthenticated("That is not the admin key" if key else "This link was used already, or is not right")

    async def _first_use(self) -> bool:
        """Whether nobody used the link before, here or at another process."""
        self._link_used = True
        name = hashlib.sha256(self._link.encode()).hexdigest()
        return await self._store.take([Window(f"page-link:{name}", 1, LINK_S)]) == 0

    async def _begin(self) -> tuple[str, str]:
        cookie, session = secrets.token_urlsafe(32), _Session(secrets.token_urlsafe(24), self._fingerprint())
        value = orjson.dumps({"csrf": session.csrf, "key": session.key})
        try:
            await self._store.put(_record(cookie), value, seconds=SESSION_S)
        except StateAway as exc:
            raise Overloaded("Nobody can sign in now", retry_after=5, hint=str(exc)) from exc
        return cookie, session.csrf

    async def end(self, cookie: str) -> None:
        """Forget the session."""
        try:
            await self._store.delete(_record(cookie))
        except StateAway as exc:
            raise Overloaded("The session cannot be ended now", retry_after=5, hint=str(exc)) from exc

    async def count_try(self, peer: str) -> None:
        """Raises RateLimited for an address that tried too often."""
        wait = await self._store.take([Window(f"{_TRIES.key}:{peer}", _TRIES.limit, _TRIES.seconds)])
        if wait > 0:
            raise RateLimited(f"Too many attempts, try again in {wait:.0f} s", retry_after=wait)

    # --- who is it ------------------------------------------------------------------------------------------------

    async def csrf(self, head: RequestHead) -> str | None:
        """The CSRF token of the session that `head` belongs to; None for a stranger."""
        if self.is_open:
            return self._open_token
        session = await self._find(cookie_of(head))
        return session.csrf if session else None

    async def allows(self, head: RequestHead) -> bool:
        """Whether a signed-in person sent it. Raises Forbidden when it would change something without the token, or
        comes from another origin."""
        csrf = await self.csrf(head)
        if csrf is None:
            return False
        if head.method not in _SAFE and not self._has_token(head, csrf):
            raise Forbidden(f"The page's token is needed with this: {CSRF}")
        return True

    async def calls(self, head: RequestHead) -> bool:
        """Whether the page itself asks a model: its token came with it, and no key."""
        if CSRF not in head.headers or any(name in head.headers for name in CREDENTIALS):
            return False
        csrf = await self.csrf(head)
        return csrf is not None and self._has_token(head, csrf)

    def _has_token(self, head: RequestHead, csrf: str) -> bool:
        origin = head.headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != head.headers.get("Host"):
            return False
        return _same(head.headers.get(CSRF, ""), csrf.encode())

    async def _find(self, cookie: str) -> _Session | None:
        if not cookie:
            return None
        try:
            value = await self._store.get(_record(cookie))
        except StateAway as exc:
            raise Overloaded("The session cannot be checked now", retry_after=5, hint=str(exc)) from exc
        session = _Session(**orjson.loads(value)) if value else None
        return session if session and session.key == self._fingerprint() else None

    def _fingerprint(self) -> str:
        """Of the admin key: with another key, old sessions are over."""
        return hashlib.sha256(b"session" + (self._key or b"")).hexdigest()[:16]


def cookie_name(head: RequestHead) -> str:
    """Cookies do not know ports: with the port in the name, two gateways on one host do not sign each other out."""
    _, _, port = head.headers.get("Host", "").rpartition(":")
    return f"gateway_session_{port}" if port.isdecimal() else "gateway_session"


def cookie_of(head: RequestHead) -> str:
    """The session cookie that came with the request, or an empty string."""
    try:
        found = SimpleCookie(head.headers.get("Cookie", "")).get(cookie_name(head))
    except CookieError:
        return ""
    return found.value if found else ""


def _record(cookie: str) -> str:
    return "session:" + hashlib.sha256(cookie.encode("utf-8", "surrogateescape")).hexdigest()


def _same(given: str, wanted: bytes) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted)


class SessionApi:
    """`/api/session`: look, sign in, sign out. `head_of` reads a request's head."""

    def __init__(
        self, sessions: Sessions, boundary: Boundary, server: Server, *, head_of: Callable[[web.Request], RequestHead]
    ) -> None:
        self._sessions = sessions
        self._boundary = boundary
        self._server = server
        self._head_of = head_of

    def routes(self) -> list[web.RouteDef]:
        """The addresses, for `app.add_routes`."""
        return [
            web.get("/api/session", self.look),
            web.post("/api/session", self.sign_in),
            web.delete("/api/session", self.sign_out),
        ]

    async def look(self, request: web.Request) -> web.Response:
        """Whether the caller is signed in, and then the token to send along."""
        head = self._head_of(request)
        if self._sessions.is_open:
            self._boundary.check_anonymous(head)
        csrf = await self._sessions.csrf(head)
        return plain.reply({"signed_in": csrf is not None, "open": self._sessions.is_open, "csrf": csrf})

    async def sign_in(self, request: web.Request) -> web.Response:
        """Sign in with the admin key (`key`) or the one-time token of the console (`token`)."""
        head = self._head_of(request)
        key, token = _credentials(await plain.read(request, _MOST_BODY, self._server.body_timeout_s))
        await self._sessions.count_try(head.peer)
        cookie, csrf = await self._sessions.begin(key=key, link=token)
        response = plain.reply({"signed_in": True, "open": False, "csrf": csrf})
        response.set_cookie(
            cookie_name(head), cookie, max_age=round(SESSION_S), httponly=True, samesite="Strict", secure=self._secure
        )
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session."""
        head = self._head_of(request)
        if not self._sessions.is_open and await self._sessions.allows(head):
            await self._sessions.end(cookie_of(head))
        response = plain.reply({"signed_in": False, "open": self._sessions.is_open, "csrf": None})
        response.del_cookie(cookie_name(head))
        return response

    @property
    def _secure(self) -> bool:
        return (self._server.public_url or "").startswith("https:")


def _credentials(value: Any) -> tuple[str, str]:
    key, token = (value.get("key", ""), value.get("token", "")) if isinstance(value, dict) else ("", "")
    if not isinstance(key, str) or not isinstance(token, str) or not (key or token):
        raise InvalidRequest("key: the admin key is needed", param="key")
    return key, token
