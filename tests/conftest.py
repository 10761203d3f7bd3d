"""What all tests share: nothing of the environment or of this folder's gateway.toml leaks into them."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith(("GATEWAY", "SECURE_1PSID", "R2_")) or name in ("PORT", "API_KEY", "REDIS_URL"):
            monkeypatch.delenv(name)
    # Where the library would keep cookies if it were let; tests look that it stays empty.
    monkeypatch.setenv("GEMINI_COOKIE_PATH", str(tmp_path_factory.mktemp("library-cookies")))
