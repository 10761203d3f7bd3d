"""The one table of failures: the page shows what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.accounts.health import FAILURES, Failure, Health, State, failed, failure_table, succeeded
from gateway.errors import AccountExhausted, AccountExpired, UpstreamError, UpstreamUnavailable

PAGE = Path(__file__).parent.parent.parent / "docs" / "accounts.md"
READY = Health(State.READY, "")


def test_the_page_has_the_table_of_the_code() -> None:
    assert failure_table() in PAGE.read_text("utf-8")


# An answer that does not fit what was asked is the model's: these are raised above the pool, and take no account out.
KINDS = [kind for kind in UpstreamError.__subclasses__() if kind.__name__ not in ("InvalidAnswer", "NoPicture")]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_failure_of_the_upstream_has_a_row(kind: type[UpstreamError]) -> None:
    assert kind in {row.error for row in FAILURES}


@pytest.mark.parametrize("row", FAILURES, ids=lambda row: row.error.__name__)
def test_a_row_is_what_happens(row: Failure) -> None:
    health = READY
    for _ in range(3 if row.state is State.COOLING else 1):
        health = failed(health, row.error("x"), "flash", 100.0)
    if row.takes == "model":
        assert (health.state, health.models) == (State.READY, {"flash": 100.0 + row.first_s})
    elif row.takes == "egress":
        assert health == READY
    else:
        assert (health.state, health.until) == (row.state, 100.0 + row.first_s)


def test_what_google_says_of_the_time_counts_more() -> None:
    assert failed(READY, AccountExhausted("x", retry_after=60), "flash", 0.0).models == {"flash": 60.0}


def test_a_dead_account_is_not_revived_by_an_old_answer_or_by_trouble_in_between() -> None:
    dead = failed(READY, AccountExpired("signed out"), "flash", 0.0)
    assert succeeded(dead, "flash", 1.0) is dead
    for _ in range(5):
        dead = failed(dead, UpstreamUnavailable("500"), "", 1000.0)
        assert (dead.state, dead.reason) == (State.EXPIRED, "signed out") and dead.until > 1000.0
