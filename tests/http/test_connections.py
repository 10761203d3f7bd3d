"""Connections that ask for nothing, that never read, or that come in too large a number."""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import Overloaded
from gateway.http.connections import most_connections, one_user_agent
from gateway.http.memory import HighWater, mark
from gateway.testing import Client, Script, make_client
from tests.http.test_wire_abuse import ASK, post, raw
from tests.waiting import until

MANY = 10_000


@pytest.fixture
def descriptors() -> Iterator[int]:
    """As many open files as the system allows; both ends of every connection are in this process."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield before[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def dial(client: Client) -> socket.socket:
    host, port = client.url.removeprefix("http://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=5)


async def test_ten_thousand_idle_connections_do_not_keep_anybody_out(descriptors: int) -> None:
    count = min(MANY, descriptors // 2 - 300)
    settings = {"server": {"max_connections": count // 2, "header_timeout_s": 300}}
    async with make_client(settings=settings) as client:
        idle: list[socket.socket] = []
        try:
            while len(idle) < count:  # a hop to a thread for each would take most of the time
                idle += await asyncio.to_thread(lambda: [dial(client) for _ in range(50)])
                for opened in idle[-50::2]:
                    opened.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-")
            loop = asyncio.get_running_loop()
            begun = loop.time()
            async with client.http.get("/health") as response:
                assert response.status == 200
            assert (await client.chat("hello")).text == "Hello"
            assert loop.time() - begun < 2
        finally:
            for opened in idle:
                opened.close()


async def test_a_connection_that_works_is_never_closed_for_an_idle_one() -> None:
    go_on = asyncio.Event()
    settings = {"server": {"max_connections": 10}}
    async with make_client(script=[Script("one", go_on, "two")], settings=settings) as client:
        busy = asyncio.create_task(client.chat("hello"))
        await until(lambda: client.upstream.asked)
        idle = [dial(client) for _ in range(30)]
        async with client.http.get("/health") as response:
            assert response.status == 200
        go_on.set()
        assert (await busy).text == "onetwo"
        for opened in idle:
            opened.close()


async def test_a_connection_that_has_served_makes_room_like_any_idle_one() -> None:
    async with make_client(settings={"server": {"max_connections": 10}}) as client:
        served = [dial(client) for _ in range(10)]
        for opened in served:
            opened.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            assert b"200 OK" in await asyncio.to_thread(opened.recv, 65_536)
        statuses, _ = await raw(client, b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        assert statuses == [200]
        for opened in served:
            opened.close()


async def test_when_all_are_busy_the_next_is_told_to_come_back() -> None:
    go_on = asyncio.Event()
    settings = {"server": {"max_connections": 10}, "pool": {"max_concurrency": 50}}
    async with make_client(script=[Script(go_on, "done")], settings=settings) as client:
        busy = [asyncio.create_task(client.chat("hello")) for _ in range(10)]
        await until(lambda: len(client.upstream.asked) == 10)
        statuses, got = await raw(client, post(b"Content-Length: %d" % len(ASK)))
        assert statuses == [503]
        assert b"Retry-After: 5" in got and b'"code":"overloaded"' in got
        go_on.set()
        assert {(await task).status for task in busy} == {200}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
async def test_a_caller_who_never_reads_loses_the_connection_and_frees_the_account(stream: bool) -> None:
    huge = "x" * 30_000_000
    settings = {"server": {"write_stall_s": 0.5}}
    async with make_client(script=[Script(huge)], settings=settings) as client:
        body = ASK[:-1] + (b',"stream":true}' if stream else b"}")
        with dial(client) as deaf:
            deaf.sendall(post(b"Content-Length: %d" % len(body), body=body))
            await until(lambda: client.upstream.asked and not client.gateway._front._listener.open)
            await until(lambda: client.gateway.pool.views()[0].in_flight == 0)


async def test_a_head_that_is_too_large_is_a_431_in_json() -> None:
    async with make_client() as client:
        statuses, got = await raw(client, b"GET / HTTP/1.1\r\nHost: a\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n")
        assert statuses == [431]
        assert b"Content-Type: application/json" in got and b"headers_too_large" in got
        statuses, got = await raw(client, b"NONSENSE\r\n\r\n")
        assert statuses == [400]
        assert b'"code":"invalid_request"' in got and b"NONSENSE" not in got


# --- memory -------------------------------------------------------------------------------------------------------


async def test_short_of_memory_new_calls_are_refused_early_and_health_still_answers() -> None:
    async with make_client(settings={"server": {"max_memory_mb": 1}}) as client:
        reply = await client.chat("hello")
        assert (reply.status, reply.body["error"]["code"]) == (503, "overloaded")
        assert int(reply.headers["Retry-After"]) > 0
        assert not client.upstream.asked
        async with client.http.get("/health") as response:
            assert response.status == 200


def test_memory_that_is_free_again_lets_calls_in_again() -> None:
    now, held = [0.0], [50]
    water = HighWater(100, resident=lambda: held[0], clock=lambda: now[0])
    water.check()
    now[0], held[0] = 1.0, 150
    with pytest.raises(Overloaded):
        water.check()
    now[0], held[0] = 2.0, 50
    water.check()


def test_the_mark_follows_the_container(tmp_path: Path) -> None:
    unlimited, limited = tmp_path / "memory.max", tmp_path / "limit_in_bytes"
    unlimited.write_text("max\n")
    limited.write_text("1000000000\n")
    assert mark(0, (str(unlimited),)) is None
    assert mark(0, (str(tmp_path / "none"), str(limited))) == 850_000_000
    assert mark(512, (str(limited),)) == 512_000_000


def test_the_limit_on_open_files_bounds_the_connections(caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (500, before[1]))
        assert most_connections(600) == 600
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 800
        assert most_connections(10**9) == before[1] - 200
        assert "limit on open files" in caplog.text
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_second_user_agent_is_no_reason_to_refuse() -> None:
    agents = (b"Content-Length: %d" % len(ASK), b"User-Agent: one", b"user-agent: two", b"USER-AGENT: three")
    async with make_client(script=[Script("first"), Script("second")]) as client:
        host, port = client.url.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        for said in (b"first", b"second"):
            writer.write(post(*agents))
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            assert said in await reader.readexactly(int(length.split(b":")[1]))
        writer.close()


def test_what_a_user_agent_stands_in_for_never_moves_a_byte() -> None:
    head = post(b"User-Agent: one", b"X-User-Agent: kept", b"user-agent: two", body=b"\r\nuser-agent: in the body")
    changed = one_user_agent(head)
    assert len(changed) == len(head)
    assert changed == head.replace(b"user-agent: two", b"x-ua-extra: two")
    once = post(b"User-Agent: one", body=b"\r\nuser-agent: in the body")
    assert one_user_agent(once) is once
