"""The sockets: who may go where, many at once, and an end that leaves nothing open."""

import asyncio
import ssl
import time
from pathlib import Path

import pytest
from curl_cffi.requests import AsyncSession, Response
from curl_cffi.requests.exceptions import RequestException

from gateway.simulator import Account, Simulator, Site, filler

from .by_hand import BATCH, ask, cookie_header


@pytest.mark.parametrize("host", ["example.com", "google.com", "gemini.google.com.example.com", "127.0.0.1"])
async def test_a_tunnel_to_another_host_is_refused(sim: Simulator, session: AsyncSession[Response], host: str) -> None:
    with pytest.raises(RequestException, match="403"):
        await session.get(f"https://{host}/")
    assert (sim.site.log[-1].host, sim.site.log[-1].status) == (host, 403)


async def test_another_port_is_refused(session: AsyncSession[Response]) -> None:
    with pytest.raises(RequestException, match="403"):
        await session.get("https://gemini.google.com:8443/app")


async def test_unknown_paths_are_not_found(session: AsyncSession[Response], site: Site) -> None:
    for url in ("https://gemini.google.com/nowhere", "https://www.google.com/search", "https://accounts.google.com/"):
        assert (await session.get(url)).status_code == 404
    assert site.log[-1].endpoint == "unknown"


async def test_a_client_that_does_not_trust_the_authority_is_kept_out(sim: Simulator) -> None:
    async with AsyncSession(proxy=sim.proxy_url) as stranger:
        with pytest.raises(RequestException, match="certificate"):
            await stranger.get("https://gemini.google.com/app")


async def test_it_listens_on_loopback_only(sim: Simulator) -> None:
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.2", sim.port)


async def test_nonsense_does_no_harm(sim: Simulator, session: AsyncSession[Response]) -> None:
    for sent in (
        b"\x16\x03\x01nonsense\r\n\r\n",
        b"CONNECT\r\n\r\n",
        b"CONNECT gemini.google.com:443 HTTP/1.1\r\n\r\nhi",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
        writer.write(sent)
        assert b"200" not in (await reader.read(100))[:16]
        writer.close()
        await writer.wait_closed()
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(b"X" * 70_000)
    assert (await reader.read()).startswith(b"HTTP/1.1 431")
    writer.close()
    await writer.wait_closed()
    assert (await session.get("https://gemini.google.com/app")).status_code == 200


async def test_a_handshake_that_is_none_ends_the_connection(sim: Simulator) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(b"CONNECT gemini.google.com:443 HTTP/1.1\r\n\r\n")
    assert b" 200 " in await reader.readuntil(b"\r\n\r\n")
    writer.write(b"no TLS at all\r\n\r\n" * 10)
    assert b"HTTP" not in await reader.read()
    writer.close()


async def more(reader: asyncio.StreamReader) -> bytes:
    got = await reader.read(65536)
    assert got, "the connection has ended"
    return got


async def test_a_request_in_the_handshakes_last_flight_is_not_lost(sim: Simulator) -> None:
    """The first request may arrive together with the client's last handshake bytes."""
    context = ssl.create_default_context(cafile=str(sim.ca_file))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_hostname="gemini.google.com")
    reader, writer = await asyncio.open_connection("127.0.0.1", sim.port)
    writer.write(b"CONNECT gemini.google.com:443 HTTP/1.1\r\n\r\n")
    await reader.readuntil(b"\r\n\r\n")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            writer.write(outgoing.read())
            incoming.write(await more(reader))
    tls.write(b"GET /app HTTP/1.1\r\nHost: gemini.google.com\r\nConnection: close\r\n\r\n")
    writer.write(outgoing.read())
    incoming.write(await more(reader))
    page = b""
    while not page:
        try:
            page = tls.read(65536)
        except ssl.SSLWantReadError:
            incoming.write(await more(reader))
    assert page.startswith(b"HTTP/1.1 200 OK")
    writer.close()


async def test_many_streams_at_once_are_whole_and_on_time(sim: Simulator, site: Site) -> None:
    prompt = "[[sim chars=600 frames=10 pace_ms=20]]"
    async with AsyncSession(proxy=sim.proxy_url, verify=str(sim.ca_file), max_clients=100) as session:
        started = time.monotonic()
        replies = await asyncio.gather(*(ask(session, site.account("a"), prompt) for _ in range(100)))
        assert time.monotonic() - started < 5
    assert all(reply.text.count('\\"rc_') == 10 and filler(600) in reply.text for reply in replies)
    assert [entry.outcome for entry in site.log.generates] == ["whole"] * 100


async def test_frames_are_paced(session: AsyncSession[Response], site: Site) -> None:
    started = time.monotonic()
    await ask(session, site.account("a"), "[[sim chars=60 frames=5 pace_ms=40]]")
    assert 0.2 <= time.monotonic() - started < 1


async def test_everything_can_be_slowed_down(session: AsyncSession[Response], site: Site) -> None:
    site.settings.first_ms, site.settings.rpc_ms, site.settings.full_size_ms = 30, 40, 50
    headers, started = cookie_header(site.account("a")), time.monotonic()
    await ask(session, site.account("a"), "hi")
    for rpc in ("ESY5D", "c8o8Fe"):
        form = {"f.req": f'[[["{rpc}","[]",null,"generic"]]]'}
        assert (await session.post(f"{BATCH}?rpcids={rpc}", headers=headers, data=form)).status_code == 200
    assert time.monotonic() - started >= 0.12


async def test_the_end_does_not_wait_for_those_who_hang() -> None:
    site = Site([Account("a")], pace_ms=0)
    async with AsyncSession() as session:
        async with Simulator(site) as sim:
            session.proxies, session.verify = {"all": sim.proxy_url}, str(sim.ca_file)
            hanging = asyncio.create_task(ask(session, site.account("a"), "[[sim fault=hang]]"))
            await site.log.wait(lambda entry: entry.fault == "hang")
            folder, started = sim.ca_file.parent, time.monotonic()
            assert folder.is_dir()
        assert time.monotonic() - started < 1 and not folder.exists()
        with pytest.raises(RequestException):
            await hanging
    assert site.log.generates[-1].outcome == "aborted"


async def test_a_given_file_gets_the_certificate_and_stays(tmp_path: Path) -> None:
    async with Simulator(Site([]), ca_file=tmp_path / "ca.pem") as sim:
        assert sim.ca_file == tmp_path / "ca.pem"
    assert (tmp_path / "ca.pem").read_bytes().startswith(b"-----BEGIN CERTIFICATE")


async def test_the_same_port_can_be_taken_again() -> None:
    async with Simulator(Site([])) as first:
        port = first.port
    async with Simulator(Site([]), port=port) as second:
        assert second.port == port


async def test_only_names_of_cookies_are_logged(session: AsyncSession[Response], site: Site) -> None:
    await session.get("https://gemini.google.com/app", headers=cookie_header(site.account("a")))
    assert site.log[-1].cookies == ("__Secure-1PSID", "__Secure-1PSIDTS")
    assert site.account("a").psid not in repr(list(site.log))
