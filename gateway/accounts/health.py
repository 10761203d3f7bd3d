"""How an account fares: state + outcome + now -> state. Pure, so that days pass in milliseconds in its tests.

`FAILURES` is the one table of what a failure takes out of the pool and what brings it back; docs/accounts.md shows it.
Success clears the count. The pool never leaves out all accounts for failures that may pass: the one whose time ends
first serves as the probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Literal

from gateway.errors import (
    AccountExhausted,
    AccountExpired,
    AccountRejected,
    EgressBlocked,
    GatewayError,
    UpstreamChanged,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)

STRIKES = 3


class State(StrEnum):
    """What the pool does with an account. UNREACHABLE is one that has not signed in yet because something that may pass
    was in the way: no network, no answer, none that is understood. It is tried again."""

    STARTING = "starting"
    UNREACHABLE = "unreachable"
    READY = "ready"
    COOLING = "cooling"
    EXPIRED = "expired"
    REJECTED = "rejected"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class Failure:
    """A row of the table. `takes` is what is out: the account for one model, the account, or the egress with all
    accounts behind it; `state` the account's then. It is out for what Google says, else for `first_s`, doubled for each
    failure in a row up to `most_s`. `meaning` and `then` are for people."""

    error: type[UpstreamError]
    takes: Literal["model", "account", "egress"]
    state: State
    first_s: float
    most_s: float
    meaning: str
    then: str


FAILURES = (
    Failure(AccountExhausted, "model", State.READY, 3600, 3600,
            "usage limit (1037, 1185, HTTP 429)", "back at the reset time that the site tells"),
    Failure(AccountExpired, "account", State.EXPIRED, 30, 3600,
            "signed out: dead cookies, HTTP 401, rejected session, answers as a guest",
            "one rotation is tried, then it needs cookies; signing in is tried again meanwhile"),
    Failure(AccountRejected, "account", State.REJECTED, 3600, 3600,
            "region, terms of service, guardian, account rejected: the reason is told in words",
            "signing in is tried again; its cookies are kept alive"),
    Failure(EgressBlocked, "egress", State.READY, 7200, 7200,
            "1060, captcha or consent page", "back after that time; calls go out through other proxies meanwhile"),
    Failure(UpstreamUnavailable, "account", State.COOLING, 5, 300,
            "5xx, reset, empty answer, 1013 and unknown codes", "out after the third in a row; then one call probes it"),
    Failure(UpstreamTimeout, "account", State.COOLING, 5, 300,
            "no first byte, a stall, the total time", "as above"),
    Failure(UpstreamChanged, "account", State.COOLING, 5, 300,
            "nothing that this version understands", "as above, and it signs in anew"),
)


def failure_of(error: UpstreamError) -> Failure:
    """The row for `error`; a kind of its own is one that may pass."""
    return next((row for row in FAILURES if isinstance(error, row.error)), _MAY_PASS)


_MAY_PASS = next(row for row in FAILURES if row.error is UpstreamUnavailable)


def failure_table() -> str:
    """The table in Markdown, for docs/accounts.md."""
    lines = ["| what happens | error | what is out | for how long | then |", "|---|---|---|---|---|"]
    words = {"model": "the account for that model", "account": "the account", "egress": "the proxy, all accounts behind it"}
    for row in FAILURES:
        span = _spoken(row.first_s) + (f", doubled to {_spoken(row.most_s)}" if row.most_s > row.first_s else "")
        lines.append(f"| {row.meaning} | {row.error.__name__} | {words[row.takes]} | {span} | {row.then} |")
    return "\n".join(lines) + "\n"


def _spoken(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"


@dataclass(frozen=True, slots=True)
class Health:
    """`until` is when the account is tried again, `models` when each exhausted model is; seconds of one clock."""

    state: State = State.STARTING
    reason: str = "not signed in yet"
    until: float = 0.0
    strikes: int = 0
    models: Mapping[str, float] = field(default_factory=dict)

    def serves(self, model_id: str, now: float) -> bool:
        """Whether a call for `model_id` may go to the account now. A cooling account whose time is over serves again:
        its next call is the probe."""
        rested = self.state is State.COOLING and now >= self.until
        return (self.state is State.READY or rested) and self.models.get(model_id, 0.0) <= now


def signed_in(health: Health) -> Health:
    """The account signed in."""
    return replace(health, state=State.READY, reason="", until=0.0, strikes=0)


def succeeded(health: Health, model_id: str, now: float) -> Health:
    """A call went well."""
    if health.state not in (State.READY, State.COOLING) or not (health.until or health.strikes or health.models):
        return health  # an old answer that ends well revives nobody: signing in does
    models = {name: until for name, until in health.models.items() if until > now and name != model_id}
    return replace(health, state=State.READY, reason="", until=0.0, strikes=0, models=models)


def failed(health: Health, error: GatewayError, model_id: str, now: float) -> Health:
    """A call failed with `error`, or (without a model) signing in did."""
    if not isinstance(error, UpstreamError):
        return health
    row = failure_of(error)
    if row.takes == "egress":
        return health
    if row.takes == "model" and model_id:
        return replace(health, models={**health.models, model_id: now + rest_of(error)})
    if row.state in (State.EXPIRED, State.REJECTED):
        return _out(health, row.state, error, now)
    if health.state in (State.READY, State.COOLING):
        return _strike(health, row, error, now)
    if health.state in (State.STARTING, State.UNREACHABLE):
        return _out(health, State.UNREACHABLE, error, now)
    # It did not serve before, and what may pass says nothing new about why.
    return replace(_out(health, health.state, error, now), reason=health.reason)


def rest_of(error: UpstreamError) -> float:
    """Seconds that what `error` takes out rests: what Google said, else the table's."""
    return error.retry_after or failure_of(error).first_s


def _strike(health: Health, row: Failure, error: GatewayError, now: float) -> Health:
    strikes = health.strikes + 1
    if strikes < STRIKES:
        return replace(health, strikes=strikes)
    rest = min(row.first_s * 2 ** (strikes - STRIKES), row.most_s)
    return replace(health, state=State.COOLING, reason=error.message, until=now + rest, strikes=strikes)


def _out(health: Health, state: State, error: UpstreamError, now: float) -> Health:
    row = failure_of(error)
    strikes = health.strikes + 1 if health.state is state else 0
    rest = max(error.retry_after or 0.0, min(row.first_s * 2.0 ** min(strikes, 30), row.most_s))
    return replace(health, state=state, reason=error.message, until=now + rest, strikes=strikes)
