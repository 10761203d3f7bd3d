"""The real upstream: Gemini's web site through gemini_webapi, which stays unmodified. The only importer of that library.

Isolation by construction: an account signs in once; each call in flight runs on its own `GeminiClient` with its own
transfer session, made from the account's tokens and kept in a free list. A failure, a stall or a caller that left costs
that one session and nobody else, and cancelling is closing it. What the library does by itself and must not do here (its
retries, side calls, cookie files, re-initialisation) is overridden in `_Client`; its frame parser, a module global, is
replaced by one that is linear in the bytes. Each of these promises has a test in `tests/upstream/test_gemini_web.py`
that fails when a new version of the library moves something."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import certifi
import gemini_webapi.client as library
from curl_cffi import CurlHttpVersion
from curl_cffi.requests import AsyncSession, Response
from curl_cffi.requests.exceptions import RequestException, Timeout
from gemini_webapi import exceptions as library_errors
from gemini_webapi.constants import BROWSER_TYPE, AccountStatus, Endpoint, Headers
from gemini_webapi.types import AvailableModel
from gemini_webapi.utils import upload_file
from gemini_webapi.utils.get_access_token import _extract_payload
from loguru import logger as library_log

from config.settings import Account as AccountSettings
from config.settings import Settings
from config.settings import Upstream as UpstreamSettings
from gateway.background import spawn
from gateway.errors import (
    AccountExhausted,
    AccountExpired,
    AccountRejected,
    ContentRefused,
    EgressBlocked,
    GatewayError,
    UpstreamChanged,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.model import Blob, Call, Event, Finished
from gateway.upstream.packing import pack
from gateway.upstream.protocol import Offer, Profile, find_offer, public_name
from gateway.upstream.reply import ReplyReader

# The library logs cookie paths and prompts' neighbourhood through loguru to the application's handlers; ours go
# through logging, with what may be said chosen here.
library_log.disable("gemini_webapi")

# Cookie-bearing requests go to these hosts only, whatever a redirect or an answer says.
_HOSTS = ("gemini.google.com", "accounts.google.com", "www.google.com", "content-push.googleapis.com")
_IDLE_SESSIONS = 8
_IDLE_SECONDS = 45.0
_ACTIVITY_EVERY_S = 60.0
_RECHECK_EVERY_S = 60.0
_CONNECT_TIMEOUT_S = 15.0
_NOTHING = 16  # characters: an answer that is no longer holds the site's opening and no frame
_BLOCK_SECONDS = 7200.0  # a captcha redirect lasted 106 to 121 minutes in the one measurement known
_CAPTCHA = re.compile(rb"/sorry/|recaptcha|captcha|unusual traffic|consent\.google", re.IGNORECASE)
# Context windows by capacity, in tokens, as users report them.
_TIERS = {1: ("free", 32_768), 2: ("pro", 1_048_576), 3: ("pro", 1_048_576), 4: ("plus", 131_072)}

_reader: ContextVar[ReplyReader | None] = ContextVar("gemini_reply_reader", default=None)


class _Parser:
    """Stands in for the library's StreamingFrameParser, with the reader of the call that runs in this context."""

    def __init__(self) -> None:
        self._reader = _reader.get() or ReplyReader()

    def feed(self, content: str) -> list[Any]:
        return self._reader.feed(content) if content else []

    def flush(self) -> list[Any]:
        return self._reader.finish()


library.StreamingFrameParser = _Parser  # type: ignore[assignment,misc] # a module global, read at each generation


@dataclass(slots=True)
class _Tokens:
    """What signing in gave, enough to make a client without the library's eleven initial requests."""

    access_token: str | None
    build_label: str | None
    session_id: str | None
    language: str
    push_id: str
    status: AccountStatus = AccountStatus.AVAILABLE
    models: dict[str, AvailableModel] = field(default_factory=dict)


