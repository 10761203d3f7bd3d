"""For plugin authors: try one plugin alone against a scripted upstream, over real HTTP on loopback, with no account.

    from gateway.testing import Script, make_client

    async def test_my_plugin():
        async with make_client(plugins=[("mine", Plugin())], script=[Script("Hello ", "world")]) as client:
            reply = await client.chat("hi")
            assert reply.text == "Hello world"
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, MutableSequence, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import orjson

from config.settings import Account as AccountSettings
from config.settings import Settings
from gateway.app import Running, running
from gateway.errors import GatewayError
from gateway.hookspecs import Dialects, hookimpl
from gateway.model import Call, Event, Finished, TextDelta
from gateway.plugin_loader import from_instances
from gateway.state.store import StateStore
from gateway.upstream.protocol import Allowance, Cookies, Offer, Profile, Rotated, Rotation, UpstreamAccount
from gateway.wire.anthropic import Anthropic
from gateway.wire.dialect import Dialect
from gateway.wire.gemini import Gemini
from gateway.wire.gemini_predict import GeminiPredict
from gateway.wire.openai_chat import OpenAIChat
from gateway.wire.openai_completions import OpenAICompletions
from gateway.wire.openai_images import OpenAIImages
from gateway.wire.openai_responses import OpenAIResponses
from gateway.wire.simple import Simple

OFFERS = (
    Offer("lite", "gemini-3.5-flash-lite", "gemini-flash-lite 3.5 Flash-Lite"),
    Offer("flash", "gemini-3.8-flash", "gemini-flash 3.8 Flash"),
    Offer("pro", "gemini-3.1-pro", "gemini-pro 3.1 Pro"),
)

_STAMPED = Rotation.STAMPED


class Script:
    """One scripted answer: pieces that are text, events, errors to raise, or seconds to wait (a float). An asyncio.Event
    is waited for."""

    def __init__(self, *pieces: str | float | Event | GatewayError | asyncio.Event) -> None:
        self.pieces = pieces


@dataclass(slots=True)
class ScriptedUpstream:
    """An upstream that plays scripts: one a call, in order, the last one for ever. `asked` holds (account, call) of every
    attempt; `closed` counts answers that were left before their end. `rotations` are the results of each account's
    rotations, in order, the last one for ever; `rotated` names the account of each that was asked for."""

    script: Sequence[Script] = (Script("Hello"),)
    by_account: dict[str, Sequence[Script]] = field(default_factory=dict)
    sign_in_errors: dict[str, GatewayError] = field(default_factory=dict)
    rotations: dict[str, Sequence[Rotation]] = field(default_factory=dict)
    allowances: dict[str, Allowance] = field(default_factory=dict)
    rotated: list[str] = field(default_factory=list)
    window: int = 1_000_000
    simulated: bool = True
    asked: MutableSequence[tuple[str, Call]] = field(default_factory=list)
    closed: int = 0

    def account(self, settings: AccountSettings) -> UpstreamAccount:
        egress = settings.proxy.get_secret_value() if settings.proxy else "direct"
        cookies = Cookies(settings.secure_1psid.get_secret_value(), settings.secure_1psidts.get_secret_value())
        return _ScriptedAccount(self, settings.name, egress, cookies)

    async def close(self) -> None:
        """Nothing to do."""


class _ScriptedAccount:
    def __init__(self, upstream: ScriptedUpstream, name: str, egress: str, cookies: Cookies) -> None:
        self._upstream = upstream
        self._name = name
        self._played = 0
        self.egress = egress
        self.cookies = cookies

    def use(self, cookies: Cookies) -> None:
        self.cookies = cookies

    async def rotate(self) -> Rotated:
        self._upstream.rotated.append(self._name)
        results = self._upstream.rotations.get(self._name, ())
        rotated = Rotated(results[min(self._upstream.rotated.count(self._name), len(results)) - 1] if results else _STAMPED)
        if rotated.result is Rotation.RENEWED:
            self.cookies = replace(self.cookies, psidts=f"sidts-rotated-{len(self._upstream.rotated)}-{self._name}")
        return rotated

    async def read_allowance(self) -> Allowance:
        return self._upstream.allowances.get(self._name, Allowance())

    async def sign_in(self) -> Profile:
        if (error := self._upstream.sign_in_errors.get(self._name)) is not None:
            raise error
        if not self.cookies.psid:
            return Profile("guest", OFFERS[:1], self._upstream.window, guest=True)
        return Profile("pro", OFFERS, self._upstream.window)

    async def generate(self, call: Call, offer: Offer) -> AsyncGenerator[Event, None]:
        self._upstream.asked.append((self._name, call))
        own = self._upstream.by_account.get(self._name)
        scripts = own if own is not None else self._upstream.script
        index = self._played if own is not None else len(self._upstream.asked) - 1
        self._played += 1
        call.served_model = offer.name
        done = False
        try:
            for piece in scripts[min(index, len(scripts) - 1)].pieces:
                match piece:
                    case str():
                        yield TextDelta(piece)
                    case float() | int():
                        await asyncio.sleep(piece)
                    case asyncio.Event():
                        await piece.wait()
                    case GatewayError():
                        raise piece
                    case _:
                        yield piece
            done = True
            yield Finished()
        finally:
            self._upstream.closed += not done

    async def close(self) -> None:
        """Nothing to do."""


@dataclass(slots=True)
class ChatReply:
    """What `Client.chat` got: the HTTP status, the text, the JSON body (of a stream: its chunks), the headers."""

    status: int
    text: str
    body: Any
    headers: dict[str, str]


class _Dialects:
    """The wire formats of the tree, so that a plugin under test can be spoken to."""

    @hookimpl
    def register_dialects(self, dialects: Dialects) -> None:
        known = {dialect.name for dialect in dialects.found}
        shipped: tuple[Dialect, ...] = (
            OpenAIChat(),
            OpenAIResponses(),
            OpenAICompletions(),
            OpenAIImages(),
            Simple(),
            Gemini(),
            GeminiPredict(),
            Anthropic(),
        )
        for dialect in shipped:
            if dialect.name not in known:
                dialects.add(dialect)


class Client:
    """HTTP to a running gateway. `http` is an aiohttp session whose base is the gateway's address."""

    def __init__(self, gateway: Running, http: aiohttp.ClientSession, upstream: ScriptedUpstream) -> None:
        self.gateway = gateway
        self.http = http
        self.upstream = upstream
        self.url = gateway.url

    async def chat(
        self, prompt: str, *, model: str = "gemini-2.5-flash", headers: dict[str, str] | None = None, **body: Any
    ) -> ChatReply:
        """Ask by OpenAI chat completions. `body` adds fields, such as `stream=True`."""
        body = {"model": model, "messages": [{"role": "user", "content": prompt}], **body}
        async with self.http.post("/v1/chat/completions", json=body, headers=headers) as response:
            raw = await response.read()
            received = dict(response.headers)
            if response.content_type == "text/event-stream":
                chunks = [orjson.loads(line[6:]) for line in raw.split(b"\n") if line.startswith(b"data: {")]
                text = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c.get("choices"))
                return ChatReply(response.status, text, chunks, received)
            answer = orjson.loads(raw)
            text = answer["choices"][0]["message"]["content"] if response.status == 200 else ""
            return ChatReply(response.status, text, answer, received)


@asynccontextmanager
async def make_client(
    *,
    plugins: Sequence[tuple[str, Any]] = (),
    script: Sequence[Script] = (Script("Hello"),),
    upstream: ScriptedUpstream | None = None,
    settings: dict[str, Any] | None = None,
    accounts: int = 1,
    state: StateStore | None = None,
) -> AsyncIterator[Client]:
    """A gateway on a free port with `plugins` (name, instance) and `accounts` scripted accounts a, b, c, ... `settings`
    are tables as in gateway.toml. The wire formats are always there."""
    upstream = upstream or ScriptedUpstream(script)
    table = dict(settings or {})
    table["server"] = {"port": 0, **table.get("server", {})}
    table.setdefault("accounts", [{"name": chr(97 + n), "secure_1psid": f"scripted-{n}"} for n in range(accounts)])
    loaded = from_instances([*plugins, ("wire formats", _Dialects())])
    with tempfile.TemporaryDirectory() as folder:
        made = Settings.model_validate(table)
        async with running(
            made, Path(folder), upstream=lambda settings, state_dir: upstream, plugins=loaded, state=state
        ) as gateway, aiohttp.ClientSession(gateway.url) as http:
            yield Client(gateway, http, upstream)

