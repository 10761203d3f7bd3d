"""Pictures in a bucket: over TLS against a real S3 server, and what a caller gets when the bucket is no good."""

from __future__ import annotations

import base64
import hmac
import io
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import PIL.Image
import pytest

from gateway.model import Image, ImageReady
from gateway.testing import Client, Script, make_client
from plugins import r2_upload
from tests.plugins.bucket import BUCKET, KEY, SECRET, TRICKLE, Bucket, misbehaving, seaweed

ASK = {"prompt": "a boat", "response_format": "url"}


def drawn(colour: int) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", (1024, 48), (colour, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURE = drawn(200)
SCRIPT = [Script(ImageReady(Image(PICTURE, "image/png", 1024, 48)))]


def plugin(settings: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("r2_upload", r2_upload.Plugin(r2_upload.Settings.model_validate(settings)))]


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with seaweed(tmp_path_factory.mktemp("weed")) as running:
        yield running


async def ask(client: Client) -> dict[str, Any]:
    async with client.http.post("/v1/images/generations", json=ASK) as response:
        assert response.status == 200, await response.text()
        datum: dict[str, Any] = (await response.json())["data"][0]
        return datum


async def download(url: str, bucket: Bucket) -> tuple[bytes, dict[str, str]]:
    context = ssl.create_default_context(cafile=str(bucket.ca_file))
    async with aiohttp.ClientSession() as anybody, anybody.get(url, ssl=context) as response:
        assert response.status == 200
        return await response.read(), dict(response.headers)


async def test_a_picture_is_uploaded_and_anybody_with_its_address_can_see_it(bucket: Bucket) -> None:
    async with make_client(plugins=plugin(bucket.settings()), script=SCRIPT) as client:
        datum = await ask(client)
        data, headers = await download(datum["url"], bucket)
        assert data == PICTURE and "b64_json" not in datum
        assert headers["Content-Type"] == "image/png" and "immutable" in headers["Cache-Control"]
        name = datum["url"].removeprefix(f"{bucket.url}/{BUCKET}/")
        assert len(name) == 68 and "boat" not in name
        assert (await ask(client))["url"] == datum["url"]


async def test_links_are_presigned_where_the_bucket_is_not_public(bucket: Bucket) -> None:
    settings = bucket.settings(public_base_url=None, prefix="week/")
    async with make_client(plugins=plugin(settings), script=SCRIPT) as client:
        url = (await ask(client))["url"]
        assert "/week/" in url and "X-Amz-Signature=" in url
        assert (await download(url, bucket))[0] == PICTURE


@pytest.mark.parametrize(
    "wrong",
    [{"secret_access_key": "wrong"}, {"bucket": "missing"}, {"access_key_id": "NOBODY"}, {"ca_file": None}],
    ids=["secret", "bucket", "key", "certificate"],
)
async def test_a_store_that_refuses_costs_nobody_the_picture(bucket: Bucket, wrong: dict[str, Any]) -> None:
    async with make_client(plugins=plugin(bucket.settings(**wrong)), script=SCRIPT) as client:
        datum = await ask(client)
        assert base64.b64decode(datum["b64_json"]) == PICTURE and "url" not in datum
        (warning,) = datum["gateway"]["warnings"]
        assert warning.startswith("r2_upload could not store it, so it comes as bytes: the store")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        TRICKLE,
        b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n<garbage>",
        b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n",
        b"not HTTP at all\r\n\r\n",
        b"",
    ],
    ids=["black hole", "trickle", "503", "500", "429", "garbage", "reset"],
)
async def test_a_store_in_trouble_is_given_up_in_time_and_then_left_alone(bucket: Bucket, answer: bytes | None) -> None:
    async with misbehaving(answer, bucket) as url:
        settings = bucket.settings(endpoint_url=url, timeout_s=1)
        async with make_client(plugins=plugin(settings), script=SCRIPT) as client:
            for attempt in range(4):
                begun = time.monotonic()
                datum = await ask(client)
                assert base64.b64decode(datum["b64_json"]) == PICTURE
                assert time.monotonic() - begun < 8
                (warning,) = datum["gateway"]["warnings"]
                assert ("left alone" in warning) is (attempt == 3)
                if answer in (None, TRICKLE) and attempt < 3:
                    assert warning.endswith("the store did not answer in time")


async def test_a_name_cannot_be_computed_from_the_picture_and_the_buckets_secret(bucket: Bucket, tmp_path: Path) -> None:
    """Names have a key of their own: it outlives a restart, and another gateway has another one."""
    names = []
    for folder in (tmp_path / "one", tmp_path / "one", tmp_path / "other"):
        settings = {"state": {"dir": str(folder)}}
        async with make_client(plugins=plugin(bucket.settings()), script=SCRIPT, settings=settings) as client:
            names.append((await ask(client))["url"].rpartition("/")[2])
    assert names[0] == names[1] != names[2]
    key = tmp_path / "one" / "picture_names_key"
    assert (len(key.read_bytes()), key.stat().st_mode & 0o777) == (32, 0o600)
    guesses = [b"", SECRET.encode(), b"picture name:" + SECRET.encode(), KEY.encode()]
    assert names[0].partition(".")[0] not in {hmac.new(guess, PICTURE, "sha256").hexdigest() for guess in guesses}


def test_nothing_in_the_settings_can_lead_a_key_out_of_its_folder(tmp_path: Path) -> None:
    for prefix in ("../", "/", "a/../b/", "a"):
        with pytest.raises(ValueError, match="prefix"):
            r2_upload.Settings.model_validate(Bucket("https://x", tmp_path).settings(prefix=prefix))
