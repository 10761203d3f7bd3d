"""Composition root: settings in, a running gateway out. Everything that is opened here is closed here, in reverse."""

from __future__ import annotations

import logging
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from pydantic import SecretStr

from config.loader import ConfigError
from config.settings import Settings
from gateway import openapi, plugin_loader
from gateway.accounts import vault
from gateway.accounts.catalogue import Catalogue
from gateway.accounts.cookies import CookieStore
from gateway.accounts.enrolment import Enrolment
from gateway.accounts.keeping import Keeper
from gateway.accounts.pool import Pool
from gateway.accounts.shelf import Files, Shared
from gateway.allocator import trim_for_ever
from gateway.background import settle, spawn
from gateway.calls import Calls
from gateway.clock import steady
from gateway.console.console import Console
from gateway.console.pages import Pages
from gateway.hooks import Hooks
from gateway.hookspecs import Services
from gateway.http.accounts import AccountsApi
from gateway.http.admin import Admin
from gateway.http.boundary import Boundary, expect_later, is_loopback
from gateway.http.handlers import Choice, Handlers, head_of
from gateway.http.openapi import document as describe_accounts
from gateway.http.session import SessionApi, Sessions
from gateway.model import AccountChange
from gateway.plugin_loader import LoadedPlugin
from gateway.state.keys import book_of
from gateway.state.memory import MemoryStore
from gateway.state.redis import RedisStore
from gateway.state.store import StateStore
from gateway.upstream.gemini_web import GeminiWeb
from gateway.upstream.protocol import Upstream
from gateway.wire.dialect import Dialect, anyone
from gateway.wire.openai_chat import OpenAIChat

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Running:
    """A gateway that serves. `url` is where it listens."""

    url: str
    pool: Pool
    hooks: Hooks
    boundary: Boundary
    new_keys: dict[str, str]
    keeper: Keeper
    sessions: Sessions

    @property
    def page(self) -> str:
        """The admin page's address; where a key is needed, with the one-time token that opens it without. A browser does
        not send what stands behind the #, so no log has it."""
        return f"{self.url}/#token={self.sessions.link}" if self.sessions.link else f"{self.url}/"


@asynccontextmanager
async def running(
    settings: Settings,
    root: Path,
    *,
    upstream: Callable[[Settings, Path], Upstream] | None = None,
    plugins: Sequence[LoadedPlugin] | None = None,
    state: StateStore | None = None,
    simulated: bool = False,
) -> AsyncIterator[Running]:
    """Serve `settings` (relative paths are relative to `root`). The keyword arguments are the seams of tests and of the
    demo: another upstream, plugins that exist already, another state store."""
    state_dir = state_folder(root / settings.state.dir)
    settings, new_keys = _with_keys(settings, state_dir)
    loaded = plugin_loader.load(settings, root) if plugins is None else list(plugins)
    sessions = Sessions(_admin_key(settings), is_open=is_loopback(settings.server.host))
    console = Console(settings, sessions, loaded)
    own = plugin_loader.from_instances([("page", console)])
    hooks = plugin_loader.bind([*own, *loaded], settings.gateway.hook_timeout_s)
    dialects, routes = _registered(hooks)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(settle)
        store = state or state_store(settings.state.url)
        await store.open()
        stack.push_async_callback(store.close)
        link = upstream(settings, state_dir) if upstream else GeminiWeb(settings, state_dir, simulated=simulated)
        stack.push_async_callback(link.close)
        pool = _pool(settings, link, hooks)
        stack.push_async_callback(pool.close)
        cookies = cookie_store(settings, state_dir, store)
        keeper = Keeper(pool, settings.accounts, settings.pool, cookies, store)
        await keeper.open()
        stack.push_async_callback(keeper.close)
        services = Services(
            settings=settings,
            root=root,
            state_dir=state_dir,
            state=store,
            keys=book_of(store, settings.state.url, state_dir),
            simulated=simulated,
            local=is_loopback(settings.server.host),
            accounts=pool.views,
            queued=lambda: pool.queued,
            hook_errors=lambda: dict(hooks.errors),
        )
        await stack.enter_async_context(hooks.lifespan(services))
        enrolment = Enrolment(link, cookies, settings.accounts, clock=pool.clock, needs_cookies=pool.signed_out)
        app, boundary = _application(
            settings,
            hooks,
            pool,
            dialects,
            loaded,
            keeper=keeper,
            enrolment=enrolment,
            simulated=simulated,
            console=console,
            sessions=sessions,
            routes=[web.route(method, path, handler) for method, path, handler in routes],
        )
        url = await _listen(stack, app, boundary, settings)
        keeper.start()
        trimming = spawn(trim_for_ever(), "give memory back", endless=True)
        stack.callback(trimming.cancel)
        yield Running(url, pool, hooks, boundary, new_keys, keeper, sessions)
        boundary.stopping = True


def _pool(settings: Settings, upstream: Upstream, hooks: Hooks) -> Pool:
    def changed(change: AccountChange) -> None:
        spawn(hooks.account_changed(change), "tell plugins of an account")

    return Pool(
        upstream,
        Catalogue(),
        settings.pool,
        strict=settings.gateway.strict_models,
        clock=steady(),
        changed=changed,
        advice=hooks.choose_account if hooks.has("choose_account") else None,
    )


def cookie_store(settings: Settings, state_dir: Path, store: StateStore) -> CookieStore:
    """The cookie store of `settings`: in redis where replicas share one, else in files of `state_dir`. Raises
    ConfigError."""
    secret = settings.state.secret
    try:
        key = vault.from_secret(secret.get_secret_value()) if secret else vault.from_folder(state_dir)
        if settings.state.url != "memory://":
            return CookieStore(Shared(store), key)
        files = Files(state_dir / "cookies")
        files.sweep()
    except (OSError, ValueError) as exc:
        raise ConfigError([f"state.dir: cookies cannot be kept there: {exc}"]) from exc
    return CookieStore(files, key)


