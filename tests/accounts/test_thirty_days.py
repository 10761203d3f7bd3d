"""A month of an account's life in seconds: renewed, throttled, answered with half the truth, restarted, killed at every
point, and ended by Google. Nothing is lost that could have lived, nothing dead is served, no value leaks."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import pytest

from config.settings import Account as AccountSettings
from config.settings import Pool as PoolSettings
from gateway.accounts import rotation
from gateway.accounts.catalogue import Catalogue
from gateway.accounts.cookies import CookieStore, Record
from gateway.accounts.health import State
from gateway.accounts.keeping import Keeper
from gateway.accounts.pool import Pool
from gateway.accounts.rotation import History
from gateway.accounts.shelf import Files, Shelf
from gateway.accounts.vault import Vault
from gateway.model import Call, TextDelta
from gateway.state.memory import MemoryStore
from gateway.upstream.protocol import Cookies, Rotated, Rotation
from tests.accounts.google import Google, Killed, Process
from tests.waiting import until

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
BEGUN = 1_790_000_000.0
KEY = bytes(range(32))
POINTS = ("sign in", "before the request", "before the answer", "before the write", "after the write")


class Kept(Shelf):
    """A disk, in memory: it outlives processes, and each of them may die beside it."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.writes = 0
        self.process: Process | None = None

    async def version(self) -> str:
        return str(self.writes)

    async def read(self) -> dict[str, bytes]:
        return dict(self.values)

    async def write(self, name: str, value: bytes) -> None:
        assert self.process is not None
        self.process.point("before the write")
        self.values[name] = value
        self.writes += 1
        self.process.point("after the write")


@dataclass
class World:
    """Google, a disk, gateway.toml and the process that runs now."""

    shelf: Shelf
    now: float = BEGUN
    boots: int = 0
    leases: MemoryStore | None = None
    configured: list[AccountSettings] = field(default_factory=list)
    google: Google = field(init=False)
    process: Process = field(init=False)
    pool: Pool = field(init=False)
    keeper: Keeper = field(init=False)
    store: CookieStore = field(init=False)

    def __post_init__(self) -> None:
        self.google = Google(lambda: self.now)

    def configure(self, *names: str) -> None:
        for name in names:
            given = self.google.sign_up(name)
            self.configured.append(
                AccountSettings.model_validate({"name": name, "secure_1psid": given.psid, "secure_1psidts": given.psidts})
            )

    async def boot(self) -> None:
        """A process starts, on what the disk has."""
        clock = lambda: self.now  # noqa: E731 - a clock is a function
        self.boots += 1
        self.process = Process(self.google)
        if isinstance(self.shelf, Kept):
            self.shelf.process = self.process
        settings = PoolSettings()
        self.store = CookieStore(self.shelf, Vault(KEY))
        self.pool = Pool(self.process, Catalogue(), settings, clock=clock)
        self.keeper = Keeper(self.pool, self.configured, settings, self.store, self.leases or MemoryStore(clock))
        await self.keeper.open()
        self.keeper.start(ticking=False)
        await self.keeper.settled()
        await self.keeper.tick()
        await self.keeper.settled()

    async def kill(self) -> None:
        """SIGKILL: nothing that the process still wants to do happens."""
        self.process.alive = False
        await asyncio.gather(self.keeper.close(), return_exceptions=True)

    async def restart(self) -> None:
        """An orderly end, as for an update, and a new process a minute later."""
        await self.keeper.close()
        self.now += MINUTE
        await self.boot()

    async def step(self, seconds: float) -> None:
        """Time passes, and the gateway does what is due. A process that died is started again five minutes later."""
        self.now += seconds
        try:
            await self.keeper.tick()
            await self.keeper.settled()
        except Killed:
            pass
        if not self.process.alive:
            await self.kill()
            self.now += 5 * MINUTE
            await self.boot()

    def state(self, name: str) -> State:
        account = self.pool.find(name)
        assert account is not None
        return account.health.state

    def works(self, name: str) -> bool:
        """Whether the cookies that the gateway has for the account are good at Google."""
        account = self.pool.find(name)
        assert account is not None
        return self.google.accepts(account.upstream.cookies)

    async def ask(self) -> str:
        """One call; the name of the account that answered."""
        call = Call("id", 0, "openai", model="gemini-2.5-flash")
        events = [event async for event in self.pool.generate(call)]
        assert events[0] == TextDelta("hello")
        return str(call.account)


@asynccontextmanager
async def world(shelf: Shelf, *names: str) -> AsyncIterator[World]:
    made = World(shelf)
    made.configure(*names)
    await made.boot()
    yield made
    await made.keeper.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(120)
