"""Uploads that no honest client sends, and ids that no reply held: a clear answer in the caller's own format, and nothing
written where it does not belong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from config.settings import Server
from gateway.errors import BodyTooLarge
from gateway.http.files import Files, sweep_for_ever
from gateway.model import Blob
from gateway.state.files import FileStore
from gateway.testing import Client, make_client
from gateway.wire.filing import KEPT_S, Arrival
from plugins.api_key import Plugin as ApiKey
from plugins.api_key import Settings as ApiKeySettings
from tests.http.test_wire_abuse import post, raw
from tests.waiting import until

KEYS = ApiKeySettings.model_validate({"keys": [{"name": "me", "key": "sk-me"}]})
SMALL = {"server": {"body_timeout_s": 1, "max_json_mb": 0.1, "max_image_mb": 0.2}}
ME = {"Authorization": "Bearer sk-me"}
ANTHROPIC = {**ME, "anthropic-version": "2023-06-01"}
GEMINI = {"x-goog-api-key": "sk-me"}
PATH = b"/v1/files"
BOUNDARY = b"Content-Type: multipart/form-data; boundary=b"
PURPOSE = b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n'
FILE = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
END = b"\r\n--b--\r\n"
RAW = b"X-Goog-Upload-Protocol: raw"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with make_client(plugins=[("api_key", ApiKey(KEYS))], settings=SMALL) as made:
        yield made


async def upload(client: Client, headers: dict[str, str] = ME, **fields: Any) -> tuple[int, dict[str, Any]]:
    """Status and body of the reply to a form. A field of bytes is a file."""
    form = aiohttp.FormData(quote_fields=False)
    for name, value in fields.items():
        name = re.sub(r"__(\w+)", r"[\1]", name)
        match value:
            case bytes():
                form.add_field(name, value, filename="a.txt")
            case (data, filename, mime):
                form.add_field(name, data, filename=filename, content_type=mime)
            case list():
                for one in value:
                    form.add_field(name, one, filename="a.txt")
            case _:
                form.add_field(name, value, content_type="text/plain")
    async with client.http.post("/v1/files", data=form, headers=headers) as response:
        return response.status, await response.json()


def kept(client: Client) -> list[Path]:
    """What lies in the folder of files."""
    return names(client.gateway.state_dir / "files")


def names(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"purpose": "user_data"}, "file"),
        ({"purpose": "user_data", "file": "text, not a file"}, "file"),
        ({"purpose": "user_data", "file": b""}, "file"),
        ({"purpose": "user_data", "file": [b"one", b"two"]}, "file"),
        ({"file": b"x"}, "purpose"),
        ({"file": b"x", "purpose": "mischief"}, "purpose"),
        ({"file": b"x", "purpose": b"user_data"}, "purpose"),
        ({"file": b"x", "purpose": "vision", "expires_after__anchor": "created_at"}, "expires_after[seconds]"),
        ({"file": b"x", "purpose": "vision", "expires_after__seconds": "3600"}, "expires_after[anchor]"),
        (
            {"file": b"x", "purpose": "vision", "expires_after__anchor": "now", "expires_after__seconds": "3600"},
            "expires_after[anchor]",
        ),
        *(
            (
                {"file": b"x", "purpose": "vision", "expires_after__anchor": "created_at", "expires_after__seconds": wrong},
                "expires_after[seconds]",
            )
            for wrong in ("3599", "2592001", "-1", "1e4", "٣٦٠٠", "9" * 5000, "")
        ),
    ],
)
async def test_a_wrong_field_of_an_upload_is_named(client: Client, fields: dict[str, Any], param: str) -> None:
    status, body = await upload(client, **fields)
    assert (status, body["error"]["param"]) == (400, param)
    assert len(body["error"]["message"]) < 200
    assert not kept(client)


@pytest.mark.parametrize(
    ("fields", "word"),
    [({"other": "x"}, "file"), ({"file": "text"}, "file"), ({"file": b"x", "expires_in_seconds": "9"}, "expires_in")],
)
async def test_anthropics_callers_are_told_in_their_own_way(client: Client, fields: dict[str, Any], word: str) -> None:
    status, body = await upload(client, ANTHROPIC, **fields)
    assert (status, body["type"], body["error"]["type"]) == (400, "error", "invalid_request_error")
    assert body["error"]["message"].startswith(word)


@pytest.mark.parametrize(
    ("headers", "body", "statuses"),
    [
        ((b"Content-Type: application/json",), b'{"file":"x"}', (415,)),
        ((b"Content-Type: multipart/related; boundary=b",), PURPOSE + FILE + b"\r\nx" + END, (415,)),
        ((b"Content-Type: multipart/form-data",), PURPOSE + FILE + b"\r\nx" + END, (400,)),
        ((BOUNDARY,), b"", (400,)),
        ((BOUNDARY,), PURPOSE + FILE + b"\r\nx", (400,)),
        ((BOUNDARY,), PURPOSE + FILE + b"Content-Length: 5\r\n\r\nx" + END, (400,)),
        ((BOUNDARY,), PURPOSE + FILE + b"Content-Encoding: gzip\r\n\r\nx" + END, (415,)),
        ((BOUNDARY,), PURPOSE + FILE + b"Content-Transfer-Encoding: base64\r\n\r\neA==" + END, (415,)),
        ((BOUNDARY,), PURPOSE * 70 + FILE + b"\r\nx" + END, (400,)),
        ((BOUNDARY,), PURPOSE + FILE + b"X: " + b"y" * 100_000 + b"\r\n\r\nx" + END, (400, 413)),
    ],
    ids=["json", "related", "no boundary", "empty", "no end", "lies", "zipped", "encoded", "parts", "headers"],
)
async def test_a_form_that_is_none_is_refused(
    client: Client, headers: tuple[bytes, ...], body: bytes, statuses: tuple[int, ...]
) -> None:
    length = b"Content-Length: %d" % len(body)
    got, answer = await raw(client, post(*headers, length, b"Connection: close", path=PATH, body=body))
    assert len(got) == 1 and got[0] in statuses
    told = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert set(told["error"]) == {"message", "type", "param", "code"}
    assert not kept(client)


async def test_a_huge_upload_is_refused_without_being_read(client: Client) -> None:
    announced = (BOUNDARY, b"Content-Length: 10000000000", b"Expect: 100-continue")
    chunk = b"10000\r\n" + b"x" * 65_536 + b"\r\n"
    start = PURPOSE + FILE + b"\r\n"
    endless = b"%x\r\n" % len(start) + start + b"\r\n" + chunk * 8
    answers = await asyncio.gather(  # each lingers a while before it closes
        raw(client, post(*announced, path=PATH, body=b"")),
        raw(client, post(*announced, path=PATH, body=b"", key=b"sk-none")),
        raw(client, post(BOUNDARY, b"Transfer-Encoding: chunked", path=PATH, body=endless)),
    )
    assert [statuses for statuses, _ in answers] == [[413], [401], [413]]
    status, body = await upload(client, purpose="vision", file=b"x" * 250_000)
    assert (status, body["error"]["code"]) == (413, "request_too_large")
    status, body = await upload(client, ANTHROPIC, file=b"x" * 250_000)
    assert (status, body["error"]["type"]) == (413, "request_too_large")
    assert not kept(client)


async def test_an_upload_that_stops_coming_ends(client: Client) -> None:
    half = PURPOSE + FILE + b"\r\nx"
    statuses, _ = await raw(client, post(BOUNDARY, b"Content-Length: 100000", path=PATH, body=half))
    assert statuses == [408]
    assert not kept(client)


IDS = [
    "..%2f..%2fapi_key", "file-..%2f..%2fapi_key", "file_..%2fx", "%2e%2e", "file-%00", "file-0123456789ab%0d%0aX:%20y",
    "file-0123456789AB", "file-0123456789ab.json", "file-", "file_", "0123456789ab", "file-file-0123456789ab",
    "file-" + "a" * 3000, "file-%ff%fe", "file-0123456789ab%2fcontent", "*", "file-%d9%a3" * 12,
]  # fmt: skip


@pytest.mark.parametrize("id", IDS, ids=[id[:30] for id in IDS])
async def test_an_id_that_is_none_finds_nothing(client: Client, id: str) -> None:
    await upload(client, purpose="vision", file=b"x")
    before = sorted(kept(client))
    for headers, shape in ((ME, "code"), (ANTHROPIC, "type"), (GEMINI, "status")):
        for method, tail in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
            path = aiohttp.client.URL(f"{client.url}/v1/files/{id}{tail}", encoded=True)
            async with client.http.request(method, path, headers=headers) as response:
                assert response.status == 404, await response.text()
                error = (await response.json())["error"]
                assert (tail and shape == "status") or shape in error
                assert len(error["message"]) < 100
    assert sorted(kept(client)) == before


@pytest.mark.parametrize("id", ["../x", "file-../x", "file-", "f", "file-" + "A" * 12, "x" * 201, 5, ["file-0123456789ab"]])
async def test_a_call_that_names_no_file_is_told_where(client: Client, id: Any) -> None:
    parts = [{"type": "file", "file": {"file_id": id}}]
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": parts}]}
    async with client.http.post("/v1/chat/completions", json=body, headers=ME) as response:
        assert response.status == 400
        assert (await response.json())["error"]["param"] == "messages.0.content.0.file.file_id"
    assert not client.upstream.asked


NAMES = {
    "../../x.png": "x.png",
    "/etc/passwd": "passwd",
    "a\\b.txt": "b.txt",
    "CON": "CON",
    "<b>x</b>.html": "b>.html",
    "x" * 3000: "x" * 500,
    "\u202egpj.exe": "gpj.exe",
    "..": "..",
    "/": "unnamed.txt",
}


@pytest.mark.parametrize("name", NAMES, ids=[ascii(name)[:20] for name in NAMES])
async def test_a_file_name_is_shown_and_names_no_file_of_ours(client: Client, name: str) -> None:
    status, file = await upload(client, purpose="vision", file=(b"<script>", name, "text/html" if "html" in name else ""))
    assert (status, file["filename"]) == (200, NAMES[name])
    assert all(re.fullmatch(r"[0-9a-f]{12}\.(data|json)", path.name) for path in kept(client))
    async with client.http.get(f"/v1/files/{file['id']}/content", headers=ME) as response:
        assert await response.read() == b"<script>"
        headers = response.headers
    assert (headers["Content-Type"], headers["Content-Disposition"]) == ("application/octet-stream", "attachment")
    assert headers["X-Content-Type-Options"] == "nosniff"


async def test_what_reads_as_text_is_text_whatever_it_is_called(client: Client) -> None:
    for data, name, claimed, mime in (
        (b"print(1)", "a.py", "text/x-python", "text/plain"),
        ("é".encode() * 40_000, "a.log", "application/octet-stream", "text/plain"),
        (b"a,b", "a.csv", "", "text/csv"),
        (b"%PDF-1.7", "a.txt", "text/plain", "application/pdf"),
        (b"\x00\x01", "a.bin", "application/x-thing; charset=x", "application/x-thing"),
        (b"\xff\xfe", "a", "../../x", "application/octet-stream"),
    ):
        status, file = await upload(client, ANTHROPIC, file=(data, name, claimed))
        assert (status, file["mime_type"]) == (200, mime)


async def test_a_full_folder_is_a_413_that_leaves_nothing(tmp_path: Path) -> None:
    store = FileStore(tmp_path, 4, lambda: 0.0)
    files = Files(store, Server())
    await files.keep("me", Arrival("a", "text/plain", b"123"))
    with pytest.raises(BodyTooLarge, match="no more room"):
        await files.keep("me", Arrival("b", "text/plain", b"123"))
    assert (store.used(), len(store.all("me"))) == (3, 1)


RELATED = {**GEMINI, "Content-Type": 'multipart/related; boundary="a b"', "X-Goog-Upload-Protocol": "multipart"}
ABOUT = b'--a b\r\nContent-Type: application/json\r\n\r\n{"file": {"displayName": "x"}}\r\n'
BINARY = b"\r\n\n\r\x00\xff--a b\r--a\n \r" + b"\n" * 50_000 + b"\r\n"


@pytest.mark.parametrize(
    ("head", "sent", "kept"),
    [
        (b"Content-Type: image/png", BINARY, BINARY),
        (b"Content-Type: text/plain\r\nContent-Transfer-Encoding: Binary", b"", b""),
        (b"content-transfer-encoding: base64", b"aGVs\r\nbG8=\r\n", b"hello"),
    ],
)
async def test_googles_multipart_keeps_each_byte(client: Client, head: bytes, sent: bytes, kept: bytes) -> None:
    body = b"preamble\r\n" + ABOUT + b"--a b \r\n" + head + b"\r\n\r\n" + sent + b"\r\n--a b--\r\nepilogue"
    async with client.http.post("/upload/v1beta/files", data=body, headers=RELATED) as response:
        file = (await response.json())["file"]
    assert (file["displayName"], int(file["sizeBytes"])) == ("x", len(kept))
    assert base64.b64decode(file["sha256Hash"]).decode() == hashlib.sha256(kept).hexdigest()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (ABOUT + b"--a b\r\n\r\nx\r\n", 400),  # broken off
        (ABOUT + b"--a b\r\n\r\nx\r\n--a b\r\n\r\ny\r\n--a b--", 400),
        (ABOUT + b"--a b--", 400),
        (ABOUT + b"--a b\r\n" + b"x: y\r\n" * 2000 + b"\r\nx\r\n--a b--", 400),
        (ABOUT + b"--a b\r\nContent-Transfer-Encoding: base64\r\n\r\n\xff\r\n--a b--", 400),
        (ABOUT + b"--a b\r\nContent-Transfer-Encoding: base64\r\n\r\na\r\n--a b--", 400),
        (ABOUT + b"--a b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nx\r\n--a b--", 415),
        (b"", 400),
    ],
)
async def test_googles_multipart_is_whole_or_refused(client: Client, body: bytes, status: int) -> None:
    async with client.http.post("/upload/v1beta/files", data=body, headers=RELATED) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (status, status)


async def test_googles_multipart_without_a_boundary_is_another_media_type(client: Client) -> None:
    for kind in ("multipart/related", "multipart/related; boundary=", "multipart/related; boundary=\u00e9", "text/plain"):
        headers = {**RELATED, "Content-Type": kind}
        async with client.http.post("/upload/v1beta/files", data=b"x", headers=headers) as response:
            assert response.status == (400 if "\u00e9" in kind else 415), kind


@pytest.mark.parametrize("path", ["/v1/files", "/upload/v1beta/files", "/upload/v1beta/files?upload_id="])
async def test_large_uploads_at_once_have_a_bound_by_whichever_api(path: str) -> None:
    begin = {"X-Goog-Upload-Command": "start", "X-Goog-Upload-Protocol": "resumable"}
    async with make_client(settings={"server": {"max_held_mb": 1.5}}) as client:
        if path.endswith("="):
            async with client.http.post("/upload/v1beta/files", headers=begin) as response:
                path += response.headers["Location"].partition("upload_id=")[2]
        host, port = client.url.removeprefix("http://").rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        head = post(b"Expect: 100-continue", b"Content-Length: 1200000", BOUNDARY, RAW, path=path.encode(), body=b"")
        writer.write(head)
        assert b" 100 " in await reader.readline()  # it is waited for
        statuses, got = await raw(client, head)
        assert (statuses, b"Retry-After: 5" in got) == ([503], True)
        writer.close()


class Swept(FileStore):
    """Counts in `done` how often expired files are looked for; the first time the disk fails."""

    def __init__(self, folder: Path, clock: Callable[[], float], done: Callable[[], object]) -> None:
        super().__init__(folder, 1000, clock)
        self._done = done
        self._failed = False

    def sweep(self) -> None:
        if not self._failed:
            self._failed = True
            raise OSError("no disk")
        super().sweep()
        self._done()


async def test_what_has_expired_leaves_the_disk_though_nobody_uploads_again(tmp_path: Path) -> None:
    now, done, loop = [0.0], asyncio.Semaphore(0), asyncio.get_running_loop()
    store = Swept(tmp_path, lambda: now[0], lambda: loop.call_soon_threadsafe(done.release))
    FileStore(tmp_path, 1000, lambda: 0.0).put("me", Arrival("a", "text/plain", b"x"))
    task = asyncio.create_task(sweep_for_ever(store, 0))
    await done.acquire()
    assert len(names(tmp_path)) == 2
    now[0] = KEPT_S
    async with asyncio.timeout(20):
        while names(tmp_path):
            await done.acquire()
    task.cancel()


async def test_a_start_deletes_what_expired_while_the_gateway_was_off(tmp_path: Path) -> None:
    FileStore(tmp_path / "files", 1000, lambda: 0.0).put("me", Arrival("a", "text/plain", b"x"))
    async with make_client(settings={"state": {"dir": str(tmp_path)}}):
        await until(lambda: not names(tmp_path / "files"))


async def test_source_code_that_came_by_googles_api_is_text_for_the_model(client: Client) -> None:
    headers = {**GEMINI, "X-Goog-Upload-Protocol": "raw", "Content-Type": "text/x-python"}
    async with client.http.post("/upload/v1beta/files", data=b"print(1)", headers=headers) as response:
        file = (await response.json())["file"]
    assert file["mimeType"] == "text/x-python"
    body = {"contents": [{"parts": [{"text": "What is it?"}, {"fileData": {"fileUri": file["uri"]}}]}]}
    async with client.http.post("/v1beta/models/gemini-2.5-flash:generateContent", json=body, headers=GEMINI) as response:
        assert response.status == 200, await response.text()
    ((_, asked),) = client.upstream.asked
    assert [part.mime for part in asked.messages[-1].parts if isinstance(part, Blob)] == ["text/plain"]
