"""One call's transfers to Google: no redirect followed, no foreign host, and an end that really ends them."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any
from urllib.parse import urljoin, urlsplit

from curl_cffi import AsyncCurl, Curl, CurlECode, CurlError, CurlHttpVersion, CurlMOpt, CurlOpt
from curl_cffi.requests import AsyncSession, Response
from gemini_webapi.constants import BROWSER_TYPE

from gateway.errors import UpstreamChanged
from gateway.upstream.gemini_web.faults import http_error
from gateway.upstream.protocol import Cookies

# Cookie-bearing requests go to these hosts only, whatever a redirect or an answer says.
_HOST = re.compile(r"([a-z0-9-]+\.)+(google|googleusercontent)\.com|content-push\.googleapis\.com")


def transfers() -> AsyncCurl:
    """What the sessions of one account share: its connections to Google, and the CA store, which is large. Each transfer in
    flight has a connection of its own (no multiplexing), so that none ends with another's; idle ones are used again."""
    shared = AsyncCurl()
    shared.setopt(CurlMOpt.PIPELINING, 0)  # type: ignore[no-untyped-call]
    return shared


class Session(AsyncSession[Response]):
    """One call's transfers, run by the account's `shared` curl: no redirects followed, no foreign host, and an end that
    really ends them. `most_bytes` bounds each answer (0: not); for downloads."""

    def __init__(self, shared: AsyncCurl, proxy: str | None, verify: bool | str, *, most_bytes: int = 0) -> None:
        super().__init__(
            async_curl=shared,
            impersonate=BROWSER_TYPE,
            proxy=proxy,
            allow_redirects=False,
            http_version=CurlHttpVersion.NONE,
            verify=verify,  # type: ignore[arg-type] # a path works, and the library passes one on as it is
            max_clients=4,
            curl_options={CurlOpt.MAXFILESIZE_LARGE: most_bytes} if most_bytes else None,
        )
        self._in_flight: set[Curl] = set()
        self._ending: CurlError | None = None
        self.cookies_changed = False
        self.dressed = Cookies()

    async def pop_curl(self) -> Curl:
        curl = await super().pop_curl()
        self._in_flight.add(curl)
        return curl

    def release_curl(self, curl: Curl) -> None:
        self._in_flight.discard(curl)
        if self._ending is not None:
            # Its traceback holds the frame of the transfer that it ended, and that frame the error: some seventy objects
            # a transfer would wait for a search for garbage.
            self._ending.__traceback__ = None
        with suppress(TypeError):  # what curl_cffi raises when the account, and with it the shared curl, is closed already
            super().release_curl(curl)

    async def request(self, method: Any, url: str, *args: Any, **kwargs: Any) -> Response:
        """Raises an UpstreamError for anything but a good answer: the library would tell less of it."""
        _check(url)
        streamed = bool(kwargs.get("stream"))
        response = await super().request(method, url, *args, **kwargs)
        self.cookies_changed = self.cookies_changed or "set-cookie" in response.headers
        if response.status_code != 200:
            body = await response.acontent() if streamed else response.content
            raise http_error(response.status_code, response.headers, body[:65_536])
        return response

    async def hop(self, url: str, headers: Any, seconds: float) -> tuple[str | None, bytes]:
        """One step of a download: (the address that comes next, nothing) or (None, the file). An address comes as a
        redirect, or as a text; it is checked when it is gone to. Raises an UpstreamError."""
        _check(url)
        response = await super().request("GET", url, headers=headers, timeout=seconds)
        if 300 <= response.status_code < 400 and (location := response.headers.get("location")):
            return urljoin(url, location), b""
        if response.status_code != 200:
            raise http_error(response.status_code, response.headers, response.content[:65_536])
        if (response.headers.get("content-type") or "").startswith("text/"):
            return response.text.strip(), b""
        return None, response.content

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
        """End the transfers in flight, now: their connections are closed and their readers get a RequestException."""
        if self._ending is not None:
            return
        self._ending = CurlError("the call is over", CurlECode.ABORTED_BY_CALLBACK)
        await super().close()
        for curl in tuple(self._in_flight):
            self.acurl.set_exception(curl, self._ending)



def _check(url: str) -> None:
    parts = urlsplit(url.partition("?")[0])  # which keeps what it was asked last, and no query is asked twice
    if parts.scheme != "https" or "\\" in url or not _HOST.fullmatch(parts.netloc):
        raise UpstreamChanged("Gemini named an address that is not Google's")
