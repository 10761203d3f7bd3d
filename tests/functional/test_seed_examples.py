"""The simple endpoints as people call them: by curl, and by Python's own urllib. No package of ours or anybody's helps."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import urllib.request
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from tests.functional.conftest import KEY, Launch, Live

DRAW = "a lighthouse at dusk"
ONE_KEY = {"plugins": {"api_key": {"keys": []}}}  # the seed's lines carry none: on loopback they need none


def drawn() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (64, 48), (200, 30, 30)).save(buffer, "PNG")
    return buffer.getvalue()


def size_of(data: bytes) -> tuple[int, int]:
    with PIL.Image.open(io.BytesIO(data)) as picture:
        picture.load()
        return picture.size


async def curl(*arguments: str) -> Any:
    """What curl prints, as JSON. An HTTP error fails it."""
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--fail-with-body", "--noproxy", "*", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, said = await process.communicate()
    assert process.returncode == 0, out[:500] + said
    return json.loads(out)


async def posted(live: Live, path: str, body: Any, folder: Path) -> Any:
    """curl -X POST -H "Content-Type: application/json" -d @FILE"""
    file = folder / "body.json"
    file.write_text(json.dumps(body))
    return await curl("-X", "POST", f"{live.url}{path}", "-H", "Content-Type: application/json", "-d", f"@{file}")


async def python(url: str, body: Any = None) -> Any:
    """urllib, as a script without packages does it; in a thread, for the gateway runs in this one."""

    def ask() -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as response:
            return json.loads(response.read())

    return await asyncio.to_thread(ask)


async def test_a_question_by_curl_and_by_python(launch: Launch) -> None:
    async with launch(settings=ONE_KEY) as live:
        line = '{"prompt": "[[sim text=hello]]", "model": "gemini-2.5-flash"}'
        said = await curl("-X", "POST", f"{live.url}/v1/generate", "-H", "Content-Type: application/json", "-d", line)
        assert (said["text"], set(said)) == ("hello", {"text", "model"})
        assert await python(f"{live.url}/v1/generate", {"prompt": "[[sim text=hello]]"}) == said


async def test_a_picture_by_curl_and_by_python(launch: Launch, tmp_path: Path) -> None:
    async with launch(settings=ONE_KEY) as live:
        body = {"prompt": DRAW, "model": "gemini-2.5-flash-image"}
        for made in (
            await posted(live, "/v1/generate-images", body, tmp_path),
            await python(f"{live.url}/v1/generate-images", body),
        ):
            (picture,) = made["images"]
            head, _, encoded = picture.partition(",")
            assert head == "data:image/png;base64" and size_of(base64.b64decode(encoded)) == (1408, 768)


@pytest.mark.parametrize("path", ["/v1/images/edit", "/v1/images/edits"])
@pytest.mark.parametrize("several", [False, True], ids=["one", "list"])
async def test_an_edit_by_curl_as_base64_and_as_an_address(
    launch: Launch, tmp_path: Path, path: str, several: bool
) -> None:
    encoded = base64.b64encode(drawn()).decode()
    async with launch(settings=ONE_KEY) as live:
        image: Any = [f"data:image/png;base64,{encoded}", encoded] if several else encoded
        body = {"prompt": "make it blue", "image": image, "response_type": "base64"}
        made = await posted(live, path, body, tmp_path)
        (picture,) = made["images"]
        assert size_of(base64.b64decode(picture.partition(",")[2])) == (1408, 768)
        assert [len(entry.files) for entry in live.site.log.generates] == [2 if several else 1]
        made = await posted(live, path, body | {"response_type": "url"}, tmp_path)
        (address,) = made["images"]
        assert made["data"][0]["url"] == address
        file = tmp_path / "picture.png"
        process = await asyncio.create_subprocess_exec("curl", "-sS", "-f", "--noproxy", "*", address, "-o", str(file))
        assert await process.wait() == 0 and size_of(file.read_bytes()) == (1408, 768)


async def test_an_edit_by_python(launch: Launch) -> None:
    async with launch(settings=ONE_KEY) as live:
        body = {"prompt": "make it blue", "image": base64.b64encode(drawn()).decode()}
        made = await python(f"{live.url}/v1/images/edit", body)
        assert size_of(base64.b64decode(made["data"][0]["b64_json"])) == (1408, 768)
        assert made["images"][0].endswith(made["data"][0]["b64_json"])


async def test_models_and_info_by_curl_and_by_python(launch: Launch) -> None:
    async with launch(settings=ONE_KEY) as live:
        models = await curl(f"{live.url}/api/models")
        assert {"gemini-2.5-flash", "gemini-2.5-flash-image"} <= {one["id"] for one in models["data"]}
        assert await python(f"{live.url}/api/models") == models
        info = await curl(f"{live.url}/api/info")
        assert info["simulated"] is True and info["version"] and "uptime_s" in info
        assert set(await python(f"{live.url}/api/info")) == set(info)


async def test_cookies_by_curl(launch: Launch, tmp_path: Path) -> None:
    async with launch(settings=ONE_KEY) as live:
        account = live.site.account("a")
        account.expired = True
        await live.client.chat("hello", model="gemini-2.5-pro")
        await live.ready()
        assert live.gateway.pool.views()[0].state == "expired"
        account.renew()
        body = {"SECURE_1PSID": account.psid, "SECURE_1PSIDTS": account.psidts, "SECURE_1PSIDCC": ""}
        reply = await posted(live, "/api/cookies", body, tmp_path)
        assert (reply["status"], reply["account"]["state"]) == ("ok", "ready")
        assert account.psid not in json.dumps(reply)


async def test_with_a_key_configured_the_same_lines_need_it(launch: Launch) -> None:
    async with launch() as live:
        line = ["-X", "POST", f"{live.url}/v1/generate", "-H", "Content-Type: application/json"]
        line += ["-d", '{"prompt": "[[sim text=hello]]"}']
        with pytest.raises(AssertionError, match="key is needed"):
            await curl(*line)
        assert (await curl(*line, "-H", f"Authorization: Bearer {KEY}"))["text"] == "hello"
