"""The state store in Redis (or Valkey), shared by replicas. While Redis is away, each replica limits by itself at its
share of the rate; the first call to notice waits half a second, the others not at all, and it comes back by itself."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway.state.memory import MemoryStore
from gateway.state.store import StateAway, Window

log = logging.getLogger(__name__)

# One hash tag: all keys in one slot, so that a script may touch them together in a cluster too.
TAG = "{gateway}"
TIMEOUT_S = 0.5
HEARTBEAT_S = 5.0
# How often a Redis that is away is looked for.
AWAY_S = 0.5

# KEYS: the windows' logs. ARGV: cost, the ticket, then limit and length (microseconds) of each window.
# Scores are the server's own microseconds: clocks of replicas do not matter.
_TAKE = """
local t = redis.call('TIME')
local now = tonumber(t[1]) * 1000000 + tonumber(t[2])
local cost, id, wait = tonumber(ARGV[1]), ARGV[2], 0
for i, key in ipairs(KEYS) do
  local limit, span = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - span)
  local over = redis.call('ZCARD', key) + cost - limit
  if over > 0 then
    local oldest = redis.call('ZRANGE', key, over - 1, over - 1, 'WITHSCORES')
    wait = math.max(wait, (tonumber(oldest[2]) or now) + span - now)
  end
end
if wait > 0 then return wait end
for i, key in ipairs(KEYS) do
  for n = 1, cost do redis.call('ZADD', key, now, id .. ':' .. n) end
  redis.call('PEXPIRE', key, math.ceil(tonumber(ARGV[2 * i + 2]) / 1000) + 1000)
end
return 0
"""

# KEYS: the windows' logs. ARGV: the ticket, and how many of its entries go.
_GIVE_BACK = """
for _, key in ipairs(KEYS) do
  for n = 1, tonumber(ARGV[2]) do redis.call('ZREM', key, ARGV[1] .. ':' .. n) end
