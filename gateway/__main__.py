"""Command line: `python -m gateway serve|demo|check|health|plugins|accounts|docs` (also as `gemini-gateway`)."""

from __future__ import annotations

import argparse
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from config.loader import ConfigError, Loaded, load, masked
from config.settings import Settings
from gateway import account_commands, permissions, plugin_loader, reference
from gateway.app import Running, running
from gateway.demo import demo_settings
from gateway.first_keys import state_dir, with_keys
from gateway.http.boundary import request_id
from gateway.http.session import new_link
from gateway.logs import log_to_stderr, secrets_in
from gateway.serving import (
    EXIT_CONFIG,
    LISTEN_FD,
    PAGE_LINK,
    WORKER,
    ignore_reload,
    inherited_sockets,
    run_loop,
    until_told,
    watched,
)
from gateway.upstream.gemini_web import GeminiWeb
from gateway.workers import open_sockets, supervise


def main(arguments: list[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    options = _parser().parse_args(arguments)
    commands: dict[str, Callable[[argparse.Namespace], int]] = {
        "serve": _serve,
        "demo": _demo,
        "check": _check,
        "health": _health,
        "plugins": _plugins,
        "accounts": _accounts,
        "docs": _docs,
    }
    try:
        return commands[options.command](options)
    except ConfigError as exc:
        for problem in (*exc.problems, *_further_problems(exc)):
            _say(f"configuration: {problem}", sys.stderr)
        return EXIT_CONFIG


def _further_problems(exc: ConfigError) -> tuple[str, ...]:
    """What is wrong with the plugins, too, when the settings before them are."""
    if exc.rest is None:
        return ()
    try:
        plugin_loader.load(exc.rest.settings, exc.rest.root)
    except ConfigError as more:
        return more.problems
    return ()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gemini-gateway", description="Gateway in front of Gemini web accounts.")
    parser.add_argument("--config", type=Path, help="gateway.toml to read (default: the one in this folder)")
    parser.add_argument("--port", type=int, help="listen on this port instead of the configured one")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("serve", "run the gateway"),
        ("demo", "run it against the built-in offline Gemini site: no account needed"),
        ("check", "say whether the configuration is right"),
        ("health", "ask a running gateway whether it is alive (for container health checks)"),
        ("plugins", "show the plugins in their order, their hooks and settings"),
        ("accounts", "list the accounts and how they are, add one, change one, remove one"),
        ("docs", "print the reference of settings and hooks, made from the code"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--config", type=Path, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        command.add_argument("--port", type=int, default=argparse.SUPPRESS, help=argparse.SUPPRESS)
        if name == "accounts":
            account_commands.add_arguments(command)
        if name == "docs":
            command.add_argument("page", choices=sorted(reference.PAGES), help="which page")
    return parser


def _say(text: str, to: Any = None) -> None:
    (to or sys.stdout).write(text + "\n")


def _loaded(options: argparse.Namespace) -> Loaded:
    loaded = load(options.config)
    if options.port is None:
        return loaded
    server = loaded.settings.server.model_copy(update={"port": options.port})
    return Loaded(loaded.settings.model_copy(update={"server": server}), loaded.root, loaded.file)


# --- serve and demo -----------------------------------------------------------------------------------------------


def _serve(options: argparse.Namespace) -> int:
    ignore_reload()
    loaded = _loaded(options)
    redactor = log_to_stderr(request_id.get)
    redactor.learn(secrets_in(loaded.settings))
    if loaded.settings.server.workers > 1 and LISTEN_FD not in os.environ:
        return _supervise(options, loaded)

    def read_again() -> Settings:
        settings = _loaded(options).settings
        redactor.learn(secrets_in(settings))
        return settings

    @asynccontextmanager
    async def start() -> AsyncIterator[Running]:
        sockets = inherited_sockets(os.environ)
        worker, link = int(os.environ.get(WORKER, "0")), os.environ.get(PAGE_LINK)
        async with running(
            loaded.settings, loaded.root, source=read_again, sockets=sockets, worker=worker, link=link
        ) as gateway:
            redactor.learn(secrets_in(gateway.settings))
            if LISTEN_FD not in os.environ:
                _introduce(gateway.url, gateway.new_keys, loaded, gateway.page)
            yield gateway

    return until_told(start, watched(loaded))


def _supervise(options: argparse.Namespace, loaded: Loaded) -> int:
    sockets = open_sockets(loaded.settings.server)
    folder = state_dir(loaded.root / loaded.settings.state.dir)
    settings, new_keys = with_keys(loaded.settings, folder)  # once, before the workers look for them
    host, port = sockets[0].getsockname()[:2]
    link = new_link(time.time())
    page = f"http://{host}:{port}/" + (f"#token={link}" if settings.admin.key else "")
    _introduce(f"http://{host}:{port} ({len(sockets)} workers)", new_keys, loaded, page)
    arguments = ["serve", "--port", str(port)]
    if options.config is not None:
        arguments += ["--config", str(options.config)]
    return supervise(arguments, sockets, folder / "metrics", link=link)


def _introduce(url: str, new_keys: dict[str, str], loaded: Loaded, page: str) -> None:
    _say(f"gemini-gateway listens on {url}")
    for what, key in new_keys.items():
        _say(f"made a new {what} (kept in {loaded.settings.state.dir}, shown only now): {key}")
    _say(f"admin page: {page}")
    if not loaded.settings.accounts:
        _say("no account yet: put cookies into gateway.toml (README: your own account)")
    for finding in (*_warnings(loaded.settings), *permissions.findings(loaded.settings, loaded.root, loaded.file)):
        _say(f"warning: {finding}", sys.stderr)


def _demo(options: argparse.Namespace) -> int:
    log_to_stderr(request_id.get)

    @asynccontextmanager
    async def start() -> AsyncIterator[Running]:
        async with demo_settings(options.port) as (settings, root, key), running(
            settings, root, upstream=lambda s, state: GeminiWeb(s, state, simulated=True), simulated=True
        ) as gateway:
            _say(f"DEMO: answers are SIMULATED by an offline Gemini site; nothing leaves this machine.\n"
                 f"gemini-gateway listens on {gateway.url}   API key: {key}\n"
                 f"admin page: {gateway.page}")
            yield gateway

    return until_told(start)


# --- looking ------------------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    loaded = _loaded(options)
    plugins = plugin_loader.load(loaded.settings, loaded.root)
    active = sum(not plugin.dormant for plugin in plugins)
    source = loaded.file or "defaults (no gateway.toml here)"
    asleep = [plugin.name for plugin in plugins if plugin.dormant]
    accounts = len(loaded.settings.accounts)
    _say(f"{source}: good. {accounts} account{'' if accounts == 1 else 's'}, {active} plugins.")
    if asleep:
        _say(f"dormant until they have settings: {', '.join(asleep)}")
    for warning in _warnings(loaded.settings):
        _say(f"warning: {warning}", sys.stderr)
    return 0


def _warnings(settings: Settings) -> list[str]:
    """What is no mistake, but hardly meant."""
    if not settings.gateway.plugins:
        return ["gateway.plugins is empty: no wire format and no key check, so nothing is served; remove the line for all"]
    return plugin_loader.idle_tables(settings)


def _health(options: argparse.Namespace) -> int:
    server = _loaded(options).settings.server
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(server.host, server.host)
    try:
        with urllib.request.urlopen(f"http://{host}:{server.port}/health", timeout=5) as reply:
            _say(reply.read().decode())
            return 0
    except (urllib.error.URLError, OSError) as exc:
        _say(f"not alive: {exc}", sys.stderr)
        return 1


def _plugins(options: argparse.Namespace) -> int:
    loaded = _loaded(options)
    for number, plugin in enumerate(plugin_loader.load(loaded.settings, loaded.root), 1):
        if plugin.dormant:
            _say(f"{number:2} {plugin.name} ({plugin.source})\n     dormant: needs settings under [plugins.{plugin.name}]")
            continue
        _say(f"{number:2} {plugin.name} ({plugin.source})\n     hooks: {', '.join(plugin.hooks) or 'none'}")
        for name, value in (masked(plugin.settings) if plugin.settings else {}).items():
            _say(f"     {name} = {value}")
    return 0


def _accounts(options: argparse.Namespace) -> int:
    return run_loop(account_commands.run(_loaded(options), options, _say))


def _docs(options: argparse.Namespace) -> int:
    _say(reference.PAGES[options.page]())
    return 0


if __name__ == "__main__":
    sys.exit(main())
