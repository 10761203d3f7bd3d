"""The faults, as the client library and a bare session meet them."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from curl_cffi.requests import AsyncSession, Response
from curl_cffi.requests.exceptions import RequestException
from gemini_webapi import GeminiClient
from gemini_webapi.exceptions import (
    APIError,
    AuthError,
    ModelInvalidError,
    TemporarilyBlockedError,
    UsageLimitExceededError,
)

from gateway.simulator import Account, Fault, Simulator, Site, filler
from gateway.simulator.faults import NAMES

from .by_hand import BATCH, GENERATE, ask, cookie_header, form

SignIn = Callable[..., Awaitable[GeminiClient]]
Session = AsyncSession[Response]

TEXT = "[[sim chars=400 frames=8 {}]]"


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (1037, UsageLimitExceededError),
        (1060, TemporarilyBlockedError),
        (1050, ModelInvalidError),
        (1052, ModelInvalidError),
        (1013, APIError),
        (1096, APIError),
        (1097, APIError),
        (1003, APIError),
        (1185, APIError),
        (1152, APIError),
    ],
)
async def test_error_codes(client_of: SignIn, site: Site, code: int, error: type[Exception]) -> None:
    client = await client_of("a")
    site.fault("a", "generate", Fault(str(code)))
    with pytest.raises(error):
        await client.generate_content("hi", current_retry=0)
    assert site.log.generates[-1].fault == str(code)


async def test_1096_comes_after_the_complete_answer(client_of: SignIn) -> None:
    said, client = "", await client_of("a")
    with pytest.raises(APIError, match="1096"):
        async for output in client.generate_content_stream(TEXT.format("fault=1096"), current_retry=0):
            said += output.text_delta or ""
    assert said == filler(400)


async def test_a_code_in_the_middle(client_of: SignIn) -> None:
    said, client = "", await client_of("a")
    with pytest.raises(UsageLimitExceededError):
        async for output in client.generate_content_stream(TEXT.format("fault=1037 after=3"), current_retry=0):
            said += output.text_delta or ""
    assert said == filler(400)[:150]


@pytest.mark.parametrize("name", ["reject", "empty", "garbage", "bad_chunk", "reset_mid", "403", "500"])
async def test_the_library_gives_up_at_once(client_of: SignIn, site: Site, name: str) -> None:
    client = await client_of("b")
    site.fault("b", "generate", name)
    with pytest.raises(APIError):
        await client.generate_content(TEXT.format(""), current_retry=0, temporary=True)


@pytest.mark.parametrize("name", ["garbage_frame", "dribble", "slow"])
async def test_the_library_copes(client_of: SignIn, name: str) -> None:
    prompt = TEXT.format(f"fault={name} seconds=0")
    output = await (await client_of("a")).generate_content(prompt, current_retry=0)
    assert output.text == filler(400)


@pytest.mark.parametrize("name", ["truncate", "no_completion", "lying_length"])
async def test_a_stream_that_ends_early_is_recovered_from_the_history(client_of: SignIn, site: Site, name: str) -> None:
    output = await (await client_of("a")).generate_content(TEXT.format(f"fault={name} after=3"), current_retry=0)
    assert output.text == filler(400) and site.log.count("history") == 0 and site.log.count("hNvQHb") == 1
    assert site.log.generates[-1].outcome in ("cut", "whole")


async def test_a_huge_frame_is_skipped(client_of: SignIn) -> None:
    prompt = TEXT.format("fault=huge_frame size=300000")
    output = await (await client_of("a")).generate_content(prompt, current_retry=0)
    assert output.text == filler(400)


async def test_an_empty_answer_is_complete(client_of: SignIn) -> None:
    output = await (await client_of("a")).generate_content("[[sim fault=empty_answer]]", current_retry=0)
    assert output.text == ""


async def test_queueing_and_thinking_send_bookkeeping_only(session: Session, site: Site) -> None:
    reply = await ask(session, site.account("a"), "[[sim text=ok frames=1 queue_ms=20 think_ms=10]]")
    before, _, after = reply.text.partition('[[\\"rc_')
    assert '["wrb.fr",null,null,null,null,[1]]' in before and '[["di",1000]]' in before and '[\\"ok\\"]' in after


async def test_a_downgrade_names_the_model_that_answered(session: Session, site: Site) -> None:
    reply = await ask(session, site.account("a"), "hi [[sim fault=downgrade]]")
    assert '\\"3.5 Flash-Lite\\"' in reply.text and site.log.generates[-1].model == "Flash-Lite"


async def test_a_status_with_retry_after(session: Session, site: Site) -> None:
    site.fault("a", "generate", Fault("429", retry_after=17))
    reply = await ask(session, site.account("a"), "hi")
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "17")
    assert (await ask(session, site.account("a"), "hi")).status_code == 200


@pytest.mark.parametrize(
    ("name", "status", "place"),
    [
        ("captcha", 302, "https://www.google.com/sorry/index"),
        ("consent", 302, "https://consent.google.com/"),
        ("login", 302, "https://accounts.google.com/ServiceLogin"),
        ("captcha_page", 429, None),
        ("consent_page", 200, None),
    ],
)
async def test_pages_and_redirects(session: Session, site: Site, name: str, status: int, place: str | None) -> None:
    site.fault(None, "*", name, times=None)
    for url in ("https://gemini.google.com/app", GENERATE, BATCH):
        method = "GET" if url.endswith("/app") else "POST"
        reply = await session.request(
            method, url, headers=cookie_header(site.account("a")), data=form("hi"), allow_redirects=False
        )  # type: ignore[arg-type]
        assert reply.status_code == status and reply.headers["content-type"].startswith("text/html")
        assert (reply.headers.get("location") or "").startswith(place or "")


@pytest.mark.parametrize("name", ["reset", "close", "reset_mid", "bad_chunk"])
async def test_connections_break(session: Session, site: Site, name: str) -> None:
    site.fault("a", "generate", name, times=None)
    with pytest.raises(RequestException):
        await ask(session, site.account("a"), TEXT.format(""))
    assert site.log.generates[-1].outcome == "cut"


@pytest.mark.parametrize("name", ["hang", "hang_after_headers", "stall"])
async def test_silence_lasts_until_the_client_leaves(session: Session, site: Site, name: str) -> None:
    asking = asyncio.create_task(ask(session, site.account("a"), TEXT.format(f"fault={name} after=2")))
    running = await site.log.wait(lambda entry: entry.endpoint == "generate" and entry.fault)
    assert running.outcome == "open" and not asking.done()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await session.close()
    ended = await site.log.wait(lambda entry: entry.endpoint == "generate" and entry.ended_at)
    assert ended.outcome == "aborted" and (ended.sent > 0) == (name == "stall")


async def test_silence_may_end_by_itself(session: Session, site: Site) -> None:
    with pytest.raises(RequestException):
        await ask(session, site.account("a"), "[[sim fault=hang seconds=0]]")
    stalled = await ask(session, site.account("a"), TEXT.format("fault=stall after=2 seconds=0"))
    assert "[8,[2]" not in stalled.text and '["e",4' not in stalled.text


async def test_a_client_that_leaves_mid_stream_is_noticed(session: Session, site: Site) -> None:
    data = form("[[sim chars=4000 frames=40 pace_ms=50]]")
    async with session.stream("POST", GENERATE, headers=cookie_header(site.account("a")), data=data) as reply:
        await anext(reply.aiter_content())
        await session.close()
    ended = await site.log.wait(lambda entry: entry.endpoint == "generate" and entry.ended_at)
    assert ended.outcome == "aborted" and 0 < ended.sent < 400_000


@pytest.mark.parametrize("finishes", [True, False])
async def test_the_turn_of_a_client_that_left(session: Session, site: Site, finishes: bool) -> None:
    site.settings.finish_after_abort = finishes
    data = form("[[sim chars=4000 frames=40 pace_ms=50]]")
    async with session.stream("POST", GENERATE, headers=cookie_header(site.account("a")), data=data) as reply:
        await anext(reply.aiter_content())
        await session.close()
    ended = await site.log.wait(lambda entry: entry.endpoint == "generate" and entry.ended_at)
    chat = site.chats(site.account("a")).readable(ended.cid or "")
    assert chat is not None
    candidate = chat.turns[0].candidate
    assert (candidate[8] == [2], candidate[1][0] == filler(4000)) == (finishes, finishes)
    assert filler(4000).startswith(candidate[1][0])


async def test_faults_are_counted_per_account_and_endpoint(session: Session, site: Site) -> None:
    a, b = site.accounts
    site.fault("b", "generate", "500", times=2, skip=1)
    codes = [(await ask(session, account, "hi")).status_code for account in (b, a, b, b, b, a)]
    assert codes == [200, 200, 500, 500, 200, 200]
    site.fault("a", "*", "503", times=None)
    assert (await ask(session, a, "hi")).status_code == 503
    site.clear_faults("a")
    assert (await ask(session, a, "hi")).status_code == 200


@pytest.mark.parametrize("endpoint", ["rpc", "usage", "jSf9Qc"])
async def test_one_rpc_fails(session: Session, site: Site, endpoint: str) -> None:
    async def call(rpc: str) -> int:
        data = {"f.req": f'[[["{rpc}","[]",null,"generic"]]]'}
        url = f"{BATCH}?rpcids={rpc}"
        return (await session.post(url, headers=cookie_header(site.account("a")), data=data)).status_code

    site.fault("a", endpoint, "401")
    assert [await call("jSf9Qc"), await call("jSf9Qc"), await call("GPRiHf")] == [401, 200, 200]


async def test_a_rejected_rpc_makes_the_library_think_that_it_is_signed_out(client_of: SignIn, site: Site) -> None:
    client = await client_of("a")
    site.fault("a", "usage", "reject")
    await client._fetch_usage_info()
    assert client.account_status == 1016


async def test_an_account_can_expire_or_be_blocked_at_once(client_of: SignIn, site: Site) -> None:
    client = await client_of("b")
    site.fault("b", "generate", "expire")
    await client.generate_content("hi", current_retry=0, temporary=True)
    assert site.log.generates[-1].account == "guest" and site.account("b").expired
    site.account("b").renew()
    site.fault("b", "generate", "region")
    with pytest.raises(TemporarilyBlockedError):
        await (await client_of("b")).generate_content("hi", current_retry=0)


async def test_signing_in_fails(client_of: SignIn, site: Site) -> None:
    for name, error in (
        ("429", TemporarilyBlockedError),
        ("500", RequestException),
        ("no_tokens", AuthError),
        ("reset", RequestException),
    ):
        site.clear_faults()
        site.fault(None, "app", name, times=None)
        with pytest.raises(error):
            await client_of("a")


async def test_a_guest_page_signs_nobody_in(client_of: SignIn, site: Site) -> None:
    site.fault(None, "app", "guest_page")
    assert (await client_of("a")).access_token is None


@pytest.mark.parametrize("name", ["502", "reset", "close"])
async def test_the_proxy_refuses_a_tunnel(session: Session, site: Site, name: str) -> None:
    site.fault(None, "connect", name)
    with pytest.raises(RequestException):
        await session.get("https://gemini.google.com/app")
    assert (await session.get("https://gemini.google.com/app")).status_code == 200


@pytest.mark.parametrize(
    ("rotation", "status", "names"),
    [
        ("psidts", 200, {"__Secure-1PSIDTS", "__Secure-3PSIDTS", "__Secure-1PSIDCC"}),
        ("psidcc", 200, {"__Secure-1PSIDCC"}),
        ("429", 429, set()),
        ("401", 401, set()),
    ],
)
async def test_rotation_modes(session: Session, site: Site, rotation: Any, status: int, names: set[str]) -> None:
    site.account("a").rotation = rotation
    before = site.account("a").psidts
    reply = await session.post("https://accounts.google.com/RotateCookies", headers=cookie_header(site.account("a")))
    assert reply.status_code == status and set(session.cookies) == names
    assert (site.account("a").psidts != before) == (rotation == "psidts")


async def test_rotation_may_send_junk(session: Session, site: Site) -> None:
    site.account("a").rotation = "junk"
    reply = await session.post("https://accounts.google.com/RotateCookies", headers=cookie_header(site.account("a")))
    lines = reply.headers.get_list("set-cookie")
    assert any("Max-Age=0" in line for line in lines) and site.account("a").psidts not in str(lines)


async def test_rotating_too_often_is_refused(session: Session, site: Site) -> None:
    site.settings.rotation_interval_s = 60
    url, headers = "https://accounts.google.com/RotateCookies", cookie_header(site.account("a"))
    assert (await session.post(url, headers=headers)).status_code == 200
    session.cookies.clear()
    headers = cookie_header(site.account("a"))
    assert (await session.post(url, headers=headers)).status_code == 429


async def test_a_directive_with_a_mistake_is_a_bad_request(session: Session, site: Site) -> None:
    for text in ("[[sim charz=1]]", "[[sim fault=earthquake]]", "[[sim chars=many]]", "[[sim first_ms=soon]]"):
        reply = await ask(session, site.account("a"), text)
        assert reply.status_code == 400 and re.match(r"Bad Request: (unknown|chars|first_ms)", reply.text)


def test_a_fault_or_an_endpoint_that_does_not_exist_is_refused(site: Site) -> None:
    with pytest.raises(ValueError, match="unknown fault"):
        Fault("earthquake")
    with pytest.raises(ValueError, match="unknown endpoint"):
        site.fault("a", "generation", "500")
    with pytest.raises(ValueError, match="no account"):
        site.fault("z", "generate", "500")


@pytest.mark.parametrize("name", sorted(NAMES))
async def test_every_fault_ends(name: str, site: Site, sim: Simulator, session: Session) -> None:
    """No fault leaves a request behind that neither ends nor is noticed."""
    prompt = TEXT.format(f"fault={name} seconds=0 size=20000")
    try:
        reply = await ask(session, site.account("a"), prompt)
        assert reply.content is not None
    except RequestException:
        pass
    ended = await site.log.wait(lambda entry: entry.endpoint == "generate" and entry.ended_at)
    assert ended.fault is not None


async def test_a_fault_of_one_account_leaves_the_others_alone(site: Site, session: Session) -> None:
    site.fault("a", "generate", "reset", times=None)
    replies = await asyncio.gather(
        *(ask(session, account, TEXT.format("")) for account in site.accounts), return_exceptions=True
    )
    assert isinstance(replies[0], RequestException) and not isinstance(replies[1], BaseException)


def test_accounts_need_names_and_cookies_of_their_own(site: Site) -> None:
    with pytest.raises(ValueError, match="'a'"):
        site.add(Account("a"))
