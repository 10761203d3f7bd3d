"""The pages for operators: every command in them is typed, every configuration loaded, every name looked up."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config.loader import load
from config.settings import Settings
from gateway import errors
from gateway.testing import Client, make_client
from plugins.metrics import Plugin as Metrics
from plugins.metrics import Settings as MetricsSettings

ROOT = Path(__file__).parent.parent
PAGES = ("operations", "scaling", "security", "threat-model", "troubleshooting", "faq")
ADMIN_KEY = "adm-of-the-docs"
# What the pages say stands in the environment.
ENVIRON = {"GATEWAY_SECRET": "a secret of the docs"}


def text_of(page: str) -> str:
    return (ROOT / "docs" / f"{page}.md").read_text("utf-8")


def commands(page: str) -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", text_of(page), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


ALL = [pytest.param(page, line, id=f"{page}: {line[:50]}") for page in PAGES for line in commands(page)]


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    settings = {"admin": {"key": ADMIN_KEY}}
    async with make_client(plugins=[("metrics", Metrics(MetricsSettings()))], settings=settings) as made:
        yield made


def typed(line: str, url: str, folder: Path) -> list[str]:
    """The command as it runs here: the gateway's address is that of the test, `python` this one, files are in `folder`.
    What would run everything again, or ask the network, is looked up instead."""
    words = shlex.split(line.replace("$ADMIN_KEY", ADMIN_KEY).replace("http://127.0.0.1:8100", url))
    match words:
        case ["python", *rest]:
            return [sys.executable, *rest]
        case ["make", *rest]:
            return ["make", "-n", *rest]
        case ["git", "pull"]:
            return ["git", "pull", "-h"]
        case ["chmod", mode, *names]:
            return ["chmod", mode, *(str(folder / name) for name in names)]
        case ["curl", *_]:
            return words
    raise AssertionError(f"no test knows how to type {line!r}")


@pytest.mark.parametrize(("page", "line"), ALL)
async def test_every_command_works(client: Client, page: str, line: str, tmp_path: Path) -> None:
    for name in ("gateway.toml", ".env"):
        (tmp_path / name).touch()
    (tmp_path / "state").mkdir()
    command = typed(line, client.url, tmp_path)
    environ = {**os.environ, **ENVIRON}
    done = await asyncio.to_thread(subprocess.run, command, cwd=ROOT, capture_output=True, text=True, env=environ)
    allowed = (0, 129) if command[0] == "git" else (0,)  # git's own status for -h
    assert done.returncode in allowed, done.stdout + done.stderr
    assert done.stdout or command[0] == "chmod"


def test_every_configuration_loads(tmp_path: Path) -> None:
    toml = re.compile(r"^```toml\n(.*?)^```", re.MULTILINE | re.DOTALL)
    found = [block for page in PAGES for block in toml.findall(text_of(page))]
    assert found
    for block in found:
        (tmp_path / "gateway.toml").write_text(block)
        load(tmp_path / "gateway.toml", environ=ENVIRON)


def test_every_setting_that_is_named_exists() -> None:
    sections = {name: field.annotation for name, field in Settings.model_fields.items()}
    for page in PAGES:
        for section, name in re.findall(r"`(server|gateway|pool|state|upstream|admin)\.(?!toml|dir/)(\w+)", text_of(page)):
            assert name in sections[section].model_fields, f"{page}: {section}.{name}"  # type: ignore[union-attr]
    load(ROOT / "gateway.toml", environ={})


def test_the_page_of_symptoms_names_every_error_and_no_other() -> None:
    known = {(kind.status, kind.code) for kind in vars(errors).values()
             if isinstance(kind, type) and issubclass(kind, errors.GatewayError)}  # fmt: skip
    rows = re.findall(r"^\| (\d{3}) `(\w+)` \|", text_of("troubleshooting"), re.MULTILINE)
    named = {(int(status), code) for status, code in rows}
    assert named <= known
    retryable = {(status, code) for status, code in known if status in (429, 502, 503, 504)}
    assert retryable - {(502, "upstream_error")} <= named
