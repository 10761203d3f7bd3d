"""The unmodified client library on the simulated site, where nothing goes wrong."""

import io
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from gemini_webapi import GeminiClient
from gemini_webapi.constants import AccountStatus
from gemini_webapi.exceptions import GeminiError, UsageLimitExceededError
from PIL import Image

from gateway.simulator import Account, Simulator, Site, filler

SignIn = Callable[..., Awaitable[GeminiClient]]


async def test_it_signs_in_with_eleven_requests_and_sees_the_models(client_of: SignIn, site: Site) -> None:
    client = await client_of("a")
    assert client.account_status == AccountStatus.AVAILABLE and client.access_token == site.account("a").token
    assert sum(entry.method != "CONNECT" for entry in site.log) == 11
    assert [model.display_name for model in client.list_models() or []] == ["3.5 Flash-Lite", "3.8 Flash", "3.1 Pro"]
    assert client.usage_info["tier"]["label"] == "PRO" and client.abuse_status == {
        "is_clean": True, "status_code": None, "signal": None,
    }  # fmt: skip


@pytest.mark.parametrize(("tier", "capacity"), [("free", 1), ("plus", 4), ("pro", 2), ("ultra", 3)])
async def test_every_tier_has_its_capacity(client_of: SignIn, site: Site, tier: str, capacity: int) -> None:
    site.add(Account("t", tier=tier))  # type: ignore[arg-type]
    models = (await client_of("t")).list_models() or []
    assert {model.capacity for model in models} == {capacity}


async def test_a_plain_answer_arrives_whole(client_of: SignIn, site: Site) -> None:
    output = await (await client_of("a")).generate_content("hello a < b && c > d", current_retry=0)
    assert output.text.startswith("You said: **hello a < b && c > d**")
    entry = site.log.generates[-1]
    assert (entry.account, entry.prompt, entry.outcome) == ("a", "hello a < b && c > d", "whole")
    assert (entry.model, entry.temporary, entry.thinking) == ("Flash", False, False)


@pytest.mark.parametrize("charset", ["ascii", "cjk", "emoji"])
async def test_deltas_add_up_in_any_script(client_of: SignIn, charset: str) -> None:
    client = await client_of("a")
    prompt = f"[[sim chars=3000 frames=40 thoughts=700 charset={charset}]]"
    said = thought = ""
    async for output in client.generate_content_stream(prompt, current_retry=0):
        said += output.text_delta or ""
        thought += output.thoughts_delta or ""
    assert (said, thought) == (filler(3000, charset), filler(700, charset))


async def test_a_named_model_answers_and_a_flag_says_that_it_thinks(client_of: SignIn, site: Site) -> None:
    client = await client_of("a")
    output = await client.generate_content("hi", model="gemini-pro", extended_thinking=True, current_retry=0)
    entry = site.log.generates[-1]
    assert entry.model == "Pro" and entry.model_id == "e6fa609c3fa255c0" and entry.thinking
    assert output.thoughts and "The user wrote: hi" in output.thoughts


async def test_another_model_than_asked_may_answer(client_of: SignIn, site: Site) -> None:
    site.account("a").served = "Flash-Lite"
    await (await client_of("a")).generate_content("hi", model="gemini-pro", current_retry=0)
    assert site.log.generates[-1].model == "Flash-Lite"


async def test_a_chat_goes_on_and_can_be_listed_read_and_deleted(client_of: SignIn, site: Site) -> None:
    client = await client_of("a")
    chat = client.start_chat()
    await chat.send_message("first line", current_retry=0)
    output = await chat.send_message("second <line>", current_retry=0)
    assert "this is turn 2 of our chat" in output.text
    await client._fetch_recent_chats()
    [listed] = client.list_chats() or []
    assert (listed.cid, listed.title) == (chat.cid, "first line")
    history = await client.read_chat(chat.cid)
    assert history and [turn.role for turn in history.turns] == ["model", "user", "model", "user"]
    assert history.turns[0].text == output.text and history.turns[1].text == "second <line>"
    await client.delete_chat(chat.cid)
    assert len(site.chats(site.account("a"))) == 0 and await client.read_chat(chat.cid) is None


async def test_a_temporary_chat_leaves_nothing_behind(client_of: SignIn, site: Site) -> None:
    client = await client_of("a")
    output = await client.generate_content("hi", temporary=True, current_retry=0)
    assert site.log.generates[-1].temporary and len(site.chats(site.account("a"))) == 0
    assert await client.read_chat(output.metadata[0]) is None


async def test_files_arrive_with_name_type_and_bytes(client_of: SignIn, site: Site, tmp_path: Path) -> None:
    client = await client_of("a")
    picture = tmp_path / "small.png"
    Image.new("RGB", (3, 2)).save(picture)
    output = await client.generate_content("see", files=[picture, io.BytesIO(b"words")], current_retry=0)
    first, second = site.log.generates[-1].files
    assert (first.name, first.uploaded_name, first.type) == ("small.png", "small.png", "image/png")
    assert (second.type, second.size) == ("text/plain", 5) and second.name != second.uploaded_name
    assert f"`small.png`: image/png, {picture.stat().st_size} bytes" in output.text
    assert {upload.data for upload in site.uploads.all()} == {picture.read_bytes(), b"words"}


async def test_an_attached_text_may_hold_the_directive(client_of: SignIn, tmp_path: Path) -> None:
    attached = tmp_path / "conversation.txt"
    attached.write_text('User: [[sim text="from the file"]]')
    output = await (await client_of("a")).generate_content("see", files=[attached], current_retry=0)
    assert output.text == "from the file"


