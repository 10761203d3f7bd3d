"""What is said at start about files that others can read or change."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import Settings
from gateway.permissions import findings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder in which all is as it should be."""
    for name, mode in (("state", 0o700), ("plugins", 0o755)):
        (tmp_path / name).mkdir(mode=mode)
    for name, mode in (("gateway.toml", 0o600), (".env", 0o600), ("state/api_key", 0o600), ("plugins/mine.py", 0o644)):
        (tmp_path / name).touch()
        (tmp_path / name).chmod(mode)
    (tmp_path / "gateway.toml").write_text('[[accounts]]\nsecure_1psid = "g.a000"\n')
    return tmp_path


def found(root: Path) -> list[str]:
    ours = str(root)
    return [line for line in findings(Settings(), root, root / "gateway.toml") if line.startswith(ours)]


def test_nothing_is_said_where_all_is_as_it_should_be(root: Path) -> None:
    (root / "state" / "ca-bundle.pem").touch(0o644)
    assert found(root) == []


@pytest.mark.parametrize("name", ["gateway.toml", ".env", "state/api_key"])
def test_a_secret_that_others_can_read_is_named(root: Path, name: str) -> None:
    (root / name).chmod(0o644)
    assert found(root) == [f"{root / name} holds secrets and can be read by others: chmod 600 it"]


@pytest.mark.parametrize("name", ["state", "plugins", "plugins/mine.py"])
def test_what_everybody_can_change_is_named(root: Path, name: str) -> None:
    (root / name).chmod(0o777)
    assert found(root) == [f"{root / name} can be changed by everybody on this machine: chmod o-w it"]


def test_a_gateway_toml_without_secrets_may_be_read(root: Path) -> None:
    (root / "gateway.toml").write_text("[server]\nport = 1\n")
    (root / "gateway.toml").chmod(0o644)
    assert found(root) == []
