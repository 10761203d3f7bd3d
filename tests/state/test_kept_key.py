"""Keys that the gateway makes for itself."""

from __future__ import annotations

from pathlib import Path

from gateway.state.kept_key import kept_key


def test_it_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    key = kept_key(tmp_path / "key")
    assert len(key) == 32 and kept_key(tmp_path / "key") == key
    assert [(file.name, file.stat().st_mode & 0o777) for file in tmp_path.iterdir()] == [("key", 0o600)]


def test_one_that_a_full_disk_cut_short_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    key = kept_key(tmp_path / "key")
    assert len(key) == 32 and kept_key(tmp_path / "key") == key
