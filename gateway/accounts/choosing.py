"""Which account serves a call, and why none does. Looks at accounts; takes none, waits for none."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.accounts.account import Account
from gateway.accounts.catalogue import Catalogue, PublicModel
from gateway.accounts.health import State
from gateway.errors import AccountExhausted, ContextTooLong, EgressBlocked, GatewayError, NoAccount, Overloaded
from gateway.model import Call
from gateway.upstream.protocol import Offer

_SIGNED_IN = (State.READY, State.COOLING)


@dataclass(frozen=True, slots=True)
class Choice:
    """An account that is free for a call, and the model with which it would serve it. `rank` is how far that model is
    from the one asked for (0: exactly that)."""

    account: Account
    offer: Offer
    rank: int


class Chooser:
    """Chooses among accounts for calls. `clock` gives seconds since 1970."""

    def __init__(self, catalogue: Catalogue, *, strict: bool, clock: Callable[[], float]) -> None:
        self._catalogue = catalogue
        self._strict = strict
        self._clock = clock

    def free(self, accounts: Sequence[Account], call: Call, model: PublicModel) -> list[Choice]:
        """The free accounts that would serve the call equally well, the least busy first: nobody is given a smaller
        model, or a guest's, while another account has the right one."""
        now = self._clock()
        found = [
            Choice(account, *match)
            for account in accounts
            if account.in_flight < account.capacity
            and account.egress.full_until <= now
            and (match := self._could_serve(account, call, model, now)) is not None
        ]
        if len(found) < 2:
            return found
        best = min(map(_worth, found))
        return sorted((choice for choice in found if _worth(choice) == best), key=_load)

    def _could_serve(self, account: Account, call: Call, model: PublicModel, now: float) -> tuple[Offer, int] | None:
        """What the account would serve the call with, if it were free; None when it is out of question."""
        if account.egress.blocked_until > now or account.egress.name in call.tried.egresses:
            return None
        if account.name in call.tried.accounts or (found := self._has(account, call, model)) is None:
            return None
        if account.health.serves(found[0].id, now):
            # A rested account gets one call as a probe, not all that wait.
            return None if account.health.state is State.COOLING and account.in_flight else found
        return None

    def _has(self, account: Account, call: Call, model: PublicModel) -> tuple[Offer, int] | None:
        """What the account has for the call, whether or not it serves anybody now."""
        if not self._allowed(account, call) or call.prompt_tokens > (account.profile.window if account.profile else 0):
            return None
        return self._catalogue.match(model, account.offers, strict=self._strict)

    def _allowed(self, account: Account, call: Call) -> bool:
        allowed = call.principal.accounts
        return not account.is_out and (allowed is None or account.name in allowed)

    def wait(self, accounts: Sequence[Account], call: Call, model: PublicModel) -> float:
        """Seconds, at least 1, until one of `accounts` would serve the call if it were sent again."""
        now = self._clock()
        times = [
            max(account.egress.blocked_until, account.health.until, account.health.models.get(found[0].id, 0.0))
            for account in accounts
            if account.health.state in _SIGNED_IN and (found := self._has(account, call, model)) is not None
        ]
        return max(1.0, math.ceil(min(times, default=now) - now))

    # --- when there is none ---------------------------------------------------------------------------------------

    def hope(self, accounts: Sequence[Account], call: Call, model: PublicModel) -> Account | None:
        """To be asked when `free` finds none. Returns None when waiting has a point: some account that fits is busy, or
        still signing in; or an account that rests and may be tried before its time, because all that could serve do.
        Else raises the error that says best why there is none, with the time at which to come back."""
        now = self._clock()
        candidates = [account for account in accounts if self._allowed(account, call)]
        if not candidates:
            raise NoAccount("No Gemini account is configured for this key", retry_after=60)
        fresh = [account for account in candidates if account.name not in call.tried.accounts]
        fresh = [account for account in fresh if account.egress.name not in call.tried.egresses]
        able = [account for account in fresh if self._could_serve(account, call, model, now)]
        if any(account.in_flight >= account.capacity and account.egress.full_until <= now for account in able):
            return None
        if able:
            wait = math.ceil(min(account.egress.full_until for account in able) - now)
            raise Overloaded("The request budget of the gateway's network address is used up", retry_after=max(1, wait))
        if any(_is_signing_in(account, now) or self._is_probed(account, model, now) for account in fresh):
            return None
        if (probe := self._soonest(fresh, call, model, now)) is not None:
            return probe
        raise self._verdict(fresh or candidates, call, model, now)

    def _is_probed(self, account: Account, model: PublicModel, now: float) -> bool:
        """Whether a call is finding out just now if the account serves again."""
        found = self._catalogue.match(model, account.offers, strict=self._strict)
        rested = account.health.state is State.COOLING and account.in_flight > 0
        return rested and found is not None and account.health.serves(found[0].id, now)

    def _soonest(self, accounts: Sequence[Account], call: Call, model: PublicModel, now: float) -> Account | None:
        cooling = [
            account
            for account in accounts
            if account.health.state is State.COOLING and not account.in_flight and account.egress.blocked_until <= now
            and (found := self._catalogue.match(model, account.offers, strict=self._strict))
            and account.health.models.get(found[0].id, 0.0) <= now
        ]
        return min(cooling, key=lambda account: account.health.until, default=None)

    def _verdict(self, accounts: Sequence[Account], call: Call, model: PublicModel, now: float) -> GatewayError:
        """Why none of `accounts` can serve the call."""
        unblocked = [account for account in accounts if account.egress.blocked_until <= now]
        if not unblocked:
            wait = min(account.egress.blocked_until for account in accounts) - now
            return EgressBlocked("Google blocks the gateway's network address", retry_after=math.ceil(wait))
        signed_in = [a for a in unblocked if a.health.state in _SIGNED_IN]
        windows = [account.profile.window for account in signed_in if account.profile]
        if windows and call.prompt_tokens > max(windows):
            return ContextTooLong(
                f"The conversation has about {call.prompt_tokens} tokens; the accounts take {max(windows)}",
                param="messages",
            )
        matches = [(a, self._catalogue.match(model, a.offers, strict=self._strict)) for a in signed_in]
        resets = [account.health.models.get(found[0].id, 0.0) for account, found in matches if found]
        if resets and min(resets) > now:
            wait = math.ceil(min(resets) - now)
            return AccountExhausted(f"The usage limit for {model.name} is reached", retry_after=wait)
        if signed_in and not resets:
            return NoAccount(f"No account offers {model.name}", retry_after=3600)
        wait = min((account.health.until for account in unblocked), default=now + 30) - now
        return NoAccount("No Gemini account can serve this now", retry_after=max(1, math.ceil(wait)))


def _worth(choice: Choice) -> tuple[bool, int]:
    return choice.account.is_guest, choice.rank


def _load(choice: Choice) -> tuple[float, float]:
    return choice.account.in_flight / choice.account.capacity, choice.account.last_used


def _is_signing_in(account: Account, now: float) -> bool:
    task = account.signing_in
    return task is not None and not task.done() and account.egress.blocked_until <= now
