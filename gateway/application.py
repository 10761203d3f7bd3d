"""The addresses of a gateway, put together into one aiohttp application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from config.loader import ConfigError
from config.settings import Settings
from gateway import openapi
from gateway.backend import Backend
from gateway.calls import Calls
from gateway.console.console import Console
from gateway.console.pages import Pages, installed_renderer
from gateway.hooks import Hooks
from gateway.http.accounts import AccountsApi
from gateway.http.admin import Admin
from gateway.http.boundary import Boundary, expect_later, is_loopback
from gateway.http.detached import Errands
from gateway.http.files import Files
from gateway.http.gemini_uploads import GeminiUploads
from gateway.http.handlers import Choice, Handlers, head_of
from gateway.http.incoming import Incoming
from gateway.http.openapi import document as describe_accounts
from gateway.http.records import Records
from gateway.http.session import SessionApi, Sessions
from gateway.http.stored_files import StoredFiles
from gateway.plugin_loader import LoadedPlugin
from gateway.state.files import FileStore
from gateway.state.store import StateStore
from gateway.wire.dialect import Dialect, anyone
from gateway.wire.gemini import Gemini
from gateway.wire.openai_chat import OpenAIChat


@dataclass(frozen=True, slots=True)
class Parts:
    """What stands behind the addresses. `routes` are those that plugins bring; `reload` reads the settings again."""

    settings: Settings
    calls: Calls
    incoming: Incoming
    hooks: Hooks
    backend: Backend
    store: StateStore
    files: FileStore
    errands: Errands
    dialects: Sequence[Dialect]
    loaded: Sequence[LoadedPlugin]
    sessions: Sessions
    console: Console
    routes: Sequence[web.RouteDef]
    simulated: bool
    reload: Callable[[], Awaitable[None]]

    @property
    def fallback(self) -> Dialect:
        """The wire format of addresses that have none of their own."""
        return next((dialect for dialect in self.dialects if dialect.name == "openai"), OpenAIChat())


def registered(hooks: Hooks) -> tuple[list[Dialect], list[tuple[str, str, Callable[..., Any]]]]:
    """The wire formats and the plain addresses of all plugins. Raises ConfigError when two are the same."""
    try:
        return hooks.dialects().found, hooks.routes().found
    except ValueError as exc:
        raise ConfigError([f"gateway.plugins: {exc}"]) from exc


def application(parts: Parts) -> tuple[web.Application, Boundary]:
    """The application, and its outermost layer."""
    server = parts.settings.server
    boundary = Boundary(server, _dialect_by_path(parts))
    files = Files(parts.files, server)
    handlers = _handlers(parts, boundary, files)
    admin = _admin(parts, handlers, boundary)
    accounts = AccountsApi(
        parts.backend.pool, parts.backend.keeper, parts.backend.enrolment, server, authorise=admin.authorise
    )
    plain = [*_plain(parts, admin, boundary), *_uploads(parts, handlers, files)]
    pages = Pages(
        lambda: openapi.document(parts.dialects, _described(plain), describe_accounts()), renderer=installed_renderer()
    )
    app = web.Application(middlewares=[boundary.middleware])
    app.on_response_prepare.append(boundary.dress)
    app.on_response_prepare.append(pages.dress)
    app.add_routes([*plain, *accounts.routes()])
    for method, path, choices in _by_address(parts.dialects):
        app.router.add_route(method, path, handlers.handler(choices), expect_handler=expect_later)
    app.add_routes(pages.routes())
    return app, boundary


def _dialect_by_path(parts: Parts) -> Callable[[str], Dialect]:
    by_name = {dialect.name: dialect for dialect in parts.dialects}
    fallback = parts.fallback

    def dialect_of(path: str) -> Dialect:
        native = path.startswith(("/gemini/", "/v1beta/", "/upload/")) or (path.startswith("/v1/models/") and ":" in path)
        name = "gemini" if native else "anthropic" if path.startswith("/v1/messages") else "openai"
        return by_name.get(name, fallback)

    return dialect_of


def _handlers(parts: Parts, boundary: Boundary, files: Files) -> Handlers:
    server = parts.settings.server
    return Handlers(
        parts.hooks,
        parts.calls,
        boundary,
        server,
        Records(parts.store, parts.settings.state.keep_responses_days),
        errands=parts.errands,
        files=files,
        stored=StoredFiles(parts.files, round(server.max_held_mb * 1e6)),
        incoming=parts.incoming,
        cards=parts.backend.pool.cards,
        anonymous=is_loopback(server.host) or server.allow_anonymous,
        simulated=parts.simulated,
    )


def _admin(parts: Parts, handlers: Handlers, boundary: Boundary) -> Admin:
    return Admin(
        handlers,
        boundary,
        parts.fallback,
        key=admin_key(parts.settings),
        sessions=parts.sessions,
        is_open=is_loopback(parts.settings.server.host),
        why_not_ready=parts.backend.pool.why_not_ready,
        plugins=[plugin.name for plugin in parts.loaded if not plugin.dormant],
        simulated=parts.simulated,
        reload=parts.reload,
    )


def _plain(parts: Parts, admin: Admin, boundary: Boundary) -> list[web.RouteDef]:
    fallback = parts.fallback
    session = SessionApi(
        parts.sessions, boundary, parts.settings.server, head_of=lambda request: head_of(request, fallback)
    )
    console = parts.console.routes(admin, boundary, parts.hooks, why_not_ready=parts.backend.pool.why_not_ready)
    return [*admin.routes(), *session.routes(), *console, *parts.routes]


def _uploads(parts: Parts, handlers: Handlers, files: Files) -> Sequence[web.RouteDef]:
    gemini = next((dialect for dialect in parts.dialects if isinstance(dialect, Gemini)), None)
    return GeminiUploads(files, handlers, gemini).routes() if gemini else []


def _described(routes: Sequence[web.RouteDef]) -> list[openapi.Plain]:
    return [(route.method, route.path, route.handler) for route in routes]


def admin_key(settings: Settings) -> str | None:
    """The admin key, if there is one."""
    return settings.admin.key.get_secret_value() if settings.admin.key else None


def _by_address(dialects: Sequence[Dialect]) -> list[tuple[str, str, list[Choice]]]:
    """Each address once, with all dialects that serve it: those that claim only some requests first."""
    found: dict[tuple[str, str], list[Choice]] = {}
    for dialect in dialects:
        for route in dialect.routes:
            found.setdefault((route.method, route.path), []).append((dialect, route))
    for choices in found.values():
        choices.sort(key=lambda choice: choice[1].claims is anyone)
    return [(method, path, choices) for (method, path), choices in found.items()]
