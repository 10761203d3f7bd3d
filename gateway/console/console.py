"""The admin page's side of the server, put together. To the hooks it is one more plugin, the outermost: it sees every
request end, and the pictures of its own tries as they came."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from config.settings import Settings
from gateway.console import insight
from gateway.console.journal import Journal
from gateway.console.keys import KeysApi
from gateway.console.live import Live, Topic
from gateway.console.originals import Originals
from gateway.errors import InvalidRequest, NotFound
from gateway.hooks import Hooks
from gateway.hookspecs import Services, hookimpl
from gateway.http import plain
from gateway.http.admin import Admin
from gateway.http.boundary import Boundary
from gateway.http.session import Sessions
from gateway.model import AccountView, Call, Image, Outcome, Principal, RequestHead
from gateway.plugin_loader import LoadedPlugin
from gateway.version import __version__

# A name that no API key can have.
OPERATOR = Principal("admin page")


class Console:
    """Made before the hooks are bound; `routes` once the rest is there. A reload makes another one: what must outlast it
    (who is signed in, what happened) comes from outside."""

    def __init__(
        self,
        settings: Settings,
        sessions: Sessions,
        loaded: Sequence[LoadedPlugin],
        *,
        journal: Journal,
        originals: Originals,
        worker: int,
    ) -> None:
        self._settings = settings
        self._sessions = sessions
        self._loaded = loaded
        self._journal = journal
        self._originals = originals
        self._worker = worker
        self._services: Services | None = None
        self._why_not: Callable[[], str | None] = lambda: None
        self._hooks: Hooks | None = None

    # --- as a plugin ----------------------------------------------------------------------------------------------

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self._services = gateway
        yield

    @hookimpl
    async def authenticate(self, head: RequestHead) -> Principal | None:
        """The page asks models in the name of whoever is signed in."""
        return OPERATOR if await self._sessions.calls(head) else None

    @hookimpl
    async def process_image(self, image: Image, call: Call) -> Image:
        if call.principal is OPERATOR and call.head is not None:
            self._originals.keep(call.head.request_id, image)
        return image

    @hookimpl
    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        self._journal.add(call, outcome)
        self._originals.drop_old()  # also when nobody looks at any again

    # --- addresses ------------------------------------------------------------------------------------------------

    def routes(
        self,
        admin: Admin,
        boundary: Boundary,
        hooks: Hooks,
        *,
        why_not_ready: Callable[[], str | None],
    ) -> list[web.RouteDef]:
        """The addresses, for `app.add_routes`. Call it when the plugins' lifespans are open."""
        services = self._running()
        self._hooks = hooks
        self._why_not = lambda: "stopping" if boundary.stopping else why_not_ready()
        live = Live(
            {
                "overview": Topic("overview", self.overview),
                "accounts": Topic("accounts", services.accounts, ticks=2),
                "plugins": Topic("plugins", self._plugins, ticks=2),
            },
            self._journal,
            authorise=admin.authorise,
            settings=insight.fingerprint(self._settings, self._loaded),
            over=lambda: boundary.stopping or boundary.replaced,
        )
        keys = KeysApi(
            services.keys,
            services.state,
            self._journal,
            self._settings.server,
            configured=_configured_keys(self._loaded),
            authorise=admin.authorise,
        )
        guarded = _guard(admin)
        return [
            web.get("/api/events", live.handle),
            web.get("/api/overview", guarded(self.show_overview)),
            web.get("/api/logs", guarded(self.show_logs)),
            web.get("/api/plugins", guarded(self.show_plugins)),
            web.get("/api/settings", guarded(self.show_settings)),
            web.get("/api/originals/{request_id}/{number}", guarded(self.show_original)),
            *keys.routes(),
        ]

    def _running(self) -> Services:
        assert self._services is not None
        return self._services

    async def show_overview(self, request: web.Request) -> web.Response:
        """Whether the gateway serves and why not, the last hour's traffic, accounts by state, the latest errors."""
        return plain.reply(self.overview())

    def overview(self) -> dict[str, Any]:
        """The data of the overview."""
        services, why_not = self._running(), self._why_not()
        views = services.accounts()
        return {
            "serving": why_not is None,
            "reason": why_not,
            "version": __version__,
            "uptime_s": round(self._journal.uptime_s),
            "simulated": services.simulated,
            "worker": {"number": self._worker, "of": self._settings.server.workers} if self._worker else None,
            "accounts": [_in_short(view) for view in views],
            "needs": _needs(views, serving=why_not is None),
            "states": Counter(view.state for view in views),
            "in_flight": sum(view.in_flight for view in views),
            "queued": services.queued(),
            "hour": self._journal.hour(),
            "failures": self._journal.failures(),
            "plugins": [plugin.name for plugin in self._loaded if not plugin.dormant],
        }

    async def show_logs(self, request: web.Request) -> web.Response:
        """The last few hundred requests, oldest first."""
        return plain.reply({"lines": self._journal.lines()})

    def _plugins(self) -> list[dict[str, Any]]:
        assert self._hooks is not None
        return insight.plugins(self._loaded, self._hooks, self._settings.origins)

    async def show_plugins(self, request: web.Request) -> web.Response:
        """The plugins in their order: hooks, time spent, errors, settings (secrets masked)."""
        return plain.reply({"plugins": self._plugins()})

    async def show_settings(self, request: web.Request) -> web.Response:
        """The settings in force (secrets masked), and where each value came from."""
        return plain.reply({"sections": insight.sections(self._settings)})

    async def show_original(self, request: web.Request) -> web.Response:
        """A picture that the page made, as it came, before any plugin had it."""
        number = request.match_info["number"]
        if not (number.isascii() and number.isdecimal() and len(number) < 4):
            raise InvalidRequest("number: must be a whole number", param="number")
        found = self._originals.find(request.match_info["request_id"], int(number))
        if found is None:
            raise NotFound("This picture is not kept any more")
        data, mime = found
        return web.Response(body=data, content_type=mime, headers={"Cache-Control": "no-store"})


def _guard(admin: Admin) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
        async def handle(request: web.Request) -> web.StreamResponse:
            await admin.authorise(request)
            response: web.StreamResponse = await handler(request)
            return response

        handle.__doc__ = handler.__doc__
        return handle

    return guarded


# An account in one of these is out until a person does something.
_OUT = ("expired", "rejected")


def _needs(views: Sequence[AccountView], *, serving: bool) -> list[dict[str, Any]]:
    """Which accounts need what, those that wait for a person first. While nobody can be served: all that are not ready."""
    found = [view for view in views if view.state in _OUT or view.flag or (not serving and view.state != "ready")]
    found.sort(key=lambda view: view.state not in _OUT)
    return [{"name": view.name, "state": view.state, "reason": view.reason or view.flag} for view in found]


def _in_short(view: AccountView) -> dict[str, Any]:
    return {"name": view.name, "state": view.state, "reason": view.reason, "tier": view.tier}


def _configured_keys(loaded: Sequence[LoadedPlugin]) -> list[Mapping[str, Any]]:
    """What the plugin api_key was given, without the keys themselves."""
    settings = next((plugin.settings for plugin in loaded if plugin.name == "api_key"), None)
    return [
        {
            "name": key.name,
            "hint": "",
            "created": None,
            "models": key.models,
            "accounts": key.accounts,
            "limits": key.limits.model_dump(),
        }
        for key in getattr(settings, "keys", ())
    ]
