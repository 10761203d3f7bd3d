"""The state folder, and the keys that are made at the first start: off loopback the gateway is never open by accident."""

from __future__ import annotations

import logging
import secrets
from pathlib import Path

from pydantic import SecretStr

from config.loader import ConfigError
from config.settings import Settings
from gateway.http.boundary import is_loopback
from gateway.state.kept_key import place, there

log = logging.getLogger(__name__)


def state_dir(folder: Path) -> Path:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError([f"state.dir: {folder} cannot be made: {exc.strerror}"]) from exc
    if folder.stat().st_mode & 0o077:
        log.warning("state.dir %s can be read by others; `chmod 700` it", folder)
    return folder


def with_keys(settings: Settings, folder: Path) -> tuple[Settings, dict[str, str]]:
    """Off loopback the gateway is never open by accident: without a configured key one is made, kept in the state
    folder, and shown once (it is in the returned dict only at the start that made it)."""
    if is_loopback(settings.server.host):
        return settings, {}
    made: dict[str, str] = {}
    if settings.admin.key is None:
        key = _kept_key(folder / "admin_key", "adm-", made)
        settings = settings.model_copy(update={"admin": settings.admin.model_copy(update={"key": SecretStr(key)})})
    table = settings.plugins.get("api_key", {})
    if not table.get("keys") and not settings.server.allow_anonymous:
        key = _kept_key(folder / "api_key", "sk-", made)
        keys = [{"name": "default", "key": key}]
        settings = settings.model_copy(update={"plugins": {**settings.plugins, "api_key": {**table, "keys": keys}}})
    return settings, made


def _kept_key(file: Path, prefix: str, made: dict[str, str]) -> str:
    """The key in `file`, made if there is none. Of several processes that start at once all get the same; one that is
    killed while it writes leaves no half of a key."""
    try:
        if not there(file):
            key = prefix + secrets.token_urlsafe(24)
            if place(file, f"{key}\n".encode("ascii")):
                made[file.name] = key
        return file.read_text("ascii").strip()
    except OSError as exc:
        raise ConfigError([f"state.dir: {file} cannot be written: {exc.strerror}"]) from exc
