"""How failures take an account out, and for how long: days in milliseconds."""

from __future__ import annotations

from gateway.accounts.health import Health, State, failed, signed_in, succeeded
from gateway.errors import (
    AccountExhausted,
    AccountExpired,
    AccountRejected,
    EgressBlocked,
    InvalidRequest,
    UpstreamUnavailable,
)

READY = signed_in(Health())


def test_a_usage_limit_takes_out_that_model_until_its_reset() -> None:
    health = failed(READY, AccountExhausted("used up", retry_after=600), "pro", 1000.0)
    assert not health.serves("pro", 1599.0)
    assert health.serves("pro", 1600.0)
    assert health.serves("flash", 1000.0)
    assert succeeded(health, "flash", 1001.0).models == {"pro": 1600.0}


def test_a_failure_that_may_pass_cools_the_account_after_the_third_in_a_row_ever_longer() -> None:
    health = READY
    rests = []
    for _ in range(12):
        health = failed(health, UpstreamUnavailable("500"), "flash", 0.0)
        rests.append(health.until)
    assert rests[:2] == [0.0, 0.0]
    assert rests[2:6] == [5.0, 10.0, 20.0, 40.0]
    assert rests[-1] == 300.0
    assert health.state is State.COOLING and not health.serves("flash", 299.0) and health.serves("flash", 300.0)
    assert succeeded(health, "flash", 301.0) == READY


def test_success_in_between_clears_the_count() -> None:
    health = READY
    for _ in range(20):
        health = failed(health, UpstreamUnavailable("500"), "flash", 0.0)
        health = failed(health, UpstreamUnavailable("500"), "flash", 0.0)
        health = succeeded(health, "flash", 0.0)
    assert health == READY


def test_a_dead_cookie_is_out_until_it_signs_in_again() -> None:
    health = failed(READY, AccountExpired("signed out"), "flash", 0.0)
    assert health.state is State.EXPIRED and not health.serves("flash", 1e9)
    rests = [health.until]
    for _ in range(10):
        health = failed(health, AccountExpired("signed out"), "", 0.0)
        rests.append(health.until)
    assert rests[:4] == [30.0, 60.0, 120.0, 240.0] and rests[-1] == 3600.0
    assert signed_in(health).serves("flash", 0.0)


def test_an_account_that_cannot_be_reached_says_so_until_it_signs_in_or_google_says_more() -> None:
    health = failed(Health(), UpstreamUnavailable("The connection to Gemini broke"), "", 0.0)
    assert (health.state, health.reason, health.until) == (State.UNREACHABLE, "The connection to Gemini broke", 5.0)
    rests = [(health := failed(health, UpstreamUnavailable("no network"), "", 0.0)).until for _ in range(8)]
    assert rests[:3] == [10.0, 20.0, 40.0] and rests[-1] == 300.0
    assert health.reason == "no network" and not health.serves("flash", 1e9)
    assert failed(health, AccountExpired("signed out"), "", 0.0).state is State.EXPIRED
    assert signed_in(health) == READY


def test_a_rejected_account_is_asked_again_every_hour() -> None:
    health = failed(READY, AccountRejected("terms"), "flash", 0.0)
    assert (health.state, health.until) == (State.REJECTED, 3600.0)


def test_neither_a_blocked_address_nor_a_mistake_of_the_caller_is_the_accounts_fault() -> None:
    assert failed(READY, EgressBlocked("captcha"), "flash", 0.0) == READY
    assert failed(READY, InvalidRequest("no"), "flash", 0.0) == READY
