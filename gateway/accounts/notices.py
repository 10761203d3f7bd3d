"""What replicas tell each other of accounts and egresses beside cookies: what is used up, what rests until when, which
egress is blocked. Talks to the state store, never on the way of a call."""

from __future__ import annotations

import math
import secrets
from contextlib import suppress
from dataclasses import replace

from gateway.accounts import knowledge
from gateway.accounts.account import Account, Egress
from gateway.accounts.knowledge import Knowledge
from gateway.accounts.pool import Pool
from gateway.state.store import StateAway, StateStore

# Another text after every notice, whoever wrote it.
_VERSION = "notices-version"


class Notices:
    """The notices about the accounts of `pool`, in `state`."""

    def __init__(self, pool: Pool, state: StateStore) -> None:
        self._pool = pool
        self._state = state
        self._heard: bytes | None = None

    async def tell(self, account: Account) -> None:
        """Let the other replicas know what this one knows of the account and its egress."""
        told = Knowledge(
            account.allowance_read, account.allowance, dict(account.health.models), tuple(sorted(account.guessed))
        )
        egress = account.egress
        left = egress.blocked_until - self._pool.clock()
        with suppress(StateAway):
            await self._state.put(_about(account), knowledge.encode(told), seconds=knowledge.KEPT_S)
            if left > 0:
                await self._state.put(_about_egress(egress), repr(egress.blocked_until).encode(), seconds=left)
            await self._state.put(_VERSION, secrets.token_hex(8).encode(), seconds=knowledge.KEPT_S)

    async def hear(self) -> None:
        """Take over what others told since the last time: one read where nobody did."""
        with suppress(StateAway):
            version = await self._state.get(_VERSION)
            if version == self._heard:
                return
            for account in list(self._pool.accounts):
                await self.learn(account)
            for egress in {account.egress.name: account.egress for account in self._pool.accounts}.values():
                await self._learn_of(egress)
            self._heard = version

    async def learn(self, account: Account) -> None:
        """Take over what another replica knows better of the account. Raises StateAway."""
        told, now = knowledge.decode(await self._state.get(_about(account))), self._pool.clock()
        if told.read is not None and told.read > (account.allowance_read or -math.inf):
            account.allowance, account.allowance_read = told.allowance, told.read
        own = account.health.models
        news = {
            name: until
            for name, until in told.models.items()
            if until > now and (name not in own or (name in account.guessed and name not in told.guessed))
        }
        if news:
            account.health = replace(account.health, models={**own, **news})
            account.guessed = (account.guessed - news.keys()) | (news.keys() & set(told.guessed))

    async def _learn_of(self, egress: Egress) -> None:
        until = knowledge.instant(await self._state.get(_about_egress(egress)))
        egress.blocked_until = max(egress.blocked_until, until)


def _about(account: Account) -> str:
    return f"knowledge:{account.name}"


def _about_egress(egress: Egress) -> str:
    return f"blocked:{egress.name}"