async def test_the_site_may_cut_long_prompts(client_of: SignIn, site: Site) -> None:
    site.settings.cut_prompt_bytes = 21
    output = await (await client_of("a")).generate_content("[[sim echo]] ÄÖÜ éèê", current_retry=0)
    assert output.text == " ÄÖÜ "


async def test_the_sparse_spelling_of_a_turn_is_read_too(client_of: SignIn, site: Site) -> None:
    site.settings.sparse = True
    assert (await (await client_of("a")).generate_content("[[sim text=ok]]", current_retry=0)).text == "ok"


async def test_a_picture_comes_as_preview_and_in_full_size(client_of: SignIn, site: Site, tmp_path: Path) -> None:
    client = await client_of("a")
    output = await client.generate_content("draw a lighthouse [[sim image=1 w=320 h=240]]", current_retry=0)
    [picture] = output.images
    assert "googleusercontent" not in output.text
    with Image.open(await picture.save(str(tmp_path))) as full:
        assert (full.format, full.size) == ("PNG", (640, 480))
    assert [entry.host for entry in list(site.log)[-4:] if entry.method == "GET"][-2:] == [
        "work.fife.usercontent.google.com",
        "lh3.googleusercontent.com",
    ]


async def test_a_temporary_chat_has_only_the_preview(client_of: SignIn, site: Site, tmp_path: Path) -> None:
    client = await client_of("a")
    output = await client.generate_content("[[sim image=1 w=320 h=240]]", temporary=True, current_retry=0)
    with Image.open(await output.images[0].save(str(tmp_path))) as preview:
        assert (preview.format, preview.size) == ("JPEG", (320, 240))


async def test_pictures_of_the_web_sources_and_a_video(client_of: SignIn) -> None:
    prompt = '[[sim text="see [cite: 1]" web_images=2 citations=1 video]]'
    output = await (await client_of("a")).generate_content(prompt, current_retry=0)
    [candidate] = output.candidates
    assert len(candidate.web_images) == 2 and candidate.web_images[0].alt
    assert candidate.citations[0].url == "https://example.org/source/1"
    assert candidate.generated_videos[0].url.endswith("/video/simulated")


async def test_rotation_gives_a_new_cookie_and_the_old_one_lives_on_for_its_grace(sim: Simulator) -> None:
    now = 1000.0
    site = Site([Account("a", psidts="old")], clock=lambda: now, pace_ms=0, rotation_grace_s=60)
    fresh = site.account("a").rotate(site.clock(), site.settings.rotation_grace_s)
    whose = {value: site.whose({**site.account("a").cookies, "__Secure-1PSIDTS": value}).name for value in ("old", fresh)}
    assert whose == {"old": "a", fresh: "a"}
    now += 61
    assert site.whose({**site.account("a").cookies, "__Secure-1PSIDTS": "old"}).name == "guest"


async def test_the_library_keeps_a_rotated_cookie(client_of: SignIn, site: Site) -> None:
    from gemini_webapi.utils import rotate_1psidts

    client = await client_of("a")
    before = site.account("a").psidts
    fresh = await rotate_1psidts(client._live_client)
    assert fresh == site.account("a").psidts != before
    assert await client.generate_content("hi", current_retry=0) and site.log.generates[-1].account == "a"


async def test_old_cookies_make_a_guest_with_one_model(client_of: SignIn, site: Site) -> None:
    client = await client_of("a", secure_1psidts="stale")
    assert client.account_status == AccountStatus.UNAUTHENTICATED and client.access_token is None
    assert [model.is_available for model in client.list_models() or []] == [True, False, False]
    output = await client.generate_content("hi", current_retry=0)
    assert "3.5 Flash-Lite" in output.text and site.log.generates[-1].account == "guest"
    with pytest.raises(GeminiError):
        await client.generate_content("hi", model="gemini-pro", current_retry=0)


async def test_an_account_that_expires_mid_session_is_served_the_smallest_model(client_of: SignIn, site: Site) -> None:
    client = await client_of("a")
    site.account("a").expired = True
    await client.generate_content("hi", model="gemini-pro", current_retry=0)
    assert (site.log.generates[-1].account, site.log.generates[-1].model) == ("guest", "Flash-Lite")
    site.account("a").renew()
    assert (await client_of("a")).account_status == AccountStatus.AVAILABLE


@pytest.mark.parametrize(("status", "models"), [(1060, 0), (1021, 0), (1040, 3)])
async def test_accounts_have_a_status(client_of: SignIn, site: Site, status: int, models: int) -> None:
    site.account("a").status = status
    client = await client_of("a")
    assert client.account_status == status and len(client.list_models() or []) == models


async def test_a_used_up_account_says_so(client_of: SignIn, site: Site) -> None:
    site.account("b").limit = 1
    client = await client_of("b")
    await client.generate_content("hi", current_retry=0)
    assert client.usage_info["current_5h"]["usage_percentage"] == 100
    with pytest.raises(UsageLimitExceededError):
        await client.generate_content("hi", current_retry=0)


async def test_gems_are_listed(client_of: SignIn) -> None:
    gems = await (await client_of("a")).fetch_gems()
    assert gems.get(name="Coding partner")


async def test_a_prompt_of_megabytes_arrives(client_of: SignIn, site: Site) -> None:
    prompt = "Ü" * 2_000_000 + ' [[sim text="ok"]]'
    output = await (await client_of("a")).generate_content(prompt, current_retry=0)
    assert output.text == "ok" and site.log.generates[-1].prompt == prompt
