"""`python -m gateway accounts`: it works on the store, and a gateway that runs notices."""

from __future__ import annotations

import argparse
import asyncio
import io
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.loader import Loaded
from config.settings import Settings
from gateway import account_commands
from gateway.simulator import Account, Simulator, Site
from tests.functional.conftest import Launch, Live


class Desk:
    """Runs commands against a site, in a folder of their own or in that of a gateway."""

    def __init__(self, ca_file: Path, state: Path, proxy: str) -> None:
        table = {"upstream": {"ca_file": str(ca_file)}, "state": {"dir": str(state)}}
        self._loaded = Loaded(Settings.model_validate(table), state.parent, None)
        self._proxy = proxy
        self.said = ""

    async def run(self, *arguments: str) -> int:
        parser = argparse.ArgumentParser()
        account_commands.add_arguments(parser)
        more = ["--proxy", self._proxy] if arguments[0] == "add" else []
        self.said = ""
        return await account_commands.run(self._loaded, parser.parse_args([*arguments, *more]), self._say)

    def _say(self, text: str, to: Any = None) -> None:
        self.said += text + "\n"


def desk_of(live: Live, tmp_path: Path) -> Desk:
    return Desk(live.ca_file, tmp_path / "state", live.proxy_url)


async def test_an_account_that_is_added_at_the_shell_serves_in_the_running_gateway(launch: Launch, tmp_path: Path) -> None:
    async with launch() as live:
        b = live.site.add(Account("b"))
        desk = desk_of(live, tmp_path)
        paste = tmp_path / "paste.txt"
        paste.write_text(f"cookie: NID=1; __Secure-1PSID={b.psid}; __Secure-1PSIDTS={b.psidts}; OTZ=x")
        assert await desk.run("add", "second", "--file", str(paste)) == 0
        assert desk.said.startswith("second is added: pro, gemini-3.5-flash-lite")
        assert b.psid not in desk.said and b.psidts not in desk.said
        await until(lambda: [view.state for view in live.gateway.pool.views()] == ["ready", "ready"])
        assert await desk.run("disable", "second") == 0
        await until(lambda: live.gateway.pool.views()[1].state == "disabled")
        assert await desk.run("enable", "second") == 0
        assert await desk.run("list") == 0
        assert "second (added" in desk.said and "ready, pro" in desk.said
        assert await desk.run("remove", "second") == 0
        await until(lambda: len(live.gateway.pool.views()) == 1)
        assert await desk.run("remove", "second") == 1
        assert "no account of this name" in desk.said


async def test_cookies_come_from_standard_input_and_the_mistake_is_told(
    launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with launch() as live:
        desk = desk_of(live, tmp_path)
        monkeypatch.setattr(sys, "stdin", io.StringIO("NID=511=abc"))
        assert await desk.run("add") == 1
        assert "guest" in desk.said


async def test_cookies_come_from_firefox(launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with launch() as live:
        b = live.site.add(Account("b"))
        monkeypatch.setenv("HOME", str(firefox_home(tmp_path / "home", b)))
        desk = desk_of(live, tmp_path)
        assert await desk.run("add", "--from-browser", "firefox") == 0, desk.said
        assert desk.said.startswith("account-1 is added: pro")
        assert await desk.run("add", "--from-browser", "chrome") == 1
        assert "chrome cannot be read" in desk.said


async def test_without_accounts_the_list_says_what_to_do(tmp_path: Path) -> None:
    async with Simulator(Site([])) as simulator:
        desk = Desk(simulator.ca_file, tmp_path / "state", simulator.proxy_url)
        assert await desk.run("list") == 1
        assert "accounts add" in desk.said


def firefox_home(home: Path, account: Account) -> Path:
    """A home folder with a Firefox profile in which the account is signed in."""
    profile = home / ".mozilla" / "firefox" / "abc.default"
    profile.mkdir(parents=True)
    (profile.parent / "profiles.ini").write_text("[Profile0]\nName=default\nIsRelative=1\nPath=abc.default\nDefault=1\n")
    with sqlite3.connect(profile / "cookies.sqlite") as database:
        database.execute("create table moz_cookies (host, path, isSecure, expiry, name, value, isHttpOnly)")
        rows = [(".google.com", "/", 1, 4_000_000_000, name, value, 1) for name, value in account.cookies.items()]
        database.executemany("insert into moz_cookies values (?, ?, ?, ?, ?, ?, ?)", rows)
    database.close()
    return home


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition of the system under test; the test's time-out bounds it."""
    while not condition():
        await asyncio.sleep(0.02)
