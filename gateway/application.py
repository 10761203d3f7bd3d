"""The web application of one set of settings: its routes, the handlers behind them, the admin page."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

from config.loader import ConfigError
from config.settings import Settings
from gateway.backend import Backend
from gateway.calls import Calls
from gateway.hooks import Hooks
from gateway.http.accounts import AccountsApi
from gateway.http.admin import Admin
from gateway.http.boundary import Boundary, expect_later, is_loopback
from gateway.http.gemini_files import GeminiFiles
from gateway.http.handlers import Choice, Handlers
from gateway.http.incoming import Incoming
from gateway.http.records import Records
from gateway.http.stored_files import StoredFiles
from gateway.plugin_loader import LoadedPlugin
from gateway.state.files import FileStore
from gateway.state.store import StateStore
from gateway.wire.dialect import Dialect, anyone
from gateway.wire.openai_chat import OpenAIChat

STATIC = Path(__file__).parent.parent / "static"


def registered(hooks: Hooks) -> tuple[list[Dialect], list[tuple[str, str, Callable[..., Any]]]]:
    """The wire formats and the plain addresses of all plugins. Raises ConfigError when two are the same."""
    try:
        return hooks.dialects().found, hooks.routes().found
    except ValueError as exc:
        raise ConfigError([f"gateway.plugins: {exc}"]) from exc


def application(
    settings: Settings,
    calls: Calls,
    incoming: Incoming,
    hooks: Hooks,
    backend: Backend,
    store: StateStore,
    dialects: Sequence[Dialect],
    loaded: Sequence[LoadedPlugin],
    *,
    files: FileStore,
    simulated: bool,
    reload: Callable[[], Awaitable[None]],
) -> tuple[web.Application, Boundary]:
    """The application, not started yet, and its outermost middleware."""
    server, pool = settings.server, backend.pool
    by_name = {dialect.name: dialect for dialect in dialects}
    fallback: Dialect = by_name.get("openai", OpenAIChat())
    boundary = Boundary(server, _dialect_of(by_name, fallback))
    local = is_loopback(server.host)
    handlers = Handlers(
        hooks,
        calls,
        boundary,
        server,
        Records(store, settings.state.keep_responses_days),
        stored=StoredFiles(files),
        incoming=incoming,
        cards=pool.cards,
        anonymous=local or server.allow_anonymous,
        simulated=simulated,
    )
    admin = Admin(
        handlers,
        boundary,
        fallback,
        key=settings.admin.key.get_secret_value() if settings.admin.key else None,
        is_open=local,
        why_not_ready=pool.why_not_ready,
        plugins=[plugin.name for plugin in loaded if not plugin.dormant],
        simulated=simulated,
        reload=reload,
    )
    app = web.Application(middlewares=[boundary.middleware])
    app.on_response_prepare.append(boundary.dress)
    app.add_routes(admin.routes())
    accounts = AccountsApi(pool, backend.keeper, backend.enrolment, server, authorise=admin.authorise)
    app.add_routes(accounts.routes())
    for method, path, choices in _by_address(dialects):
        app.router.add_route(method, path, handlers.handler(choices), expect_handler=expect_later)
    if (gemini := by_name.get("gemini")) is not None:
        app.add_routes(GeminiFiles(files, handlers, gemini, server).routes())
    app.router.add_get("/", _page)
    app.router.add_static("/static", STATIC, show_index=False, follow_symlinks=False)
    return app, boundary


def _dialect_of(by_name: Mapping[str, Dialect], fallback: Dialect) -> Callable[[str], Dialect]:
    """Whose errors a path gets, as far as a path alone can tell."""

    def dialect_of(path: str) -> Dialect:
        native = path.startswith(("/gemini/", "/v1beta/", "/upload/")) or (path.startswith("/v1/models/") and ":" in path)
        name = "gemini" if native else "anthropic" if path.startswith("/v1/messages") else "openai"
        return by_name.get(name, fallback)

    return dialect_of


async def _page(request: web.Request) -> web.FileResponse:
    """The front page. HEAD is answered too: one client sends it, without a key, before anything else."""
    csp = "default-src 'none'; connect-src 'self'; script-src 'self'; style-src 'self'; frame-ancestors 'none'"
    return web.FileResponse(STATIC / "index.html", headers={"Content-Security-Policy": csp})


def _by_address(dialects: Sequence[Dialect]) -> list[tuple[str, str, list[Choice]]]:
    """Each address once, with all dialects that serve it: those that claim only some requests first."""
    found: dict[tuple[str, str], list[Choice]] = {}
    for dialect in dialects:
        for route in dialect.routes:
            found.setdefault((route.method, route.path), []).append((dialect, route))
    for choices in found.values():
        choices.sort(key=lambda choice: choice[1].claims is anyone)
    return [(method, path, choices) for (method, path), choices in found.items()]
