"""How an account fares: state + outcome + now -> state. Pure, so that days pass in milliseconds in its tests.

| error                | what is taken out             | for how long                                                    |
|----------------------|-------------------------------|-----------------------------------------------------------------|
| AccountExhausted     | the account for that model    | its reset time, else 1 h                                        |
| EgressBlocked        | the egress, all behind it     | Retry-After, else 2 h                                           |
| AccountExpired       | the account                   | until it signs in again; tried after 30 s, 1, 2, ... min, 1 h   |
| AccountRejected      | the account                   | until it signs in again; tried every 1 h                        |
| UpstreamUnavailable, | the account, after the third  | 5 s, doubled for each further one, at most 5 min; then one call |
| -Timeout, -Changed   | in a row                      | is let through as a probe                                       |

Success clears the count. The pool never leaves out all accounts for failures that may pass: the one whose time ends
first serves as the probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from gateway.errors import AccountExhausted, AccountExpired, AccountRejected, EgressBlocked, GatewayError, UpstreamError

STRIKES = 3
COOL_FIRST_S, COOL_MOST_S = 5.0, 300.0
EXHAUSTED_S = 3600.0
BLOCKED_S = 7200.0
SIGN_IN_FIRST_S, SIGN_IN_MOST_S = 30.0, 3600.0


class State(StrEnum):
    """What the pool does with an account."""

    STARTING = "starting"
    READY = "ready"
    COOLING = "cooling"
    EXPIRED = "expired"
    REJECTED = "rejected"
    DISABLED = "disabled"


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
    if health.state is State.READY and not health.strikes and not health.models:
        return health
    models = {name: until for name, until in health.models.items() if until > now and name != model_id}
    return replace(health, state=State.READY, reason="", until=0.0, strikes=0, models=models)


def failed(health: Health, error: GatewayError, model_id: str, now: float) -> Health:
    """A call, or signing in, failed with `error`."""
    match error:
        case AccountExhausted():
            until = now + (error.retry_after or EXHAUSTED_S)
            return replace(health, models={**health.models, model_id: until})
        case AccountExpired():
            return _out(health, State.EXPIRED, error, now, SIGN_IN_FIRST_S)
        case AccountRejected():
            return _out(health, State.REJECTED, error, now, SIGN_IN_MOST_S)
        case EgressBlocked():
            return health
        case UpstreamError() if health.state is State.STARTING:
            return _out(health, State.STARTING, error, now, COOL_FIRST_S)
        case UpstreamError():
            return _strike(health, error, now)
        case _:
            return health


def blocked_for(error: EgressBlocked) -> float:
    """Seconds that the egress behind `error` rests."""
    return error.retry_after or BLOCKED_S


def _strike(health: Health, error: GatewayError, now: float) -> Health:
    strikes = health.strikes + 1
    if strikes < STRIKES:
        return replace(health, strikes=strikes)
    rest = min(COOL_FIRST_S * 2 ** (strikes - STRIKES), COOL_MOST_S)
    return replace(health, state=State.COOLING, reason=error.message, until=now + rest, strikes=strikes)


def _out(health: Health, state: State, error: GatewayError, now: float, first: float) -> Health:
    strikes = health.strikes + 1 if health.state is state else 0
    rest = min(first * 2**strikes, SIGN_IN_MOST_S)
    return replace(health, state=state, reason=error.message, until=now + rest, strikes=strikes)
