"""Runs the hooks: one colour, one way of combining and one error policy each (`hookspecs.HOOKS`). Everything that can be
bound is bound at start; per call there is no search, no sorting and no inspection."""

from __future__ import annotations

import asyncio
import logging
import types
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from time import perf_counter
from typing import Any, TypeVar, cast

from gateway.errors import GatewayError, PluginFailed
from gateway.hookspecs import HOOKS, Dialects, Generate, Routes, Services
from gateway.model import AccountChange, AccountView, Call, Event, Image, Outcome, Principal, RequestHead

log = logging.getLogger(__name__)
T = TypeVar("T")

# One bound implementation: the plugin's name, and a callable that takes the spec's arguments by position.
Bound = tuple[str, Callable[..., Any]]


class Hooks:
    """The hooks of the enabled plugins, ready to run. `implementations` maps a hook's name to its bound
    implementations in plugin order; `timeout_s` bounds each coroutine hook."""

    def __init__(self, implementations: dict[str, Sequence[Bound]], timeout_s: float = 10) -> None:
        self._found = {name: tuple(implementations.get(name, ())) for name in HOOKS}
        self._timeout_s = timeout_s
        self.errors: Counter[tuple[str, str]] = Counter()
        # What each implementation cost: [times run, seconds in all]; of a wrap_generate with the answer inside it.
        self.spent: dict[tuple[str, str], list[float]] = {
            (plugin, name): [0, 0.0] for name, found in self._found.items() for plugin, _ in found
        }
        self._authenticate = self._found["authenticate"]
        self._prepare = self._found["prepare_call"]
        self._admit = self._found["admit"]
        self._finished = self._found["call_finished"]
        self._changed = self._found["account_changed"]

    # --- at start and stop ----------------------------------------------------------------------------------------

    def dialects(self) -> Dialects:
        """All wire formats."""
        return self._collect("register_dialects", Dialects())

    def routes(self) -> Routes:
        """All plain addresses."""
        return self._collect("register_routes", Routes())

    def _collect(self, hook: str, into: T) -> T:
        for _, function in self._found[hook]:
            function(into)
        return into

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncIterator[None]:
        """Every plugin's lifespan, opened in order and closed in reverse."""
        async with AsyncExitStack() as stack:
            for plugin, function in self._found["lifespan"]:
                await stack.enter_async_context(self._one_lifespan(plugin, function, services))
            yield

    @asynccontextmanager
    async def _one_lifespan(self, plugin: str, function: Callable[..., Any], services: Services) -> AsyncIterator[None]:
        generator = function(services)
        await anext(generator)
        try:
            yield
        finally:
            try:
                await anext(generator, None)
            except Exception:  # noqa: BLE001 - a plugin that fails to close must not keep the others open
                self._note(plugin, "lifespan")

    def has(self, hook: str) -> bool:
        """Whether some plugin implements `hook`."""
        return bool(self._found[hook])

    # --- on the way of a call -------------------------------------------------------------------------------------

    async def authenticate(self, head: RequestHead) -> Principal | None:
        """The first plugin's answer that is not None."""
        for plugin, function in self._authenticate:
            found = await self._run(plugin, "authenticate", function, head)
            if found is not None:
                return cast(Principal, found)
        return None

    async def prepare_call(self, call: Call) -> Call:
        """The call after every plugin had it."""
        for plugin, function in self._prepare:
            prepared = await self._run(plugin, "prepare_call", function, call)
            if not isinstance(prepared, Call):
                self._count(plugin, "prepare_call")
                raise PluginFailed("a plugin failed", hint=f"{plugin}.prepare_call returned no Call")
            call = prepared
        return call

    async def admit(self, call: Call) -> None:
        """Returns when every plugin lets the call in."""
        for plugin, function in self._admit:
            await self._run(plugin, "admit", function, call)

    async def choose_account(self, call: Call, accounts: Sequence[AccountView]) -> str | None:
        """The name from the first plugin that has one of `accounts` to propose."""
        for plugin, function in self._found["choose_account"]:
            try:
                name = await self._run(plugin, "choose_account", function, call, accounts)
            except GatewayError:
                continue  # noted already; the pool's own choice serves
            if name is not None:
                return cast(str, name)
        return None

    def chain(self, innermost: Generate) -> Generate:
        """`innermost` wrapped by every plugin's wrap_generate, the first plugin outermost."""
        generate = innermost
        for plugin, function in reversed(self._found["wrap_generate"]):
            generate = self._layer(plugin, function, generate)
        return generate

    def _layer(self, plugin: str, function: Callable[..., Any], inner: Generate) -> Generate:
        async def generate(call: Call) -> AsyncGenerator[Event, None]:
            opened: list[Any] = []

            def tracked(call: Call) -> AsyncGenerator[Event, None]:
                opened.append(inner(call))
                return cast(AsyncGenerator[Event, None], opened[-1])

            begun = perf_counter()
            events = function(call, tracked)
            try:
                async for event in events:
                    yield event
            except GatewayError:
                raise
            except Exception as exc:
                self._note(plugin, "wrap_generate")
                raise PluginFailed("a plugin failed", hint=f"{plugin}.wrap_generate") from exc
            finally:
                # Outermost first, and each to its end: with nested generators left to themselves an outer handler
                # ends before the inner `finally` runs, and the account's lease leaks.
                await events.aclose()
                for generator in reversed(opened):
                    await generator.aclose()
                self._add(plugin, "wrap_generate", begun)

        return generate

    # --- pictures -------------------------------------------------------------------------------------------------

    async def process_image(self, image: Image, call: Call) -> Image:
        """The picture after every plugin had it; one that failed leaves a warning on it."""
        for plugin, function in self._found["process_image"]:
            try:
                image = cast(Image, await self._run(plugin, "process_image", function, image, call))
            except GatewayError as exc:
                image = _warned(image, f"{plugin} was skipped: {exc.message}")
        return image

    async def store_image(self, image: Image, call: Call) -> Image:
        """The picture with its URL from the first plugin that keeps it. A plugin that fails ends the search: the picture
        then goes out as bytes, with a warning."""
        for plugin, function in self._found["store_image"]:
            try:
                url = await self._run(plugin, "store_image", function, image, call)
            except GatewayError as exc:
                return _warned(image, f"{plugin} could not store it, so it comes as bytes: {exc.message}")
            if url is not None:
                return replace(image, url=url)
        return image

    # --- after a call ---------------------------------------------------------------------------------------------

    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        """Tell every plugin; none can stop another."""
        await self._notify("call_finished", self._finished, call, outcome)

    async def account_changed(self, change: AccountChange) -> None:
        """Tell every plugin; none can stop another."""
        await self._notify("account_changed", self._changed, change)

    async def _notify(self, hook: str, found: Sequence[Bound], *args: Any) -> None:
        for plugin, function in found:
            begun = perf_counter()
            try:
                await _within(self._timeout_s, function(*args))
            except Exception:  # noqa: BLE001 - the policy of notifications: logged, counted, never in the way
                self._note(plugin, hook)
            finally:
                self._add(plugin, hook, begun)

    async def _run(self, plugin: str, hook: str, function: Callable[..., Coroutine[Any, Any, Any]], *arguments: Any) -> Any:
        begun = perf_counter()
        try:
            return await _within(self._timeout_s, function(*arguments))
        except GatewayError:
            raise
        except Exception as exc:
            self._note(plugin, hook)
            raise PluginFailed("a plugin failed", hint=f"{plugin}.{hook}: {type(exc).__name__}") from exc
        finally:
            self._add(plugin, hook, begun)

    def _add(self, plugin: str, hook: str, begun: float) -> None:
        spent = self.spent[plugin, hook]
        spent[0] += 1
        spent[1] += perf_counter() - begun

    def _note(self, plugin: str, hook: str) -> None:
        self._count(plugin, hook)
        log.exception("plugin %s failed in %s", plugin, hook)

    def _count(self, plugin: str, hook: str) -> None:
        self.errors[plugin, hook] += 1


async def _within(seconds: float, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which gets `seconds`. Most hooks never wait for anything: only for one that does is there a
    timer, since making one costs more than such a hook does."""
    try:
        waits_for = work.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    async with asyncio.timeout(seconds):
        return await _rest(work, waits_for)


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