class GeminiWeb:
    """The upstream of `settings`. `state_dir` takes the CA bundle that an extra `upstream.ca_file` makes."""

    def __init__(self, settings: Settings, state_dir: Path, *, simulated: bool = False) -> None:
        self.settings = settings
        self.simulated = simulated
        self._accounts: list[WebAccount] = []
        extra = settings.upstream.ca_file
        self.verify: bool | str = True if extra is None else str(_bundle(extra, state_dir, alone=simulated))

    def account(self, settings: AccountSettings) -> WebAccount:
        account = WebAccount(settings, self.settings, self.verify)
        self._accounts.append(account)
        return account

    async def close(self) -> None:
        for account in self._accounts:
            await account.close()


def _bundle(extra: Path, state_dir: Path, *, alone: bool) -> Path:
    """The usual CAs and those of `extra` in one file: the library takes one."""
    if alone:
        return extra
    bundle = state_dir / "ca-bundle.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + extra.read_bytes())
    return bundle


# --- transfers ----------------------------------------------------------------------------------------------------


class _Session(AsyncSession[Response]):
    """One call's transfers: no redirects followed, no foreign host, and an end that really ends them."""

    def __init__(self, proxy: str | None, verify: bool | str) -> None:
        super().__init__(
            impersonate=BROWSER_TYPE,
            proxy=proxy,
            allow_redirects=False,
            http_version=CurlHttpVersion.NONE,
            verify=verify,  # type: ignore[arg-type] # a path works, and the library passes one on as it is
            max_clients=4,
        )
        self._ending = False
        self.cookies_changed = False

    async def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Response:
        """Raises an UpstreamError for anything but a good answer: the library would tell less of it."""
        parts = urlsplit(url)
        if parts.scheme != "https" or parts.hostname not in _HOSTS:
            raise UpstreamChanged("Gemini named an address that is not Google's")
        streamed = bool(kwargs.get("stream"))
        response = await super().request(method, url, *args, **kwargs)
        self.cookies_changed = self.cookies_changed or "set-cookie" in response.headers
        if response.status_code != 200:
            body = await response.acontent() if streamed else response.content
            raise _http_error(response.status_code, response.headers, body[:65_536])
        return response

    def stream(  # type: ignore[override] # of all its parameters the library uses these
        self, method: Any, url: str, **kwargs: Any
    ) -> AbstractAsyncContextManager[Response]:
        return self._stream(method, url, kwargs)

    @asynccontextmanager
    async def _stream(self, method: Any, url: str, kwargs: Any) -> AsyncIterator[Response]:
        """curl_cffi waits for the upstream's end when a stream is left early (and before the headers it leaks the
        handle). Whoever leaves early here ends the whole session first, and with it the transfer."""
        try:
            response = await self.request(method, url, stream=True, **kwargs)
            yield response
        except BaseException:
            await self.close()
            raise
        await response.aclose()  # type: ignore[no-untyped-call]

    async def close(self) -> None:
        if not self._ending:
            self._ending = True
            await super().close()


def _http_error(status: int, headers: Any, body: bytes) -> UpstreamError:
    """What an answer that is not the expected one means."""
    location = headers.get("location") or ""
    if 300 <= status < 400:
        if "/sorry/" in location or "consent." in location:
            return EgressBlocked("Google asks this network address for a captcha", retry_after=_BLOCK_SECONDS)
        if "accounts.google." in location:
            return AccountExpired("The Gemini account is signed out")
        return UpstreamChanged("Gemini redirects to an unexpected place")
    if status in (403, 429, 503) and _CAPTCHA.search(body):
        return EgressBlocked("Google asks this network address for a captcha", retry_after=_BLOCK_SECONDS)
    if status == 429:
        return AccountExhausted("Gemini asks to slow down", retry_after=_retry_after(headers) or 60.0)
    if status in (401, 403):
        return AccountExpired("The Gemini account is signed out")
    if status >= 500:
        return UpstreamUnavailable("Gemini failed", retry_after=_retry_after(headers), hint=f"HTTP {status}")
    return UpstreamChanged("Gemini answered in an unexpected way", hint=f"HTTP {status}")


def _retry_after(headers: Any) -> float | None:
    value = headers.get("retry-after") or ""
    return min(float(value), 86_400.0) if value.isdigit() else None


# --- the library's client, tamed ----------------------------------------------------------------------------------


