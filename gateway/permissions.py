"""Who else on this machine may read our secrets or change our code. Looked at when the gateway starts."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

from config.settings import Settings
from gateway import plugin_loader

_READ = stat.S_IRGRP | stat.S_IROTH


def findings(settings: Settings, root: Path, file: Path | None) -> list[str]:
    """One line for each file that others may read or write and should not. `file` is the gateway.toml that was read."""
    secret = [path for path in (file, root / ".env") if path is not None and path.is_file()]
    kept = root / settings.state.dir
    found = [_readable(path) for path in [*secret, *_files(kept)] if _holds_secrets(path, settings)]
    found += [_writable(path) for path in [*secret, kept, *_code(settings, root)]]
    return [line for line in found if line]


def _holds_secrets(path: Path, settings: Settings) -> bool:
    """A gateway.toml without accounts and keys may be read by everybody."""
    if path.name != "gateway.toml":
        return True
    lines = path.read_text("utf-8", "replace").splitlines()
    return any(line.strip().startswith(("secure_1psid", "keys", "key ", "key=", "[[accounts]]")) for line in lines)


def _files(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        # Certificates are for everybody.
        yield from (path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix != ".pem")


def _code(settings: Settings, root: Path) -> Iterator[Path]:
    for folder in {plugin_loader.SHIPPED, *((root / folder).resolve() for folder in settings.gateway.plugin_dirs)}:
        if folder.is_dir():
            yield folder
            yield from sorted(folder.glob("*.py"))


def _readable(path: Path) -> str:
    return f"{path} holds secrets and can be read by others: chmod 600 it" if _mode(path) & _READ else ""


def _writable(path: Path) -> str:
    return f"{path} can be changed by everybody on this machine: chmod o-w it" if _mode(path) & stat.S_IWOTH else ""


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except OSError:
        return 0
