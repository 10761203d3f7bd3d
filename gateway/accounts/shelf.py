"""Where encrypted records lie: files of a folder on one machine, or the state store that replicas share. Values are opaque
bytes under opaque names."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import time
from pathlib import Path
from typing import Protocol

from gateway.state.store import StateStore

_SUFFIX = ".cookies"
_LEFT_S = 60.0
_PREFIX, _VERSION = "account:", "accounts-version"


class Shelf(Protocol):
    """Values under names. Every method raises OSError or StateAway when it cannot do its work now."""

    async def version(self) -> str:
        """A text that is another one after every change, whoever made it."""

    async def read(self) -> dict[str, bytes]:
        """Everything."""

    async def write(self, name: str, value: bytes) -> None:
        """Keep `value` under `name`: all of it or, when the process is killed, what was there before."""

    async def delete(self, name: str) -> None:
        """Forget what is under `name`, if anything is."""


class Files(Shelf):
    """Files in `folder` (made with mode 0700), each for its owner alone, replaced atomically: written beside, synced,
    renamed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def version(self) -> str:
        return await asyncio.to_thread(self._version)

    def _version(self) -> str:
        # Neither alone would do: inodes are used again, and clocks of file systems are coarse.
        with os.scandir(self._made()) as entries:
            return repr(
                sorted(
                    (entry.name, entry.inode(), entry.stat().st_mtime_ns)
                    for entry in entries
                    if entry.name.endswith(_SUFFIX)
                )
            )

    async def read(self) -> dict[str, bytes]:
        return await asyncio.to_thread(self._read)

    def _read(self) -> dict[str, bytes]:
        return {file.name.removesuffix(_SUFFIX): file.read_bytes() for file in self._made().glob(f"*{_SUFFIX}")}

    async def write(self, name: str, value: bytes) -> None:
        await asyncio.to_thread(self._write, name, value)

    def _write(self, name: str, value: bytes) -> None:
        folder = self._made()
        beside = folder / f".{name}.{secrets.token_hex(4)}.tmp"
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
                opened.write(value)
                opened.flush()
                os.fsync(opened.fileno())
            beside.replace(folder / f"{name}{_SUFFIX}")
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        _sync(folder)

    async def delete(self, name: str) -> None:
        await asyncio.to_thread((self._made() / f"{name}{_SUFFIX}").unlink, missing_ok=True)

    def sweep(self) -> None:
        """Remove what writers left behind that were killed a while ago."""
        for left in self._made().glob(".*.tmp"):
            with contextlib.suppress(OSError):
                if left.stat().st_mtime < time.time() - _LEFT_S:
                    left.unlink()

    def _made(self) -> Path:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self._folder


def _sync(folder: Path) -> None:
    """Let the rename itself survive a loss of power, where the system can (not on Windows)."""
    with contextlib.suppress(PermissionError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class Shared(Shelf):
    """Records of a state store."""

    def __init__(self, store: StateStore) -> None:
        self._store = store

    async def version(self) -> str:
        return (await self._store.get(_VERSION) or b"").decode()

    async def read(self) -> dict[str, bytes]:
        found = {key: await self._store.get(key) for key in await self._store.keys(_PREFIX)}
        return {key.removeprefix(_PREFIX): value for key, value in found.items() if value is not None}

    async def write(self, name: str, value: bytes) -> None:
        await self._store.put(_PREFIX + name, value)
        await self._store.put(_VERSION, secrets.token_hex(8).encode())

    async def delete(self, name: str) -> None:
        await self._store.delete(_PREFIX + name)
        await self._store.put(_VERSION, secrets.token_hex(8).encode())
