"""docs/clients: every client of the index has its page, says how it was checked, and shows settings that can be read."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

CLIENTS = Path(__file__).parent.parent / "docs" / "clients"
_ROW = re.compile(r"^\| \[.+?\]\(([\w-]+)\.md\) \|.*\| (yes|no) \|$", re.MULTILINE)
INDEX = dict(_ROW.findall((CLIENTS / "README.md").read_text("utf-8")))


def test_the_index_lists_all_pages_and_no_other() -> None:
    assert set(INDEX) == {file.stem for file in CLIENTS.glob("*.md")} - {"README"}
    assert len(INDEX) == 27


@pytest.mark.parametrize("client", INDEX)
def test_a_page_says_how_it_was_checked(client: str) -> None:
    *_, last = (CLIENTS / f"{client}.md").read_text("utf-8").strip().split("\n\n")
    said = "run against the demo, " if INDEX[client] == "yes" else "written from its documentation, not run here."
    assert last.startswith(f"Checked: {said}")


@pytest.mark.parametrize("client", INDEX)
def test_the_settings_on_a_page_can_be_read(client: str) -> None:
    text = (CLIENTS / f"{client}.md").read_text("utf-8")
    for language, block in re.findall(r"^```(\w+)\n(.*?)^```", text, re.M | re.S):
        match language:
            case "json":
                json.loads(block)
            case "toml":
                tomllib.loads(block)
            case "python":
                compile(block, client, "exec")
