"""Uploaded files live for two days, belong to their owner, and never fill the disk."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.state.files import FileStore
from gateway.wire.filing import KEPT_S, UPLOAD_S, Arrival, FileRecord


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


def uploaded(store: FileStore, owner: str = "me", data: bytes = b"abc") -> FileRecord:
    record = store.begin(owner, "title", "text/plain")
    assert store.append(record.id, data) is not None
    done = store.finish(record.id)
    assert done is not None
    return done


def test_a_file_is_kept_for_two_days(tmp_path: Path) -> None:
    clock = Clock()
    store = FileStore(tmp_path / "files", 1000, clock)
    file = uploaded(store)
    clock.now += KEPT_S - 1
    assert store.read(file.id, "me") == (file, b"abc")
    assert file.sha256 == hashlib.sha256(b"abc").hexdigest()
    clock.now += 2
    assert store.find(file.id, "me") is None and store.all("me") == []
    store.sweep()
    assert list((tmp_path / "files").iterdir()) == []


def test_an_upload_that_was_left_is_forgotten_after_an_hour(tmp_path: Path) -> None:
    clock = Clock()
    store = FileStore(tmp_path, 1000, clock)
    record = store.begin("me", "", "")
    clock.now += UPLOAD_S + 1
    assert store.append(record.id, b"x") is None
    store.sweep()
    assert store.used() == 0


def test_a_file_is_nobody_elses(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 1000, Clock())
    file = uploaded(store)
    assert store.find(file.id, "you") is None and store.all("you") == [] and not store.delete(file.id, "you")
    assert store.delete(file.id, "me") and store.find(file.id, "me") is None


def test_the_id_of_an_upload_is_worth_nothing_when_it_is_done(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 1000, Clock())
    record = store.begin("me", "", "")
    done = store.finish(record.id)
    assert done is not None and done.id != record.id
    assert store.append(record.id, b"x") is None and store.append(done.id, b"x") is None
    assert store.find(record.id, "me") is None


def test_the_folder_has_a_bound_and_is_private(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "files", 5, Clock())
    record = store.begin("me", "", "")
    store.append(record.id, b"12345")
    with pytest.raises(OSError, match="full"):
        store.append(record.id, b"6")
    assert all(path.stat().st_mode & 0o077 == 0 for path in [tmp_path / "files", *(tmp_path / "files").iterdir()])


@pytest.mark.parametrize("id", ["../secret", "", "a" * 41, "ABCDEF123456", "files/abc"])
def test_an_id_that_is_none_finds_nothing(tmp_path: Path, id: str) -> None:
    assert FileStore(tmp_path, 10, Clock()).find(id, "me") is None


def test_a_file_that_comes_whole_is_kept_or_leaves_nothing(tmp_path: Path) -> None:
    clock = Clock()
    store = FileStore(tmp_path, 5, clock)
    file = store.put("me", Arrival("a.txt", "text/plain", b"abc", purpose="vision", kept_s=3600))
    assert (file.title, file.purpose, file.expires - file.created) == ("a.txt", "vision", 3600)
    assert store.read(file.id, "me") == (file, b"abc")
    with pytest.raises(OSError, match="full"):
        store.put("me", Arrival("b.txt", "text/plain", b"abc"))
    assert {path.name for path in tmp_path.iterdir()} == {f"{file.id}.data", f"{file.id}.json"}
    clock.now += 3601
    assert store.find(file.id, "me") is None


def test_a_file_that_an_older_version_kept_is_still_there(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 100, Clock())
    file = uploaded(store)
    about = tmp_path / f"{file.id}.json"
    known = json.loads(about.read_text())
    del known["purpose"], known["kept_s"]
    about.write_text(json.dumps(known))
    assert store.read(file.id, "me") == (file, b"abc")


def test_uploads_from_many_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 1_000_000, Clock())
    with ThreadPoolExecutor(8) as threads:
        files = list(threads.map(lambda n: store.put("me", Arrival(str(n), "text/plain", b"x" * n)), range(1, 200)))
    assert sorted(file.size for file in files) == list(range(1, 200)) == sorted(file.size for file in store.all("me"))


def test_an_upload_is_finished_once(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 1_000_000, Clock())
    begun = store.begin("me", "", "")
    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(store.finish, [begun.id] * 16))
    assert len([file for file in done if file is not None]) == 1 == len(store.all("me"))


def test_there_is_a_bound_on_their_number_and_room_again_when_some_have_expired(tmp_path: Path) -> None:
    clock = Clock()
    store = FileStore(tmp_path, 1000, clock, most_files=3)
    store.begin("me", "", "")
    for name in "ab":
        store.put("me", Arrival(name, "text/plain", b"x"))
    with pytest.raises(OSError, match="too many"):
        store.put("you", Arrival("c", "text/plain", b"x"))
    clock.now += UPLOAD_S + 1
    store.put("you", Arrival("c", "text/plain", b"x"))
    assert [file.title for file in store.all("you")] == ["c"]
