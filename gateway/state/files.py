"""Files that callers upload before they ask about them, kept for two days under the state folder. Blocking: call it in a
thread. Each belongs to one principal, and is nobody else's to see."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from gateway.wire.filing import KEPT_S, Arrival, FileRecord

_SWEEP_S = 60.0
_ID = re.compile(r"[a-z0-9]{12,40}")


class OutOfStep(Exception):
    """Another request has added to the upload meanwhile. `size` is what it has now."""

    def __init__(self, size: int) -> None:
        super().__init__("another request has added to the upload")
        self.size = size


class FileStore:
    """The files in `folder` (made when first needed), at most `most_files` and `most_bytes` in all. `clock` gives seconds
    since 1970."""

    def __init__(
        self, folder: Path, most_bytes: int, clock: Callable[[], float] = time.time, *, most_files: int = 5000
    ) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._clock = clock
        self._sweep_at = 0.0
        self._growing = threading.Lock()

    def put(self, owner: str, file: Arrival) -> FileRecord:
        """A file that is here whole already. Raises OSError when the folder is full."""
        begun = self.begin(owner, file.title, file.mime, purpose=file.purpose, kept_s=file.kept_s)
        try:
            self.append(begun, file.data)
            done = self.finish(begun.id)
        except OSError:
            self._forget(begun.id)
            raise
        assert done is not None  # nobody else knows of it
        return done

    def begin(
        self, owner: str, title: str, mime: str, *, purpose: str = "", kept_s: float = KEPT_S
    ) -> FileRecord:
        """A new file with nothing in it. Its id is a secret: who knows it may upload. Raises OSError when there are too
        many."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._clock() >= self._sweep_at:  # it reads them all: not for every one that comes
            self.sweep()
        if sum(1 for _ in self._folder.glob("*.data")) >= self._most_files:
            raise OSError("the folder of uploads holds too many files")
        record = FileRecord(
            secrets.token_hex(16), owner, title, mime, 0, self._clock(), purpose=purpose, kept_s=kept_s
        )
        self._save(record)
        self._data(record.id).touch(mode=0o600)
        return record

    def append(self, upload: FileRecord, data: bytes) -> FileRecord | None:
        """Add bytes to an unfinished file, as the caller knows it; None when there is none. Raises OutOfStep when it has
        grown meanwhile, OSError when the folder is full."""
        with self._growing:
            record = self.unfinished(upload.id)
            if record is None:
                return None
            if record.size != upload.size:
                raise OutOfStep(record.size)
            if self.used() + len(data) > self._most_bytes:
                raise OSError("the folder of uploads is full")
            try:
                with self._data(record.id).open("r+b") as file:
                    file.seek(record.size)  # beyond it may be what a full disk took of a piece that failed
                    file.write(data)
            except FileNotFoundError:
                return None  # another process has finished it meanwhile
            return self._save(replace(record, size=record.size + len(data)))

    def finish(self, id: str) -> FileRecord | None:
        """Nothing more is added from here on; it gets a new name, since its id was known to be writable. Raises OSError."""
        with self._growing:
            record = self.unfinished(id)
            if record is None:
                return None
            done = replace(record, id=secrets.token_hex(6), finished=True, created=self._clock())
            try:
                with self._data(id).open("r+b") as file:
                    file.truncate(record.size)
                    done = replace(done, sha256=hashlib.file_digest(file, "sha256").hexdigest())
                self._save(done)
                self._data(id).rename(self._data(done.id))
            except FileNotFoundError:
                self._about(done.id).unlink(missing_ok=True)
                return None  # another process has finished it meanwhile
            self._about(id).unlink(missing_ok=True)
            return done

    def unfinished(self, id: str) -> FileRecord | None:
        """A file that is being uploaded."""
        record = self._load(id)
        return record if record is not None and not record.finished else None

    def find(self, id: str, owner: str) -> FileRecord | None:
        """A finished file of `owner`."""
        record = self._load(id)
        return record if record is not None and record.finished and record.owner == owner else None

    def read(self, id: str, owner: str) -> tuple[FileRecord, bytes] | None:
        """A finished file of `owner`, with its bytes."""
        record = self.find(id, owner)
        try:
            return (record, self._data(id).read_bytes()) if record else None
        except FileNotFoundError:
            return None  # deleted meanwhile

    def all(self, owner: str) -> list[FileRecord]:
        """The finished files of `owner`, the newest first."""
        now = self._clock()
        mine = (record for record in self._records() if record.finished and record.owner == owner)
        found = [record for record in mine if record.expires > now]
        return sorted(found, key=lambda record: (-record.created, record.id))

    def delete(self, id: str, owner: str) -> bool:
        """Forget a file of `owner`; False when there is none."""
        if self.find(id, owner) is None:
            return False
        self._forget(id)
        return True

    def used(self) -> int:
        """Bytes of all files."""
        return sum(_size(file) for file in self._folder.glob("*.data")) if self._folder.is_dir() else 0

    def sweep(self) -> None:
        """Forget what has expired."""
        self._sweep_at = self._clock() + _SWEEP_S
        for record in self._records():
            if record.expires <= self._clock():
                self._forget(record.id)

    # --- on disk --------------------------------------------------------------------------------------------------
    # A record is written before its bytes and deleted after them: bytes without one, left by a full disk or a kill, would
    # never be found again.

    def _data(self, id: str) -> Path:
        return self._folder / f"{id}.data"

    def _about(self, id: str) -> Path:
        return self._folder / f"{id}.json"

    def _records(self) -> Iterator[FileRecord]:
        for file in list(self._folder.glob("*.json")) if self._folder.is_dir() else ():
            if (record := self._load(file.stem, expired=True)) is not None:
                yield record

    def _load(self, id: str, *, expired: bool = False) -> FileRecord | None:
        if not _ID.fullmatch(id):
            return None
        try:
            record = FileRecord(**json.loads(self._about(id).read_text("utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return record if expired or record.expires > self._clock() else None

    def _save(self, record: FileRecord) -> FileRecord:
        fresh = self._about(record.id).with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(asdict(record), file)
            fresh.replace(self._about(record.id))
        except OSError:
            fresh.unlink(missing_ok=True)
            raise
        return record

    def _forget(self, id: str) -> None:
        self._data(id).unlink(missing_ok=True)
        self._about(id).unlink(missing_ok=True)


def _size(file: Path) -> int:
    """In bytes; none for one that another request has renamed or deleted since it was found."""
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0
