"""`python -m gateway accounts`: it works on the store, and a gateway that runs notices."""

from __future__ import annotations

import argparse
import io
import json
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from config.loader import Loaded
from config.settings import Settings
from gateway import account_commands
from gateway.simulator import Account, Simulator, Site
from tests.functional.conftest import Launch, Live
from tests.waiting import until


class Desk:
    """Runs commands against a site, in a folder of their own or in that of a gateway."""

    def __init__(self, ca_file: Path, state: Path, proxy: str, accounts: Sequence[dict[str, Any]] = ()) -> None:
        table = {"upstream": {"ca_file": str(ca_file)}, "state": {"dir": str(state)}, "accounts": list(accounts)}
        self._loaded = Loaded(Settings.model_validate(table), state.parent, None)
        self._proxy = proxy
        self.said = ""

    async def run(self, *arguments: str) -> int:
        parser = argparse.ArgumentParser()
        account_commands.add_arguments(parser)
        more = ["--proxy", self._proxy] if arguments[0] == "add" and self._proxy else []
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


def settings_of(site: Site, simulator: Simulator) -> list[dict[str, Any]]:
    return [
        {"name": a.name, "secure_1psid": a.psid, "secure_1psidts": a.psidts, "proxy": simulator.proxy_url}
        for a in site.accounts
    ]


async def test_accounts_of_a_file_that_no_gateway_has_read_yet_are_known(tmp_path: Path) -> None:
    site = Site([Account("a"), Account("b"), Account("c")])
    async with Simulator(site) as simulator:
        table = settings_of(site, simulator)
        table[1]["enabled"] = False
        desk = Desk(simulator.ca_file, tmp_path / "state", simulator.proxy_url, table)
        assert await desk.run("disable", "a") == 0
        assert await desk.run("remove", "c") == 0
        assert "gateway.toml still names it" in desk.said and "accounts enable c" in desk.said
        assert await desk.run("list") == 1
        lines = desk.said.splitlines()
        assert lines[0].startswith("c (settings): removed: ") and "accounts enable c" in lines[0]
        assert lines[1].startswith("a (settings, cookies ")
        assert lines[1].endswith("disabled: switched off by a person: enable it")
        assert lines[2].endswith("disabled: switched off by enabled = false in gateway.toml")
        assert len(site.log) == 0  # nobody asked Google about accounts that are off
        for name in "abc":
            assert await desk.run("enable", name) == 0
        assert await desk.run("list") == 0
        assert desk.said.count(": ready, pro") == 3


async def test_cookies_that_are_added_before_the_first_start_win_over_those_of_the_file(
    launch: Launch, tmp_path: Path
) -> None:
    a = Account("a")
    stale = "sidts-from-long-ago-in-the-file"
    async with Simulator(site := Site([a])) as simulator:
        table = settings_of(site, simulator)
        table[0]["secure_1psidts"] = stale
        desk = Desk(simulator.ca_file, tmp_path / "state", "", table)
        paste = tmp_path / "paste.txt"
        paste.write_text(f"__Secure-1PSID={a.psid}; __Secure-1PSIDTS={a.psidts}")
        assert await desk.run("add", "--file", str(paste)) == 0
        assert desk.said.startswith("a is added")
    async with launch(accounts=[a], configured={"a": stale}) as live:
        assert live.gateway.pool.views()[0].state == "ready"
        assert live.site.log.count("rotate") == 0


WRONG = {
    "wrong": ("hello there", "wrong cookies, or none"),
    "stale": ("__Secure-1PSID=g.a000-nobody-knows-this-value; __Secure-1PSIDTS=sidts-an-old-value-of-somebody", "stale"),
    "foreign": (".youtube.com\tTRUE\t/\tTRUE\t1900000000\t__Secure-1PSID\tg.a000yt", "foreign"),
    "truncated": ("__Secure-1PSID=g.a000-abcdefghijk...; __Secure-1PSIDTS=sidts-x", "truncated"),
    "guest": ("NID=511=abc; AEC=xyz", "guest"),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_person_at_the_shell_is_told_which_kind_of_mistake_a_paste_is(
    launch: Launch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    text, said = WRONG[kind]
    async with launch() as live:
        desk = desk_of(live, tmp_path)
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        assert await desk.run("add") == 1
        assert said in desk.said
        assert not [word for word in text.replace("=", " ").split() if len(word) > 20 and word in desk.said]
        async with live.client.http.post("/api/cookies", json={"paste": text, "proxy": live.proxy_url}) as response:
            assert response.status == 400
            assert said in (await response.json())["error"]["message"]


def forms(account: Account) -> dict[str, str]:
    """The ways in which people copy cookies."""
    header = "; ".join(f"{name}={value}" for name, value in account.cookies.items())
    rows = [f"#HttpOnly_.google.com\tTRUE\t/\tTRUE\t1900000000\t{name}\t{value}" for name, value in account.cookies.items()]
    export = [{"domain": ".google.com", "name": name, "value": value} for name, value in account.cookies.items()]
    return {
        "header": f"Cookie: NID=1; {header}; OTZ=x",
        "cookies.txt": "\n".join(["# Netscape HTTP Cookie File", *rows, ".google.com\tTRUE\t/\tTRUE\t0\tNID\t511"]),
        "extension": json.dumps(export),
        "values": f"{account.psid}\n{account.psidts}\n",
    }


@pytest.mark.parametrize("form", ["header", "cookies.txt", "extension", "values"])
async def test_each_form_of_a_paste_is_taken_at_the_shell_and_over_http(launch: Launch, tmp_path: Path, form: str) -> None:
    async with launch() as live:
        desk = desk_of(live, tmp_path)
        for name in ("b", "c"):
            text = forms(live.site.add(Account(name)))[form]
            if name == "b":
                (tmp_path / "paste").write_text(text)
                assert await desk.run("add", "b", "--file", str(tmp_path / "paste")) == 0, desk.said
                continue
            body = {"name": "c", "paste": text, "proxy": live.proxy_url}
            async with live.client.http.post("/api/cookies", json=body) as response:
                assert response.status == 200, await response.text()
        await until(lambda: [view.state for view in live.gateway.pool.views()] == ["ready"] * 3)


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
