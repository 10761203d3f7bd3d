"""Metrics of plugins that are loaded again, or in another version."""

from __future__ import annotations

from prometheus_client import generate_latest

from gateway.meters import Meters


def test_a_metric_that_is_asked_for_again_goes_on_counting() -> None:
    meters = Meters()
    meters.counter("things", "Things", ["kind"]).labels("a").inc()
    meters.counter("things", "Things", ["kind"]).labels("a").inc()
    assert b'things_total{kind="a"} 2.0' in generate_latest(meters.registry)


def test_one_with_other_labels_or_buckets_takes_the_place_of_the_old() -> None:
    meters = Meters()
    meters.counter("things", "Things", ["kind"]).labels("a").inc()
    meters.counter("things", "Things", ["sort"]).labels("b").inc()
    meters.histogram("seconds", "Time", buckets=[1]).observe(0.5)
    meters.histogram("seconds", "Time", buckets=[2]).observe(0.5)
    text = generate_latest(meters.registry).decode()
    assert 'sort="b"' in text and 'kind="a"' not in text
    assert 'seconds_bucket{le="2.0"} 1.0' in text and 'le="1.0"' not in text


def test_a_name_that_becomes_another_kind_of_metric_starts_anew() -> None:
    meters = Meters()
    meters.counter("things", "Things").inc()
    gauge = meters.gauge("things", "Things")
    gauge.set(7)
    assert b"things 7.0" in generate_latest(meters.registry)


def test_the_last_to_come_sets_the_gauges_until_it_goes() -> None:
    meters = Meters()
    gauge = meters.gauge("size", "Size")
    with meters.refreshed_by(lambda: gauge.set(1)):
        with meters.refreshed_by(lambda: gauge.set(2)):
            meters.refresh()
            assert b"size 2.0" in generate_latest(meters.registry)
        meters.refresh()
        assert b"size 1.0" in generate_latest(meters.registry)
    meters.refresh()