class _Client(library.GeminiClient):
    """A GeminiClient for one call at a time. Closing it ends its own session and nothing else."""

    client: _Session

    def __init__(self, tokens: _Tokens, session: _Session) -> None:
        super().__init__()
        self.client = session
        self.auto_refresh = False
        self.watchdog_timeout = 1e6  # stalls are ours to notice, by bytes and not by candidates
        self.timeout = 1e6
        self.born = time.monotonic()
        self.reads_history = False
        self._running = True
        self.adopt(tokens)

    def adopt(self, tokens: _Tokens) -> None:
        """Take over what the account knows."""
        self.access_token = tokens.access_token
        self.build_label = tokens.build_label
        self.session_id = tokens.session_id
        self.language = tokens.language
        self.push_id = tokens.push_id
        self.account_status = tokens.status
        self._model_registry = tokens.models
        self._recent_chats = None

    async def init(self, *args: Any, **kwargs: Any) -> None:
        """A session that ended is not revived: the library would re-send the prompt on it."""
        raise library_errors.APIError("the session of this call is over")

    async def close(self, delay: float = 0) -> None:
        """End the session. The library's own version also writes the cookies to a file named after them."""
        self._running = False
        await self.client.close()

    async def _batch_execute(self, payloads: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("current_retry", 0)
        return await super()._batch_execute(payloads, *args, **kwargs)

    async def _sync_activity(self) -> None:
        """The library calls this before every generation; `ping_activity` does it off the reply's path."""

    async def _fetch_usage_info(self) -> None:
        """The library calls this after every answer, and the answer waits for it."""

    async def ping_activity(self) -> None:
        """Tell Google that the account is in use."""
        await super()._sync_activity()

    async def read_chat(self, cid: str, *args: Any, **kwargs: Any) -> Any:
        """The library's way to recover a cut answer. A temporary chat has no history: waiting for it is waiting for
        nothing."""
        if not self.reads_history:
            raise library_errors.APIError("the answer was cut off")
        return await super().read_chat(cid, *args, **kwargs)


class _Deadlines:
    """Ends a client's session when nothing came for too long. One timer that re-arms itself only when it fires."""

    def __init__(self, client: _Client, limits: UpstreamSettings) -> None:
        self._client = client
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        now = self._loop.time()
        self._end = now + limits.total_timeout_s
        self._next = min(now + limits.first_byte_timeout_s, self._end)
        self._message = "Gemini did not begin to answer in time"
        self.expired: str | None = None
        self.tail = False
        self._timer = self._loop.call_at(self._next, self._due)

    def alive(self, *, complete: bool) -> None:
        """Something came. A complete answer gets only a short time to close its connection."""
        now = self._loop.time()
        self.tail = complete
        if complete:
            self._next = now + self._limits.tail_timeout_s
            self._timer.cancel()
            self._timer = self._loop.call_at(self._next, self._due)
            return
        self._message = "Gemini fell silent in the middle of its answer"
        self._next = min(now + self._limits.stall_timeout_s, self._end)

    def _due(self) -> None:
        now = self._loop.time()
        if now < self._next:
            self._timer = self._loop.call_at(self._next, self._due)
            return
        self.expired = self._message if now < self._end else "Gemini took too long to answer"
        spawn(self._client.close(), "end a stalled transfer")

    def stop(self) -> None:
        self._timer.cancel()


# --- an account ---------------------------------------------------------------------------------------------------


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
        self._tokens: _Tokens | None = None
        self._offers: tuple[Offer, ...] = ()
        self._idle: list[_Client] = []
        self._active_at = 0.0
        self._checked_at = 0.0

    # --- signing in -----------------------------------------------------------------------------------------------

    async def sign_in(self) -> Profile:
        limit = self._settings.upstream.init_timeout_s
        session = self._session()
        try:
            async with asyncio.timeout(limit):
                tokens = await self._fetch_tokens(session)
                client = _Client(tokens, session)
                await self._read_status(client)
        except TimeoutError:
            await session.close()
            raise UpstreamTimeout("Gemini did not sign the account in in time") from None
        except BaseException as exc:
            await session.close()
            raise _translated(exc) from exc
        tokens.status = client.account_status
        tokens.models = client._model_registry
        self._tokens = tokens
        await self._drop_idle()
        self._put_back(client)
        self._offers = tuple(_offer(model) for model in tokens.models.values() if model.is_available)
        return self._profile(tokens)

    async def _fetch_tokens(self, session: _Session) -> _Tokens:
        response = await session.get(Endpoint.INIT, headers=Headers.GEMINI.value)
        payload = _extract_payload(response)
        if payload is None:
            if _CAPTCHA.search(response.content[:65_536]):
                raise EgressBlocked("Google asks this network address for a captcha", retry_after=_BLOCK_SECONDS)
            raise AccountExpired("The Gemini page carries no tokens: the account is signed out")
        token, build, session_id, language, push = payload
        return _Tokens(token, build, session_id, language or self._language, push or library.DEFAULT_PUSH_ID)

    async def _read_status(self, client: _Client) -> None:
        await client._fetch_user_status()
        status = client.account_status
        if status is AccountStatus.UNAUTHENTICATED:
            if not self._settings.pool.allow_guest:
                raise AccountExpired("The Gemini account is signed out: its cookies have expired")
        elif status not in (AccountStatus.AVAILABLE, AccountStatus.ACCOUNT_UNTRUSTED):
            raise AccountRejected(f"Google refuses the account: {status.description}")
        if not client._model_registry:
            raise UpstreamChanged("Gemini named no models for the account")

    def _profile(self, tokens: _Tokens) -> Profile:
        capacity = max((model.capacity for model in tokens.models.values()), default=1)
        tier, window = _TIERS.get(capacity, ("free", 32_768))
        guest = tokens.status is AccountStatus.UNAUTHENTICATED
        return Profile("guest" if guest else tier, self._offers, window, guest)

    # --- answering ------------------------------------------------------------------------------------------------

    async def generate(self, call: Call, offer: Offer) -> AsyncGenerator[Event, None]:
        if self._tokens is None:
            raise UpstreamUnavailable("the account is not signed in yet")
        client = await self._take()
        reader = ReplyReader(hold=not call.stream)
        deadlines = _Deadlines(client, self._settings.upstream)
        healthy = False
        try:
            async with aclosing(self._events(client, reader, deadlines, call, offer)) as events:
                async for event in events:
                    yield event
            healthy = client._running and deadlines.expired is None
            yield Finished()
        except Exception as exc:
            error = _translated(exc, reader, deadlines.expired)
            if reader.content_seen and not isinstance(exc, GatewayError):
                error.elsewhere = False
            raise error from exc
        finally:
            deadlines.stop()
            if healthy:
                self._put_back(client)
                self._after(client, reader)
            else:
                await client.close()

    async def _events(
        self, client: _Client, reader: ReplyReader, deadlines: _Deadlines, call: Call, offer: Offer
    ) -> AsyncGenerator[Event, None]:
        prompt = pack(call.messages)
        chat = self._settings.gateway.chat
        client.reads_history = chat != "temporary"
        files = await self._upload(client, prompt.files)
        model = client._model_registry.get(offer.id)
        _reader.set(reader)
        outputs = client._generate(
            prompt=prompt.text,
            req_file_data=files,
            model=model,
            temporary=chat == "temporary",
            extended_thinking=call.extended_thinking,
            current_retry=0,
            timeout=(_CONNECT_TIMEOUT_S, 0),
        )
        passed = False
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    if output.text:  # ours carry none: this one was read back from the chat's history
                        reader.recovered(output.text, output.thoughts or "")
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
        if call.served_model is None:
            call.served_model = offer.name
        rest = reader.take()
        if not reader.complete or not (rest or reader.content_seen):
            raise UpstreamUnavailable("Gemini gave an empty answer")
        for event in rest:
            yield event

    async def _upload(self, client: _Client, files: tuple[Blob, ...]) -> list[Any] | None:
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

    def _session(self) -> _Session:
        session = _Session(self._proxy, self._verify)
        self._dress(session)
        return session

    def _dress(self, session: _Session) -> None:
        for name, value in self.cookies.items():
            session.cookies.set(name, value, domain=".google.com", secure=True)

    async def _take(self) -> _Client:
        assert self._tokens is not None
        while self._idle:
            client = self._idle.pop()
            if time.monotonic() - client.born < _IDLE_SECONDS and client._running:
                return client
            await client.close()
        return _Client(self._tokens, self._session())

    def _put_back(self, client: _Client) -> None:
        if client.client.cookies_changed:
            self._learn_cookies(client.client)
        if len(self._idle) < _IDLE_SESSIONS:
            client.born = time.monotonic()
            self._idle.append(client)
        else:
            spawn(client.close(), "close a spare session")

    def _learn_cookies(self, session: _Session) -> None:
        """Take over values that Google set. Junk never replaces what works."""
        session.cookies_changed = False
        for cookie in session.cookies.jar:
            if cookie.name in ("__Secure-1PSIDTS", "__Secure-1PSIDCC") and _sound(cookie.value):
                self.cookies[cookie.name] = str(cookie.value)
        for client in self._idle:
            self._dress(client.client)

    def _after(self, client: _Client, reader: ReplyReader) -> None:
        """What may wait until the caller has the answer."""
        if self._settings.gateway.chat == "delete" and reader.cid:
            spawn(self._side_call(lambda client: client.delete_chat(reader.cid)), "delete a finished chat")
        now = time.monotonic()
        if self._settings.upstream.activity_ping == "background" and now - self._active_at > _ACTIVITY_EVERY_S:
            self._active_at = now
            spawn(self._side_call(lambda client: client.ping_activity()), "tell Google of activity")

    async def _side_call(self, act: Any) -> None:
        """A request beside the answers: on a session of its own, bounded, and never anybody's failure."""
        client = await self._take()
        done = False
        try:
            async with asyncio.timeout(self._settings.upstream.init_timeout_s):
                action: Coroutine[Any, Any, None] = act(client)
                await action
            done = True
        except (GatewayError, library_errors.APIError, library_errors.GeminiError, RequestException, TimeoutError):
            pass
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


# --- errors -------------------------------------------------------------------------------------------------------


def _coded(code: Any) -> GatewayError:
    """An error number of the site. Known ones by the library or by record; all others may pass."""
    number = code[-1] if isinstance(code, list) and code and len(code) > 1 and code[0] == 13 else code
    number = number[0] if isinstance(number, list) and number else number
    match number:
        case 1037:
            return AccountExhausted("The Gemini account has reached its usage limit for this model")
        case 1185:
            return AccountExhausted("Gemini limits pictures for a moment", retry_after=90)
        case 1060:
            return EgressBlocked("Google blocks this network address for Gemini", retry_after=_BLOCK_SECONDS)
        case 1003:
            return ContentRefused("Gemini refused the request")
        case 1050 | 1052:
            return UpstreamChanged("Gemini no longer knows the model as it was asked for", hint=f"code {number}")
        case _:
            return UpstreamUnavailable("Gemini failed for a moment", hint=f"code {number}")


def _translated(exc: BaseException, reader: ReplyReader | None = None, expired: str | None = None) -> Any:
    """The error of ours for whatever the library raised."""
    if isinstance(exc, GatewayError) or not isinstance(exc, Exception):
        return exc
    if expired is not None:
        return UpstreamTimeout(expired)
    if reader is not None and reader.error_code is not None:
        return _coded(reader.error_code)
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, GatewayError):
            return cause
        if isinstance(cause, Timeout):
            return UpstreamTimeout("Gemini did not answer in time")
        if isinstance(cause, RequestException):
            return UpstreamUnavailable("The connection to Gemini broke", hint=type(cause).__name__)
        cause = cause.__cause__
    if reader is not None and reader.rejected:
        return AccountExpired("Gemini rejected the account's session")
    if reader is not None and len(reader.opening) > _NOTHING and not reader.understood:
        if _CAPTCHA.search(reader.opening.encode("utf-8", "replace")):
            return EgressBlocked("Google asks this network address for a captcha", retry_after=_BLOCK_SECONDS)
        return UpstreamChanged("Gemini answered in a way that this version does not understand")
    if isinstance(exc, (library_errors.APIError, library_errors.GeminiError)):
        return UpstreamUnavailable("Gemini broke off its answer", hint=type(exc).__name__)
    return UpstreamChanged("Gemini answered in an unexpected way", hint=type(exc).__name__)
