"""What the site remembers, and that it forgets in time."""

import asyncio

import pytest

from gateway.simulator import Account, Entry, Log, make_accounts
from gateway.simulator.accounts import windows
from gateway.simulator.chats import Chat, Chats, Record
from gateway.simulator.faults import Fault, FaultBook, Planned
from gateway.simulator.frames import candidate
from gateway.simulator.uploads import Uploads
from gateway.simulator.visit import decode_cookies, decode_form


def entry(**fields: object) -> Entry:
    return Entry("a", "gemini.google.com", "GET", "/", **fields)  # type: ignore[arg-type]


def test_the_log_is_bounded_by_entries_and_by_characters() -> None:
    log = Log(most=3)
    for number in range(5):
        log.add(entry(endpoint=str(number)))
    assert [kept.endpoint for kept in log] == ["2", "3", "4"]
    long = "x" * 16_000_001
    log.set_prompt(log.add(entry(endpoint="5")), long)
    log.set_prompt(log.add(entry(endpoint="6")), long)
    assert [kept.endpoint for kept in log] == ["6"]


async def test_waiting_for_an_entry_that_is_there_or_comes_or_does_not() -> None:
    log = Log()
    first = log.add(entry(endpoint="app"))
    assert await log.wait(lambda found: found.endpoint == "app") is first
    asyncio.get_running_loop().call_soon(log.add, second := entry(endpoint="rpc"))
    assert await log.wait(lambda found: found.endpoint == "rpc") is second
    with pytest.raises(TimeoutError):
        await log.wait(lambda found: found.endpoint == "image", timeout_s=0)


def test_the_first_end_of_an_entry_counts() -> None:
    ended = entry()
    ended.end("cut")
    ended.end("whole")
    assert ended.outcome == "cut" and ended.ended_at is not None


def test_chats_are_bounded_and_newest_first() -> None:
    kept = Chats()
    for number in range(502):
        kept.keep(Chat(f"c_{number}", "", temporary=number == 500))
    listed = [chat.cid for chat in kept.listed(999, pinned=False)]
    assert (listed[:2], listed[-1], len(kept)) == (["c_501", "c_499"], "c_2", 499)
    assert kept.find("c_500") and not kept.readable("c_500") and kept.delete("c_501") and not kept.delete("c_501")


def test_long_chats_are_forgotten_first_by_age() -> None:
    kept, asked, told = Chats(), "x" * 4_000_000, "y" * 2_000_000
    for number in range(3):
        kept.keep(Chat(f"c_{number}", "", turns=[Record("r", asked, "", candidate("rc", text=told))]))
    assert [chat.cid for chat in kept.listed(9, pinned=False)] == ["c_2"]


def test_uploads_are_bounded() -> None:
    kept, large = Uploads(), bytes(130_000_000)
    first, second = kept.add("a", "text/plain", large), kept.add("b", "text/plain", large)
    assert kept.get(first.id) is None and kept.get(second.id) is second and len(kept) == 1


def test_faults_are_planned_in_order_counted_and_skipped() -> None:
    book = FaultBook()
    book.plan(Planned(None, "rpc", Fault("500"), times=1, skip=1))
    book.plan(Planned("b", "jSf9Qc", Fault("429"), times=None))
    taken = [book.take(name, ["rpc", "jSf9Qc", "usage"]) for name in ("a", "a", "a", "b", "b")]
    assert [fault and fault.status for fault in taken] == [None, 500, None, 429, 429]
    book.clear("b")
    assert len(book) == 0


def test_a_tunnel_meets_only_faults_that_name_it() -> None:
    book = FaultBook()
    book.plan(Planned(None, "*", Fault("500"), times=None))
    assert book.take(None, ["connect"]) is None and book.take("a", ["app"]) is not None


def test_accounts_have_random_cookies_and_names_beyond_z() -> None:
    accounts = make_accounts(28)
    assert [account.name for account in accounts[24:]] == ["y", "z", "aa", "ab"]
    assert len({account.psid for account in [*accounts, *make_accounts(28)]}) == 56
    assert accounts[0].psid not in repr(Account("x"))


def test_usage_follows_the_limit_unless_it_is_set() -> None:
    account = Account("a", limit=4, used=1)
    assert (account.ratio(), account.exhausted()) == (0.25, False)
    account.used, account.used_ratio = 4, 0.9
    assert (account.ratio(), account.exhausted()) == (0.9, True)


def test_windows_end_in_the_future() -> None:
    assert windows(18_000.0) == (36_000, 604_800)


def test_forms_and_cookies_are_decoded() -> None:
    assert decode_form(b"at=a%3Ab&f.req=%5B%22%C3%9C+1%22%5D&empty=") == {"at": "a:b", "f.req": '["Ü 1"]', "empty": ""}
    long = "Ü% +&=" * 100_000
    quoted = "%C3%9C%25+%2B%26%3D" * 100_000
    assert decode_form(f"x={quoted}".encode()) == {"x": long}
    assert decode_cookies("a=1; b=x=y;c ; =z") == {"a": "1", "b": "x=y", "": "z"}
