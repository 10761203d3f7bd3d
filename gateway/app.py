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
from gateway import plugin_loader
from gateway.accounts.catalogue import Catalogue
from gateway.accounts.pool import Pool
from gateway.allocator import trim_for_ever
from gateway.background import settle, spawn
from gateway.calls import Calls
from gateway.hooks import Hooks
from gateway.hookspecs import Services
from gateway.http.admin import Admin
from gateway.http.boundary import Boundary, expect_later, is_loopback
from gateway.http.gemini_files import GeminiFiles
from gateway.http.handlers import Choice, Handlers
from gateway.http.records import Records
from gateway.http.stored_files import StoredFiles
from gateway.model import AccountChange
from gateway.plugin_loader import LoadedPlugin
from gateway.state.files import FileStore
from gateway.state.memory import MemoryStore
from gateway.state.redis import RedisStore
from gateway.state.store import StateStore
from gateway.upstream.gemini_web import GeminiWeb
from gateway.upstream.protocol import Upstream
from gateway.wire.dialect import Dialect, anyone
from gateway.wire.openai_chat import OpenAIChat

log = logging.getLogger(__name__)
# Of all files that callers have uploaded; Google's own limit is 20 GB.
_MOST_FILE_BYTES = 2_000_000_000
STATIC = Path(__file__).parent.parent / "static"


@dataclass(slots=True)
class Running:
    """A gateway that serves. `url` is where it listens."""

    url: str
    pool: Pool
    hooks: Hooks
    boundary: Boundary
    new_keys: dict[str, str]


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
    state_dir = _state_dir(root / settings.state.dir)
    settings, new_keys = _with_keys(settings, state_dir)
    loaded = plugin_loader.load(settings, root) if plugins is None else list(plugins)
    hooks = plugin_loader.bind(loaded, settings.gateway.hook_timeout_s)
    dialects, routes = _registered(hooks)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(settle)
        store = state or _store(settings.state.url)
        await store.open()
        stack.push_async_callback(store.close)
        link = upstream(settings, state_dir) if upstream else GeminiWeb(settings, state_dir, simulated=simulated)
        stack.push_async_callback(link.close)
        pool = _pool(settings, link, hooks)
        stack.push_async_callback(pool.close)
        services = Services(
            settings=settings,
            root=root,
            state_dir=state_dir,
            state=store,
            simulated=simulated,
            local=is_loopback(settings.server.host),
            accounts=pool.views,
            queued=lambda: pool.queued,
            hook_errors=lambda: dict(hooks.errors),
        )
        await stack.enter_async_context(hooks.lifespan(services))
        files = FileStore(state_dir / "files", _MOST_FILE_BYTES)
        app, boundary = _application(settings, hooks, pool, store, dialects, loaded, files=files, simulated=simulated)
        app.add_routes([web.route(method, path, handler) for method, path, handler in routes])
        url = await _listen(stack, app, boundary, settings)
        pool.start()
        trimming = spawn(trim_for_ever(), "give memory back")
        stack.callback(trimming.cancel)
        yield Running(url, pool, hooks, boundary, new_keys)
        boundary.stopping = True


def _pool(settings: Settings, upstream: Upstream, hooks: Hooks) -> Pool:
    def changed(change: AccountChange) -> None:
        spawn(hooks.account_changed(change), "tell plugins of an account")

    return Pool(
        settings.accounts,
        upstream,
        Catalogue(),
        settings.pool,
        strict=settings.gateway.strict_models,
        changed=changed,
    )


def _registered(hooks: Hooks) -> tuple[list[Dialect], list[tuple[str, str, Callable[..., Any]]]]:
    try:
        return hooks.dialects().found, hooks.routes().found
    except ValueError as exc:
        raise ConfigError([f"gateway.plugins: {exc}"]) from exc


def _store(url: str) -> StateStore:
    return MemoryStore() if url == "memory://" else RedisStore(url)


def _state_dir(folder: Path) -> Path:
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
    store: StateStore,
    dialects: Sequence[Dialect],
    loaded: Sequence[LoadedPlugin],
    *,
    files: FileStore,
    simulated: bool,
) -> tuple[web.Application, Boundary]:
    server = settings.server
    fallback: Dialect = next((d for d in dialects if d.name == "openai"), OpenAIChat())
    by_name = {dialect.name: dialect for dialect in dialects}

    def dialect_of(path: str) -> Dialect:
        native = path.startswith(("/gemini/", "/v1beta/", "/upload/")) or (path.startswith("/v1/models/") and ":" in path)
        name = "gemini" if native else "anthropic" if path.startswith("/v1/messages") else "openai"
        return by_name.get(name, fallback)

    boundary = Boundary(server, dialect_of)
    local = is_loopback(server.host)
    handlers = Handlers(
        hooks,
        Calls(hooks, pool.generate, pool.check_model),
        boundary,
        server,
        Records(store, settings.state.keep_responses_days),
        stored=StoredFiles(files),
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
        accounts=pool.views,
        why_not_ready=pool.why_not_ready,
        plugins=[plugin.name for plugin in loaded if not plugin.dormant],
        simulated=simulated,
    )
    app = web.Application(middlewares=[boundary.middleware])
    app.on_response_prepare.append(boundary.dress)
    app.add_routes(admin.routes())
    for method, path, choices in _by_address(dialects):
        app.router.add_route(method, path, handlers.handler(choices), expect_handler=expect_later)
    if (gemini := by_name.get("gemini")) is not None:
        app.add_routes(GeminiFiles(files, handlers, gemini, server).routes())
    app.router.add_get("/", _page)
    app.router.add_static("/static", STATIC, show_index=False, follow_symlinks=False)
    return app, boundary


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

