"""Composition root: settings in, a running gateway out. Everything that is opened here is closed here, in reverse."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from config.loader import ConfigError
from config.settings import Settings
from gateway import plugin_loader
from gateway.accounts.catalogue import Catalogue
from gateway.accounts.enrolment import Enrolment
from gateway.accounts.keeping import Keeper
from gateway.accounts.pool import Pool
from gateway.allocator import trim_for_ever
from gateway.application import Parts, admin_key, application, registered
from gateway.backend import Backend, cookie_store, state_store
from gateway.background import settle, spawn
from gateway.calls import Calls
from gateway.clock import steady
from gateway.console.console import Console
from gateway.console.journal import Journal
from gateway.console.originals import Originals
from gateway.first_keys import state_dir, with_keys
from gateway.hooks import Hooks
from gateway.hookspecs import Services
from gateway.http.boundary import Boundary, is_loopback
from gateway.http.detached import Errands
from gateway.http.fetch import Fetcher
from gateway.http.files import sweep_for_ever
from gateway.http.front import Front, Stage
from gateway.http.incoming import Incoming
from gateway.http.session import Sessions
from gateway.imaging import Easel
from gateway.meters import Meters
from gateway.model import AccountChange, AccountView, Call
from gateway.pictures import Finisher
from gateway.plugin_loader import LoadedPlugin
from gateway.sockets import Sockets
from gateway.state.files import FileStore
from gateway.state.keys import book_of
from gateway.state.store import StateStore
from gateway.upstream.gemini_web import GeminiWeb
from gateway.upstream.protocol import Upstream

log = logging.getLogger(__name__)
# Of all files that callers have uploaded; Google's own limit is 20 GB.
_MOST_FILE_BYTES = 2_000_000_000

# What only a restart can change: the front, and what all replicas of this process stand on.
FIXED = {
    "server": ("host", "port", "workers", "header_timeout_s", "max_connections", "write_stall_s"),
    "state": ("url", "dir", "cluster", "secret", "other_secret"),
}
@dataclass(frozen=True, slots=True)
class Seams:
    """What tests and the demo put in: another upstream, plugins that exist already, simulated answers, another clock
    (seconds since 1970) for the accounts."""

    upstream: Callable[[Settings, Path], Upstream] | None = None
    plugins: Sequence[LoadedPlugin] | None = None
    simulated: bool = False
    clock: Callable[[], float] | None = None


@dataclass(slots=True, eq=False)
class Assembly:
    """Everything that a reload replaces: made from one set of settings, closed after its last request."""

    settings: Settings
    hooks: Hooks
    backend: Backend
    boundary: Boundary
    stage: Stage
    stack: AsyncExitStack


class Running:
    """A gateway that serves. `url` is where it listens, `new_keys` what was made at this start; `pool`, `hooks` and
    `boundary` are those in front now."""

    def __init__(
        self,
        settings: Settings,
        root: Path,
        store: StateStore,
        seams: Seams,
        source: Callable[[], Settings] | None,
        *,
        worker: int = 0,
        link: str | None = None,
    ) -> None:
        self.state_dir = state_dir(root / settings.state.dir)
        self.settings, self.new_keys = with_keys(settings, self.state_dir)
        self.url = ""
        self._root = root
        self._store = store
        self._clock = seams.clock or steady()
        self._files = FileStore(self.state_dir / "files", _MOST_FILE_BYTES, self._clock)
        self._errands = Errands()
        self.sessions = Sessions(store, link=link)
        self._worker = worker
        self._journal = Journal(self._clock)
        self._originals = Originals()
        self._meters = Meters()
        self._sockets = Sockets()
        self._past_errors: Counter[tuple[str, str]] = Counter()  # of plugins that a reload has replaced
        self._keys = book_of(store, self.settings.state.url, self.state_dir)
        self._seams = seams
        self._source = source
        self._front = Front(self.settings.server)
        self._now: Assembly | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._changing = asyncio.Lock()
        self._reloading: asyncio.Task[Any] | None = None

    async def trim_memory(self) -> None:
        """Give memory back, until cancelled."""
        await trim_for_ever(lambda: not any(account.in_flight for account in self.pool.accounts))

    async def sweep_files(self) -> None:
        """Delete uploads that have expired, until cancelled."""
        await sweep_for_ever(self._files)

    @property
    def page(self) -> str:
        """The admin page's address; where a key is needed, with the one-time token that opens it without. A browser does
        not send what stands behind the #, so no log has it."""
        return f"{self.url}/#token={self.sessions.link}" if self.sessions.link else f"{self.url}/"

    @property
    def pool(self) -> Pool:
        return self._in_front.backend.pool

    @property
    def keeper(self) -> Keeper:
        return self._in_front.backend.keeper

    @property
    def hooks(self) -> Hooks:
        return self._in_front.hooks

    @property
    def boundary(self) -> Boundary:
        return self._in_front.boundary

    @property
    def _in_front(self) -> Assembly:
        assert self._now is not None
        return self._now

    # --- life -----------------------------------------------------------------------------------------------------

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Assemble and listen. Raises ConfigError."""
        self._put_in_front(await self._assemble(self.settings))
        self.url = await self._front.listen(sockets)
        self.keeper.start()

    async def reload(self) -> None:
        """Read the settings again and let them hold for every request from now on; running requests end as they began.
        Raises ConfigError with all that is wrong: then nothing has changed."""
        async with self._changing:
            self._reloading = asyncio.current_task()
            if self._source is None or self.boundary.stopping:
                raise ConfigError(["this gateway has no file to read again, or is stopping"])
            settings, _ = with_keys(await asyncio.to_thread(self._source), self.state_dir)
            _refuse_fixed(self.settings, settings)
            before, new = self._in_front, await self._assemble_again(settings)
            if before.boundary.stopping:
                await new.stack.aclose()
                raise ConfigError(["this gateway is stopping"])
            self._past_errors.update(before.hooks.errors)
            self._put_in_front(new)
            if new.backend is not before.backend:
                new.backend.keeper.start()
            self._retiring.add(task := spawn(self._retire(before), "close what a reload replaced"))
            task.add_done_callback(self._retiring.discard)
            log.info("reloaded: the new settings hold")

    def _put_in_front(self, assembly: Assembly) -> None:
        self._now, self.settings = assembly, assembly.settings
        self.sessions.guard(admin_key(self.settings), is_open=is_loopback(self.settings.server.host))
        self.pool.advice = self._choose_account if self.hooks.has("choose_account") else None
        self._front.show(assembly.stage)

    async def drain(self) -> None:
        """Stop in order: say so at /ready, wait for load balancers to notice, accept nothing more, let calls end."""
        server = self.settings.server
        self._front.say_goodbye()
        await asyncio.sleep(server.shutdown_delay_s)
        await self._front.drain(server.shutdown_grace_s)

    async def close(self) -> None:
        """Drain, and let go of everything."""
        if self._now is None:
            return
        await self.drain()
        if self._reloading is not None and self._changing.locked():
            self._reloading.cancel()  # which closes what it has opened so far
        async with self._changing:
            for task in self._retiring:
                task.cancel()
            await asyncio.gather(*self._retiring, return_exceptions=True)
            await self._now.stack.aclose()

    async def _retire(self, assembly: Assembly) -> None:
        try:
            await assembly.stage.left.wait()
        finally:
            await assembly.stack.aclose()

    # --- putting together -----------------------------------------------------------------------------------------

    async def _assemble_again(self, settings: Settings) -> Assembly:
        try:
            return await self._assemble(settings)
        except ConfigError:
            raise
        except Exception as exc:
            log.exception("the new settings cannot be started")
            raise ConfigError([f"gateway.plugins: cannot be started: {type(exc).__name__}"]) from exc

    async def _assemble(self, settings: Settings) -> Assembly:
        seams = self._seams
        loaded = plugin_loader.load(settings, self._root) if seams.plugins is None else list(seams.plugins)
        console = Console(
            settings, self.sessions, loaded, journal=self._journal, originals=self._originals, worker=self._worker
        )
        own = plugin_loader.from_instances([("page", console)])
        hooks = plugin_loader.bind([*own, *loaded], settings.gateway.hook_timeout_s)
        dialects, routes = registered(hooks)
        async with AsyncExitStack() as stack:
            backend = await self._backend(settings)
            backend.users += 1
            stack.push_async_callback(backend.release)
            await stack.enter_async_context(hooks.lifespan(self._services(settings, hooks, backend.pool)))
            easel, fetcher = Easel(settings.pictures.threads), Fetcher(settings.server)
            stack.callback(easel.close)
            stack.push_async_callback(fetcher.close)
            pool = backend.pool
            parts = Parts(
                settings=settings,
                calls=Calls(hooks, pool.generate, pool.find_model, Finisher(hooks, settings.pictures, easel)),
                incoming=Incoming(fetcher, easel, settings.pictures),
                hooks=hooks,
                backend=backend,
                store=self._store,
                files=self._files,
                errands=self._errands,
                dialects=dialects,
                loaded=loaded,
                sessions=self.sessions,
                console=console,
                routes=[web.route(method, path, handler) for method, path, handler in routes],
                simulated=seams.simulated,
                reload=self.reload,
            )
            app, boundary = application(parts)
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            assert runner.server is not None
            stage = Stage(runner.server, boundary)
            return Assembly(settings, hooks, backend, boundary, stage, stack.pop_all())

    async def _backend(self, settings: Settings) -> Backend:
        if self._now is not None and self._now.backend.serves(settings):
            return self._now.backend
        make, simulated = self._seams.upstream, self._seams.simulated
        link = make(settings, self.state_dir) if make else GeminiWeb(settings, self.state_dir, simulated=simulated)
        pool = Pool(
            link,
            Catalogue(),
            settings.pool,
            strict=settings.gateway.strict_models,
            clock=self._clock,
            changed=self._account_changed,
            state=self._store,
        )
        if self._now is not None:
            pool.inherit(self._now.backend.pool)
        cookies = cookie_store(settings, self.state_dir, self._store)
        keeper = Keeper(pool, settings.accounts, settings.pool, cookies, self._store)
        await keeper.open()
        enrolment = Enrolment(link, cookies, settings.accounts, clock=pool.clock, needs_cookies=pool.signed_out)
        return Backend(settings, pool, link, keeper, enrolment)

    async def _choose_account(self, call: Call, accounts: Sequence[AccountView]) -> str | None:
        return await self.hooks.choose_account(call, accounts)

    def _account_changed(self, change: AccountChange) -> None:
        if self._now is not None:  # else nobody is there yet
            spawn(self.hooks.account_changed(change), "tell plugins of an account")

    def _services(self, settings: Settings, hooks: Hooks, pool: Pool) -> Services:
        return Services(
            settings=settings,
            root=self._root,
            state_dir=self.state_dir,
            state=self._store,
            keys=self._keys,
            simulated=self._seams.simulated,
            local=is_loopback(settings.server.host),
            accounts=pool.views,
            queued=lambda: pool.queued,
            hook_errors=lambda: dict(self._past_errors + Counter(hooks.errors)),
            metrics=self._meters,
            sockets=self._sockets,
            clock=self._clock,
        )


@asynccontextmanager
async def running(
    settings: Settings,
    root: Path,
    *,
    upstream: Callable[[Settings, Path], Upstream] | None = None,
    plugins: Sequence[LoadedPlugin] | None = None,
    state: StateStore | None = None,
    simulated: bool = False,
    clock: Callable[[], float] | None = None,
    source: Callable[[], Settings] | None = None,
    sockets: Sequence[socket.socket] = (),
    worker: int = 0,
    link: str | None = None,
) -> AsyncIterator[Running]:
    """Serve `settings` (relative paths are relative to `root`); leaving the context drains. `source` reads the settings
    again for a reload; `sockets` listen already; one of several processes knows its number, from 1, as `worker`, and
    their common one-time `link` to the page. The others are the seams of tests and of the demo: another upstream,
    plugins that exist already, another state store, another clock."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(settle)
        store = state or state_store(settings)
        seams = Seams(upstream, plugins, simulated, clock)
        gateway = Running(settings, root, store, seams, source, worker=worker, link=link)
        await store.open()
        stack.push_async_callback(store.close)
        for chore, what in ((gateway.trim_memory(), "give memory back"), (gateway.sweep_files(), "delete expired files")):
            stack.callback(spawn(chore, what, endless=True).cancel)
        stack.push_async_callback(gateway.close)
        await gateway.start(sockets)
        yield gateway


def _refuse_fixed(before: Settings, after: Settings) -> None:
    problems = [
        f"{section}.{name}: only a restart can change this"
        for section, names in FIXED.items()
        for name in names
        if getattr(getattr(before, section), name) != getattr(getattr(after, section), name)
    ]
    if problems:
        raise ConfigError(problems)
