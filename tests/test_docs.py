"""What the pages promise: every block of the plugin walk-through works, and no link leads nowhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from config.loader import load
from gateway import plugin_loader

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    ROOT / "README.zh-CN.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "plugins" / "README.md",
]


def blocks(language: str) -> list[str]:
    text = (ROOT / "docs" / "plugins.md").read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def folder_with(plugin: str, folder: Path) -> Path:
    (folder / "plugins").mkdir(parents=True)
    (folder / "plugins" / "word_limit.py").write_text(plugin)
    enabled, settings = blocks("toml")
    (folder / "gateway.toml").write_text(enabled + settings if "class Settings" in plugin else enabled)
    return folder / "gateway.toml"


def test_each_step_of_the_walk_through_loads(tmp_path: Path) -> None:
    steps = blocks("python")[:3]
    hooks = []
    for number, step in enumerate(steps):
        loaded = load(folder_with(step, tmp_path / str(number)), environ={})
        plugins = plugin_loader.load(loaded.settings, loaded.root)
        hooks.append(next(plugin.hooks for plugin in plugins if plugin.name == "word_limit"))
    assert hooks == [(), ("admit",), ("admit", "call_finished")]


def test_the_walk_throughs_test_passes(tmp_path: Path) -> None:
    plugin, test = blocks("python")[2:4]
    folder_with(plugin, tmp_path)
    (tmp_path / "test_word_limit.py").write_text(test)
    options = ["-q", "-p", "no:cacheprovider", "-o", "asyncio_mode=auto", "--rootdir", str(tmp_path), str(tmp_path)]
    command = [sys.executable, "-c", "import sys, pytest; sys.exit(pytest.main(sys.argv[1:]))", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_leads_nowhere(page: Path) -> None:
    targets = re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
    gone = [target for target in targets if "://" not in target and not (page.parent / target).exists()]
    assert not gone
