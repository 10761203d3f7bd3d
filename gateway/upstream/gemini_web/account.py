"""One account of the web site: it signs in once; each call in flight runs on a client of its own, made from the account's
tokens and kept in a free list."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import gemini_webapi.client as library
from curl_cffi import AsyncCurl
from curl_cffi.requests.exceptions import RequestException
from gemini_webapi import exceptions as library_errors
from gemini_webapi.constants import AccountStatus, Endpoint, Headers
from gemini_webapi.types import AvailableModel
from gemini_webapi.utils import upload_file
from gemini_webapi.utils.get_access_token import _extract_payload

from config.settings import Account as AccountSettings
from config.settings import Settings
from gateway.background import spawn
from gateway.errors import (
    AccountExhausted,
    AccountExpired,
    AccountRejected,
    EgressBlocked,
    GatewayError,
    UpstreamChanged,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.model import Blob, Call, Event, Finished, Image, ImageReady
from gateway.upstream.gemini_web.client import Client, Deadlines, Tokens, current_reader
from gateway.upstream.gemini_web.faults import BLOCK_SECONDS, CAPTCHA, translated
from gateway.upstream.gemini_web.pictures import MOST_BYTES, Download, Place, drawn_in
from gateway.upstream.gemini_web.session import Session, transfers
from gateway.upstream.packing import pack
from gateway.upstream.protocol import Offer, Profile, find_offer, public_name
from gateway.upstream.reply import ReplyReader

_IDLE_SESSIONS = 8
_IDLE_SECONDS = 45.0
_ACTIVITY_EVERY_S = 60.0
_RECHECK_EVERY_S = 60.0
_CONNECT_TIMEOUT_S = 15.0
# Context windows by capacity, in tokens, as users report them.
_TIERS = {1: ("free", 32_768), 2: ("pro", 1_048_576), 3: ("pro", 1_048_576), 4: ("plus", 131_072)}


class WebAccount:
    """One account of the web site: its cookies, its tokens, and a free list of clients."""

    def __init__(self, account: AccountSettings, settings: Settings, verify: bool | str) -> None:
        self.name = account.name
        self._proxy = account.proxy.get_secret_value() if account.proxy else None
        self.egress = _egress(self._proxy)
        self._language = account.language
        self._settings = settings
        self._verify = verify
        self.cookies = {
            name: secret.get_secret_value()
            for name, secret in (
                ("__Secure-1PSID", account.secure_1psid),
                ("__Secure-1PSIDTS", account.secure_1psidts),
                ("__Secure-1PSIDCC", account.secure_1psidcc),
            )
            if secret.get_secret_value()
        }
        self._transfers: AsyncCurl | None = None
        self._tokens: Tokens | None = None
        self._offers: tuple[Offer, ...] = ()
        self._idle: list[Client] = []
        self._active_at = 0.0
        self._checked_at = 0.0

    # --- signing in -----------------------------------------------------------------------------------------------

    async def sign_in(self) -> Profile:
        limit = self._settings.upstream.init_timeout_s
        session = self._session()
        try:
            async with asyncio.timeout(limit):
                tokens = await self._fetch_tokens(session)
                client = Client(tokens, session)
                await self._read_status(client)
        except TimeoutError:
            await session.close()
            raise UpstreamTimeout("Gemini did not sign the account in in time") from None
        except BaseException as exc:
            await session.close()
            raise translated(exc) from exc
        tokens.status = client.account_status
        tokens.models = client._model_registry
        self._tokens = tokens
        await self._drop_idle()
        self._put_back(client)
        self._offers = tuple(_offer(model) for model in tokens.models.values() if model.is_available)
        return self._profile(tokens)

    async def _fetch_tokens(self, session: Session) -> Tokens:
        response = await session.get(Endpoint.INIT, headers=Headers.GEMINI.value)
        payload = _extract_payload(response)
        if payload is None:
            if CAPTCHA.search(response.content[:65_536]):
                raise EgressBlocked("Google asks this network address for a captcha", retry_after=BLOCK_SECONDS)
            raise AccountExpired("The Gemini page carries no tokens: the account is signed out")
        token, build, session_id, language, push = payload
        return Tokens(token, build, session_id, language or self._language, push or library.DEFAULT_PUSH_ID)

    async def _read_status(self, client: Client) -> None:
        await client._fetch_user_status()
        status = client.account_status
        if status is AccountStatus.UNAUTHENTICATED:
            if not self._settings.pool.allow_guest:
                raise AccountExpired("The Gemini account is signed out: its cookies have expired")
        elif status not in (AccountStatus.AVAILABLE, AccountStatus.ACCOUNT_UNTRUSTED):
            raise AccountRejected(f"Google refuses the account: {status.description}")
        if not client._model_registry:
            raise UpstreamChanged("Gemini named no models for the account")

    def _profile(self, tokens: Tokens) -> Profile:
        capacity = max((model.capacity for model in tokens.models.values()), default=1)
        tier, window = _TIERS.get(capacity, ("free", 32_768))
        guest = tokens.status is AccountStatus.UNAUTHENTICATED
        return Profile("guest" if guest else tier, self._offers, window, guest)

    # --- answering ------------------------------------------------------------------------------------------------

    async def generate(self, call: Call, offer: Offer) -> AsyncGenerator[Event, None]:
        if self._tokens is None:
            raise UpstreamUnavailable("the account is not signed in yet")
        client = await self._take()
        hold = not call.stream or (call.pictures is not None and call.pictures.required)
        reader = ReplyReader(hold=hold)
        deadlines = Deadlines(client, self._settings.upstream)
        healthy = False
        try:
            held: list[Event] = []
            async with aclosing(self._events(client, reader, deadlines, call, offer)) as events:
                async for event in events:
                    if hold:
                        held.append(event)
                    else:
                        yield event
            healthy = client._running and deadlines.expired is None
            deadlines.stop()
            # Where nothing needs to go out early, nothing does before the pictures are there: until then another
            # account may still do better.
            held += [ImageReady(image) for image in await self._images(call, reader)]
            for event in held:
                yield event
            yield Finished()
        except Exception as exc:
            error = translated(exc, reader, deadlines.expired)
            if reader.content_seen and not isinstance(exc, GatewayError):
                error.elsewhere = False
            raise error from exc
        finally:
            deadlines.stop()
            self._forget(call, reader)
            if healthy:
                self._put_back(client)
                self._after()
            else:
                await client.close()

    async def _events(
        self, client: Client, reader: ReplyReader, deadlines: Deadlines, call: Call, offer: Offer
    ) -> AsyncGenerator[Event, None]:
        prompt = pack(call)
        temporary = self._chat(call) == "temporary"
        client.reads_history = not temporary
        files = await self._upload(client, prompt.files)
        model = client._model_registry.get(offer.id)
        current_reader.set(reader)
        outputs = client._generate(
            prompt=prompt.text,
            req_file_data=files,
            model=model,
            temporary=temporary,
            extended_thinking=call.extended_thinking,
            current_retry=0,
            timeout=(_CONNECT_TIMEOUT_S, 0),
        )
        passed = False
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    if output.text:  # ours carry none: this one was read back from the chat's history
                        reader.recovered(output.text, output.thoughts or "", drawn_in(output))
                    deadlines.alive(complete=reader.complete)
                    if call.served_model is None and (reader.served_id or reader.served_name):
                        await self._note_model(call, offer, reader, passed=passed)
                    for event in reader.take():
                        passed = True
                        yield event
        except GatewayError:
            raise
        except Exception:
            # After a complete answer nothing that goes wrong in its tail matters.
            if not reader.complete:
                raise
        finally:
            current_reader.set(None)
        if call.served_model is None:
            call.served_model = offer.name
        rest = reader.take()
        if not reader.complete or not (rest or reader.content_seen):
            raise UpstreamUnavailable("Gemini gave an empty answer")
        for event in rest:
            yield event

    def _chat(self, call: Call) -> str:
        """What becomes of the chat: temporary, keep or delete. A temporary one has no full-size pictures."""
        return self._settings.gateway.chat if call.pictures is None else self._settings.pictures.chat

    async def _images(self, call: Call, reader: ReplyReader) -> list[Image]:
        """The pictures of the answer with their bytes, fetched on a session of their own."""
        if not reader.pictures:
            return []
        begun = time.monotonic()
        place = None if self._chat(call) == "temporary" else Place.of(reader)
        session = self._session(most_bytes=MOST_BYTES)
        download = Download(session, self._borrowed, place, seconds=self._settings.pictures.download_timeout_s)
        try:
            images = await download.images(reader.pictures, call.pictures.size if call.pictures else None)
        finally:
            await session.close()
        if len(images) < len(reader.pictures):
            call.warnings.append("not all pictures of the answer could be downloaded")
        call.spent["download"] = time.monotonic() - begun
        return images

    async def _upload(self, client: Client, files: tuple[Blob, ...]) -> list[Any] | None:
        """Send the files one after the other, each with its real name and type."""
        if not files:
            return None
        sent = []
        for file in files:
            url = await upload_file(file.data, client=client.client, push_id=client.push_id, filename=file.name)
            sent.append([[url], file.name])
        return sent

    async def _note_model(self, call: Call, offer: Offer, reader: ReplyReader, *, passed: bool) -> None:
        """Write down which model answers. Another than the one asked for may be a dead cookie: an expired session
        quietly becomes a guest."""
        served = find_offer(self._offers, reader.served_id or "")
        same = served == offer if served else (reader.served_name in (None, offer.label) or reader.served_id is None)
        if not same and not passed:
            await self._check_guest()
            if self._settings.gateway.strict_models:
                raise AccountExhausted(f"Gemini answered with another model than {offer.name}")
        name = public_name(reader.served_name) if reader.served_name else None
        call.served_model = name or (served.name if served else offer.name)

    async def _check_guest(self) -> None:
        """Ask Google whether the account is still signed in; not more often than once a minute. Raises
        AccountExpired."""
        now = time.monotonic()
        if self._tokens is None or self._settings.pool.allow_guest or now - self._checked_at < _RECHECK_EVERY_S:
            return
        self._checked_at = now
        client = await self._take()
        try:
            async with asyncio.timeout(self._settings.upstream.tail_timeout_s):
                client._model_registry = {}
                await client._fetch_user_status()
        except (GatewayError, library_errors.APIError, RequestException, TimeoutError):
            return
        finally:
            await client.close()
        if client.account_status is AccountStatus.UNAUTHENTICATED:
            raise AccountExpired("The Gemini account is signed out: it answers as a guest")

    # --- clients --------------------------------------------------------------------------------------------------

    def _session(self, *, most_bytes: int = 0) -> Session:
        if self._transfers is None:
            self._transfers = transfers()
        session = Session(self._transfers, self._proxy, self._verify, most_bytes=most_bytes)
        self._dress(session)
        return session

    def _dress(self, session: Session) -> None:
        for name, value in self.cookies.items():
            session.cookies.set(name, value, domain=".google.com", secure=True)

    async def _take(self) -> Client:
        assert self._tokens is not None
        while self._idle:
            client = self._idle.pop()
            if time.monotonic() - client.born < _IDLE_SECONDS and client._running:
                return client
            await client.close()
        return Client(self._tokens, self._session())

    def _put_back(self, client: Client) -> None:
        if client.client.cookies_changed:
            self._learn_cookies(client.client)
        if len(self._idle) < _IDLE_SESSIONS:
            client.born = time.monotonic()
            self._idle.append(client)
        else:
            spawn(client.close(), "close a spare session")

    def _learn_cookies(self, session: Session) -> None:
        """Take over values that Google set. Junk never replaces what works."""
        session.cookies_changed = False
        for cookie in session.cookies.jar:
            if cookie.name in ("__Secure-1PSIDTS", "__Secure-1PSIDCC") and _sound(cookie.value):
                self.cookies[cookie.name] = str(cookie.value)
        for client in self._idle:
            self._dress(client.client)

    def _forget(self, call: Call, reader: ReplyReader) -> None:
        """Delete the chat where that is wanted, also after a failure or when the caller has left."""
        if self._chat(call) == "delete" and reader.cid:
            spawn(self._side_call(lambda client: client.delete_chat(reader.cid)), "delete a finished chat")

    def _after(self) -> None:
        """What may wait until the caller has the answer."""
        now = time.monotonic()
        if self._settings.upstream.activity_ping == "background" and now - self._active_at > _ACTIVITY_EVERY_S:
            self._active_at = now
            spawn(self._side_call(lambda client: client.ping_activity()), "tell Google of activity")

    async def _side_call(self, act: Any) -> None:
        """A request beside the answers: on a session of its own, bounded, and never anybody's failure."""
        with suppress(GatewayError, library_errors.APIError, library_errors.GeminiError, RequestException, TimeoutError):
            async with self._borrowed() as client, asyncio.timeout(self._settings.upstream.init_timeout_s):
                action: Coroutine[Any, Any, None] = act(client)
                await action

    @asynccontextmanager
    async def _borrowed(self) -> AsyncIterator[Client]:
        """A client for something beside the answers. One that failed is not used again."""
        client = await self._take()
        done = False
        try:
            yield client
            done = True
        finally:
            if done and client._running:
                self._put_back(client)
            else:
                await client.close()

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._idle.pop().close()

    async def close(self) -> None:
        await self._drop_idle()
        if self._transfers is not None:
            await self._transfers.close()  # type: ignore[no-untyped-call]
            self._transfers = None


def _egress(proxy: str | None) -> str:
    """A name for a proxy without its credentials."""
    if proxy is None:
        return "direct"
    parts = urlsplit(proxy)
    return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)


def _offer(model: AvailableModel) -> Offer:
    return Offer(model.model_id, public_name(model.display_name), f"{model.model_name} {model.display_name}")


def _sound(value: str | None) -> bool:
    return value is not None and re.fullmatch(r"[!#-+\--.0-:<-\[\]-~]{8,4096}", value) is not None
