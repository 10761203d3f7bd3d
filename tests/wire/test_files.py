"""Files by id on the wire: how each API shows them, pages them, and names them in a question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from gateway.errors import InvalidRequest, NotDownloadable, NotFound
from gateway.model import Call, Link, StoredFile
from gateway.wire.anthropic import Anthropic
from gateway.wire.dialect import Dialect, Upload
from gateway.wire.filing import KEPT_S, FileRecord
from gateway.wire.gemini import Gemini
from gateway.wire.openai_chat import OpenAIChat
from gateway.wire.openai_images import OpenAIImages
from gateway.wire.openai_responses import OpenAIResponses
from tests.wire.goldens import asked
from tests.wire.schemas import valid

ADDRESS = "https://gateway.example/v1/files"
CREATED = 1_700_000_000.25
ID = "0123456789ab"
FILE = FileRecord(ID, "me", "note.txt", "text/plain", 15, CREATED, True, "ab" * 32, "vision")
NAMELESS = FileRecord(ID, "me", "", "application/pdf", 15, CREATED, True)
MODEL = {"model": "gemini-2.5-flash"}


def shown(body: bytes) -> Any:
    return orjson.loads(body)


def test_openai_is_shown_a_file_as_the_original_shows_it() -> None:
    body = shown(OpenAIChat().encode_file(FILE, ADDRESS))
    valid(body, "openai_files", "OpenAIFile")
    assert body == {
        "id": "file-0123456789ab", "object": "file", "bytes": 15, "created_at": 1_700_000_000,
        "expires_at": 1_700_172_800, "filename": "note.txt", "purpose": "vision", "status": "processed",
    }  # fmt: skip
    body = shown(OpenAIChat().encode_file(NAMELESS, ADDRESS))
    assert (body["filename"], body["purpose"]) == ("unnamed.pdf", "user_data")
    valid(shown(OpenAIChat().encode_files([], {}, ADDRESS)), "openai_files", "ListFilesResponse")


def test_anthropic_is_shown_a_file_as_the_original_shows_it() -> None:
    body = shown(Anthropic().encode_file(FILE, ADDRESS))
    valid(body, "anthropic", "BetaFileMetadataSchema")
    assert body == {
        "type": "file", "id": "file_0123456789ab", "filename": "note.txt", "mime_type": "text/plain", "size_bytes": 15,
        "created_at": "2023-11-14T22:13:20.250000Z", "expires_at": "2023-11-16T22:13:20.250000Z", "downloadable": False,
    }  # fmt: skip
    with pytest.raises(NotDownloadable):
        Anthropic().check_download(FILE)


def test_gemini_is_shown_a_file_as_the_original_shows_it() -> None:
    body = shown(Gemini().encode_file(FILE, ADDRESS))
    assert (body["name"], body["uri"], body["displayName"]) == (f"files/{ID}", f"{ADDRESS}/{ID}", "note.txt")
    assert (body["createTime"], body["sizeBytes"]) == ("2023-11-14T22:13:20.250000Z", "15")
    assert body["expirationTime"] == "2023-11-16T22:13:20.250000Z"


# --- pages --------------------------------------------------------------------------------------------------------

FILES = [FileRecord(f"{n:012d}", "me", f"{n}.txt", "text/plain", 1, CREATED - n // 2, True) for n in range(7)]


def pages(without: frozenset[str] = frozenset()) -> list[str]:
    """The names on Anthropic's pages of two, followed by `next_page`. Those `without` are deleted once they were seen."""
    found: list[str] = []
    query = {"limit": "2"}
    while True:
        files = [file for file in FILES if not (file.title in found and file.title in without)]
        page = shown(Anthropic().encode_files(files, query, ADDRESS))
        found += [file["filename"] for file in page["data"]]
        if page["next_page"] is None:
            assert not page["has_more"]
            return found
        query["page"] = page["next_page"]


def test_a_page_goes_on_where_the_last_one_ended_also_when_its_files_are_gone() -> None:
    names = [file.title for file in FILES]
    assert pages() == names
    assert pages(frozenset(names)) == names
    assert pages(frozenset(names[1::2])) == names


