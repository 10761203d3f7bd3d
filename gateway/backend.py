"""The accounts and the way to them: what assemblies of one process share, and the stores that it stands on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.loader import ConfigError
from config.settings import Settings
from gateway.accounts import vault
from gateway.accounts.cookies import CookieStore
from gateway.accounts.enrolment import Enrolment
from gateway.accounts.keeping import Keeper
from gateway.accounts.pool import Pool
from gateway.accounts.shelf import Files, Shared
from gateway.state.memory import MemoryStore
from gateway.state.redis import RedisStore
from gateway.state.store import StateStore
from gateway.upstream.protocol import Upstream

# Settings that say nothing about accounts: when only these change, a reload keeps the pool as it is.
BESIDE_ACCOUNTS: Any = {
    "server": True,
    "admin": True,
    "plugins": True,
    "gateway": {"plugins", "plugin_dirs", "reload", "hook_timeout_s"},
}


@dataclass(slots=True, eq=False)
class Backend:
    """The accounts and the way to them. Assemblies share it as long as the settings that make it stay the same."""

    settings: Settings
    pool: Pool
    link: Upstream
    keeper: Keeper
    enrolment: Enrolment
    users: int = 0

    def serves(self, settings: Settings) -> bool:
        """Whether it would come out the same from `settings`."""
        return self.settings.model_dump(exclude=BESIDE_ACCOUNTS) == settings.model_dump(exclude=BESIDE_ACCOUNTS)

    async def release(self) -> None:
        """One user less; the last one closes it."""
        self.users -= 1
        if not self.users:
            await self.keeper.close()
            await self.pool.close()
            await self.link.close()


def cookie_store(settings: Settings, folder: Path, store: StateStore) -> CookieStore:
    """The cookie store of `settings`: in redis where replicas share one, else in files of `folder`. Raises
    ConfigError."""
    secret, other = settings.state.secret, settings.state.other_secret
    words = [word.get_secret_value() for word in (secret, other) if word is not None]
    try:
        key = vault.from_secret(*words) if secret else vault.from_folder(folder)
        if settings.state.url != "memory://":
            return CookieStore(Shared(store), key)
        files = Files(folder / "cookies")
        files.sweep()
    except (OSError, ValueError) as exc:
        raise ConfigError([f"state.dir: cookies cannot be kept there: {exc}"]) from exc
    return CookieStore(files, key)


def state_store(settings: Settings) -> StateStore:
    """The state store of `settings`, not opened yet."""
    state = settings.state
    return MemoryStore() if state.url == "memory://" else RedisStore(state.url, cluster=state.cluster)