def _registered(hooks: Hooks) -> tuple[list[Dialect], list[tuple[str, str, Callable[..., Any]]]]:
    try:
        return hooks.dialects().found, hooks.routes().found
    except ValueError as exc:
        raise ConfigError([f"gateway.plugins: {exc}"]) from exc


def state_store(url: str) -> StateStore:
    """The state store of `state.url`, not opened yet."""
    return MemoryStore() if url == "memory://" else RedisStore(url)


def state_folder(folder: Path) -> Path:
    """`state.dir`, made if it is not there. Raises ConfigError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError([f"state.dir: {folder} cannot be made: {exc.strerror}"]) from exc
    if folder.stat().st_mode & 0o077:
        log.warning("state.dir %s can be read by others; `chmod 700` it", folder)
    return folder


# --- keys made at first start -------------------------------------------------------------------------------------


def _with_keys(settings: Settings, state_dir: Path) -> tuple[Settings, dict[str, str]]:
    """Off loopback the gateway is never open by accident: without a configured key one is made, kept in the state
    folder, and shown once (it is in the returned dict only at the start that made it)."""
    if is_loopback(settings.server.host):
        return settings, {}
    made: dict[str, str] = {}
    if settings.admin.key is None:
        key = _kept_key(state_dir / "admin_key", "adm-", made)
        settings = settings.model_copy(update={"admin": settings.admin.model_copy(update={"key": SecretStr(key)})})
    table = settings.plugins.get("api_key", {})
    if not table.get("keys") and not settings.server.allow_anonymous:
        key = _kept_key(state_dir / "api_key", "sk-", made)
        keys = [{"name": "default", "key": key}]
        settings = settings.model_copy(update={"plugins": {**settings.plugins, "api_key": {**table, "keys": keys}}})
    return settings, made


def _kept_key(file: Path, prefix: str, made: dict[str, str]) -> str:
    if file.is_file():
        return file.read_text("ascii").strip()
    key = prefix + secrets.token_urlsafe(24)
    file.touch(mode=0o600)
    file.write_text(key + "\n", "ascii")
    made[file.name] = key
    return key


# --- HTTP ---------------------------------------------------------------------------------------------------------


def _application(
    settings: Settings,
    hooks: Hooks,
    pool: Pool,
    dialects: Sequence[Dialect],
    loaded: Sequence[LoadedPlugin],
    *,
    keeper: Keeper,
    enrolment: Enrolment,
    simulated: bool,
    console: Console,
    sessions: Sessions,
    routes: Sequence[web.RouteDef],
) -> tuple[web.Application, Boundary]:
    server = settings.server
    fallback: Dialect = next((d for d in dialects if d.name == "openai"), OpenAIChat())
    gemini = next((d for d in dialects if d.name == "gemini"), fallback)

    def dialect_of(path: str) -> Dialect:
        native = path.startswith(("/gemini/", "/v1beta/")) or (path.startswith("/v1/models/") and ":" in path)
        return gemini if native else fallback

    boundary = Boundary(server, dialect_of)
    local = is_loopback(server.host)
    handlers = Handlers(
        hooks,
        Calls(hooks, pool.generate, pool.check_model),
        boundary,
        server,
        cards=pool.cards,
        anonymous=local or server.allow_anonymous,
        simulated=simulated,
    )
    admin = Admin(
        handlers,
        boundary,
        fallback,
        key=_admin_key(settings),
        sessions=sessions,
        is_open=local,
        why_not_ready=pool.why_not_ready,
        plugins=[plugin.name for plugin in loaded if not plugin.dormant],
        simulated=simulated,
    )
    app = web.Application(middlewares=[boundary.middleware])
    app.on_response_prepare.append(boundary.dress)
    plain = [
        *admin.routes(),
        *SessionApi(sessions, boundary, server, head_of=lambda request: head_of(request, fallback)).routes(),
        *console.routes(admin, boundary, hooks, why_not_ready=pool.why_not_ready),
        *routes,
    ]
    pages = Pages(lambda: openapi.document(dialects, _described(plain), describe_accounts()))
    app.on_response_prepare.append(pages.dress)
    app.add_routes(plain)
    app.add_routes(AccountsApi(pool, keeper, enrolment, server, authorise=admin.authorise).routes())
    for method, path, choices in _by_address(dialects):
        app.router.add_route(method, path, handlers.handler(choices), expect_handler=expect_later)
    app.add_routes(pages.routes())
    return app, boundary


def _described(routes: Sequence[web.RouteDef]) -> list[openapi.Plain]:
    return [(route.method, route.path, route.handler) for route in routes]


def _admin_key(settings: Settings) -> str | None:
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


async def _listen(stack: AsyncExitStack, app: web.Application, boundary: Boundary, settings: Settings) -> str:
    server = settings.server
    runner = web.AppRunner(
        app,
        access_log=None,
        handler_cancellation=True,
        auto_decompress=False,
        keepalive_timeout=server.header_timeout_s,
        lingering_time=2.0,  # for a caller who still sends a body that was refused to read the answer
        shutdown_timeout=server.shutdown_grace_s,
        max_line_size=16_384,
        max_field_size=16_384,
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, server.host, server.port, backlog=1024).start()
    except OSError as exc:
        raise ConfigError([f"server.port: cannot listen on {server.host}:{server.port}: {exc.strerror}"]) from exc
    host, port = runner.addresses[0][:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"

