"""Uploaded files live for two days, belong to their owner, and never fill the disk."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.state.files import FileStore, OutOfStep
from gateway.wire.filing import KEPT_S, UPLOAD_S, Arrival, FileRecord


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """As on a disk that is full, no file can grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def uploaded(store: FileStore, owner: str = "me", data: bytes = b"abc") -> FileRecord:
    record = store.begin(owner, "title", "text/plain")
    assert store.append(record, data) is not None
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
    assert store.append(record, b"x") is None
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
    assert store.append(record, b"x") is None and store.append(done, b"x") is None
    assert store.find(record.id, "me") is None


def test_the_folder_has_a_bound_and_is_private(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "files", 5, Clock())
    record = store.begin("me", "", "")
    record = store.append(record, b"12345") or record
    with pytest.raises(OSError, match="full"):
        store.append(record, b"6")
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


def test_what_fails_on_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 1_000_000, Clock())
    file = Arrival("a", "text/plain", b"abc")
    store.put("me", file)
    there = sorted(tmp_path.iterdir())
    for size in range(0, there[1].stat().st_size, 10):  # at each step of it: the records grow from one to the next
        with room_for(size), pytest.raises(OSError, match="large"):
            store.put("me", file)
        assert sorted(tmp_path.iterdir()) == there


def test_an_upload_that_a_full_disk_broke_off_goes_on_where_it_was(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 1_000_000, Clock())
    begun = store.append(store.begin("me", "", ""), b"a" * 900)
    assert begun is not None
    with room_for(1000), pytest.raises(OSError, match="large"):
        store.append(begun, b"b" * 900)
    assert store.append(begun, b"c" * 50) is not None
    done = store.finish(begun.id)
    assert done is not None and store.read(done.id, "me") == (done, b"a" * 900 + b"c" * 50)
    assert done.sha256 == hashlib.sha256(b"a" * 900 + b"c" * 50).hexdigest()


def test_a_piece_that_comes_twice_at_once_is_added_once(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 1_000_000, Clock())
    begun = store.begin("me", "", "")

    def send(_: int) -> bool:
        try:
            return store.append(begun, b"abc") is not None
        except OutOfStep as exc:
            return exc.size != 3

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(send, range(16))) == 1
    done = store.finish(begun.id)
    assert done is not None and store.read(done.id, "me") == (done, b"abc")
