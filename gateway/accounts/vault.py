"""Encryption of what the cookie store keeps, and names that say nothing. Knows no account and no store."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

log = logging.getLogger(__name__)
KEY_FILE = "cookie_key"
# Of a passphrase (RFC 7914); the salt is the same everywhere, because replicas must come to the same key.
_SCRYPT = {"n": 2**14, "r": 8, "p": 1, "salt": b"gemini-gateway cookie store"}


class Vault:
    """Encrypts with a key of 32 bytes (AES-128-CBC and HMAC-SHA256, as Fernet does). `other` is read as well, and never
    written: the key before this one, or the one after it."""

    def __init__(self, key: bytes, other: Vault | None = None) -> None:
        self._other = other
        self._fernet = Fernet(base64.urlsafe_b64encode(key))
        self._naming = hmac.digest(key, b"names", "sha256")

    def name_of(self, text: str) -> str:
        """A name for `text` from which it cannot be guessed without the key: 32 hex digits."""
        return hmac.digest(self._naming, text.encode(), "sha256").hex()[:32]

    def lock(self, data: bytes) -> bytes:
        """`data`, encrypted."""
        return self._fernet.encrypt(data)

    def open(self, locked: bytes) -> bytes | None:
        """What `lock` was given; None when it was locked with a key that is unknown here, or is damaged."""
        try:
            return self._fernet.decrypt(locked)
        except InvalidToken:
            return self._other.open(locked) if self._other else None

    def names(self, text: str, name: str) -> bool:
        """Whether `name` is the name for `text`, under any of the keys."""
        return hmac.compare_digest(self.name_of(text), name) or (self._other is not None and self._other.names(text, name))


def from_secret(secret: str, other: str | None = None) -> Vault:
    """The vault of a passphrase (GATEWAY_SECRET): the same on every machine. `other` is one that is read as well."""
    return Vault(_stretched(secret), Vault(_stretched(other)) if other else None)


def _stretched(secret: str) -> bytes:
    return hashlib.scrypt(secret.encode(), dklen=32, **_SCRYPT)  # type: ignore[arg-type]


def from_folder(folder: Path) -> Vault:
    """The vault of a key that is made at the first start and kept in `folder`, for nobody else to read. Raises
    OSError."""
    file = folder / KEY_FILE
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        if file.stat().st_mode & 0o077:
            log.warning("%s can be read by others; `chmod 600` it", file)
    else:
        with os.fdopen(handle, "wb") as opened:
            opened.write(base64.urlsafe_b64encode(os.urandom(32)))
            opened.flush()
            os.fsync(opened.fileno())
    key = base64.urlsafe_b64decode(file.read_bytes().strip() or b"")
    if len(key) != 32:
        raise OSError(f"{file} holds no key; delete it to make a new one (stored cookies are lost then)")
    return Vault(key)
