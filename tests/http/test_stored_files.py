"""Files that calls name: each is read once, and too many are refused before any is."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import BodyTooLarge, InvalidRequest, Overloaded
from gateway.http.held import Held
from gateway.http.stored_files import StoredFiles
from gateway.model import Blob, Call, Message, StoredFile
from gateway.state.files import FileStore


class Counting(FileStore):
    """Counts how often it is read."""

    reads = 0

    def read(self, id: str, owner: str):  # type: ignore[no-untyped-def]
        self.reads += 1
        return super().read(id, owner)


def store(folder: Path, *files: bytes) -> tuple[Counting, list[str]]:
    kept = Counting(folder / "files", 1_000_000)
    return kept, [uploaded(kept, data) for data in files]


def uploaded(kept: FileStore, data: bytes) -> str:
    begun = kept.begin("anonymous", "notes", "text/plain")
    kept.append(begun, data)
    done = kept.finish(begun.id)
    assert done is not None
    return done.id


def call(*ids: str) -> Call:
    parts = tuple(StoredFile(id, number, f"contents.0.parts.{number}") for number, id in enumerate(ids))
    return Call("c", 0, "gemini", "gemini-2.5-flash", (Message("user", parts),))


async def test_a_file_that_is_named_often_is_read_once(tmp_path: Path) -> None:
    kept, (first, second) = store(tmp_path, b"one", b"two")
    filled = await StoredFiles(kept, 100).ready(call(first, second, first, first), Held(100).share())
    blobs = [part.data for part in filled.messages[0].parts if isinstance(part, Blob)]
    assert (blobs, kept.reads) == ([b"one", b"two", b"one", b"one"], 2)


async def test_too_many_are_refused_before_any_is_read(tmp_path: Path) -> None:
    kept, (first,) = store(tmp_path, b"one")
    with pytest.raises(InvalidRequest) as refused:
        await StoredFiles(kept, 100).ready(call(*[first] * 33), Held(100).share())
    assert (refused.value.param, kept.reads) == ("contents.0.parts.32", 0)


async def test_together_they_have_a_limit(tmp_path: Path) -> None:
    kept, ids = store(tmp_path, b"x" * 60, b"y" * 60)
    with pytest.raises(BodyTooLarge):
        await StoredFiles(kept, 100).ready(call(*ids), Held(100).share())


async def test_they_count_among_what_all_requests_hold(tmp_path: Path) -> None:
    kept, (first, second) = store(tmp_path, b"x" * 60, b"y" * 60)
    files, held = StoredFiles(kept, 100), Held(100)
    with held.share() as share:
        await files.ready(call(first, first), share)
        assert held.size == 60
        with held.share() as other, pytest.raises(Overloaded):
            await files.ready(call(second), other)
    with held.share() as share:
        await files.ready(call(second), share)
    assert held.size == 0