async def test_thirty_days_lose_no_account_that_could_have_lived(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    chance = random.Random(20261124)
    shelf = Kept()
    shown: list[str] = []
    async with world(shelf, "a", "b", "c", "d") as here:
        killed_at: dict[str, float] = {}
        for hour in range(30 * 24):
            # Bad hours: Google throttles, gives half the truth, or does not answer. Shorter than a value lives.
            if hour % 6 == 5:
                for account in here.google.accounts.values():
                    account.mood = Rotation.RENEWED
            elif hour % 6 == 3:
                name = chance.choice("abcd")
                moods = (Rotation.THROTTLED, Rotation.STAMPED, Rotation.FAILED)
                here.google.accounts[name].mood = chance.choice(moods)
            elif hour % 6 == 1:
                here.process.die_at = chance.choice(POINTS)
            elif hour % 24 == 14:
                await here.restart()
            # Once a week Google ends a session for good, and a day later a person brings new cookies.
            if hour % 168 == 100:
                here.google.kill("d")
                killed_at["d"] = here.now
            if hour % 168 == 124:
                await bring(here, "d")
                killed_at.clear()
            for _ in range(12):
                await here.step(5 * MINUTE)
                for name in "abc":
                    assert here.works(name), f"{name} was lost in hour {hour}"
                    assert here.state(name) is State.READY
                dead_for = here.now - killed_at.get("d", here.now)
                if dead_for > 20 * MINUTE:
                    assert here.state("d") is State.EXPIRED
                    assert await here.ask() != "d"
            shown += [repr(view) for view in here.pool.views()]
        view = here.pool.view(here.pool.find("d"))  # type: ignore[arg-type]
        assert view.state == "ready"
    rotations = {name: len(account.rotations) for name, account in here.google.accounts.items()}
    assert here.boots > 100
    assert all(2000 < rotations[name] < 4700 for name in "abc"), rotations
    text = caplog.text + "".join(shown) + repr(shelf.values)
    assert not [secret for secret in here.google.secrets() if secret in text]


async def bring(here: World, name: str) -> None:
    """A person pastes new cookies, at another process: the command line."""
    cookies = here.google.sign_up(name)
    known = here.store.get(name)
    assert known is not None
    await here.store.save(Record(name, cookies, known.configured, History(entered=here.now)))
    await here.keeper.tick()
    await here.keeper.save(here.store.get(name))  # type: ignore[arg-type]
    await here.keeper.settled()


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_kill_at_any_point_of_a_rotation_costs_no_account(point: str) -> None:
    async with world(Kept(), "a") as here:
        here.process.die_at = point
        for _ in range(60):
            await here.step(MINUTE)
            assert here.works("a")
        assert here.state("a") is State.READY


async def test_a_restart_after_a_day_off_tries_one_rotation_before_it_gives_up(tmp_path: Path) -> None:
    async with world(Files(tmp_path / "cookies"), "a") as here:
        here.google.life_s = 10 * DAY
        await here.step(20 * MINUTE)
        await here.kill()
        here.now += DAY
        await here.boot()
        assert here.state("a") is State.READY and here.works("a")
        await here.kill()
        here.now += 20 * DAY
        await here.boot()
        assert here.state("a") is State.EXPIRED
        view = here.pool.views()[0]
        assert "it needs new cookies" in view.reason
        assert view.attention_by is not None and view.attention_by <= here.now


async def test_attention_is_foretold_while_the_account_still_serves(tmp_path: Path) -> None:
    async with world(Files(tmp_path / "cookies"), "a") as here:
        await here.step(11 * MINUTE)
        assert here.pool.views()[0].attention_by is None
        here.google.accounts["a"].mood = Rotation.STAMPED
        for _ in range(4):
            await here.step(11 * MINUTE)
        view = here.pool.views()[0]
        assert view.state == "ready" and view.attention_by is not None
        assert here.now < view.attention_by <= here.now + 3 * HOUR
        assert view.rotations["stamped"] == 4


async def test_a_clock_that_is_set_back_stops_no_rotation(tmp_path: Path) -> None:
    async with world(Files(tmp_path / "cookies"), "a") as here:
        await here.step(11 * MINUTE)
        before = len(here.google.accounts["a"].rotations)
        await here.kill()
        here.now -= HOUR
        await here.boot()
        for _ in range(15):
            await here.step(MINUTE)
        assert len(here.google.accounts["a"].rotations) >= before + 2


async def test_a_full_disk_costs_no_account_and_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full(Files):
        full = False

        async def write(self, name: str, value: bytes) -> None:
            if self.full:
                raise OSError(28, "No space left on device")
            await super().write(name, value)

    shelf = Full(tmp_path / "cookies")
    async with world(shelf, "a") as here:
        shelf.full = True
        for _ in range(6):
            await here.step(11 * MINUTE)
            assert here.works("a") and here.state("a") is State.READY
        assert caplog.text.count("No space left on device") == 1
        shelf.full = False
        await here.step(MINUTE)
        await here.kill()
        await here.boot()
        assert here.works("a")


async def test_while_google_throttles_it_is_asked_ever_less_often(tmp_path: Path) -> None:
    async with world(Files(tmp_path / "cookies"), "a") as here:
        account = here.google.accounts["a"]
        account.mood = Rotation.THROTTLED
        for _ in range(150):
            await here.step(MINUTE)
        gaps = [later - earlier for earlier, later in pairwise(account.asked)]
        assert [round(gap / MINUTE) for gap in gaps[:3]] == pytest.approx([2, 4, 8], abs=1)
        assert all(18 * MINUTE <= gap <= 23 * MINUTE for gap in gaps[4:]) and len(gaps) > 6
        assert here.works("a") and here.state("a") is State.READY


def test_google_says_how_long_to_wait_with_a_rotation_and_is_obeyed() -> None:
    history = rotation.after(History(entered=BEGUN), Rotated(Rotation.THROTTLED, 2 * HOUR), BEGUN)
    assert not rotation.is_due(history, "a", interval_s=600.0, now=BEGUN + 1.99 * HOUR)
    assert rotation.is_due(history, "a", interval_s=600.0, now=BEGUN + 2 * HOUR)


async def test_values_that_the_site_sets_in_passing_are_kept_too(tmp_path: Path) -> None:
    async with world(Files(tmp_path / "cookies"), "a") as here:
        account = here.google.accounts["a"]
        _, fresh = here.google.rotate(here.pool.accounts[0].upstream.cookies)
        here.pool.accounts[0].upstream.use(fresh)
        await here.step(1)
        await here.kill()
        await here.boot()
        assert here.pool.accounts[0].upstream.cookies == Cookies(account.psid, account.issued[-1])


async def test_news_of_another_replica_holds_whichever_call_came_across_it() -> None:
    shelf = Kept()
    async with world(shelf, "a", "b") as here:
        other = CookieStore(shelf, Vault(KEY))
        await other.refresh()
        known = other.get("b")
        assert known is not None
        rotated, cookies = here.google.rotate(known.cookies)
        await other.save(replace(known, cookies=cookies, history=rotation.after(known.history, rotated, here.now)))
        await here.store.save(here.store.get("a"))  # type: ignore[arg-type]
        await here.step(1)
        account = here.pool.find("b")
        assert account is not None
        assert account.upstream.cookies == cookies and account.history.result == Rotation.RENEWED


async def test_news_that_come_while_a_rotation_is_written_down_do_not_let_it_be_done_twice() -> None:
    class Gated(Kept):
        """Does not answer when the rotation of a is to be written down, until told to."""

        def __init__(self) -> None:
            super().__init__()
            self.asked: list[float] = []
            self.waits = False
            self.go = asyncio.Event()

        async def version(self) -> str:
            if self.asked and not self.waits:
                self.waits = True
                await self.go.wait()
            return await super().version()

    shelf = Gated()
    async with world(shelf, "a", "b") as here:
        shelf.asked = here.google.accounts["a"].asked
        here.google.accounts["a"].mood = Rotation.FAILED
        here.now += 11 * MINUTE
        await here.keeper.tick()
        await until(lambda: shelf.waits)
        other = CookieStore(shelf, Vault(KEY))
        await other.refresh()
        await other.save(replace(other.get("b"), language="de", edited=here.now))  # type: ignore[type-var]
        await here.keeper.tick()
        shelf.go.set()
        await here.keeper.settled()
        await here.step(1)
        assert len(shelf.asked) == 1


async def test_who_gets_the_lease_after_another_replica_rotated_does_not_rotate_again() -> None:
    class Late(MemoryStore):
        """Grants the lease for a rotation when it is told to."""

        go = asyncio.Event()

        async def lease(self, key: str, owner: str, seconds: float) -> bool:
            if key.startswith("rotate:"):
                await self.go.wait()
            return await super().lease(key, owner, seconds)

    shelf = Kept()
    async with world(shelf, "a") as first:
        late = World(shelf, configured=first.configured, leases=Late())
        late.google = first.google
        await late.boot()
        first.now += 11 * MINUTE
        late.now = first.now
        await late.keeper.tick()
        await first.step(0)
        Late.go.set()
        await late.keeper.settled()
        assert len(first.google.accounts["a"].rotations) == 1
        assert late.works("a") and late.pool.accounts[0].upstream.cookies == first.pool.accounts[0].upstream.cookies
        await late.keeper.close()
