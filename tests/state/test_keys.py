"""Keys made at run time: only their hash is kept, replicas agree, and they outlast a restart."""

from __future__ import annotations

import asyncio
import json
import stat
from pathlib import Path

import pytest

from gateway.state.keys import FRESH_S, KeyBook, book_of
from gateway.state.memory import MemoryStore
from gateway.state.store import StateAway, StateStore, Window


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_key_made_on_one_replica_is_known_on_the_other_and_dies_on_both(store: StateStore) -> None:
    clock = Clock()
    one, other = KeyBook(store, None, clock), KeyBook(store, None, clock)
    assert await other.find("sk-unknown") is None
    record, key = await one.add("team", 1.0, limits={"per_minute": 3})
    clock.now += 0.3
    assert (found := await other.find(key)) is not None and found.limits == {"per_minute": 3}
    assert await one.revoke(record.id)
    clock.now += FRESH_S + 0.1
    assert await other.find(key) is None
    assert not await one.revoke(record.id)


async def test_replicas_that_make_keys_at_once_lose_none(store: StateStore) -> None:
    books = [KeyBook(store, None) for _ in range(3)]
    await asyncio.gather(*(book.add(f"key-{number}", number) for number, book in enumerate(books)))
    await books[0].read()
    assert {key.name for key in books[0].all()} == {"key-0", "key-1", "key-2"}


async def test_a_name_is_given_once(store: StateStore) -> None:
    book = KeyBook(store, None)
    await book.add("team", 1.0)
    with pytest.raises(ValueError, match="name"):
        await book.add("team", 2.0)


async def test_on_one_machine_keys_outlast_a_restart_and_no_file_holds_them(tmp_path: Path) -> None:
    first = book_of(MemoryStore(), "memory://", tmp_path)
    record, key = await first.add("team", 1.0, models=("gemini-2.5-flash",))
    again = book_of(MemoryStore(), "memory://", tmp_path)
    found = await again.find(key)
    assert found == record and found.models == ("gemini-2.5-flash",)
    file = tmp_path / "api_keys.json"
    kept = await asyncio.to_thread(file.read_text)
    assert key not in kept and json.loads(kept)[0]["name"] == "team"
    assert stat.S_IMODE((await asyncio.to_thread(file.stat)).st_mode) == 0o600


async def test_changed_limits_hold_everywhere(store: StateStore) -> None:
    book = KeyBook(store, None)
    record, key = await book.add("team", 1.0)
    changed = await book.change(record.id, limits={"per_day": 9})
    assert changed is not None
    assert (await KeyBook(store, None).find(key)) == changed
    assert await book.change("nobody", limits={}) is None


class Away(MemoryStore):
    away = False

    async def get(self, key: str) -> bytes | None:
        if self.away:
            raise StateAway("gone")
        return await super().get(key)


async def test_while_the_store_is_away_what_was_known_holds_and_nothing_is_guessed() -> None:
    store, clock = Away(), Clock()
    book = KeyBook(store, None, clock)
    _, key = await book.add("team", 1.0)
    store.away, clock.now = True, 100.0
    assert await book.find(key) is not None
    with pytest.raises(StateAway):
        await KeyBook(store, None, clock).find(key)


async def test_what_is_used_of_a_limit_can_be_looked_at(store: StateStore) -> None:
    hour, minute = Window("used-hour", 5, 3600.0), Window("used-minute", 5, 60.0)
    assert await store.used([hour, minute]) == [0, 0]
    await store.take([hour], 3)
    assert await store.used([hour, minute]) == [3, 0]
    assert await store.used([]) == []
