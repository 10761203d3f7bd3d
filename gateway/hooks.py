"""Runs the hooks: one colour, one way of combining and one error policy each (`hookspecs.HOOKS`). Everything that can be
bound is bound at start; per call there is no search, no sorting and no inspection."""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any, TypeVar, cast

from gateway.errors import GatewayError, PluginFailed
from gateway.hookspecs import HOOKS, Dialects, Generate, Routes, Services
from gateway.model import AccountChange, AccountView, Call, Event, Image, Outcome, Principal, RequestHead

log = logging.getLogger(__name__)
T = TypeVar("T")

# One bound implementation: the plugin's name, and a callable that takes the spec's arguments by position.
Bound = tuple[str, Callable[..., Any]]


@dataclass(slots=True, eq=False)
class Implementation:
    """A plugin's side of a hook; a coroutine gets `timeout_s`. One that `notifies` has no say: whatever it raises is a
    failure. `runs`, `seconds` in all (of a wrap_generate with the answer inside it) and `errors` are its cost so far."""

    plugin: str
    hook: str
    function: Callable[..., Any]
    timeout_s: float
    notifies: bool = False
    runs: int = 0
    seconds: float = 0.0
    errors: int = 0

    async def run(self, *arguments: Any) -> Any:
        """The result of one run. Raises a GatewayError: PluginFailed in the place of any other. Most hooks never wait for
        anything: only for one that does is there a timer, since making one costs more than such a hook does."""
        begun = perf_counter()
        try:
            work = self.function(*arguments)
            try:
                waits_for = work.send(None)
            except StopIteration as done:
                return done.value
            async with asyncio.timeout(self.timeout_s):
                return await _rest(work, waits_for)
        except GatewayError:
            if self.notifies:
                self.failed()
            raise
        except Exception as exc:
            self.failed()
            raise PluginFailed("a plugin failed", hint=f"{self.plugin}.{self.hook}: {type(exc).__name__}") from exc
        finally:
            self.runs += 1
            self.seconds += perf_counter() - begun

    def failed(self) -> None:
        """Count and log the exception that is being handled."""
        self.errors += 1
        log.exception("plugin %s failed in %s", self.plugin, self.hook)


