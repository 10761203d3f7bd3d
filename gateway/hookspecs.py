"""The extension points, in the order in which a call meets them. Each docstring is a contract: when the hook runs, what
it may return, what happens when it raises.

Colour and combination of each are in `HOOKS`; the code that awaits them is `hooks.py`. pluggy finds, checks and sorts the
implementations; it never calls them, because it knows no async."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pluggy

from config.settings import Settings
from gateway.clock import steady
from gateway.meters import Meters
from gateway.model import AccountChange, AccountView, Call, Event, Image, Outcome, Principal, RequestHead
from gateway.sockets import Sockets
from gateway.state.keys import KeyBook
from gateway.state.store import StateStore
from gateway.wire.dialect import Dialect

PROJECT = "gateway"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)

Generate = Callable[[Call], AsyncGenerator[Event, None]]
Colour = Literal["sync", "coroutine", "async generator"]


@dataclass(frozen=True, slots=True)
class Services:
    """What a plugin may use of the running gateway. `root` is the folder of gateway.toml; `local` says that it listens
    on loopback only; `keys` are the API keys made at run time; `accounts` and `queued` look at the pool now; `hook_errors`
    maps (plugin, hook) to how often it raised; `metrics` makes a plugin's own (`gateway.metrics.counter(...)`), for whoever
    shows them, and keeps them through reloads; `sockets` does so with the sockets of listeners; `clock` gives seconds since
    1970 and never jumps."""

    settings: Settings
    root: Path
    state_dir: Path
    state: StateStore
    keys: KeyBook
    simulated: bool
    local: bool
    accounts: Callable[[], Sequence[AccountView]]
    queued: Callable[[], int]
    hook_errors: Callable[[], dict[tuple[str, str], int]]
    metrics: Meters = field(default_factory=Meters)
    sockets: Sockets = field(default_factory=Sockets)
    clock: Callable[[], float] = field(default_factory=steady)


class Dialects:
    """Collects the wire formats that plugins bring."""

    def __init__(self) -> None:
        self.found: list[Dialect] = []

    def add(self, dialect: Dialect) -> None:
        """Serve `dialect` on its routes. Raises ValueError for a second one of the same name."""
        if any(other.name == dialect.name for other in self.found):
            raise ValueError(f"two dialects have the name {dialect.name!r}")
        self.found.append(dialect)


class Routes:
    """Collects plain addresses that plugins bring: each a method, a path and an aiohttp handler."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str, Callable[..., Any]]] = []

    def add(self, method: str, path: str, handler: Callable[..., Any]) -> None:
        """Serve `path`; the handler is an aiohttp one (coroutine, takes the request, returns a response). It is called
        without authentication: guard what it shows."""
        self.found.append((method, path, handler))


@dataclass(frozen=True, slots=True)
class Hook:
    """How a hook is run: its colour, how several answers combine, and what an exception does."""

    colour: Colour
    combine: Literal["lifespan", "collect", "first", "fold", "gate", "wrap", "all"]
    on_exception: str


HOOKS: dict[str, Hook] = {
    "lifespan": Hook("async generator", "lifespan", "start refused"),
    "register_dialects": Hook("sync", "collect", "start refused"),
    "register_routes": Hook("sync", "collect", "start refused"),
    "authenticate": Hook("coroutine", "first", "closed: the request is refused"),
    "prepare_call": Hook("coroutine", "fold", "500"),
    "admit": Hook("coroutine", "gate", "closed: the call is refused"),
    "choose_account": Hook("coroutine", "first", "skipped, the pool's own choice serves"),
    "wrap_generate": Hook("async generator", "wrap", "ends the call"),
    "process_image": Hook("coroutine", "fold", "skipped, the reply says so"),
    "store_image": Hook("coroutine", "first", "the picture goes out as bytes"),
    "call_finished": Hook("coroutine", "all", "logged, counted"),
    "account_changed": Hook("coroutine", "all", "logged, counted"),
}


class Specs:
    """The hooks. A plugin implements those it needs, each with all or some of the arguments, by name."""

    @hookspec
    def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        """Open what the plugin needs, yield once, close it again. Runs before the first request, in plugin order; the
        part after `yield` runs after the last request, in reverse order. An exception before `yield` refuses the start;
        one after it is logged."""
        raise NotImplementedError

    @hookspec
    def register_dialects(self, dialects: Dialects) -> None:
        """Add wire formats with `dialects.add(...)`. Runs once at start. An exception refuses the start."""

    @hookspec
    def register_routes(self, routes: Routes) -> None:
        """Add plain addresses with `routes.add(method, path, handler)`. Runs once at start. An exception refuses the
        start."""

    @hookspec
    async def authenticate(self, head: RequestHead) -> Principal | None:
        """Say who is calling, from the request's head alone: the body has not been read. None means "not my
        credential", and the next plugin is asked; raising Unauthenticated or Forbidden means "mine, and bad". When all
        say None the caller is anonymous where that is allowed (loopback), else 401. Any other exception refuses the
        request (500)."""

    @hookspec
    async def prepare_call(self, call: Call) -> Call:
        """Return the call, changed or as it is. Runs after the body was decoded, each plugin on the result of the one
        before. A GatewayError refuses the call; any other exception is a 500."""
        raise NotImplementedError

    @hookspec
    async def admit(self, call: Call) -> None:
        """Refuse a call by raising RateLimited(..., retry_after=seconds) or another GatewayError. Runs after
        prepare_call, before an account is chosen. Other exceptions refuse the call too (500)."""

    @hookspec
    async def choose_account(self, call: Call, accounts: Sequence[AccountView]) -> str | None:
        """Say by its name which of `accounts` gets the call, and why in `call.route`. All of them are free, may serve
        this caller, and have the model asked for. Asked before every attempt for which some account is free; a call
        that waited gets the one that becomes free. None, a name that is not among them or that somebody else
        took meanwhile: the least busy one serves. An exception skips the plugin."""

    @hookspec
    def wrap_generate(self, call: Call, generate: Generate) -> AsyncIterator[Event]:
        """Stand around the generation: iterate `generate(call)` and pass its events on, changed or not. It may be
        called again as long as no content has been passed on. Exactly one `Finished` or one exception ends the
        iteration. Generators that were opened are closed for you, in order, also when the caller leaves. A
        GatewayError ends the call as it is; any other exception is a 500."""
        raise NotImplementedError

    @hookspec
    async def process_image(self, image: Image, call: Call) -> Image:
        """Return the picture, changed or as it is. Runs for each picture of an answer, each plugin on the result of the
        one before, while the account is no longer needed. CPU work belongs in a thread. An exception skips the plugin:
        the picture goes on as it was, with a warning."""
        raise NotImplementedError

    @hookspec
    async def store_image(self, image: Image, call: Call) -> str | None:
        """Keep the finished picture and return the URL under which the caller finds it. Runs only when the caller wants
        URLs; None means "not mine", and the next plugin is asked. An exception means "mine, and it failed": no other
        is asked, and the picture goes out as bytes, with a warning. So it does where nobody stores it."""

    @hookspec
    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        """Learn what became of a request, a refused one included (its `call` may then have no model or messages). Runs
        always and to its end, also when the caller has left. Exceptions are logged and counted."""

    @hookspec
    async def account_changed(self, change: AccountChange) -> None:
        """Learn that an account went from one state to another. Runs apart from any call. Exceptions are logged and
        counted."""
