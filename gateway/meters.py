"""The Prometheus metrics of this process. They outlive a reload: plugins that come again get the ones that are there, with
their counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

M = TypeVar("M", Counter, Gauge, Histogram)


class Meters:
    """Makes metrics and keeps them, in `registry`. A name that is asked for again gives the metric that has it; one with
    other labels or buckets, as a newer version of a plugin may ask for, takes its place."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made: dict[str, tuple[Counter | Gauge | Histogram, tuple[object, ...]]] = {}
        self._refreshing: list[Callable[[], None]] = []

    def counter(self, name: str, documentation: str, labels: Sequence[str] = ()) -> Counter:
        """A number that only grows; shown as `name_total`."""
        return self._metric(Counter, name, documentation, labels)

    def gauge(self, name: str, documentation: str, labels: Sequence[str] = (), *, workers: str = "all") -> Gauge:
        """A number that goes up and down; `workers` says how those of several processes become one (prometheus_client's
        multiprocess_mode)."""
        return self._metric(Gauge, name, documentation, labels, multiprocess_mode=workers)

    def histogram(
        self, name: str, documentation: str, labels: Sequence[str] = (), *, buckets: Sequence[float]
    ) -> Histogram:
        """How often a value was at most each of `buckets`."""
        return self._metric(Histogram, name, documentation, labels, buckets=tuple(buckets))

    def _metric(self, kind: type[M], name: str, documentation: str, labels: Sequence[str], **options: Any) -> M:
        wanted = (kind, tuple(labels), *options.items())
        if name in self._made:
            metric, like = self._made[name]
            if like == wanted and isinstance(metric, kind):
                return metric
            self.registry.unregister(metric)
        made = kind(name, documentation, labels, registry=self.registry, **options)
        self._made[name] = made, wanted
        return made

    # --- what is looked up when somebody reads ------------------------------------------------------------------------

    @contextmanager
    def refreshed_by(self, look: Callable[[], None]) -> Iterator[None]:
        """Let `look` set gauges before they are read, while the context lasts. The last to come looks alone: during a
        reload that is the one who knows the new settings."""
        self._refreshing.append(look)
        try:
            yield
        finally:
            self._refreshing.remove(look)

    def refresh(self) -> None:
        """Set the gauges that are looked up."""
        if self._refreshing:
            self._refreshing[-1]()