end
return 0
"""

# KEYS: the windows' logs. ARGV: the length of each (microseconds).
_USED = """
local t = redis.call('TIME')
local now, counts = tonumber(t[1]) * 1000000 + tonumber(t[2]), {}
for i, key in ipairs(KEYS) do counts[i] = redis.call('ZCOUNT', key, now - tonumber(ARGV[i]), '+inf') end
return counts
"""

# KEYS: the replicas. ARGV: this one, and how long a silent one counts (seconds). Returns how many live.
_BEAT = """
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - tonumber(ARGV[2]))
return redis.call('ZCARD', KEYS[1])
"""

# KEYS: the lease. ARGV: its owner, its length in milliseconds (0 gives it back).
_LEASE = """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
if tonumber(ARGV[2]) > 0 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) else redis.call('DEL', KEYS[1]) end
return 1
"""
_SCAN_COUNT = 1000


class RedisStore:
    """`url` as redis-py takes it (`redis://`, `rediss://`, with `?ssl_ca_certs=FILE` for a CA of one's own). `cluster`
    says that it is one node of a Redis Cluster; all keys are in one slot."""

    def __init__(self, url: str, *, cluster: bool = False) -> None:
        # redis-py's own defaults wait far too long for a request path (25 s for a stopped server).
        kind: Any = RedisCluster if cluster else Redis
        self._redis: Any = kind.from_url(
            url, socket_timeout=TIMEOUT_S, socket_connect_timeout=TIMEOUT_S, retry=Retry(NoBackoff(), 0)
        )
        self._script = self._redis.register_script(_TAKE)
        self._give_back_script = self._redis.register_script(_GIVE_BACK)
        self._used_script = self._redis.register_script(_USED)
        self._beat_script = self._redis.register_script(_BEAT)
        self._lease_script = self._redis.register_script(_LEASE)
        self._local = MemoryStore()
        self._replica = uuid.uuid4().hex
        self._heart: asyncio.Task[None] | None = None
        self._away = False
        self._missed = asyncio.Event()
        self.replicas = 1

    async def open(self) -> None:
        await self._beat()
        self._heart = asyncio.create_task(self._beat_for_ever(), name="redis heartbeat")

    async def close(self) -> None:
        if self._heart is not None:
            self._heart.cancel()
            await asyncio.gather(self._heart, return_exceptions=True)
        if not self._away:
            try:
                await self._redis.zrem(f"{TAG}:replicas", self._replica)
            except (RedisError, OSError, TimeoutError):
                log.debug("could not sign off from redis")
        await self._redis.aclose()

    async def take(self, windows: Sequence[Window], cost: int = 1, *, ticket: str = "") -> float:
        if not windows:
            return 0.0
        if not self._away:
            try:
                return await self._shared_take(windows, cost, ticket or uuid.uuid4().hex)
            except (RedisError, OSError, TimeoutError) as exc:
                self._lost(exc)
        return await self._local.take([self._share(window) for window in windows], cost, ticket=ticket)

    async def give_back(self, windows: Sequence[Window], count: int, *, ticket: str) -> None:
        await self._local.give_back(windows, count, ticket=ticket)  # if it was taken while redis was away
        if not self._away:
            try:
                await self._give_back_script([_log(window) for window in windows], [ticket, count])
            except (RedisError, OSError, TimeoutError) as exc:
                self._lost(exc)

    async def used(self, windows: Sequence[Window]) -> list[int]:
        if not windows:
            return []
        if not self._away:
            try:
                keys = [_log(window) for window in windows]
                return [int(count) for count in await self._used_script(keys, [_micros(window) for window in windows])]
            except (RedisError, OSError, TimeoutError) as exc:
                self._lost(exc)
        return await self._local.used(windows)

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self._asked(self._redis.get(_record(key)))
        return value

    async def put(self, key: str, value: bytes, *, seconds: float | None = None) -> None:
        milliseconds = None if seconds is None else _milliseconds(seconds)
        await self._asked(self._redis.set(_record(key), value, px=milliseconds))

    async def delete(self, key: str) -> None:
        await self._asked(self._redis.delete(_record(key)))

    async def keys(self, prefix: str) -> list[str]:
        start = _record("")
        found = await self._asked(self._all_keys(_globbed(start + prefix) + "*"))
        return [key.decode().removeprefix(start) for key in found]

    async def _all_keys(self, pattern: str) -> list[bytes]:
        return [key async for key in self._redis.scan_iter(pattern, count=_SCAN_COUNT)]

    async def lease(self, key: str, owner: str, seconds: float) -> bool:
        args: list[str | int] = [owner, _milliseconds(seconds)]
        return bool(await self._asked(self._lease_script(keys=[f"{TAG}:lease:{key}"], args=args)))

    async def release(self, key: str, owner: str) -> None:
        await self._asked(self._lease_script(keys=[f"{TAG}:lease:{key}"], args=[owner, 0]))

    async def _asked(self, answer: Awaitable[Any]) -> Any:
        try:
            return await answer
        except (RedisError, OSError, TimeoutError) as exc:
            raise StateAway(type(exc).__name__) from exc

    async def _shared_take(self, windows: Sequence[Window], cost: int, ticket: str) -> float:
        keys = [_log(window) for window in windows]
        args: list[str | int] = [cost, ticket]
        for window in windows:
            args += [window.limit, _micros(window)]
        wait = await self._script(keys=keys, args=args)
        return int(wait) / 1e6

    def _share(self, window: Window) -> Window:
        """This replica's part of a limit that it cannot share: a smaller count, or a longer span where the count would
        fall under one."""
        limit = window.limit // self.replicas
        if limit:
            return Window(window.key, limit, window.seconds)
        return Window(window.key, 1, window.seconds * self.replicas / max(window.limit, 1))

    def _lost(self, exc: BaseException) -> None:
        if not self._away:
            self._away = True
            self._missed.set()
            log.warning("redis is away (%s): limiting locally, at 1/%d of the rate", type(exc).__name__, self.replicas)

    async def _beat_for_ever(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._missed.wait()
            if self._away:
                await asyncio.sleep(AWAY_S)
                await self._disconnect()
            await self._beat()

    async def _disconnect(self) -> None:
        """Close the connections that wait to be used: they may be as dead as the one that failed, and each would tell
        only whoever uses it next."""
        with suppress(RedisError, OSError, TimeoutError):
            if isinstance(self._redis, RedisCluster):
                await asyncio.gather(*(node.disconnect() for node in self._redis.get_nodes()))
            else:
                await self._redis.connection_pool.disconnect(inuse_connections=False)

    async def _beat(self) -> None:
        """Say that this replica lives, and count those that do."""
        try:
            living = await self._beat_script(keys=[f"{TAG}:replicas"], args=[self._replica, round(3 * HEARTBEAT_S)])
            self.replicas = max(1, int(living))
        except (RedisError, OSError, TimeoutError) as exc:
            self._lost(exc)
            return
        if self._away:
            self._away = False
            self._missed.clear()
            log.warning("redis is back: limits are shared again")


def _log(window: Window) -> str:
    return f"{TAG}:window:{window.key}"


def _micros(window: Window) -> int:
    return round(window.seconds * 1e6)


def _record(key: str) -> str:
    return f"{TAG}:record:{key}"


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _globbed(text: str) -> str:
    """`text` as a pattern that matches itself."""
    return "".join(f"\\{char}" if char in "*?[]\\^-" else char for char in text)