class Hooks:
    """The hooks of the enabled plugins, ready to run. `implementations` maps a hook's name to its bound
    implementations in plugin order; `timeout_s` bounds each coroutine hook."""

    def __init__(self, implementations: dict[str, Sequence[Bound]], timeout_s: float = 10) -> None:
        self._found = {
            name: tuple(
                Implementation(plugin, name, function, timeout_s, notifies=kind.combine == "all")
                for plugin, function in implementations.get(name, ())
            )
            for name, kind in HOOKS.items()
        }
        self._authenticate = self._found["authenticate"]
        self._prepare = self._found["prepare_call"]
        self._admit = self._found["admit"]
        self._finished = self._found["call_finished"]
        self._changed = self._found["account_changed"]

    def cost(self, plugin: str, hook: str) -> Implementation | None:
        """What `hook` of `plugin` cost so far, and how often it failed; None where it has no such hook."""
        return next((found for found in self._found[hook] if found.plugin == plugin), None)

    @property
    def errors(self) -> dict[tuple[str, str], int]:
        """How often each hook of each plugin failed, where it did."""
        every = (found for hook in self._found.values() for found in hook)
        return {(found.plugin, found.hook): found.errors for found in every if found.errors}

    # --- at start and stop ----------------------------------------------------------------------------------------

    def dialects(self) -> Dialects:
        """All wire formats."""
        return self._collect("register_dialects", Dialects())

    def routes(self) -> Routes:
        """All plain addresses."""
        return self._collect("register_routes", Routes())

    def _collect(self, hook: str, into: T) -> T:
        for found in self._found[hook]:
            found.function(into)
        return into

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncIterator[None]:
        """Every plugin's lifespan, opened in order and closed in reverse."""
        async with AsyncExitStack() as stack:
            for found in self._found["lifespan"]:
                await stack.enter_async_context(_one_lifespan(found, services))
            yield

    def has(self, hook: str) -> bool:
        """Whether some plugin implements `hook`."""
        return bool(self._found[hook])

    # --- on the way of a call -------------------------------------------------------------------------------------

    async def authenticate(self, head: RequestHead) -> Principal | None:
        """The first plugin's answer that is not None."""
        for hook in self._authenticate:
            principal = await hook.run(head)
            if principal is not None:
                return cast(Principal, principal)
        return None

    async def prepare_call(self, call: Call) -> Call:
        """The call after every plugin had it."""
        for hook in self._prepare:
            prepared = await hook.run(call)
            if not isinstance(prepared, Call):
                hook.errors += 1
                raise PluginFailed("a plugin failed", hint=f"{hook.plugin}.prepare_call returned no Call")
            call = prepared
        return call

    async def admit(self, call: Call) -> None:
        """Returns when every plugin lets the call in."""
        for hook in self._admit:
            await hook.run(call)

    async def choose_account(self, call: Call, accounts: Sequence[AccountView]) -> str | None:
        """The name from the first plugin that has one of `accounts` to propose."""
        for hook in self._found["choose_account"]:
            try:
                name = await hook.run(call, accounts)
            except GatewayError:
                continue  # noted already; the pool's own choice serves
            if name is not None:
                return cast(str, name)
        return None

    def chain(self, innermost: Generate) -> Generate:
        """`innermost` wrapped by every plugin's wrap_generate, the first plugin outermost."""
        generate = innermost
        for hook in reversed(self._found["wrap_generate"]):
            generate = self._layer(hook, generate)
        return generate

    def _layer(self, hook: Implementation, inner: Generate) -> Generate:
        async def generate(call: Call) -> AsyncGenerator[Event, None]:
            opened: list[Any] = []

            def tracked(call: Call) -> AsyncGenerator[Event, None]:
                opened.append(inner(call))
                return cast(AsyncGenerator[Event, None], opened[-1])

            begun = perf_counter()
            events = hook.function(call, tracked)
            try:
                async for event in events:
                    yield event
            except GatewayError:
                raise
            except Exception as exc:
                hook.failed()
                raise PluginFailed("a plugin failed", hint=f"{hook.plugin}.wrap_generate") from exc
            finally:
                # Outermost first, and each to its end: with nested generators left to themselves an outer handler
                # ends before the inner `finally` runs, and the account's lease leaks.
                await events.aclose()
                for generator in reversed(opened):
                    await generator.aclose()
                hook.runs += 1
                hook.seconds += perf_counter() - begun

        return generate

    # --- pictures -------------------------------------------------------------------------------------------------

    async def process_image(self, image: Image, call: Call) -> Image:
        """The picture after every plugin had it; one that failed leaves a warning on it."""
        for hook in self._found["process_image"]:
            try:
                image = cast(Image, await hook.run(image, call))
            except GatewayError as exc:
                image = _warned(image, f"{hook.plugin} was skipped: {exc.message}")
        return image

    async def store_image(self, image: Image, call: Call) -> Image:
        """The picture with its URL from the first plugin that keeps it. A plugin that fails ends the search: the picture
        then goes out as bytes, with a warning."""
        for hook in self._found["store_image"]:
            try:
                url = await hook.run(image, call)
            except GatewayError as exc:
                return _warned(image, f"{hook.plugin} could not store it, so it comes as bytes: {exc.message}")
            if url is not None:
                return replace(image, url=url)
        return image

    # --- after a call ---------------------------------------------------------------------------------------------

    def call_finished(self, call: Call, outcome: Outcome) -> Coroutine[Any, Any, None]:
        """Tell every plugin; none can stop another."""
        return self._notify(self._finished, call, outcome)

    def account_changed(self, change: AccountChange) -> Coroutine[Any, Any, None]:
        """Tell every plugin; none can stop another."""
        return self._notify(self._changed, change)

    async def _notify(self, hooks: Sequence[Implementation], *args: Any) -> None:
        for hook in hooks:
            with suppress(GatewayError):  # noted already, and never in the way: the policy of notifications
                await hook.run(*args)


@asynccontextmanager
async def _one_lifespan(hook: Implementation, services: Services) -> AsyncIterator[None]:
    generator = hook.function(services)
    await anext(generator)
    try:
        yield
    finally:
        try:
            await anext(generator, None)
        except Exception:  # noqa: BLE001 - a plugin that fails to close must not keep the others open
            hook.failed()


@types.coroutine
def _rest(work: Coroutine[Any, Any, T], waits_for: Any) -> Generator[Any, Any, T]:
    """What is left of `work`, which has begun and waits for `waits_for`."""
    try:
        while True:
            try:
                sent = yield waits_for
            except BaseException as exc:  # noqa: BLE001 - a cancellation, too, is for the work to see
                waits_for = work.throw(exc)
            else:
                waits_for = work.send(sent)
    except StopIteration as done:
        return cast(T, done.value)


def _warned(image: Image, warning: str) -> Image:
    return replace(image, warnings=(*image.warnings, warning))
