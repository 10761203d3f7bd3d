"""Cookies on a disk: whole or not at all, for nobody else to read, and under names that say nothing."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.accounts import vault
from gateway.accounts.cookies import CookieStore, Record, merged
from gateway.accounts.rotation import History
from gateway.accounts.shelf import Files
from gateway.accounts.vault import Vault
from gateway.upstream.protocol import Cookies

KEY = bytes(32)
WRITER = """
import asyncio, sys
from pathlib import Path
from gateway.accounts.cookies import CookieStore, Record
from gateway.accounts.rotation import History
from gateway.accounts.shelf import Files
from gateway.accounts.vault import Vault
from gateway.upstream.protocol import Cookies

async def main():
    store = CookieStore(Files(Path(sys.argv[1])), Vault(bytes(32)))
    number = int(sys.argv[2])
    while True:
        number += 1
        await store.save(Record("a", Cookies("psid", f"sidts-{number}"), history=History(attempted=float(number))))
        sys.stdout.write(f"{number}\\n")
        sys.stdout.flush()

asyncio.run(main())
"""


async def stored(folder: Path) -> Record:
    store = CookieStore(Files(folder), Vault(KEY))
    await store.refresh()
    (record,) = store.all()
    return record


def test_a_kill_in_the_middle_of_saving_leaves_the_old_value_or_the_new_one(tmp_path: Path) -> None:
    chance, number = random.Random(1), 0
    for _ in range(6):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(number)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(chance.randint(1, 40)):
            said = writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate()
        number = int((rest.split() or [said])[-1])
        record = asyncio.run(stored(tmp_path))
        assert record.cookies.psidts in (f"sidts-{number}", f"sidts-{number + 1}")
        number = int(record.cookies.psidts.removeprefix("sidts-"))
    for file in tmp_path.iterdir():
        assert file.stat().st_mode & 0o077 == 0
        assert b"sidts" not in file.read_bytes()


async def test_a_write_that_ends_after_a_later_one_does_not_undo_it(tmp_path: Path) -> None:
    class Slow(Files):
        """The first write ends when it is told to."""

        def __init__(self, folder: Path) -> None:
            super().__init__(folder)
            self.begun, self.go = asyncio.Event(), asyncio.Event()

        async def write(self, name: str, value: bytes) -> None:
            if not self.begun.is_set():
                self.begun.set()
                await self.go.wait()
            await super().write(name, value)

    shelf = Slow(tmp_path)
    store = CookieStore(shelf, Vault(KEY))
    old, new = (Record("a", Cookies("psid", f"ts-{n}"), history=History(attempted=float(n))) for n in (1, 2))
    saving = asyncio.create_task(store.save(old))
    await shelf.begun.wait()
    assert await store.save(new) == new
    shelf.go.set()
    assert await saving == new
    await store.refresh()
    assert await stored(tmp_path) == new


async def test_another_key_reads_nothing_and_destroys_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await CookieStore(Files(tmp_path), Vault(KEY)).save(Record("a", Cookies("psid", "ts")))
    other = CookieStore(Files(tmp_path), vault.from_secret("another"))
    await other.refresh()
    assert other.all() == [] and "GATEWAY_SECRET" in caplog.text
    await other.save(Record("a", Cookies("other", "ts")))
    assert (await CookieStore(Files(tmp_path), Vault(KEY)).save(Record("b"))).name == "b"
    mine = CookieStore(Files(tmp_path), Vault(KEY))
    await mine.refresh()
    assert {record.name: record.cookies.psid for record in mine.all()} == {"a": "psid", "b": ""}


async def test_the_secret_can_be_changed_while_replicas_restart_one_by_one(tmp_path: Path) -> None:
    def replica(*secrets: str) -> CookieStore:
        return CookieStore(Files(tmp_path), vault.from_secret(*secrets))

    await replica("old").save(Record("a", Cookies("psid", "first"), history=History(entered=1)))
    waiting, changed = replica("old", "new"), replica("new", "old")
    await changed.refresh()
    assert changed.all()[0].cookies.psidts == "first"
    await changed.save(Record("a", Cookies("psid", "rotated"), history=History(entered=1, attempted=2, renewed=2)))
    await waiting.refresh()  # still writes under the old one
    assert waiting.all()[0].cookies.psidts == "rotated"
    await changed.refresh()
    alone = replica("new")
    await alone.refresh()
    assert [record.cookies.psidts for record in alone.all()] == ["rotated"]
    assert len(os.listdir(tmp_path)) == 1


def test_a_secret_makes_the_same_key_everywhere_and_a_folder_one_of_its_own(tmp_path: Path) -> None:
    assert vault.from_secret("x").open(vault.from_secret("x").lock(b"data")) == b"data"
    assert vault.from_secret("y").open(vault.from_secret("x").lock(b"data")) is None
    locked = vault.from_folder(tmp_path).lock(b"data")
    assert vault.from_folder(tmp_path).open(locked) == b"data"
    assert (tmp_path / vault.KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert Vault(KEY).name_of("me@example.com") != "me@example.com"


def test_of_two_notes_the_fresher_cookies_and_the_later_settings_count() -> None:
    rotated = Record("a", Cookies("p", "rotated"), history=History(entered=1, attempted=50, renewed=50), edited=1)
    switched = Record("a", Cookies("p", "old"), history=History(entered=1), edited=40, enabled=False)
    pasted = Record("a", Cookies("q", "pasted"), history=History(entered=45), edited=2)
    for one, other in ((rotated, switched), (switched, rotated)):
        both = merged(one, other)
        assert (both.cookies.psidts, both.enabled) == ("rotated", False)
    assert merged(rotated, pasted).cookies.psidts == merged(pasted, rotated).cookies.psidts == "pasted"


def test_nothing_that_is_printed_shows_a_cookie() -> None:
    record = Record("a", Cookies("g.a000secret", "sidts-secret", "cc-secret"), proxy="http://u:secret@h")
    assert "secret" not in repr(record) + str(record.cookies) + f"{record}"
