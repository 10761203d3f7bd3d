"""The gateway as processes, as an operator runs it: started by its command line, in front of an offline Gemini site that
runs in the test's own process."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.simulator import Account, Simulator, Site
from tests.waiting import until

ROOT = Path(__file__).parent.parent.parent
PLUGINS = ["metrics", "access_log", "api_key", "model_aliases", "rate_limit", "retry", "openai_api", "gemini_api"]
KEY = "sk-operations"
ASK = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "Write a poem"}]}


@dataclass(slots=True)
class Process:
    """A started gateway. `said` is what it wrote to stdout and stderr so far."""

    url: str
    file: Path
    begin: Callable[[], Awaitable[asyncio.subprocess.Process]]
    process: asyncio.subprocess.Process = field(init=False)
    said: list[str] = field(default_factory=list)
    reading: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        """Start it, also once more at the same address after it ended; returns when it listens."""
        listens = self.said_times("listens on")
        self.process = await self.begin()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            self.reading.append(asyncio.create_task(_read(stream, self.said)))
        async with asyncio.timeout(40):
            while self.said_times("listens on") == listens:
                await asyncio.sleep(0.02)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        """Its exit status, once all that it said was read."""
        status = await asyncio.wait_for(self.process.wait(), 40)
        await asyncio.gather(*self.reading)
        return status

    async def says(self, text: str, times: int = 1) -> None:
        """Wait until it has said `text`, in so many lines."""
        await until(lambda: self.said_times(text) >= times, within_s=40)

    def said_times(self, text: str) -> int:
        """In how many lines it has said `text`."""
        return sum(text in line for line in self.said)

    async def ready(self, http: aiohttp.ClientSession) -> None:
        """Wait until it could serve a call."""
        async with asyncio.timeout(40):
            while True:
                try:
                    async with http.get(f"{self.url}/ready") as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(0.05)


async def until_healthy(url: str) -> None:
    """Wait until somebody listens there, on a connection of its own, and says that it lives."""
    async with asyncio.timeout(30):
        while True:
            try:
                async with aiohttp.ClientSession() as http, http.get(f"{url}/health") as response:
                    assert response.status == 200
                    return
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _read(stream: asyncio.StreamReader, said: list[str]) -> None:
    while line := await stream.readline():
        said.append(line.decode(errors="replace"))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as session:
        yield session


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    async with Simulator(Site([Account("a", tier="pro"), Account("b", tier="pro")], pace_ms=5)) as running:
        yield running


def configuration(simulator: Simulator, folder: Path, **tables: dict[str, Any]) -> dict[str, Any]:
    """gateway.toml as tables."""
    table: dict[str, Any] = {
        "server": {},
        "gateway": {"plugins": PLUGINS},
        "state": {"dir": str(folder / "state")},
        "upstream": {"ca_file": str(simulator.ca_file)},
        "plugins.api_key": {"keys": [{"name": "ops", "key": KEY}]},
        "plugins.rate_limit": {"global_per_hour": 0, "model_interval_s": 0},
    }
    for name, values in tables.items():
        table[name] = {**table.get(name, {}), **values}
    return table


def toml(table: dict[str, Any], simulator: Simulator) -> str:
    """The text of gateway.toml. JSON values are TOML ones here, but for tables inside lists."""
    lines = [
        f'[[accounts]]\nname = "{a.name}"\nsecure_1psid = "{a.psid}"\nsecure_1psidts = "{a.psidts}"\n'
        f'proxy = "{simulator.proxy_url}"\n'
        for a in simulator.site.accounts
    ]
    for name, values in table.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_value(value)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value)


Start = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def start(simulator: Simulator, tmp_path: Path) -> Start:
    """`async with start(server={...}) as process`: a gateway of its own configuration; killed at the end if it still
    runs. `environ` adds to its environment."""

    @asynccontextmanager
    async def started(environ: dict[str, str] | None = None, **tables: dict[str, Any]) -> AsyncIterator[Process]:
        port = free_port()
        file = tmp_path / f"gateway-{port}.toml"
        file.write_text(toml(configuration(simulator, tmp_path, **tables), simulator))
        file.chmod(0o600)
        begin = partial(
            asyncio.create_subprocess_exec,
            sys.executable, "-m", "gateway", "serve", "--config", str(file), "--port", str(port),
            cwd=ROOT, env={**os.environ, **(environ or {})}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )
        made = Process(f"http://127.0.0.1:{port}", file, begin)
        try:
            await made.start()
            yield made
        finally:
            if made.process.returncode is None:
                made.process.send_signal(signal.SIGKILL)
            await made.ended()

    return started
