"""Chooses among the free accounts the one that is likely to last: the one that a conversation is used to, else the one with
the most of its usage left. Why is in `call.route`: in the debug log, and in the header `x-gateway-route` for a caller who
sends `x-gateway-explain: 1`, where `explain` allows it."""

from __future__ import annotations

import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from gateway.hookspecs import hookimpl
from gateway.model import AccountView, Call

log = logging.getLogger("gateway.plugins.quota_routing")
_MOST_CONVERSATIONS = 10_000
# What a window says about a model, by a word in its name: the quotas of the kinds of model, beside the two that count all.
_KINDS = ("flash", "pro")
_ALL = ("5h", "week")


class Settings(BaseModel):
    """How long a conversation sticks to an account, and from which use on an account is spared."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    sticky_s: float = Field(1800, ge=0, description="Seconds for which a conversation keeps its account; 0: never.")
    spare_above: float = Field(0.9, gt=0, le=1, description="Used share from which an account is only the last resort.")
    explain: bool = Field(False, description="Name the account in x-gateway-route to callers who ask (x-gateway-explain).")


class Plugin:
    """`clock` gives seconds that never go back."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._used_to: OrderedDict[str, tuple[str, float]] = OrderedDict()

    @hookimpl
    async def choose_account(self, call: Call, accounts: Sequence[AccountView]) -> str | None:
        """The account that the conversation is used to, unless it is nearly used up; else the one with the most left."""
        used = {view.name: _used(view, call.model) for view in accounts}
        log.debug("call %s: used %s", call.id, ", ".join(f"{name} {share:.0%}" for name, share in used.items()))
        fresh = [view for view in accounts if used[view.name] < self._settings.spare_above] or list(accounts)
        *turns, conversation = _digests(call)
        name = self._habit(turns)
        if name is not None and any(view.name == name for view in fresh):
            reason = "the conversation's account"
        else:
            # Shares are known to a few percent and some minutes late: what is about as full is chosen by load.
            best = min(fresh, key=lambda view: (round(used[view.name], 1), view.in_flight / view.max_concurrency))
            name, reason = best.name, f"least used of {len(accounts)} free"
        call.route = f"{name}: {reason}, {used[name]:.0%} used"
        if self._settings.explain and call.head is not None and "x-gateway-explain" in call.head.headers:
            call.reply_headers["x-gateway-route"] = call.route
        self._remember(conversation, name)
        return name

    def _habit(self, turns: Sequence[str]) -> str | None:
        """Which account answered the turns before this one."""
        now = self._clock()
        for turn in reversed(turns):
            name, until = self._used_to.get(turn, ("", 0.0))
            if until > now:
                return name
        return None

    def _remember(self, conversation: str, name: str) -> None:
        """The next turn of this conversation begins with all of this one's messages."""
        if not self._settings.sticky_s:
            return
        self._used_to[conversation] = name, self._clock() + self._settings.sticky_s
        self._used_to.move_to_end(conversation)
        if len(self._used_to) > _MOST_CONVERSATIONS:
            self._used_to.popitem(last=False)


def _digests(call: Call) -> list[str]:
    """The conversation after each of its messages, as short texts. Two callers never share one."""
    digest = hashlib.blake2b(call.principal.name.encode(), digest_size=16)
    found = [digest.hexdigest()]
    for message in call.messages:
        digest.update(f"\0{message.role}\0{message.text}".encode("utf-8", "surrogatepass"))
        found.append(digest.hexdigest())
    return found


def _used(view: AccountView, model: str) -> float:
    """The fullest of the windows that bound the model, 0 to 1."""
    kinds = [kind for kind in _KINDS if kind in model]
    return max((view.used(window) for window in (*_ALL, *kinds)), default=0.0)
