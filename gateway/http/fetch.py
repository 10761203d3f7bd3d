"""The only fetcher of addresses that a caller names. It must not become the caller's eye on our network: each address is
judged when the socket is made, after all name resolution and for every redirect, so that neither a trick of spelling nor
a name that changes its address gets through. No cookies, no proxies of the environment, nothing decompressed."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver

from config.settings import Server
from gateway.http.held import Share
from gateway.model import Link
from gateway.threads import in_thread
from gateway.wire.fields import bad

_MB = 1_000_000
_MOST_REDIRECTS = 3
_AT_ONCE = 16
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Forbidden(OSError):
    """An address that is not to be connected to."""


class Basket:
    """What one request fetches, all its files together: at most `files` and `most` bytes, counted in `share`."""

    def __init__(self, files: int, most: int, share: Share) -> None:
        self._files = files
        self._most = most
        self._share = share
        self._left = most

    def check(self, links: Sequence[Link]) -> None:
        """Raises InvalidRequest that names the first link too many."""
        if len(links) > self._files:
            raise bad(links[self._files].param, f"at most {self._files} files of a request may be addresses")

    def put(self, size: int, param: str) -> None:
        """`size` more bytes have come for the field `param`. Raises InvalidRequest, Overloaded."""
        self._left -= size
        if self._left < 0:
            raise bad(param, f"the files that the request names by address must be at most {self._most} bytes together")
        self._share.take(size)


class Fetcher:
    """Fetches files. With `server.fetch_private` also from private addresses and over plain http. `resolver` (aiohttp's
    own without one) finds the addresses of a name; `reachable` judges each before it is connected to."""

    def __init__(
        self,
        server: Server,
        *,
        resolver: AbstractResolver | None = None,
        reachable: Callable[[str], bool] | None = None,
    ) -> None:
        self._files = server.fetch_files
        self._together = round(server.fetch_mb * _MB)
        self._resolver = resolver
        self._private = server.fetch_private
        self._reachable = reachable or (_anything if server.fetch_private else is_public)
        self._most = round(server.max_image_mb * _MB)
        self._timeout_s = server.fetch_timeout_s
        self._session: aiohttp.ClientSession | None = None

    def basket(self, share: Share) -> Basket:
        """An empty one, for one request."""
        return Basket(self._files, self._together, share)

    async def fetch(self, url: str, param: str, basket: Basket) -> tuple[bytes, str]:
        """(bytes, claimed media type) of the file at `url`. Raises InvalidRequest for the field `param`, Overloaded."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url, param, basket)
        except TimeoutError:
            raise bad(param, "could not be fetched in time") from None
        except Forbidden:
            raise bad(param, "must be an address on the public internet") from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            if isinstance(exc, aiohttp.ClientConnectorError) and isinstance(exc.os_error, Forbidden):
                raise bad(param, "must be an address on the public internet") from None
            raise bad(param, "could not be fetched") from None

    async def _follow(self, url: str, param: str, basket: Basket) -> tuple[bytes, str]:
        for _ in range(_MOST_REDIRECTS + 1):
            self._check(url, param)
            async with self._opened().get(url, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308):
                    url = urljoin(url, response.headers.get("Location", ""))
                    continue
                if response.status != 200:
                    raise bad(param, f"could not be fetched: its server answered {response.status}")
                if response.headers.get("Content-Encoding", "identity").lower() != "identity":
                    raise bad(param, "could not be fetched: its server sends it compressed")
                return await self._body(response, param, basket), response.content_type
        raise bad(param, "redirects too often")

    def _check(self, url: str, param: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "https" and not (self._private and parts.scheme == "http"):
            raise bad(param, "must be a data: or https: URL")
        if not parts.hostname or "@" in parts.netloc or "\\" in url or not url.isprintable():
            raise bad(param, "is not a plain https: URL")

    async def _body(self, response: aiohttp.ClientResponse, param: str, basket: Basket) -> bytes:
        too_large = f"must be at most {self._most} bytes"
        if (response.content_length or 0) > self._most:
            raise bad(param, too_large)
        pieces, size = [], 0
        async for piece in response.content.iter_any():
            size += len(piece)
            if size > self._most:
                raise bad(param, too_large)
            basket.put(len(piece), param)
            pieces.append(piece)
        return await in_thread(b"".join, pieces) if len(pieces) > 1 else b"".join(pieces)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=_AT_ONCE,
                    force_close=True,
                    use_dns_cache=False,
                    resolver=self._resolver,
                    socket_factory=self._socket,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "gemini-gateway"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _socket(self, info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        if not self._reachable(address[0]):
            raise Forbidden("not a public address")
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            await self._session.close()


def _anything(address: str) -> bool:
    return True


def is_public(text: str) -> bool:
    """Whether an IP address is on the public internet, also in the forms that wrap an IPv4 one."""
    address: Address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
        if address.teredo is not None or int(address) >> 32 == 0:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved
