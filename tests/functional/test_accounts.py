"""Accounts that come, change and go while the gateway serves: by HTTP, against the offline site."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.logs import Redactor
from gateway.simulator import Account, Fault, Status
from tests.functional.conftest import Launch, Live

QUIET = {"pool": {"usage_interval_s": 0}}


async def ask(live: Live, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
    if body is not None:
        options["json"] = body
    async with live.client.http.request(method, path, **options) as response:
        return response.status, await response.json()


def cookies(account: Account, **more: Any) -> dict[str, Any]:
    return {"SECURE_1PSID": account.psid, "SECURE_1PSIDTS": account.psidts, **more}


@asynccontextmanager
async def one_of_two(launch: Launch) -> AsyncIterator[tuple[Live, Account]]:
    """A gateway with the account a, and an account b that the site knows and the gateway does not."""
    async with launch() as live:
        yield live, live.site.add(Account("b", tier="free"))


async def test_cookies_that_are_pasted_serve_at_once(launch: Launch) -> None:
    async with one_of_two(launch) as (live, b):
        status, reply = await ask(live, "POST", "/api/cookies", cookies(b, name="second", proxy=live.proxy_url))
        assert (status, reply["status"], reply["tier"]) == (200, "ok", "free")
        assert "gemini-3.8-flash" in reply["models"]
        assert reply["account"]["state"] == "ready" and reply["account"]["source"] == "added"
        await ask(live, "POST", "/api/accounts/a/disable")
        assert (await live.client.chat("[[sim text=hi]]")).text == "hi"
        assert live.site.log.generates[-1].account == "b"


@pytest.mark.parametrize("lower", [True, False])
async def test_the_seeds_body_replaces_the_cookies_of_the_only_account_that_needs_them(launch: Launch, lower: bool) -> None:
    async with launch(settings=QUIET) as live:
        a = live.site.account("a")
        a.expired = True
        await live.client.chat("hello", model="gemini-2.5-pro")
        await live.ready()
        assert live.gateway.pool.views()[0].state == "expired"
        a.renew()
        body = cookies(a)
        status, reply = await ask(live, "POST", "/api/cookies", {k.lower() if lower else k: v for k, v in body.items()})
        assert (status, reply["account"]["name"], reply["account"]["state"]) == (200, "a", "ready")
        assert (await live.client.chat("hello")).status == 200


async def test_a_list_tells_of_each_and_takes_the_good_ones(launch: Launch) -> None:
    async with one_of_two(launch) as (live, b):
        bad = {"name": "bad", "SECURE_1PSID": "g.a000-short...", "SECURE_1PSIDTS": "sidts-unknown-to-the-site"}
        body = [cookies(live.site.account("a")), cookies(Account("c"), name="a"), cookies(b, SECURE_1PSIDTS="")]
        status, reply = await ask(live, "POST", "/api/cookies", body)
        assert (status, reply["status"]) == (200, "partial")
        assert reply["accounts"][0]["name"] == "a" and reply["accounts"][0]["replaced"]
        assert reply["accounts"][1]["error"]["code"] == "cookies_refused"
        assert "error" in reply["accounts"][2]
        assert (await ask(live, "POST", "/api/cookies", [bad]))[0] == 400


WRONG = [
    ({}, "wrong cookies, or none"),
    ([], "missing"),
    ({"SECURE_1PSID": ""}, "wrong cookies, or none"),
    ({"paste": "hello there"}, "wrong"),
    ({"paste": "NID=511=abc; AEC=xyz"}, "guest"),
    ({"paste": "SID=g.a000abc; HSID=x; SSID=y"}, "missing"),
    ({"paste": ".youtube.com\tTRUE\t/\tTRUE\t1900000000\t__Secure-1PSID\tg.a000yt"}, "foreign"),
    ({"SECURE_1PSID": "g.a000abcdefghijkl...", "SECURE_1PSIDTS": "sidts-x"}, "truncated"),
    ({"SECURE_1PSID": "sidts-abcdefghijklmnop", "SECURE_1PSIDTS": "g.a000"}, "holds the value"),
    ({"SECURE_1PSID": ["g.a000"]}, "must be text"),
    ({"SECURE_1PSID": "g.a000\r\nX-Evil: 1"}, "no cookie value"),
    ({"SECURE_1PSID": "g.a000\r\n"}, "no cookie value"),
    ({"SECURE_1PSID": "g.a000;b"}, "no cookie value"),
    ({"SECURE_1PSID": "g.a000\x00"}, "no cookie value"),
    ({"SECURE_1PSID": "g.a000é"}, "no cookie value"),
    ({"SECURE_1PSID": "x" * 300_000}, "no cookie value"),
    ({"SECURE_1PSID": "../../etc/passwd"}, "no cookie value"),
    ("text", "missing"),
    ([1, 2], "must hold objects"),
    ({"SECURE_1PSID": "g.a000-abcdefghijklmnopqrstuvw", "name": "../x"}, "name"),
    ({"SECURE_1PSID": "g.a000-abcdefghijklmnopqrstuvw", "name": ".."}, "name"),
    ({"SECURE_1PSID": "g.a000-abcdefghijklmnopqrstuvw", "proxy": 7}, "proxy"),
]


@pytest.mark.parametrize(("body", "said"), WRONG, ids=range(len(WRONG)))
async def test_what_is_wrong_with_a_paste_is_told_and_never_quoted(launch: Launch, body: Any, said: str) -> None:
    async with launch() as live:
        status, reply = await ask(live, "POST", "/api/cookies", body)
        message = reply["error"]["message"]
        assert status == 400
        assert said in message
        for value in body.values() if isinstance(body, dict) else ():
            assert not (isinstance(value, str) and value and value in message)
        assert [view.name for view in live.gateway.pool.views()] == ["a"]


async def test_cookies_that_sign_nobody_in_are_told_apart(launch: Launch) -> None:
    async with launch(accounts=2) as live:
        a, b = live.site.accounts
        out = {"proxy": live.proxy_url}

        async def refused(psid: str, psidts: str) -> str:
            status, reply = await ask(live, "POST", "/api/cookies", {"SECURE_1PSID": psid, "SECURE_1PSIDTS": psidts, **out})
            assert (status, reply["error"]["code"]) == (400, "cookies_refused")
            return str(reply["error"]["message"])

        assert "truncated" in await refused(a.psid[:-3], a.psidts)
        assert "truncated" in await refused("g.a000-cut", a.psidts)
        assert "foreign" in await refused("g.a000-somebody-elses-long-value", b.psidts)
        assert "stale" in await refused("g.a000-somebody-elses-long-value", "sidts-an-old-value-of-somebody")
        assert "missing" in await refused("g.a000-somebody-elses-long-value", "")
        stale = a.psidts
        a.renew()
        assert "stale" in await refused(a.psid, stale)
        assert [view.name for view in live.gateway.pool.views()] == ["a", "b"]


REFUSING = [Status.TOS_PENDING, Status.GUARDIAN_REJECTED, Status.LOCATION_REJECTED, Status.REJECTED]


@pytest.mark.parametrize("status", REFUSING)
async def test_an_account_that_google_refuses_is_refused_with_the_reason(launch: Launch, status: Status) -> None:
    async with one_of_two(launch) as (live, b):
        b.status = status
        code, reply = await ask(live, "POST", "/api/cookies", cookies(b, proxy=live.proxy_url))
        assert code == 400
        assert "The cookies are good, but" in reply["error"]["message"]


async def test_cookies_that_cannot_be_tried_change_nothing(launch: Launch) -> None:
    async with one_of_two(launch) as (live, b):
        live.site.fault("b", "app", Fault("captcha"), times=None)
        status, reply = await ask(live, "POST", "/api/cookies", cookies(b, name="a", proxy=live.proxy_url))
        assert (status, reply["error"]["code"]) == (503, "egress_blocked")
        assert (await live.client.chat("hello")).status == 200


async def test_an_account_is_changed_switched_and_deleted_while_calls_run(launch: Launch) -> None:
    async with launch(accounts=2) as live:
        running = asyncio.create_task(live.client.chat("[[sim chars=400 frames=20 pace_ms=20]]", stream=True))
        await live.site.log.wait(lambda entry: entry.endpoint == "generate")
        name = live.site.log.generates[-1].account
        status, reply = await ask(live, "PATCH", f"/api/accounts/{name}", {"max_concurrency": 3, "language": "de"})
        assert (status, reply["account"]["max_concurrency"]) == (200, 3)
        status, reply = await ask(live, "POST", f"/api/accounts/{name}/disable")
        assert (status, reply["account"]["state"]) == (200, "disabled")
        status, reply = await ask(live, "POST", f"/api/accounts/{name}/enable")
        await live.ready()
        assert live.gateway.pool.find(name).health.state == "ready"  # type: ignore[union-attr]
        assert (await ask(live, "DELETE", f"/api/accounts/{name}"))[1]["deleted"] == name
        assert (await ask(live, "GET", f"/api/accounts/{name}"))[0] == 404
        assert len((await running).text) == 400
        assert (await live.client.chat("hello")).status == 200


async def test_an_account_of_the_file_that_was_deleted_says_so_and_comes_back(launch: Launch) -> None:
    async with launch(settings=QUIET) as live:
        _, reply = await ask(live, "DELETE", "/api/accounts/a")
        assert reply["deleted"] == "a" and "POST /api/accounts/a/enable" in reply["note"]
        status, ready = await ask(live, "GET", "/ready")
        assert status == 503 and "removed at run time" in ready["reason"]
    async with launch(accounts=live.site.accounts, settings=QUIET) as live:  # a restart forgets nothing of it
        _, listed = await ask(live, "GET", "/api/accounts")
        assert listed["accounts"] == []
        assert listed["removed"][0]["name"] == "a" and "accounts enable a" in listed["removed"][0]["reason"]
        status, reply = await ask(live, "POST", "/api/accounts/a/enable")
        assert (status, reply["account"]["source"]) == (200, "settings")
        assert (await live.client.chat("hello")).status == 200
        assert (await ask(live, "GET", "/api/accounts"))[1]["removed"] == []


async def test_who_switched_an_account_off_is_told(launch: Launch) -> None:
    async with launch(settings=QUIET) as live:
        _, reply = await ask(live, "POST", "/api/accounts/a/disable")
        account = reply["account"]
        assert (account["state"], account["reason"]) == ("disabled", "switched off by a person: enable it")


async def test_one_login_is_one_account(launch: Launch) -> None:
    async with launch(accounts=2, settings=QUIET) as live:
        a = live.site.account("a")
        for path in ("/api/cookies", "/api/accounts"):
            status, reply = await ask(live, "POST", path, cookies(a, name="twin", proxy=live.proxy_url))
            assert (status, reply["error"]["param"]) == (400, "name")
            assert "cookies of the account a" in reply["error"]["message"]
        status, reply = await ask(live, "PATCH", "/api/accounts/b", cookies(a))
        assert status == 400
        assert [view.name for view in live.gateway.pool.views()] == ["a", "b"]


async def test_pastes_at_the_same_time_make_accounts_of_their_own(launch: Launch) -> None:
    async with launch(settings=QUIET) as live:
        more = [live.site.add(Account(name)) for name in "bcd"]
        replies = await asyncio.gather(
            *(ask(live, "POST", "/api/cookies", cookies(account, proxy=live.proxy_url)) for account in more)
        )
        assert {reply["account"]["name"] for _, reply in replies} == {"account-1", "account-2", "account-3"}


async def test_adding_removing_and_reloading_at_once_ends_in_one_truth(launch: Launch) -> None:
    async with launch(settings=QUIET) as live:
        b = live.site.add(Account("b"))
        paste = cookies(b, name="b", proxy=live.proxy_url)
        for _ in range(3):
            results = await asyncio.gather(
                ask(live, "POST", "/api/cookies", paste),
                ask(live, "DELETE", "/api/accounts/b"),
                ask(live, "POST", "/api/accounts/a/disable"),
                ask(live, "POST", "/api/accounts/a/enable"),
                live.gateway.keeper.tick(),
                return_exceptions=True,
            )
            assert not [result for result in results if isinstance(result, BaseException)]
            assert {status for status, _ in results[:4]} <= {200, 404}
        await ask(live, "POST", "/api/cookies", paste)
        await ask(live, "POST", "/api/accounts/a/enable")
        await live.gateway.keeper.settled()
        assert [(view.name, view.state) for view in live.gateway.pool.views()] == [("a", "ready"), ("b", "ready")]


async def test_no_cookie_is_in_any_file_log_metric_or_reply(
    launch: Launch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with launch(accounts=2, settings=QUIET) as live:
        secrets, replies = {value for a in live.site.accounts for value in a.cookies.values()}, []
        c, stranger = live.site.add(Account("c")), Account("d")
        for body in (cookies(c, proxy=live.proxy_url), cookies(stranger, proxy=live.proxy_url), {"paste": c.psid + "\n!"}):
            replies.append(await ask(live, "POST", "/api/cookies", body))
        for kind in ("psidts", "psidcc", "429", "401"):
            live.site.account("a").rotation = kind  # type: ignore[assignment]
            replies.append(await ask(live, "POST", "/api/accounts/a/rotate"))
            secrets |= {value for a in (*live.site.accounts, stranger) for value in a.cookies.values()}
        live.site.account("b").expired = True
        replies += [(await live.client.chat("hello")).headers for _ in range(4)]
        await live.gateway.keeper.settled()
        for path in ("/api/accounts", "/api/accounts/b", "/api/info", "/ready", "/health", "/metrics", "/api/openapi.json"):
            async with live.client.http.get(path) as response:
                replies.append((dict(response.headers), await response.text()))
    assert "gateway_account_rotations" in repr(replies) and len(secrets) == 9
    files = "".join(str(file) + file.read_text("latin-1") for file in files_below(tmp_path / "state"))
    for where in (caplog.text, repr(replies), files):
        assert where and not [secret for secret in secrets if secret in where]


class Opaque(Account):
    """An account with cookies that do not look like any."""

    def rotate(self, now: float, grace_s: float) -> str:
        self.psidts = super().rotate(now, grace_s)[::-1]
        return self.psidts


async def test_no_log_line_of_anybody_shows_a_cookie_that_came_while_it_runs(launch: Launch) -> None:
    async with launch(accounts=[Opaque("a", "psid-" * 6, "ts-" * 9)], settings=QUIET) as live:
        b = live.site.add(Account("b", "another-" * 4, "values-" * 5))
        c = live.site.add(Account("c", "a-third-" * 4, "secret-" * 5))
        assert (await ask(live, "POST", "/api/cookies", cookies(b, proxy=live.proxy_url)))[0] == 200
        assert (await ask(live, "POST", "/api/accounts", cookies(c, name="c", proxy=live.proxy_url)))[0] == 201
        assert (await ask(live, "POST", "/api/accounts/a/rotate"))[1]["result"] == "renewed"
        wrong = {"SECURE_1PSID": "refused-" * 4, "SECURE_1PSIDTS": "for-good-" * 4, "proxy": live.proxy_url}
        assert (await ask(live, "POST", "/api/cookies", wrong))[0] == 400
        values = [value for account in live.site.accounts for value in account.cookies.values()]
        for value in [*values, wrong["SECURE_1PSID"], wrong["SECURE_1PSIDTS"]]:
            shown = Redactor().clean(f"some library: header Cookie: x={value}; y={value}")
            assert value not in shown and "***" in shown


async def test_a_rotation_by_hand_tells_the_truth(launch: Launch) -> None:
    async with launch(settings=QUIET) as live:
        a = live.site.account("a")
        before = a.psidts
        for kind, result in (("psidts", "renewed"), ("psidcc", "stamped"), ("429", "throttled"), ("junk", "stamped")):
            a.rotation = kind
            status, reply = await ask(live, "POST", "/api/accounts/a/rotate")
            assert (status, reply["result"]) == (200, result), kind
        assert a.psidts != before
        assert live.gateway.pool.accounts[0].upstream.cookies.psidts == a.psidts
        assert reply["account"]["rotations"] == {"renewed": 1, "stamped": 2, "throttled": 1}


async def test_an_expired_account_is_rescued_by_one_rotation(launch: Launch) -> None:
    async with launch(settings=QUIET) as live:
        account = live.gateway.pool.accounts[0]
        # The session of the page died; the cookies themselves still live.
        live.site.fault("a", "generate", Fault("401"), times=1)
        live.site.fault("a", "status", Fault("401"), times=1)
        await live.client.chat("hello")
        await live.ready()
        assert account.rotations == {"renewed": 1}
        assert account.health.state == "ready"


async def test_a_restart_goes_on_with_the_rotated_value_until_the_configured_one_changes(launch: Launch) -> None:
    a = Account("a")
    configured = a.psidts
    async with launch(accounts=[a], settings=QUIET) as live:
        await ask(live, "POST", "/api/accounts/a/rotate")
    rotated = a.psidts
    assert rotated != configured
    a.renew(rotated)  # no grace for older values
    async with launch(accounts=[a], settings=QUIET, configured={"a": configured}) as live:
        assert live.gateway.pool.views()[0].state == "ready"
        assert live.gateway.pool.accounts[0].upstream.cookies.psidts == rotated
    # A person signed in anew and wrote the fresh value down: it wins over what the store has.
    fresh = a.renew()["__Secure-1PSIDTS"]
    async with launch(accounts=[a], settings=QUIET, configured={"a": fresh}) as live:
        assert live.gateway.pool.views()[0].state == "ready"


async def test_only_the_admin_key_opens_the_accounts(launch: Launch) -> None:
    async with launch(settings={"admin": {"key": "adm-secret"}}) as live:
        for method, path in (("GET", "/api/accounts"), ("POST", "/api/cookies"), ("DELETE", "/api/accounts/a")):
            assert (await ask(live, method, path))[0] == 403
            assert (await ask(live, method, path, headers={"Authorization": "Bearer nonsense"}))[0] == 401
        headers = {"Authorization": "Bearer adm-secret"}
        assert (await ask(live, "GET", "/api/accounts", headers=headers))[0] == 200
        assert (await ask(live, "POST", "/api/cookies", data="x=1", headers=headers))[0] == 415


async def test_the_description_names_every_address(launch: Launch) -> None:
    async with launch() as live:
        _, document = await ask(live, "GET", "/api/openapi.json")
        described = {(m, path) for path, item in document["paths"].items() for m in item if m != "parameters"}
        async with live.client.http.get("/api/accounts/a") as response:
            shown = (await response.json())["account"]
        assert set(document["components"]["schemas"]["Account"]["properties"]) == shown.keys()
        for method, path in described:
            status, reply = await ask(live, method.upper(), path.format(name="nobody"))
            assert status == 200 or reply["error"]["message"] != "There is nothing at this address"


async def test_what_is_used_is_known_and_so_is_the_reset(launch: Launch) -> None:
    async with launch() as live:
        a = live.site.account("a")
        a.limit, a.used = 4, 1
        account = live.gateway.pool.accounts[0]
        account.allowance_asked = 0.0
        await live.gateway.keeper.tick()
        await live.gateway.keeper.settled()
        view = live.gateway.pool.views()[0]
        assert {window.name: window.used for window in view.usage} == {"5h": 0.25, "week": 0.25, "flash": 0.25, "pro": 0.25}
        a.used = 4
        assert (await live.client.chat("hello")).status == 429
        await live.gateway.keeper.tick()
        await live.gateway.keeper.settled()
        (until,) = live.gateway.pool.views()[0].model_cooldowns.values()
        assert until == max(window.resets_at or 0 for window in live.gateway.pool.views()[0].usage)
        assert int((await live.client.chat("hello")).headers["Retry-After"]) == pytest.approx(
            until - live.gateway.pool.clock(), abs=2
        )


async def test_a_guest_serves_where_that_is_allowed_and_says_so(launch: Launch) -> None:
    async with launch(accounts=0, settings={"pool": {"allow_guest": True}}) as live:
        reply = await live.client.chat("[[sim text=hi]]", model="gemini-2.5-flash-lite")
        assert (reply.status, reply.text, reply.headers["x-gateway-guest"]) == (200, "hi", "true")
        view = live.gateway.pool.views()[0]
        assert (view.tier, view.source, view.fingerprint) == ("guest", "guest", "")
        assert (await live.client.chat("hello", model="gemini-2.5-pro")).status == 503


async def test_without_an_account_a_call_is_told_what_to_do(launch: Launch) -> None:
    async with launch(accounts=0) as live:
        assert (await live.client.chat("hello", model="gemini-2.5-flash")).status == 503
        status, reply = await ask(live, "GET", "/ready")
        assert status == 503 and "/api/cookies" in reply["reason"]


async def test_cookies_lie_encrypted_in_files_that_are_not_named_after_them(launch: Launch, tmp_path: Path) -> None:
    async with launch(accounts=2) as live:
        await ask(live, "POST", "/api/accounts/a/rotate")
        secrets = [value for account in live.site.accounts for value in account.cookies.values()]
    assert not files_below(Path(os.environ["GEMINI_COOKIE_PATH"]))  # the library's own cache
    files = files_below(tmp_path / "state")
    assert sum(file.suffix == ".cookies" for file in files) == 2
    for file in files:
        assert file.stat().st_mode & 0o077 == 0
        text = str(file) + file.read_text("latin-1")
        assert not [secret for secret in secrets if secret in text]


def files_below(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


async def test_after_new_cookies_no_prompt_reaches_the_old_login(launch: Launch) -> None:
    async with one_of_two(launch) as (live, b):
        running = asyncio.create_task(live.client.chat("[[sim chars=600 frames=20 pace_ms=30]]", stream=True))
        await live.site.log.wait(lambda entry: entry.endpoint == "generate" and entry.sent > 0)
        status, _ = await ask(live, "POST", "/api/cookies", cookies(b, name="a", proxy=live.proxy_url))
        assert status == 200
        assert (await running).status == 200
        for _ in range(3):
            replies = await asyncio.gather(*(live.client.chat("hello") for _ in range(2)))
            assert [reply.status for reply in replies] == [200, 200]
        assert {entry.account for entry in live.site.log.generates[1:]} == {"b"}
