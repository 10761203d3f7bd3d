"""What all tests share: nothing of the environment or of this folder's gateway.toml leaks into them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Tests of the whole thing run under asyncio and under uvloop; the others under asyncio."""
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if "functional" in item.path.parts:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


# Tests that measure time, start many processes or fill the machine: they run when the others are done, two at a time.
ALONE = ("operations", "test_chaos.py", "test_replicas.py", "test_clusters.py", "test_take.py", "test_connections.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if set(ALONE) & set(item.path.parts):
            item.add_marker(pytest.mark.alone)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    for name in list(os.environ):
        if name.startswith(("GATEWAY", "SECURE_1PSID", "R2_")) or name in ("PORT", "API_KEY", "REDIS_URL"):
            monkeypatch.delenv(name)
    # Where the library would keep cookies if it were let; tests look that it stays empty.
    monkeypatch.setenv("GEMINI_COOKIE_PATH", str(tmp_path_factory.mktemp("library-cookies")))
