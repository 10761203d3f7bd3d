"""A key of the gateway's own, made at random when it is first needed and kept in a file that nobody else may read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

_BYTES = 32


def kept_key(file: Path) -> bytes:
    """The key in `file`, made there (0600) where it is missing. Of several processes that make it at once one wins."""
    with suppress(FileNotFoundError):
        return file.read_bytes()
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
        opened.write(secrets.token_bytes(_BYTES))
    with suppress(FileExistsError):
        os.link(beside, file)  # unlike a rename, never over one that another process has made
    beside.unlink()
    return file.read_bytes()
