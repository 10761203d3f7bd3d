"""The real upstream: Gemini's web site through gemini_webapi, which stays unmodified. The only importer of that library.

Isolation by construction: an account signs in once (`account`); each call in flight runs on its own `GeminiClient`
(`client`) with its own transfer session (`session`). A failure, a stall or a caller that left costs that one session and
nobody else, and cancelling is closing it. What the library does by itself and must not do here is overridden in `client`;
what its failures mean is in `faults`. Each of these promises has a test in `tests/upstream/` that fails when a new version
of the library moves something."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakSet

import certifi

from config.settings import Account as AccountSettings
from config.settings import Settings
from gateway.upstream.gemini_web.account import WebAccount

__all__ = ["GeminiWeb"]


class GeminiWeb:
    """The upstream of `settings`. `state_dir` takes the CA bundle that an extra `upstream.ca_file` makes. A session that no
    call needs is kept for `idle_s` seconds."""

    def __init__(self, settings: Settings, state_dir: Path, *, simulated: bool = False, idle_s: float = 45.0) -> None:
        self.settings = settings
        self.simulated = simulated
        self._idle_s = idle_s
        self._accounts: WeakSet[WebAccount] = WeakSet()  # they come and go while we serve
        extra = settings.upstream.ca_file
        self.verify: bool | str = True if extra is None else str(_bundle(extra, state_dir, alone=simulated))

    def account(self, settings: AccountSettings) -> WebAccount:
        account = WebAccount(settings, self.settings, self.verify, self._idle_s)
        self._accounts.add(account)
        return account

    async def close(self) -> None:
        for account in list(self._accounts):
            await account.close()


def _bundle(extra: Path, state_dir: Path, *, alone: bool) -> Path:
    """The usual CAs and those of `extra` in one file: the library takes one."""
    if alone:
        return extra
    bundle = state_dir / "ca-bundle.pem"
    bundle.write_bytes(Path(certifi.where()).read_bytes() + b"\n" + extra.read_bytes())
    return bundle
