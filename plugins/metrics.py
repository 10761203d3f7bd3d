"""Prometheus metrics at `/metrics`, and on an address of their own if one is set. Labels come from bounded sets: no text of
a caller becomes a label.

With several workers (server.workers) each scrape shows all of them together: prometheus_client keeps the values in files of
the folder PROMETHEUS_MULTIPROC_DIR, which the supervisor sets."""

from __future__ import annotations

import asyncio
import hmac
import os
from collections import Counter as Count
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import cache

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.hookspecs import Routes, Services, hookimpl
from gateway.meters import Meters
from gateway.model import AccountChange, Call, Outcome

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
_REFRESH_S = 1.0
_TIMES = {
    "last_success": ("last_success", "Last answer that went well"),
    "cookies_entered": ("cookies_entered", "When a person brought the cookies"),
    "cookies_renewed": ("cookies_renewed", "When Google last renewed the cookies"),
    "attention_by": ("attention", "When the account will probably need new cookies"),
    "cooldown_until": ("cooldown", "Until when the account is left out"),
}
STATES = ("starting", "unreachable", "ready", "cooling", "expired", "rejected", "disabled")


class Settings(BaseModel):
    """Who may read them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    listen: str = Field("", description="host:port of a listener of their own; then /metrics is not on the main one.")
    key: SecretStr | None = Field(None, description="Bearer key; without one they are open on loopback only.")


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gateway: Services | None = None

    def _count_by(self, meters: Meters) -> None:
        labels = ["dialect", "model"]
        self._requests = meters.counter(
            "gateway_requests", "Requests by how they ended", ["dialect", "model", "outcome"]
        )
        self._duration = meters.histogram(
            "gateway_request_seconds", "Whole requests that went well", labels, buckets=_SECONDS
        )
        self._first = meters.histogram(
            "gateway_first_content_seconds", "Time to the first content", labels, buckets=_SECONDS
        )
        self._tokens = meters.counter("gateway_tokens", "Estimated tokens, by direction", ["model", "direction"])
        self._stages = meters.histogram(
            "gateway_picture_stage_seconds",
            "Stages of picture calls: wait for an account, generate, download, clean (process and encode), store",
            ["stage"],
            buckets=_SECONDS,
        )
        self._attempts = meters.counter("gateway_attempts", "Attempts at accounts", ["account"])
        self._refused = meters.counter("gateway_rate_limited", "Refusals by our own limits", ["key"])
        self._changes = meters.counter("gateway_account_changes", "Accounts that changed state", ["account", "state"])
        # Looking labels up takes locks and tuples, for each of them; the sets are bounded.
        self._ended = cache(self._requests.labels)
        self._tried = cache(self._attempts.labels)
        self._series = cache(self._of_model)
        self._look_up_by(meters)

    def _look_up_by(self, meters: Meters) -> None:
        """What is looked up at the time of a scrape. All workers have the same accounts, but each its own calls on them."""
        self._accounts = meters.gauge("gateway_accounts", "Accounts by state", ["state"], workers="livemax")
        self._leases = meters.gauge("gateway_leases", "Calls that hold an account", ["account"], workers="livesum")
        self._queue = meters.gauge("gateway_queue", "Calls that wait for an account", workers="livesum")
        self._errors = meters.gauge(
            "gateway_plugin_errors", "Exceptions by plugin and hook", ["plugin", "hook"], workers="livesum"
        )
        self._times = {
            field: meters.gauge(
                f"gateway_account_{name}_timestamp_seconds",
                f"{text}, in seconds since 1970; 0: not known, or never",
                ["account"],
                workers="livemax",
            )
            for field, (name, text) in _TIMES.items()
        }
        self._used = meters.gauge(
            "gateway_account_used_ratio", "Used share of a usage window", ["account", "window"], workers="livemax"
        )
        self._rotations = meters.gauge(
            "gateway_account_rotations",
            "Attempts to renew cookies since the start, by result",
            ["account", "result"],
            workers="livesum",
        )
        if _SHARED not in os.environ:  # accounts and plugins that a reload has taken away
            for gauge in (self._leases, self._errors, self._used, self._rotations, *self._times.values()):
                gauge.clear()

    # --- counting -------------------------------------------------------------------------------------------------

    @hookimpl
    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        model = call.model if call.account is not None else "-"
        self._ended(call.dialect, model, outcome.error or "ok").inc()
        if outcome.error == "RateLimited":
            self._refused.labels(call.principal.name).inc()
        if call.account is not None:
            self._tried(call.account).inc(call.attempts)
        first, duration, tokens_in, tokens_out = self._series(call.dialect, model)
        if outcome.first_content_s is not None:
            first.observe(outcome.first_content_s)
        if "download" in call.spent:
            for stage, seconds in call.spent.items():
                self._stages.labels(stage).observe(seconds)
        if outcome.error is None:
            duration.observe(outcome.duration_s)
            tokens_in.inc(outcome.usage.prompt)
            tokens_out.inc(outcome.usage.output + outcome.usage.thoughts)

    def _of_model(self, dialect: str, model: str) -> tuple[Histogram, Histogram, Counter, Counter]:
        """First content, duration, tokens in, tokens out."""
        tokens_in, tokens_out = (self._tokens.labels(model, direction) for direction in ("in", "out"))
        return self._first.labels(dialect, model), self._duration.labels(dialect, model), tokens_in, tokens_out

    @hookimpl
    async def account_changed(self, change: AccountChange) -> None:
        self._changes.labels(change.account, change.after).inc()

    def _refresh(self) -> None:
        if (gateway := self._gateway) is None:
            return
        views = gateway.accounts()
        states = Count(view.state for view in views)
        for state in STATES:
            self._accounts.labels(state).set(states.get(state, 0))
        for view in views:
            self._leases.labels(view.name).set(view.in_flight)
            for field, gauge in self._times.items():
                gauge.labels(view.name).set(getattr(view, field) or 0)
            for window in view.usage:
                self._used.labels(view.name, window.name).set(window.used)
            for result, count in view.rotations.items():
                self._rotations.labels(view.name, result).set(count)
        self._queue.set(gateway.queued())
        for (plugin, hook), count in gateway.hook_errors().items():
            self._errors.labels(plugin, hook).set(count)

    # --- showing --------------------------------------------------------------------------------------------------

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self._gateway = gateway
        self._count_by(gateway.metrics)
        async with AsyncExitStack() as stack:
            stack.enter_context(gateway.metrics.refreshed_by(self._refresh))
            if _SHARED in os.environ:  # another worker may be the one that is scraped
                refreshing = asyncio.create_task(_refresh_for_ever(gateway.metrics), name="refresh shared metrics")
                stack.callback(refreshing.cancel)
            if self._settings.listen:
                await self._listen(stack, gateway)
            yield

    async def _listen(self, stack: AsyncExitStack, gateway: Services) -> None:
        host, _, port = self._settings.listen.rpartition(":")
        bound = stack.enter_context(gateway.sockets.bound(host.strip("[]") or "127.0.0.1", int(port)))
        app = web.Application()
        app.router.add_get("/metrics", self._scrape)
        # aiohttp's own time for heads and for idle connections is an hour.
        patience_s = gateway.settings.server.header_timeout_s
        runner = web.AppRunner(
            app, access_log=None, auto_decompress=False, keepalive_timeout=patience_s, lingering_time=2.0
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.SockSite(runner, bound).start()

    @hookimpl
    def register_routes(self, routes: Routes) -> None:
        if not self._settings.listen:
            routes.add("GET", "/metrics", self._guarded)

    async def _guarded(self, request: web.Request) -> web.Response:
        if self._settings.key is None and self._gateway and not self._gateway.local:
            return web.Response(status=403, text="Set plugins.metrics.key, or plugins.metrics.listen, to read metrics\n")
        return await self._scrape(request)

    async def _scrape(self, request: web.Request) -> web.Response:
        if self._settings.key is not None:
            given = request.headers.get("Authorization", "").removeprefix("Bearer ")
            wanted = self._settings.key.get_secret_value().encode("utf-8", "surrogateescape")
            if not hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted):
                hint = {"WWW-Authenticate": "Bearer"}
                return web.Response(status=401, text="The metrics key is needed\n", headers=hint)
        assert self._gateway is not None
        meters = self._gateway.metrics
        meters.refresh()
        body = await asyncio.to_thread(_text, meters)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


async def _refresh_for_ever(meters: Meters) -> None:
    while True:
        meters.refresh()
        await asyncio.sleep(_REFRESH_S)


def _text(meters: Meters) -> bytes:
    if _SHARED not in os.environ:
        return generate_latest(meters.registry)
    together = CollectorRegistry()
    MultiProcessCollector(together)  # type: ignore[no-untyped-call]
    return generate_latest(together)
