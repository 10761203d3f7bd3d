"""Prometheus metrics at `/metrics`, and on an address of their own if one is set. Labels come from bounded sets: no text of
a caller becomes a label."""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter as Count
from collections.abc import AsyncIterator, Iterator
from functools import cache

from aiohttp import web
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from gateway.hookspecs import Routes, Services, hookimpl
from gateway.model import AccountChange, Call, Outcome

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_STATES = ("starting", "ready", "cooling", "expired", "rejected", "disabled")


class Settings(BaseModel):
    """Who may read them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    listen: str = Field("", description="host:port of a listener of their own; then /metrics is not on the main one.")
    key: SecretStr | None = Field(None, description="Bearer key; without one they are open on loopback only.")


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gateway: Services | None = None
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "gateway_requests", "Requests by how they ended", ["dialect", "model", "outcome"], registry=registry
        )
        labels = ["dialect", "model"]
        self._duration = Histogram(
            "gateway_request_seconds", "Whole requests that went well", labels, buckets=_SECONDS, registry=registry
        )
        self._first = Histogram(
            "gateway_first_content_seconds", "Time to the first content", labels, buckets=_SECONDS, registry=registry
        )
        self._tokens = Counter(
            "gateway_tokens", "Estimated tokens, by direction", ["model", "direction"], registry=registry
        )
        self._attempts = Counter("gateway_attempts", "Attempts at accounts", ["account"], registry=registry)
        self._refused = Counter("gateway_rate_limited", "Refusals by our own limits", ["key"], registry=registry)
        self._changes = Counter(
            "gateway_account_changes", "Accounts that changed state", ["account", "state"], registry=registry
        )
        registry.register(_Live(self))
        # Looking labels up takes locks and tuples, for each of them; the sets are bounded.
        self._ended = cache(self._requests.labels)
        self._tried = cache(self._attempts.labels)
        self._series = cache(self._of_model)

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

    def live(self) -> Iterator[Metric]:
        """What is looked up at the time of the scrape."""
        if (gateway := self._gateway) is None:
            return
        views = gateway.accounts()
        states = Count(view.state for view in views)
        accounts = GaugeMetricFamily("gateway_accounts", "Accounts by state", labels=["state"])
        for state in _STATES:
            accounts.add_metric([state], states.get(state, 0))
        yield accounts
        leases = GaugeMetricFamily("gateway_leases", "Calls that hold an account", labels=["account"])
        for view in views:
            leases.add_metric([view.name], view.in_flight)
        yield leases
        yield GaugeMetricFamily("gateway_queue", "Calls that wait for an account", value=gateway.queued())
        errors = GaugeMetricFamily("gateway_plugin_errors", "Exceptions by plugin and hook", labels=["plugin", "hook"])
        for (plugin, hook), count in gateway.hook_errors().items():
            errors.add_metric([plugin, hook], count)
        yield errors

    # --- showing --------------------------------------------------------------------------------------------------

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        self._gateway = gateway
        if not self._settings.listen:
            yield
            return
        host, _, port = self._settings.listen.rpartition(":")
        app = web.Application()
        app.router.add_get("/metrics", self._scrape)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, host.strip("[]") or "127.0.0.1", int(port)).start()
        try:
            yield
        finally:
            await runner.cleanup()

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
        body = await asyncio.to_thread(self._text)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    def _text(self) -> bytes:
        others = generate_latest(self._gateway.metrics) if self._gateway else b""
        return generate_latest(self._registry) + others


class _Live:
    """Lets the registry ask the plugin at each scrape."""

    def __init__(self, plugin: Plugin) -> None:
        self._plugin = plugin

    def collect(self) -> Iterator[Metric]:
        return self._plugin.live()
