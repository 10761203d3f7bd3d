"""What operators look at: is it alive, can it serve, what is it; and who is an operator."""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from config.loader import ConfigError
from gateway.errors import Forbidden, InvalidRequest, Unauthenticated
from gateway.http import plain
from gateway.http.boundary import Boundary
from gateway.http.handlers import Handlers, head_of
from gateway.http.session import Sessions
from gateway.version import __version__
from gateway.wire.dialect import Dialect


class Admin:
    """The plain addresses. `key` guards /api/*; without one they are open where `is_open` (loopback)."""

    def __init__(
        self,
        handlers: Handlers,
        boundary: Boundary,
        dialect: Dialect,
        *,
        key: str | None,
        sessions: Sessions,
        is_open: bool,
        why_not_ready: Callable[[], str | None],
        plugins: Sequence[str],
        simulated: bool,
        reload: Callable[[], Awaitable[None]],
    ) -> None:
        self._handlers = handlers
        self._boundary = boundary
        self._dialect = dialect
        self._key = key.encode("utf-8", "surrogateescape") if key else None
        self._sessions = sessions
        self._is_open = is_open
        self._why_not_ready = why_not_ready
        self._plugins = list(plugins)
        self._simulated = simulated
        self._reload = reload
        self._started = time.monotonic()

    def routes(self) -> list[web.RouteDef]:
        """The addresses, for `app.add_routes`."""
        return [
            web.get("/health", self.health),
            web.get("/ready", self.ready),
            web.get("/api/info", self.info),
            web.post("/api/reload", self.reload),
        ]

    async def health(self, request: web.Request) -> web.Response:
        """Always 200 while the process lives; `degraded` when no call could be served."""
        status = "degraded" if self._boundary.stopping or self._why_not_ready() else "ok"
        return plain.reply({"status": status})

    async def ready(self, request: web.Request) -> web.Response:
        """200 when a call could be served now, else 503 with the reason."""
        reason = "stopping" if self._boundary.stopping else self._why_not_ready()
        return plain.reply({"ready": reason is None, "reason": reason}, 200 if reason is None else 503)

    async def info(self, request: web.Request) -> web.Response:
        """Version, uptime, plugins, and whether the answers are simulated."""
        uptime = round(time.monotonic() - self._started, 1)
        return plain.reply(
            {"version": __version__, "uptime_s": uptime, "plugins": self._plugins, "simulated": self._simulated}
        )

    async def reload(self, request: web.Request) -> web.Response:
        """Read gateway.toml again, as SIGHUP does. 400 with all mistakes when it is wrong: then nothing has changed."""
        await self.authorise(request)
        try:
            await self._reload()
        except ConfigError as exc:
            raise InvalidRequest("; ".join(exc.problems)[:2000]) from exc
        return plain.reply({"reloaded": True})

    async def authorise(self, request: web.Request) -> None:
        """Returns for who may see and change accounts, keys and settings. Raises Unauthenticated or Forbidden."""
        head = head_of(request, self._dialect)
        if self._key is None and self._is_open:
            self._boundary.check_anonymous(head)
            self._boundary.check_own_page(head)
            return
        if "Authorization" not in head.headers and await self._sessions.allows(head):
            return
        scheme, _, given = head.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given:
            raise Unauthenticated("The admin key is needed: send it as `Authorization: Bearer`, or sign in at /")
        if self._key is None or not hmac.compare_digest(given.strip().encode("utf-8", "surrogateescape"), self._key):
            await self._handlers.authenticate(head)  # a key that nobody knows is a 401
            raise Forbidden("This key is not the admin key")
