"""One account of the web site: it signs in once; each call in flight runs on a client of its own, made from the account's
tokens and kept in a free list."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

from curl_cffi import AsyncCurl
from curl_cffi.requests.exceptions import RequestException
from gemini_webapi import exceptions as library_errors
from gemini_webapi.constants import AccountStatus
from gemini_webapi.utils import upload_file

from config.settings import Account as AccountSettings
from config.settings import Settings
from gateway.background import spawn
from gateway.errors import (
    AccountExhausted,
    AccountExpired,
    GatewayError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.model import Blob, Call, Event, Finished, Image, ImageReady
from gateway.secrecy import hide
from gateway.upstream.gemini_web.allowance import read
from gateway.upstream.gemini_web.client import Client, Deadlines, Reading, Tokens, current_reading
from gateway.upstream.gemini_web.faults import translated
from gateway.upstream.gemini_web.jar import dress, learned, rotate
from gateway.upstream.gemini_web.pictures import MOST_BYTES, Download, Place, drawn_in
from gateway.upstream.gemini_web.session import Session, transfers
from gateway.upstream.gemini_web.signing_in import fetch_tokens, profile, read_status
from gateway.upstream.packing import pack
from gateway.upstream.protocol import Allowance, Cookies, Offer, Profile, Rotated, find_offer, public_name
from gateway.upstream.reply import ReplyReader

_IDLE_SESSIONS = 8
_ACTIVITY_EVERY_S = 60.0
_RECHECK_EVERY_S = 60.0
_CONNECT_TIMEOUT_S = 15.0


class WebAccount:
    """One account of the web site: its cookies, its tokens, and a free list of clients."""

    def __init__(self, account: AccountSettings, settings: Settings, verify: bool | str, idle_s: float) -> None:
        self.name = account.name
        self._proxy = account.proxy.get_secret_value() if account.proxy else None
        self.egress = _egress(self._proxy)
        self._language = account.language
        self._settings = settings
        self._verify = verify
        self._idle_s = idle_s
        self.cookies = Cookies(
            account.secure_1psid.get_secret_value(),
            account.secure_1psidts.get_secret_value(),
            account.secure_1psidcc.get_secret_value(),
        )
        self._transfers: AsyncCurl | None = None
        self._tokens: Tokens | None = None
        self._offers: tuple[Offer, ...] = ()
        self._idle: list[Client] = []
        self._tidying: asyncio.TimerHandle | None = None
        self._login = 0  # counted up by every new sign-in and every other user: clients of an older one are not used again
        self._closed = False
        self._active_at = 0.0
        self._checked_at = 0.0

    # --- signing in -----------------------------------------------------------------------------------------------

    async def sign_in(self) -> Profile:
        limit = self._settings.upstream.init_timeout_s
        session = self._session()
        try:
            async with asyncio.timeout(limit):
                tokens = await fetch_tokens(session, self._language)
                client = Client(tokens, session)
                await read_status(client, guest=not self.cookies.psid)
        except TimeoutError:
            await session.close()
            raise UpstreamTimeout("Gemini did not sign the account in in time") from None
        except BaseException as exc:
            await session.close()
            raise translated(exc) from exc
        tokens.status = client.account_status
        tokens.models = client._model_registry
        self._tokens = tokens
        self._login += 1
        client.login = self._login
        await self._drop_idle()
        self._put_back(client)
        found = profile(tokens)
        self._offers = found.offers
        return found

    # --- cookies --------------------------------------------------------------------------------------------------

    def use(self, cookies: Cookies) -> None:
        hide(cookies.psid, cookies.psidts, cookies.psidcc)
        if cookies.psid != self.cookies.psid:
            self._login += 1
        self.cookies = cookies
        for client in self._idle:
            dress(client.client, cookies)

    async def rotate(self) -> Rotated:
        session = self._session()
        before = self.cookies
        try:
            async with asyncio.timeout(self._settings.upstream.init_timeout_s):
                result, fresh = await rotate(session, before)
        except TimeoutError:
            raise UpstreamTimeout("Google did not answer a rotation in time") from None
        except BaseException as exc:
            raise translated(exc) from exc
        finally:
            await session.close()
        if self.cookies.psid == before.psid:  # else a person was faster, with new ones
            self.use(fresh)
        return result

    async def read_allowance(self) -> Allowance:
        if self._tokens is None:
            raise UpstreamUnavailable("the account is not signed in yet")
        client = await self._take()
        try:
            async with asyncio.timeout(self._settings.upstream.init_timeout_s):
                allowance = await read(client)
        except TimeoutError:
            await client.close()
            raise UpstreamTimeout("Gemini did not tell in time how much is used") from None
        except BaseException as exc:
            await client.close()
            raise translated(exc) from exc
        self._put_back(client)
        return allowance

    # --- answering ------------------------------------------------------------------------------------------------

    async def generate(self, call: Call, offer: Offer) -> AsyncGenerator[Event, None]:
        if self._tokens is None:
            raise UpstreamUnavailable("the account is not signed in yet")
        client = await self._take()
        hold = not call.stream or (call.pictures is not None and call.pictures.required)
        # What is to be read by a program has no place for links.
        reader = ReplyReader(hold=hold, links=not call.tools and call.json_answer is None)
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
        files = await self._upload(client, prompt.files, deadlines)
        model = client._model_registry.get(offer.id)
        reading = Reading(reader)
        current_reading.set(reading)
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
            reading.reader = None
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

    async def _upload(self, client: Client, files: tuple[Blob, ...], deadlines: Deadlines) -> list[Any] | None:
        """Send the files one after the other, each with its real name and type."""
        if not files:
            return None
        sent = []
        for file in files:
            url = await upload_file(file.data, client=client.client, push_id=client.push_id, filename=file.name)
            sent.append([[url], file.name])
            deadlines.begin()
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
        if self._tokens is None or not self.cookies.psid or now - self._checked_at < _RECHECK_EVERY_S:
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
        dress(session, self.cookies)
        return session

    async def _take(self) -> Client:
        assert self._tokens is not None
        while self._idle:
            client = self._idle.pop()
            if client._running and client.login == self._login:
                return client
            await client.close()
        client = Client(self._tokens, self._session())
        client.login = self._login
        return client

    def _put_back(self, client: Client) -> None:
        current = client.login == self._login and not self._closed
        if changed := current and client.client.cookies_changed:
            self._learn_cookies(client.client)
        if current and len(self._idle) < _IDLE_SESSIONS:
            if changed or client.client.dressed is not self.cookies:  # rotated values may have come while it was in flight
                dress(client.client, self.cookies)
            client.idle_since = time.monotonic()
            self._idle.append(client)
            if self._tidying is None:
                self._tidying = asyncio.get_running_loop().call_later(self._idle_s, self._close_stale)
        else:
            spawn(client.close(), "close a spare session")

    def _close_stale(self) -> None:
        """Let go of clients that nobody needed: after a burst their memory, too, comes back."""
        self._tidying = None
        stale = time.monotonic() - self._idle_s
        while self._idle and self._idle[0].idle_since <= stale:  # the oldest are first
            spawn(self._idle.pop(0).close(), "close a session that was idle for long")
        if self._idle:
            wait = self._idle[0].idle_since - stale
            self._tidying = asyncio.get_running_loop().call_later(wait, self._close_stale)

    def _learn_cookies(self, session: Session) -> None:
        session.cookies_changed = False
        fresh = learned(session, self.cookies)
        if fresh != self.cookies:
            self.use(fresh)

    def _forget(self, call: Call, reader: ReplyReader) -> None:
        """Delete the chat where that is wanted, also after a failure or when the caller has left."""
        if self._chat(call) == "delete" and reader.cid and not self._closed:
            spawn(self._side_call(lambda client: client.delete_chat(reader.cid)), "delete a finished chat")

    def _after(self) -> None:
        """What may wait until the caller has the answer."""
        if self._closed:
            return
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
        self._closed = True
        if self._tidying is not None:
            self._tidying.cancel()
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

