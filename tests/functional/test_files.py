"""Files by id: the official SDKs upload, ask about, list, read and delete them, through the real library."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import anthropic
import google.genai.errors
import openai
import pytest
from google.genai import types

from tests.functional.conftest import KEY, Launch, Live
from tests.functional.test_anthropic_sdk import sdk as anthropic_client
from tests.functional.test_sdks import gemini_client, openai_client
from tests.wire.goldens import PIXEL

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
FLASH = "gemini-2.5-flash"
NOTE = b"the moon is far"
TWO_DAYS = 48 * 3600
KEYS = {"plugins": {"api_key": {"keys": [{"name": "tests", "key": KEY}, {"name": "other", "key": "sk-other"}]}}}


def seen(live: Live) -> list[tuple[str, int]]:
    """Type and size of the files that came with the last question."""
    return [(file.type, file.size) for file in live.site.log.generates[-1].files]


# --- openai -------------------------------------------------------------------------------------------------------


async def test_openai_uploads_a_file_and_asks_about_it(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:
        file = await client.files.create(file=("note.txt", NOTE), purpose="user_data")
        assert (file.bytes, file.filename, file.purpose, file.object) == (15, "note.txt", "user_data", "file")
        assert file.id.startswith("file-") and file.expires_at == file.created_at + TWO_DAYS
        part: Any = {"type": "file", "file": {"file_id": file.id}}
        text = {"type": "text", "text": "What is in it?"}
        await client.chat.completions.create(model=FLASH, messages=[{"role": "user", "content": [text, part]}])  # type: ignore[list-item]
        assert seen(live) == [("text/plain", 15)]
        content: Any = [{"type": "input_file", "file_id": file.id}, {"type": "input_text", "text": "What is in it?"}]
        first = await client.responses.create(model=FLASH, input=[{"role": "user", "content": content}])
        assert seen(live) == [("text/plain", 15)]
        await client.responses.create(model=FLASH, input="And now?", previous_response_id=first.id)
        assert seen(live) == [("text/plain", 15)]
        assert (await client.files.content(file.id)).content == NOTE
        assert (await client.files.retrieve(file.id)).id == file.id
        assert (await client.files.delete(file.id)).deleted
        for gone in (client.files.retrieve, client.files.content, client.files.delete):
            with pytest.raises(openai.NotFoundError):
                await gone(file.id)
        with pytest.raises(openai.BadRequestError) as raised:
            await client.chat.completions.create(model=FLASH, messages=[{"role": "user", "content": [text, part]}])  # type: ignore[list-item]
        assert raised.value.param == "messages.0.content.1.file.file_id"


async def test_openai_shows_and_edits_a_picture_by_its_id(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:
        file = await client.files.create(file=("pixel.png", PIXEL), purpose="vision")
        content: Any = [{"type": "input_image", "file_id": file.id}, {"type": "input_text", "text": "What is it?"}]
        await client.responses.create(model=FLASH, input=[{"role": "user", "content": content}])
        assert [type for type, _ in seen(live)] == ["image/png"]
        body = {"prompt": "blue", "images": [{"file_id": file.id}], "mask": {"file_id": file.id}}
        async with live.client.http.post("/v1/images/edits", json=body) as response:
            assert response.status == 200, await response.text()
            assert len((await response.json())["data"]) == 1
        assert [type for type, _ in seen(live)] == ["image/png", "image/png"]
        note = await client.files.create(file=("note.txt", NOTE), purpose="vision")
        content[0]["file_id"] = note.id
        with pytest.raises(openai.BadRequestError) as raised:
            await client.responses.create(model=FLASH, input=[{"role": "user", "content": content}])
        assert raised.value.param == "input.0.content.0.file_id" and "not a picture" in raised.value.message
        async with live.client.http.post("/v1/images/edits", json={**body, "images": [{"file_id": note.id}]}) as response:
            assert (await response.json())["error"]["param"] == "images.0.file_id"


async def test_openai_lists_files_by_page_order_and_purpose(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:
        assert [file.id async for file in client.files.list()] == []
        made = []
        for number, purpose in enumerate(("user_data", "vision", "user_data", "batch", "user_data")):
            made.append(await client.files.create(file=(f"{number}.txt", NOTE), purpose=purpose))  # type: ignore[arg-type]
        newest_first = [file.filename for file in reversed(made)]
        assert [file.filename async for file in client.files.list()] == newest_first
        assert [file.filename async for file in client.files.list(limit=2)] == newest_first  # several pages
        assert [file.filename async for file in client.files.list(order="asc", limit=2)] == newest_first[::-1]
        assert [file.filename async for file in client.files.list(purpose="vision")] == ["1.txt"]
        page = await client.files.list(after=made[3].id, limit=1)
        assert ([file.id for file in page.data], page.has_more) == ([made[2].id], True)
        for query, param in (({"limit": 10_001}, "limit"), ({"order": "up"}, "order")):
            with pytest.raises(openai.BadRequestError) as raised:
                await client.files.list(**query)  # type: ignore[arg-type]
            assert raised.value.param == param


async def test_a_file_may_be_wanted_for_less_than_two_days(launch: Launch) -> None:
    clock = Hands()
    async with launch(clock=clock) as live, openai_client(live) as client:
        hour = await client.files.create(
            file=("a.txt", NOTE), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        month = await client.files.create(
            file=("b.txt", NOTE), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 30 * 86_400}
        )
        assert (hour.expires_at, month.expires_at) == (hour.created_at + 3600, month.created_at + TWO_DAYS)
        clock.now += 3601
        assert [file.id async for file in client.files.list()] == [month.id]
        clock.now += TWO_DAYS
        assert [file.id async for file in client.files.list()] == []


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


# --- anthropic ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("beta", [True, False], ids=["beta", "general"])
async def test_anthropic_uploads_files_and_asks_about_them(launch: Launch, beta: bool) -> None:
    async with launch() as live, anthropic_client(live) as client:
        files: Any = client.beta.files if beta else client.files
        messages: Any = client.beta.messages if beta else client.messages
        note = await files.upload(file=("note.txt", NOTE, "text/plain"))
        assert (note.filename, note.mime_type, note.size_bytes, note.type) == ("note.txt", "text/plain", 15, "file")
        assert note.id.startswith("file_") and not note.downloadable
        assert (note.expires_at - note.created_at).total_seconds() == TWO_DAYS
        picture = await files.upload(file=("pixel.png", PIXEL, "image/png"), expires_in_seconds=3600)
        assert (picture.expires_at - picture.created_at).total_seconds() == 3600
        blocks: Any = [
            {"type": "document", "source": {"type": "file", "file_id": note.id}, "title": "A note"},
            {"type": "image", "source": {"type": "file", "file_id": picture.id}},
            {"type": "text", "text": "What is in them?"},
        ]
        await messages.create(model=FLASH, max_tokens=100, messages=[{"role": "user", "content": blocks}])
        assert [type for type, _ in seen(live)] == ["text/plain", "image/png"]
        assert (await files.retrieve_metadata(note.id)).id == note.id
        with pytest.raises(anthropic.BadRequestError) as kept:
            await files.download(note.id)
        assert kept.value.body["error"]["details"] == {"error_code": "file_not_downloadable"}  # type: ignore[index]
        assert (await files.delete(note.id)).type == "file_deleted"
        for gone in (files.retrieve_metadata, files.download, files.delete):
            with pytest.raises(anthropic.NotFoundError):
                await gone(note.id)
        with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.content\.0\.source\.file_id"):
            await messages.create(model=FLASH, max_tokens=100, messages=[{"role": "user", "content": blocks}])
        blocks[1]["source"]["file_id"] = (await files.upload(file=("note.txt", NOTE, "text/plain"))).id
        with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.content\.0\.source\.file_id: is not a pic"):
            await messages.create(model=FLASH, max_tokens=100, messages=[{"role": "user", "content": blocks[1:]}])


async def test_anthropic_uploads_plain_bytes_which_have_no_name(launch: Launch) -> None:
    async with launch() as live, anthropic_client(live) as client:
        for files in (client.files, client.beta.files):
            made = await files.upload(file=NOTE)
            assert made.size_bytes == len(NOTE) and made.filename


async def test_anthropic_lists_files_also_while_it_deletes_them(launch: Launch) -> None:
    async with launch() as live, anthropic_client(live) as client:
        assert [file.id async for file in client.beta.files.list()] == []
        made = [await client.beta.files.upload(file=(f"{number}.txt", NOTE, "text/plain")) for number in range(5)]
        ids = [file.id for file in reversed(made)]
        assert [file.id async for file in client.beta.files.list(limit=2)] == ids
        chosen = await client.beta.files.list(ids=[ids[1], ids[3], "file_nothing"])
        assert [file.id for file in chosen.data] == [ids[1], ids[3]] and chosen.next_page is None
        headers = {"anthropic-version": "2023-06-01"}
        for query, found in (
            (f"after_id={ids[1]}&limit=2", {"data": ids[2:4], "has_more": True}),  # as older clients go on
            (f"before_id={ids[2]}&limit=1", {"data": ids[1:2], "has_more": True}),
            (f"after_id={ids[3]}", {"data": ids[4:], "has_more": False}),
        ):
            async with live.client.http.get(f"/v1/files?{query}", headers=headers) as response:
                page = await response.json()
            assert {"data": [file["id"] for file in page["data"]], "has_more": page["has_more"]} == found
        async for file in client.beta.files.list(limit=2):
            await client.beta.files.delete(file.id)
        assert [file.id async for file in client.beta.files.list()] == []
        for wrong in ({"limit": 1001}, {"page": "page_x"}, {"ids": [ids[0]], "limit": 1}):
            with pytest.raises(anthropic.BadRequestError, match=f"^.*{min(wrong)}: "):
                await client.beta.files.list(**wrong)  # type: ignore[arg-type]


# --- one store for all --------------------------------------------------------------------------------------------


async def test_a_file_of_one_api_is_there_in_the_others(launch: Launch, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_bytes(NOTE)
    async with (
        launch() as live,
        openai_client(live) as openai_sdk,
        anthropic_client(live) as anthropic_sdk,
        google.genai.Client(
            api_key=KEY, http_options=types.HttpOptions(base_url=live.url, api_version="v1")
        ).aio as genai,  # without /gemini: at the very address of the others
    ):
        await genai.files.upload(file=str(note), config={"mime_type": "text/plain"})
        await openai_sdk.files.create(file=("b.txt", NOTE), purpose="assistants")
        await anthropic_sdk.beta.files.upload(file=("c.txt", NOTE, "text/plain"))
        theirs = {str(file.name).removeprefix("files/") async for file in await genai.files.list()}
        assert {file.id.removeprefix("file-") async for file in openai_sdk.files.list()} == theirs
        assert {file.id.removeprefix("file_") async for file in anthropic_sdk.beta.files.list()} == theirs
        assert len(theirs) == 3
        for file in [file async for file in await genai.files.list()]:
            await genai.files.delete(name=str(file.name))
        assert [file.id async for file in openai_sdk.files.list()] == []


@pytest.mark.parametrize("path", ["/v1/files", "/v1/files/file-0123456789ab"])
async def test_who_is_answered_how_follows_from_the_key(launch: Launch, path: str) -> None:
    async with launch() as live:
        for headers, query, shape in (
            ({}, "", "openai"),
            ({"anthropic-version": "2023-06-01", "x-api-key": "sk-none"}, "", "anthropic"),
            ({"x-goog-api-key": "sk-none"}, "", "gemini"),
            ({}, "?key=sk-none", "gemini"),
        ):
            async with live.client.http.get(path + query, headers={"Authorization": "Bearer sk-none", **headers}) as told:
                body = await told.json()
                assert told.status == 401
            error = body["error"]
            assert shape == ("anthropic" if "request_id" in body else "gemini" if "status" in error else "openai")


async def test_a_file_of_another_key_does_not_exist(launch: Launch) -> None:
    async with launch(settings=KEYS) as live, openai_client(live) as client, openai_client(live, "sk-other") as other:
        mine = await client.files.create(file=("note.txt", NOTE), purpose="user_data")
        assert [file.id async for file in other.files.list()] == []
        for ask in (other.files.retrieve, other.files.content, other.files.delete):
            with pytest.raises(openai.NotFoundError):
                await ask(mine.id)
        content: Any = [{"type": "file", "file": {"file_id": mine.id}}]
        with pytest.raises(openai.BadRequestError) as raised:
            await other.chat.completions.create(model=FLASH, messages=[{"role": "user", "content": content}])
        assert raised.value.param == "messages.0.content.0.file.file_id"
        id = mine.id.removeprefix("file-")
        block: Any = {"type": "document", "source": {"type": "file", "file_id": f"file_{id}"}}
        async with anthropic_client(live, "sk-other") as stranger:
            with pytest.raises(anthropic.BadRequestError):
                await stranger.messages.create(
                    model=FLASH, max_tokens=9, messages=[{"role": "user", "content": [block]}]
                )
        async with gemini_client(live, "sk-other").aio as genai:
            with pytest.raises(google.genai.errors.ClientError) as gone:
                await genai.files.get(name=f"files/{id}")
            assert gone.value.code == 404
        assert not live.site.log.generates
        assert (await client.files.content(mine.id)).content == NOTE


async def test_a_file_survives_a_restart(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:
        file = await client.files.create(file=("note.txt", NOTE), purpose="user_data")
    async with launch() as live, openai_client(live) as client:
        assert await client.files.retrieve(file.id) == file
        assert (await client.files.content(file.id)).content == NOTE


async def test_many_upload_and_read_at_once(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:

        async def round_trip(number: int) -> bool:
            data = bytes([97 + number]) * 100_000
            file = await client.files.create(file=(f"{number}.txt", data), purpose="user_data")
            return (await client.files.content(file.id)).content == data

        assert all(await asyncio.gather(*map(round_trip, range(16))))
