"""SIGTERM, and what callers see of it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket

import aiohttp
import pytest

from gateway.hookspecs import hookimpl
from gateway.model import Call, Outcome
from gateway.testing import Script, make_client
from tests.operations.conftest import ASK, Start
from tests.waiting import until


class Outcomes:
    """Notes how requests ended."""

    def __init__(self) -> None:
        self.seen: list[Outcome] = []

    @hookimpl
    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        self.seen.append(outcome)


async def test_a_running_stream_ends_whole_and_the_exit_is_0(start: Start, http: aiohttp.ClientSession) -> None:
    async with start(server={"shutdown_grace_s": 30}) as process:
        await process.ready(http)
        async with http.post(f"{process.url}/v1/chat/completions", json={**ASK, "stream": True}) as response:
            first = await response.content.readany()
            process.signal(signal.SIGTERM)
            rest = await response.content.read()
        assert (first + rest).rstrip().endswith(b"data: [DONE]")
        assert b'"finish_reason":"stop"' in rest
        assert await process.ended() == 0
    assert not [line for line in process.said if "Traceback" in line], "".join(process.said)


async def test_ready_says_no_while_requests_are_still_taken(start: Start, http: aiohttp.ClientSession) -> None:
    async with start(server={"shutdown_delay_s": 3}) as process:
        await process.ready(http)
        process.signal(signal.SIGTERM)
        await process.says("stopping")
        async with http.get(f"{process.url}/ready") as response:
            assert (response.status, (await response.json())["reason"]) == (503, "stopping")
        async with http.post(f"{process.url}/v1/chat/completions", json=ASK) as response:
            assert (response.status, response.headers["Connection"]) == (200, "close")
        assert await process.ended() == 0
        with pytest.raises(aiohttp.ClientConnectionError):
            await http.get(f"{process.url}/health")


async def test_a_second_signal_ends_at_once(start: Start, http: aiohttp.ClientSession, simulator: object) -> None:
    async with start(server={"shutdown_grace_s": 600, "shutdown_delay_s": 600}) as process:
        await process.ready(http)
        process.signal(signal.SIGTERM)
        await process.says("stopping")
        process.signal(signal.SIGTERM)
        assert await process.ended() == 128 + signal.SIGTERM


async def test_what_does_not_end_in_time_is_told_so() -> None:
    """A stream that has begun gets an error event, a reply that has not a 503; both are accounted for."""
    begun, never, outcomes = asyncio.Event(), asyncio.Event(), Outcomes()
    settings = {"server": {"shutdown_grace_s": 0.2}}
    script = [Script("Once upon", never)]
    async with make_client(plugins=[("outcomes", outcomes)], script=script, settings=settings) as client:
        async with client.http.post("/v1/chat/completions", json={**ASK, "stream": True}) as stream:
            got = await stream.content.readuntil(b"Once upon")
            whole = asyncio.create_task(client.chat("hello"))
            await until(lambda: len(client.upstream.asked) == 2)
            begun.set()
            await client.gateway.drain()
            got += await stream.content.read()
        reply = await whole
    last = json.loads(got.split(b"data: ")[-2 if got.rstrip().endswith(b"[DONE]") else -1])
    assert last["error"]["code"] == "stopping"
    assert (reply.status, reply.body["error"]["code"]) == (503, "stopping")
    assert int(reply.headers["Retry-After"]) > 0
    assert [outcome.error for outcome in outcomes.seen] == ["Stopping", "Stopping"]


async def test_a_connection_that_nobody_has_accepted_yet_is_served_all_the_same() -> None:
    """A client cannot know that the gateway ends; its kernel says that it is connected."""
    body = json.dumps(ASK).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with make_client() as client:
        address = client.url.removeprefix("http://").rsplit(":", 1)
        waiting = [socket.create_connection((address[0], int(address[1]))) for _ in range(5)]
        for connection in waiting:
            connection.sendall(head + body)
        await client.gateway.drain()  # the loop has not run since they came
        for connection in waiting:
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
            connection.close()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address[0], int(address[1])))


async def test_an_idle_connection_does_not_hold_up_the_end(start: Start, http: aiohttp.ClientSession) -> None:
    async with start(server={"shutdown_grace_s": 600}) as process:
        await process.ready(http)
        async with http.get(f"{process.url}/health") as response:
            assert response.status == 200
        process.signal(signal.SIGTERM)
        assert await process.ended() == 0


async def test_a_rolling_restart_of_two_replicas_loses_no_request(start: Start) -> None:
    """Under load, through clients that ask only replicas whose /ready says yes, as a load balancer does."""
    sent = lost = 0
    ready: set[str] = set()
    over = asyncio.Event()

    async def check(url: str, http: aiohttp.ClientSession) -> None:
        while not over.is_set():
            try:
                async with http.get(f"{url}/ready") as response:
                    (ready.add if response.status == 200 else ready.discard)(url)
            except aiohttp.ClientError:
                ready.discard(url)
            await asyncio.sleep(0.1)

    async def load(number: int, http: aiohttp.ClientSession) -> None:
        nonlocal sent, lost
        while not over.is_set():
            url = sorted(ready)[(sent + number) % len(ready)]
            sent += 1
            try:
                async with http.post(f"{url}/v1/chat/completions", json={**ASK, "stream": bool(sent % 2)}) as response:
                    text = await response.text()
                    lost += response.status != 200 or not (text.rstrip().endswith(("[DONE]", "}")))
            except aiohttp.ClientError:
                lost += 1

    from tests.operations.conftest import KEY

    timing = {"shutdown_delay_s": 1, "shutdown_grace_s": 30}
    headers = {"Authorization": f"Bearer {KEY}"}
    async with aiohttp.ClientSession(headers=headers) as http, start(server=timing) as one, start(server=timing) as two:
        checks = [asyncio.create_task(check(process.url, http)) for process in (one, two)]
        await one.ready(http)
        await two.ready(http)
        await until(lambda: len(ready) == 2)
        loads = [asyncio.create_task(load(number, http)) for number in range(8)]
        one.signal(signal.SIGTERM)
        assert await one.ended() == 0
        async with start(server=timing) as third:
            checks.append(asyncio.create_task(check(third.url, http)))
            await third.ready(http)
            await until(lambda: third.url in ready)
            two.signal(signal.SIGTERM)
            assert await two.ended() == 0
            over.set()
            await asyncio.gather(*loads, *checks)
    assert sent > 50
    assert lost == 0
