"""Tells a person when an account needs attention, is well again, or when too few accounts can serve: one message for each
trouble, however many replicas see it, to a webhook of their choice."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import aiohttp
from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator

from gateway.hookspecs import Services, hookimpl
from gateway.model import AccountChange, AccountView
from gateway.state.store import StateAway, StateStore

log = logging.getLogger("gateway.plugins.alerts")
_OUT = ("expired", "rejected")
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_ATTEMPTS = 3


class Settings(BaseModel):
    """Where messages go and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: SecretStr = Field(description="Webhook; for telegram https://api.telegram.org/bot<TOKEN>/sendMessage.")
    template: Literal["generic", "bark", "telegram", "slack"] = Field("generic", description="Form of the message's JSON.")
    chat_id: str = Field("", description="Telegram chat that gets the message.")
    least_ready: int = Field(1, ge=0, description="A message when fewer accounts can serve; 0: never.")
    ahead_s: float = Field(3600, ge=0, description="How long before an account probably needs cookies to say so.")
    repeat_s: float = Field(21_600, gt=0, description="The same trouble is told again only after so many seconds.")
    retry_s: float = Field(2, gt=0, le=60, description="Pause before a failed message is sent again; the next is twice it.")
    check_s: float = Field(30, gt=0, le=3600, description="How often to look, beside each change of an account.")

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        if not self.url.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("url must begin with https:// or http://")
        if self.template == "telegram" and not self.chat_id:
            raise ValueError("telegram needs a chat_id")
        return self


@dataclass(frozen=True, slots=True)
class Alert:
    """A message. `event` is attention, recovered or pool; `account` is empty for the pool. `episode` tells one trouble from
    the next of its kind: the fingerprint of the cookies that have it."""

    event: str
    account: str
    title: str
    text: str
    episode: str = ""


def troubles(views: Sequence[AccountView], settings: Settings, now: float) -> dict[str, Alert]:
    """What is wrong now, each under a name that stays while it lasts. Pure."""
    found = {}
    for view in views:
        if view.state in _OUT:
            title = f"{view.name} needs attention"
            found[f"account:{view.name}"] = Alert("attention", view.name, title, view.reason, view.fingerprint)
        elif view.attention_by is not None and view.attention_by - now < settings.ahead_s:
            minutes = max(0, round((view.attention_by - now) / 60))
            text = f"Its cookies are no longer renewed; it will probably need new ones in {minutes} min"
            title = f"{view.name} will need attention"
            found[f"soon:{view.name}"] = Alert("attention", view.name, title, text, view.fingerprint)
    ready = sum(view.state == "ready" for view in views)
    if ready < settings.least_ready and not any(view.state == "starting" for view in views):
        text = f"{ready} of {len(views)} accounts can serve; at least {settings.least_ready} should"
        found["pool"] = Alert("pool", "", "Too few Gemini accounts", text)
    return found


def recovery(name: str, alert: Alert) -> Alert:
    """The message that the trouble `name` is over."""
    if name == "pool":
        return Alert("recovered", "", "Enough Gemini accounts again", "The pool is whole enough again")
    return Alert("recovered", alert.account, f"{alert.account} is well again", "No attention is needed any more")


def payload(alert: Alert, settings: Settings, at: float) -> dict[str, Any]:
    """The JSON body of a message. Pure."""
    match settings.template:
        case "bark":
            return {"title": alert.title, "body": alert.text, "group": "gemini-gateway"}
        case "telegram":
            return {"chat_id": settings.chat_id, "text": f"{alert.title}\n{alert.text}"}
        case "slack":
            return {"text": f"*{alert.title}*\n{alert.text}"}
        case _:
            return {
                "event": alert.event,
                "account": alert.account or None,
                "title": alert.title,
                "text": alert.text,
                "time": int(at),
            }


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._open: dict[str, Alert] = {}
        self._look = asyncio.Event()

    @hookimpl
    async def lifespan(self, gateway: Services) -> AsyncIterator[None]:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            watching = asyncio.create_task(self._watch(gateway, session), name="watch the accounts for alerts")
            try:
                yield
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    @hookimpl
    async def account_changed(self, change: AccountChange) -> None:
        self._look.set()

    async def _watch(self, gateway: Services, session: aiohttp.ClientSession) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.check_s):
                    await self._look.wait()
            self._look.clear()
            await self._tell(troubles(gateway.accounts(), self._settings, gateway.clock()), gateway, session)

    async def _tell(self, now: Mapping[str, Alert], gateway: Services, session: aiohttp.ClientSession) -> None:
        """Send what is new, and that what was told is over."""
        over = {name: alert for name, alert in self._open.items() if name not in now}
        new = {name: alert for name, alert in now.items() if name not in self._open}
        self._open = {**{name: self._open[name] for name in now if name in self._open}, **new}
        for name, alert in new.items():
            if await _first(gateway.state, f"told:{name}:{alert.episode}", self._settings.repeat_s):
                await self._send(payload(alert, self._settings, gateway.clock()), alert.title, session)
        for name, alert in over.items():
            # A trouble that comes and goes is told once, and so is its end.
            if await _first(gateway.state, f"over:{name}:{alert.episode}", self._settings.repeat_s):
                ended = recovery(name, alert)
                await self._send(payload(ended, self._settings, gateway.clock()), ended.title, session)

    async def _send(self, body: Mapping[str, object], title: str, session: aiohttp.ClientSession) -> None:
        for attempt in range(_ATTEMPTS):
            if attempt:
                await asyncio.sleep(self._settings.retry_s * attempt)
            try:
                async with session.post(self._settings.url.get_secret_value(), json=body) as response:
                    if response.status < 300:
                        return
                    failure = f"HTTP {response.status}"
            except (aiohttp.ClientError, TimeoutError, OSError) as exc:
                failure = type(exc).__name__
        log.warning("an alert could not be delivered (%s): %s", failure, title)


async def _first(state: StateStore, what: str, seconds: float) -> bool:
    """Whether nobody told of it yet, in any replica. A store that is away makes nobody silent."""
    key = "alert:" + hashlib.sha256(what.encode()).hexdigest()[:24]
    try:
        return await state.lease(key, hashlib.sha256(f"{what}{time.monotonic_ns()}".encode()).hexdigest(), seconds)
    except StateAway:
        return True
