"""Command line: `python -m gateway serve|demo|check|health|plugins|accounts|docs` (also as `gemini-gateway`)."""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import logging
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from config.loader import ConfigError, Loaded, load, masked
from gateway import account_commands, plugin_loader, reference
from gateway.app import Running, running
from gateway.demo import demo_settings
from gateway.http.boundary import request_id
from gateway.upstream.gemini_web import GeminiWeb

EXIT_CONFIG = 2


def run_loop(work: Coroutine[Any, Any, int]) -> int:
    """Run on uvloop where it exists (not on Windows)."""
    if importlib.util.find_spec("uvloop") is None:
        return asyncio.run(work)
    import uvloop

    return uvloop.run(work)


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
        for problem in exc.problems:
            _say(f"configuration: {problem}", sys.stderr)
        return EXIT_CONFIG


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
    loaded = _loaded(options)

    @asynccontextmanager
    async def start() -> AsyncIterator[Running]:
        async with running(loaded.settings, loaded.root) as gateway:
            _say(f"gemini-gateway listens on {gateway.url}")
            for what, key in gateway.new_keys.items():
                _say(f"made a new {what} (kept in {loaded.settings.state.dir}, shown only now): {key}")
            _say(f"admin page: {gateway.page}")
            if not gateway.pool.accounts:
                _say("no account yet: `python -m gateway accounts add`, or gateway.toml (README: your own account)")
            yield gateway

    return _until_told(start)


def _demo(options: argparse.Namespace) -> int:
    @asynccontextmanager
    async def start() -> AsyncIterator[Running]:
        async with demo_settings(options.port) as (settings, root, key), running(
            settings, root, upstream=lambda s, state: GeminiWeb(s, state, simulated=True), simulated=True
        ) as gateway:
            _say(f"DEMO: answers are SIMULATED by an offline Gemini site; nothing leaves this machine.\n"
                 f"gemini-gateway listens on {gateway.url}   API key: {key}\n"
                 f"admin page: {gateway.page}")
            yield gateway

    return _until_told(start)


def _until_told(start: Callable[[], Any]) -> int:
    log_to_stderr()

    async def serve() -> int:
        told = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, _told, told)
        async with start() as gateway:
            sys.stdout.flush()
            await told.wait()
            gateway.boundary.stopping = True
        return 0

    return run_loop(serve())


def _told(event: asyncio.Event) -> None:
    """First signal: stop in order. Second: at once."""
    if event.is_set():
        logging.getLogger("gateway").warning("second signal: ending at once")
        raise SystemExit(1)
    event.set()


def log_to_stderr() -> None:
    """Log as `serve` does: a sentence a line, each with its request's id."""

    class WithRequest(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            record.request = request_id.get()
            return True

    handler = logging.StreamHandler()
    handler.addFilter(WithRequest())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s [%(request)s] %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Nothing of this is in our lines, and looking it up costs more than writing them (logging HOWTO, Optimization).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    # One traceback per malformed request or vanished client would fill the disk for whoever wants it to.
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.ERROR)


# --- looking ------------------------------------------------------------------------------------------------------


def _check(options: argparse.Namespace) -> int:
    loaded = _loaded(options)
    plugins = plugin_loader.load(loaded.settings, loaded.root)
    active = sum(not plugin.dormant for plugin in plugins)
    source = loaded.file or "defaults (no gateway.toml here)"
    _say(f"{source}: good. {len(loaded.settings.accounts)} accounts, {active} plugins.")
    return 0


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
