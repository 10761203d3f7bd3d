"""`python -m gateway.simulator`: the simulated site as a process of its own. Prints one JSON line when it is ready."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Sequence
from importlib.util import find_spec

import orjson

from gateway.simulator.accounts import make_accounts
from gateway.simulator.control import describe
from gateway.simulator.proxy import Simulator
from gateway.simulator.site import Site


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's options."""
    parser = argparse.ArgumentParser(prog="python -m gateway.simulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1 (default: any free one)")
    parser.add_argument("--ca-file", help="where to write the CA certificate (default: a temporary file)")
    parser.add_argument("--accounts", type=int, default=3, help="how many accounts there are (default: 3)")
    parser.add_argument("--tier", choices=("free", "plus", "pro", "ultra"), default="pro", help="their tier")
    parser.add_argument("--pace-ms", type=float, default=30.0, help="pause before each content frame (default: 30)")
    parser.add_argument("--chunk-chars", type=int, default=12, help="characters that a frame adds (default: 12)")
    return parser.parse_args(arguments)


async def run(options: argparse.Namespace) -> None:
    """Serve until the process is told to end."""
    accounts = make_accounts(options.accounts, options.tier)
    site = Site(accounts, pace_ms=options.pace_ms, chunk_chars=options.chunk_chars)
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    async with Simulator(site, port=options.port, ca_file=options.ca_file) as simulator:
        ready = {
            "proxy_url": simulator.proxy_url,
            "ca_file": str(simulator.ca_file),
            "accounts": [describe(account) for account in accounts],
        }
        sys.stdout.write(orjson.dumps(ready).decode() + "\n")
        sys.stdout.flush()
        await ended.wait()


def main() -> None:
    """Run on uvloop where it is installed."""
    options = parse()
    if find_spec("uvloop") is None:
        asyncio.run(run(options))
    else:
        import uvloop

        uvloop.run(run(options))


if __name__ == "__main__":
    main()
