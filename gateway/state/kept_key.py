"""Keys of the gateway's own, made at random when they are first needed and kept in files that nobody else may read."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

_BYTES = 32


def kept_key(file: Path) -> bytes:
    """The key in `file`, made there (0600) where it is missing. Of several processes that make it at once one wins."""
    if not there(file):
        place(file, secrets.token_bytes(_BYTES))
    return file.read_bytes()


def there(file: Path) -> bool:
    """Whether there is something in `file`: a full disk or a power cut may leave it empty."""
    return file.is_file() and file.stat().st_size > 0


def place(file: Path, data: bytes) -> bool:
    """Write `file` as a whole, for nobody else to read. False when another process was faster. Raises OSError."""
    beside = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as opened:
            opened.write(data)
            opened.flush()
            os.fsync(opened.fileno())
        if file.is_file() and not there(file):
            file.unlink()
        os.link(beside, file)  # unlike a rename, never over one that another process has made
    except FileExistsError:
        return False
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()
    return True