@pytest.mark.parametrize(
    ("dialect", "query", "param"),
    [
        (OpenAIChat(), {"limit": "0"}, "limit"),
        (OpenAIChat(), {"limit": "1,2"}, "limit"),
        (OpenAIChat(), {"order": ""}, "order"),
        (Anthropic(), {"limit": "1001"}, "limit"),
        (Anthropic(), {"page": "page_" + "9" * 40}, "page"),
        (Anthropic(), {"ids": "a", "page": "page_1_a"}, "ids"),
        (Anthropic(), {"ids": ",".join(map(str, range(101)))}, "ids"),
        (Gemini(), {"pageSize": "0"}, "pageSize"),
        (Gemini(), {"pageSize": "٣"}, "pageSize"),
        (Gemini(), {"pageToken": "-1"}, "pageToken"),
    ],
)
def test_a_wrong_page_is_named(dialect: Any, query: Mapping[str, str], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        dialect.encode_files(FILES, query, ADDRESS)
    assert raised.value.param == param


def test_an_unknown_place_in_a_list_is_not_found() -> None:
    with pytest.raises(NotFound) as raised:
        Anthropic().encode_files(FILES, {"after_id": "file_gone"}, ADDRESS)
    assert raised.value.param == "after_id"


# --- questions ----------------------------------------------------------------------------------------------------


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": [*parts, {"type": "text", "text": "What is it?"}]}


def source(kind: str, id: str) -> dict[str, Any]:
    return {"type": kind, "source": {"type": "file", "file_id": id}}


def question(form: str, id: str) -> tuple[Dialect, dict[str, Any], str]:
    """A question that names the file `id`, and the path of the field that does."""
    match form:
        case "chat":
            part = {"type": "file", "file": {"file_id": id, "filename": "a.pdf"}}
            return OpenAIChat(), {"messages": [user(part)]}, "messages.0.content.0.file.file_id"
        case "response, file" | "response, picture":
            part = {"type": "input_file" if form.endswith("file") else "input_image", "file_id": id, "image_url": None}
            return OpenAIResponses(), {"input": [user(part)]}, "input.0.content.0.file_id"
        case "edit":
            return OpenAIImages(), {"prompt": "blue", "images": [{"file_id": id}]}, "images.0.file_id"
        case "mask":
            picture = {"image_url": "https://example.com/a.png"}
            body = {"prompt": "blue", "images": [picture], "mask": {"file_id": id, "image_url": None}}
            return OpenAIImages(), body, "mask.file_id"
        case "document" | "image":
            body = {"max_tokens": 9, "messages": [user(source(form, id))]}
            return Anthropic(), body, "messages.0.content.0.source.file_id"
        case _:
            result = {"type": "tool_result", "tool_use_id": "t", "content": [source("image", id)]}
            body = {"max_tokens": 9, "messages": [user(result)]}
            return Anthropic(), body, "messages.0.content.0.content.0.source.file_id"


FORMS = ("chat", "response, file", "response, picture", "edit", "mask", "document", "image", "tool result")
PICTURES = ("response, picture", "edit", "mask", "image", "tool result")


def read(form: str, id: str) -> tuple[Call, str]:
    dialect, body, param = question(form, id)
    route = 1 if isinstance(dialect, OpenAIImages) else 0
    return asked(dialect, MODEL | body, route), param


@pytest.mark.parametrize("form", FORMS)
def test_a_question_names_a_file(form: str) -> None:
    prefix = "file_" if form in ("document", "image", "tool result") else "file-"
    call, param = read(form, prefix + ID)
    (file,) = [part for message in call.messages for part in message.parts if isinstance(part, StoredFile)]
    assert (file.id, file.param, file.mask, file.picture) == (ID, param, form == "mask", form in PICTURES)


@pytest.mark.parametrize("id", ["", "x", "file-", "file-../x", "file-" + "A" * 12, "file-" + "a" * 300, "file-é", 5, {}])
@pytest.mark.parametrize("form", FORMS)
def test_a_question_that_names_no_file_is_told_where(form: str, id: Any) -> None:
    with pytest.raises(InvalidRequest) as raised:
        read(form, id)
    assert raised.value.param == question(form, id)[2]


def test_each_file_of_a_question_has_a_number_of_its_own() -> None:
    parts = [{"fileData": {"fileUri": f"{ADDRESS}/{ID}"}}, {"fileData": {"fileUri": f"files/{ID}"}}]
    link = {"fileData": {"fileUri": "https://example.com/a.png"}}
    where = {"model": "gemini-2.5-flash", "action": "generateContent"}
    call = asked(Gemini(), {"contents": [{"parts": [*parts, link]}]}, 1, where)
    numbers = [part.number for part in call.messages[0].parts if isinstance(part, StoredFile | Link)]
    assert numbers == [1, 2, 3]
    chat = [{"type": "file", "file": {"file_id": f"file-{ID}"}}] * 2
    call = asked(OpenAIChat(), MODEL | {"messages": [user(*chat)]})
    assert [part.number for part in call.messages[0].parts if isinstance(part, StoredFile)] == [1, 2]


# --- arrivals -----------------------------------------------------------------------------------------------------


def test_a_file_is_kept_as_long_as_is_wanted_and_never_longer_than_two_days() -> None:
    form = {"file": Upload(b"x", "a.txt", "text/plain")}
    for seconds, kept in (("3600", 3600), ("7776000", KEPT_S), (None, KEPT_S)):
        wanted = {"expires_in_seconds": seconds} if seconds else {}
        assert Anthropic().arrival({**form, **wanted}).kept_s == kept
