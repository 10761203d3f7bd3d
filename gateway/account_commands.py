"""`python -m gateway accounts ...`: works on the cookie store itself, whether a gateway runs or not. One that runs notices
within seconds."""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config.loader import Loaded
from gateway.accounts import enrolment, intake, roster
from gateway.accounts.cookies import CookieStore, Record
from gateway.accounts.enrolment import Enrolled, Enrolment
from gateway.accounts.intake import Pasted
from gateway.accounts.pool import REMOVED
from gateway.accounts.roster import Member
from gateway.backend import cookie_store, state_store
from gateway.errors import GatewayError, InvalidRequest
from gateway.first_keys import state_dir
from gateway.upstream.gemini_web import GeminiWeb
from gateway.upstream.protocol import Upstream

BROWSERS = ("firefox", "librewolf", "chrome", "chromium", "brave", "edge", "opera", "vivaldi", "safari")
Say = Callable[..., None]


@dataclass(frozen=True, slots=True)
class _Desk:
    """What the commands work with."""

    loaded: Loaded
    store: CookieStore
    upstream: Upstream
    say: Say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `accounts`."""
    commands = parser.add_subparsers(dest="action")
    commands.add_parser("list", help="sign every account in and say how it is")
    add = commands.add_parser("add", help="add an account, or give one new cookies: paste them, or name where they are")
    add.add_argument("name", nargs="?", help="name of the account (default: found out, or made up)")
    source = add.add_mutually_exclusive_group()
    source.add_argument("--file", type=Path, help="cookies.txt, a browser extension's JSON, or any other paste in a file")
    source.add_argument("--from-browser", choices=BROWSERS, help="read the cookies of a browser on this machine")
    add.add_argument("--proxy", help="http(s):// or socks5:// proxy for this account")
    add.add_argument("--language", help="language of the account")
    for action, text in (
        ("enable", "let an account serve again"),
        ("disable", "let an account serve nobody, without deleting it"),
        ("remove", "take an account out and forget its cookies"),
    ):
        commands.add_parser(action, help=text).add_argument("name", help="name of the account")


async def run(loaded: Loaded, options: argparse.Namespace, say: Say) -> int:
    """Run the command; returns the exit status."""
    commands = {"add": _add, "enable": _switch, "disable": _switch, "remove": _remove}
    async with _desk(loaded, say) as desk:
        try:
            return await commands.get(options.action, _list)(desk, options)
        except GatewayError as exc:
            say(exc.message, sys.stderr)
            return 1


@asynccontextmanager
async def _desk(loaded: Loaded, say: Say) -> AsyncIterator[_Desk]:
    settings = loaded.settings
    folder = state_dir(loaded.root / settings.state.dir)
    state = state_store(settings)
    await state.open()
    upstream = GeminiWeb(settings, folder)
    try:
        store = cookie_store(settings, folder, state)
        await store.refresh()
        yield _Desk(loaded, store, upstream, say)
    finally:
        await upstream.close()
        await state.close()


# --- the commands -------------------------------------------------------------------------------------------------


async def _list(desk: _Desk, options: argparse.Namespace) -> int:
    settings = desk.loaded.settings
    records = _records(desk)
    found = roster.members(settings.accounts, records, settings.pool)
    for left_out in roster.left_out(settings.accounts, records):
        desk.say(f"{left_out} (settings): removed: {REMOVED.replace('NAME', left_out)}")
    if not found:
        desk.say("there is no account yet: `python -m gateway accounts add`")
        return 1
    good = 0
    for member in found:
        if member.off:
            desk.say(f"{_named(member)}: disabled: {member.off}")
            continue
        account = desk.upstream.account(member.settings)
        account.use(member.cookies)
        try:
            profile = await account.sign_in()
        except GatewayError as exc:
            desk.say(f"{_named(member)}: {exc.message}")
        else:
            good += 1
            offers = ", ".join(offer.name for offer in profile.offers)
            desk.say(f"{_named(member)}: ready, {profile.tier}, {offers}")
        finally:
            await account.close()
    return 0 if good else 1


def _named(member: Member) -> str:
    return f"{member.settings.name} ({member.source}, cookies {member.cookies.fingerprint or 'none'})"


def _records(desk: _Desk) -> dict[str, Record]:
    """What the store has, and what a gateway that starts now would take over from gateway.toml."""
    records = {record.name: record for record in desk.store.all()}
    return records | {new.name: new for new in roster.taken_over(desk.loaded.settings.accounts, records, time.time())}


async def _add(desk: _Desk, options: argparse.Namespace) -> int:
    accounts = _read(options, desk.say)
    if options.name is not None:
        if len(accounts) > 1:
            raise InvalidRequest("There are several accounts in this; leave the name out")
        accounts = [Pasted(accounts[0].cookies, intake.check_name(options.name))]
    given = {name: value for name in ("proxy", "language") if (value := getattr(options, name)) is not None}
    desk_enrolment = Enrolment(desk.upstream, desk.store, desk.loaded.settings.accounts, clock=time.time)
    for pasted in accounts:
        enrolled = await desk_enrolment.enrol(pasted, given)
        await desk.store.save(enrolled.record)
        desk.say(_told(enrolled))
    return 0


def _told(enrolled: Enrolled) -> str:
    used = "".join(f", {window.name} {window.used:.0%} used" for window in enrolled.allowance.windows)
    did = "has new cookies" if enrolled.replaced else "is added"
    models = ", ".join(offer.name for offer in enrolled.profile.offers)
    return f"{enrolled.record.name} {did}: {enrolled.profile.tier}, {models}{used} ({enrolled.record.cookies.fingerprint})"


async def _switch(desk: _Desk, options: argparse.Namespace) -> int:
    records = _records(desk)
    if options.action == "enable" and options.name in roster.left_out(desk.loaded.settings.accounts, records):
        await desk.store.save(enrolment.restored(options.name, time.time()))
    else:
        record = enrolment.known_record(records, options.name)
        await desk.store.save(enrolment.changed(record, {"enabled": options.action == "enable"}, time.time()))
    desk.say(f"{options.name} is {options.action}d")
    return 0


async def _remove(desk: _Desk, options: argparse.Namespace) -> int:
    record = enrolment.known_record(_records(desk), options.name)
    await desk.store.save(enrolment.erased(record, time.time()))
    desk.say(f"{options.name} is removed, and its cookies are forgotten")
    if any(settings.name == options.name for settings in desk.loaded.settings.accounts):
        desk.say(f"gateway.toml still names it: {REMOVED.replace('NAME', options.name)}")
    return 0


# --- where cookies come from --------------------------------------------------------------------------------------


def _read(options: argparse.Namespace, say: Say) -> list[Pasted]:
    if options.from_browser:
        return intake.from_json(_browser_cookies(options.from_browser))
    if options.file:
        try:
            return intake.from_text(options.file.read_text("utf-8"))
        except (OSError, UnicodeDecodeError) as exc:
            raise InvalidRequest(f"{options.file} cannot be read: {exc}") from exc
    if sys.stdin.isatty():
        say("Paste the cookies (a Cookie: header, cookies.txt, a browser extension's JSON, ...), then Ctrl-D:")
    return intake.from_text(sys.stdin.read())


def _browser_cookies(browser: str) -> list[dict[str, Any]]:
    """The Google cookies of a browser, as an export. browser-cookie3 knows where browsers keep them, and how."""
    try:
        library = importlib.import_module("browser_cookie3")
    except ImportError:
        raise InvalidRequest("--from-browser needs a package: pip install browser-cookie3") from None
    try:
        jar = getattr(library, browser)(domain_name="google.com")
    except Exception as exc:
        raise InvalidRequest(f"The cookies of {browser} cannot be read: {type(exc).__name__}") from exc
    return [{"name": c.name, "value": c.value, "domain": c.domain} for c in jar] or [{"name": "", "value": ""}]
