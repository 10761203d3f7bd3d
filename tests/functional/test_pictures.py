"""Pictures end to end: the official packages, the gateway, the real library, and the offline site."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import aiohttp
import openai
import orjson
import PIL.Image
import pytest
from google import genai
from google.genai import types

from gateway.simulator import Fault
from tests.functional.conftest import KEY, Launch, Live

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
DRAW = "a lighthouse at dusk"
FLASH_IMAGE, PRO_2K, PRO_4K = (
    "gemini-2.5-flash-image",
    "gemini-3-pro-image-preview-2k",
    "gemini-3-pro-image-preview-4k",
)


def client_of(live: Live) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key=KEY, max_retries=0)


def opened(data: bytes) -> PIL.Image.Image:
    picture = PIL.Image.open(io.BytesIO(data))
    picture.load()
    return picture


def decoded(datum: Any) -> PIL.Image.Image:
    return opened(base64.b64decode(datum.b64_json))


@pytest.mark.parametrize(
    ("model", "size", "pixels"),
    [
        (FLASH_IMAGE, "auto", (1408, 768)),
        (FLASH_IMAGE, "1024x1024", (1024, 1024)),
        (PRO_2K, "1024x1024", (2048, 2048)),
        (PRO_4K, "auto", (4096, 2234)),
    ],
)
async def test_openai_generates_at_the_size_that_was_asked_for(
    launch: Launch, model: str, size: Any, pixels: tuple[int, int]
) -> None:
    async with launch() as live, client_of(live) as client:
        reply = await client.images.generate(model=model, prompt=DRAW, size=size)
        assert reply.data is not None
        assert decoded(reply.data[0]).size == pixels
        facts = reply.data[0].model_extra["gateway"]  # type: ignore[index]
        assert (facts["width"], facts["height"], facts["native"], facts["format"]) == (*pixels, True, "png")
        if pixels[0] < 2048:  # the native file: of larger ones the star cannot be taken exactly
            assert facts["watermark"] == "removed"
        assert reply.usage is not None and reply.usage.input_tokens > 0


async def test_a_picture_call_leaves_no_chat_behind(launch: Launch) -> None:
    async with launch() as live, client_of(live) as client:
        await client.images.generate(model=PRO_2K, prompt=DRAW)
        await live.site.log.wait(lambda entry: "GzXR5e" in entry.rpcs and entry.outcome != "open")
        assert len(live.site.chats(live.site.account("a"))) == 0
        assert [entry.temporary for entry in live.site.log.generates] == [False]


async def test_a_picture_call_keeps_its_chat_where_that_is_wanted(launch: Launch) -> None:
    async with launch(settings={"pictures": {"chat": "keep"}}) as live, client_of(live) as client:
        await client.images.generate(model=FLASH_IMAGE, prompt=DRAW)
        assert len(live.site.chats(live.site.account("a"))) == 1


@pytest.mark.parametrize(
    ("endpoint", "fault", "pixels"),
    [
        ("full_size", Fault("500"), (1408, 768)),
        ("full_size", Fault("reject"), (1408, 768)),
        ("download", Fault("reset"), (1408, 768)),
        ("download", Fault("garbage"), (1408, 768)),
        ("download", Fault("hang"), (1408, 768)),
        ("download", Fault("redirect", location="http://127.0.0.1:1/x"), (1408, 768)),
        ("download", Fault("redirect", location="https://example.com/x"), (1408, 768)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
async def test_a_smaller_picture_comes_when_the_larger_one_cannot_be_had(
    launch: Launch, endpoint: str, fault: Fault, pixels: tuple[int, int]
) -> None:
    async with launch(settings={"pictures": {"download_timeout_s": 3}}) as live, client_of(live) as client:
        live.site.fault("a", endpoint, fault, times=None)
        reply = await client.images.generate(model=PRO_4K, prompt=DRAW)
        assert reply.data is not None
        assert decoded(reply.data[0]).size == pixels
        facts = reply.data[0].model_extra["gateway"]  # type: ignore[index]
        assert (facts["width"], facts["height"]) == pixels
        assert facts["warnings"] == ["4K was asked for; Gemini gave less: 1408x768"]


async def test_a_picture_is_enlarged_only_on_request_and_says_so(launch: Launch) -> None:
    async with launch(settings={"pictures": {"upscale": True}}) as live, client_of(live) as client:
        live.site.fault("a", "full_size", Fault("500"), times=None)
        reply = await client.images.generate(model=PRO_2K, prompt=DRAW, output_format="jpeg")
        assert reply.data is not None
        picture = decoded(reply.data[0])
        assert (picture.size, picture.format) == ((2048, 1117), "JPEG")
        facts = reply.data[0].model_extra["gateway"]  # type: ignore[index]
        assert (facts["native"], facts["format"]) == (False, "jpeg")


async def test_a_picture_that_cannot_be_had_at_all_is_made_anew_and_then_an_error(launch: Launch) -> None:
    async with launch(accounts=2) as live, client_of(live) as client:
        live.site.fault(None, "image", Fault("403"), times=2)
        assert (await client.images.generate(model=FLASH_IMAGE, prompt=DRAW)).data
        assert len(live.site.log.generates) == 2
        live.site.fault(None, "image", Fault("403"), times=None)
        with pytest.raises(openai.InternalServerError) as raised:
            await client.images.generate(model=FLASH_IMAGE, prompt=DRAW)
        assert raised.value.status_code == 502


@pytest.mark.parametrize("fault", ["truncate", "no_completion", "garbage_frame", "1096", "dribble"])
async def test_an_answer_that_was_cut_is_read_from_the_chat_with_its_picture(launch: Launch, fault: str) -> None:
    async with launch() as live, client_of(live) as client:
        live.site.fault("a", "generate", Fault(fault))
        reply = await client.images.generate(model=PRO_2K, prompt=DRAW)
        assert reply.data is not None and decoded(reply.data[0]).size == (2816, 1536)
        assert len(live.site.log.generates) == 1


async def test_words_instead_of_a_picture_are_asked_again_and_then_quoted(launch: Launch) -> None:
    async with launch() as live, client_of(live) as client:
        with pytest.raises(openai.BadRequestError, match="I can't draw real people") as raised:
            await client.images.generate(model=FLASH_IMAGE, prompt="[[sim text=\"I can't draw real people.\"]]")
        assert raised.value.code == "content_filter"
        with pytest.raises(openai.InternalServerError, match="A lighthouse is a tower") as other:
            await client.images.generate(model=FLASH_IMAGE, prompt='[[sim text="A lighthouse is a tower."]]')
        assert other.value.code == "no_picture"
        prompts = [entry.prompt or "" for entry in live.site.log.generates]
        assert [prompt.count("answer with the image itself") for prompt in prompts] == [0, 1, 0, 1]


async def test_several_pictures_are_several_questions_and_some_may_fail(launch: Launch) -> None:
    async with launch(accounts=3) as live, client_of(live) as client:
        reply = await client.images.generate(model=FLASH_IMAGE, prompt=DRAW, n=3)
        assert reply.data is not None and len(reply.data) == 3
        live.site.fault(None, "generate", Fault("1003"), times=1)
        raw = await client.images.with_raw_response.generate(model=FLASH_IMAGE, prompt=DRAW, n=3)
        some = raw.parse()
        assert some.data is not None and len(some.data) == 2
        assert some.model_extra is not None
        assert some.model_extra["warnings"] == ["1 of 3 pictures failed: Gemini refused the request"]
        assert "1 of 3" in raw.headers["x-gateway-warnings"]
        assert len(orjson.loads(raw.headers["x-gateway-pictures"])) == 2
        live.site.fault(None, "generate", Fault("1003"), times=None)
        with pytest.raises(openai.BadRequestError):
            await client.images.generate(model=FLASH_IMAGE, prompt=DRAW, n=3)


# --- edits --------------------------------------------------------------------------------------------------------


def drawn(mode: str = "RGB", size: tuple[int, int] = (64, 48), form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new(mode, size, (200, 30, 30, 0)[: len(mode)]).save(buffer, form)
    return buffer.getvalue()


async def test_openai_edits_two_pictures_with_a_mask(launch: Launch) -> None:
    async with launch() as live, client_of(live) as client:
        reply = await client.images.edit(
            model=FLASH_IMAGE,
            image=[("../one.png", drawn()), ("two.exe", drawn(form="JPEG"), "text/html")],
            mask=("mask.png", drawn("RGBA")),
            prompt="put the boat on the sea",
        )
        assert reply.data is not None and decoded(reply.data[0]).size == (1408, 768)
        (entry,) = live.site.log.generates
        assert [(file.name, file.type) for file in entry.files] == [
            ("file-1.png", "image/png"),
            ("file-2.jpg", "image/jpeg"),
            ("mask.png", "image/png"),
        ]
        shown = opened(live.site.uploads.all()[-1].data)
        assert shown.convert("L").getextrema() == (255, 255)


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")
async def test_openai_makes_variations(launch: Launch) -> None:
    async with launch() as live, client_of(live) as client:
        reply = await client.images.create_variation(model=FLASH_IMAGE, image=("x.png", drawn()), n=2)
        assert reply.data is not None and len(reply.data) == 2


@pytest.mark.parametrize("path", ["/v1/images/edit", "/v1/images/edits"])
@pytest.mark.parametrize(
    "image",
    [
        {"image": "data:image/png;base64," + base64.b64encode(drawn()).decode()},
        {"image": base64.b64encode(drawn()).decode()},
        {"image": [base64.b64encode(drawn()).decode()] * 2},
        {"images": [{"image_url": "data:image/png;base64," + base64.b64encode(drawn()).decode()}]},
    ],
    ids=["data", "base64", "list", "openai"],
)
async def test_json_edits_take_every_form_of_picture(launch: Launch, path: str, image: dict[str, Any]) -> None:
    async with launch() as live:
        async with live.client.http.post(path, json={"prompt": "make it blue", **image}) as response:
            body = await response.json()
            assert response.status == 200, body
        assert opened(base64.b64decode(body["data"][0]["b64_json"])).size == (1408, 768)
        assert body["images"][0].startswith("data:image/png;base64,")


async def test_the_simple_form_gives_a_list_of_pictures(launch: Launch) -> None:
    async with launch() as live:
        async with live.client.http.post("/v1/generate-images", json={"prompt": DRAW}) as response:
            body = await response.json()
        assert set(body) == {"images", "model"}
        assert opened(base64.b64decode(body["images"][0].partition(",")[2])).size == (1408, 768)


@pytest.mark.parametrize("instances", [{"prompt": DRAW}, [{"prompt": DRAW}]], ids=["object", "list"])
async def test_predict_gives_pictures_too_and_takes_the_key_in_its_address(launch: Launch, instances: Any) -> None:
    async with launch() as live, aiohttp.ClientSession(live.url) as http:
        path = f"/v1beta/models/{FLASH_IMAGE}:predict"
        body = {"instances": instances, "parameters": {"sampleCount": 2, "aspectRatio": "1:1"}}
        async with http.post(path, params={"key": KEY}, json=body) as response:
            made = (await response.json())["predictions"]
        assert [opened(base64.b64decode(one["bytesBase64Encoded"])).size for one in made] == [(1024, 1024)] * 2
        async with http.post(path, params={"key": KEY}, json={"instances": []}) as response:
            assert (response.status, (await response.json())["error"]["status"]) == (400, "INVALID_ARGUMENT")


# --- chats --------------------------------------------------------------------------------------------------------


async def test_gemini_answers_with_inline_data(launch: Launch) -> None:
    async with launch() as live:
        options = types.HttpOptions(base_url=f"{live.url}/gemini", api_version="v1beta")
        async with genai.Client(api_key=KEY, http_options=options).aio as client:
            config = types.GenerateContentConfig(
                response_modalities=["IMAGE"], image_config=types.ImageConfig(aspect_ratio="1:1", image_size="2K")
            )
            reply = await client.models.generate_content(
                model="gemini-3-pro-image-preview", contents=DRAW, config=config
            )
            assert reply.parts is not None
            (inline,) = [part.inline_data for part in reply.parts if part.inline_data]
            assert inline.mime_type == "image/png" and opened(inline.data or b"").size == (2048, 2048)
            stream = await client.models.generate_content_stream(model=FLASH_IMAGE, contents=DRAW)
            parts = [part async for chunk in stream for part in chunk.parts or ()]
            assert [opened(part.inline_data.data).size for part in parts if part.inline_data] == [(1408, 768)]  # type: ignore[arg-type]
            assert "".join(part.text or "" for part in parts).startswith("Here is your picture")


async def test_a_chat_streams_pictures_as_data_in_short_lines(launch: Launch) -> None:
    async with launch(settings={"pictures": {"in_chat": "data"}}) as live:
        body = {"model": FLASH_IMAGE, "stream": True, "messages": [{"role": "user", "content": DRAW}]}
        async with live.client.http.post("/v1/chat/completions", json=body) as response:
            lines = (await response.read()).split(b"\n")
        assert max(map(len, lines)) < 64_000
        chunks = [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
        text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
        said, _, link = text.partition("![image](")
        assert said.startswith("Here is your picture") and "googleusercontent" not in text
        assert opened(base64.b64decode(link.partition(",")[2].rstrip(")"))).size == (1408, 768)
        whole = await live.client.chat(DRAW, model=FLASH_IMAGE)
        assert "data:image/png;base64," in whole.text
        assert orjson.loads(whole.headers["x-gateway-pictures"])[0]["width"] == 1408


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/generate", "/v1/messages"])
async def test_a_chat_says_the_same_of_a_picture_streamed_or_whole(launch: Launch, path: str) -> None:
    """Up to the address of the file, which is new each time."""
    said = []
    async with launch() as live:
        for stream in (False, True):
            asked: dict[str, Any] = {"prompt": DRAW} if path == "/v1/generate" else {}
            asked |= {"messages": [{"role": "user", "content": DRAW}], "max_tokens": 1000}
            headers = {"x-api-key": KEY}
            async with live.client.http.post(
                path, json={"model": FLASH_IMAGE, "stream": stream, **asked}, headers=headers
            ) as response:
                assert response.status == 200, await response.text()
                said.append(words(await response.read(), streamed=stream).partition("/media/")[0])
    assert said[0] == said[1]
    assert said[0].startswith("Here is your picture: a lighthouse at dusk\n\n![image](http")


def words(raw: bytes, *, streamed: bool) -> str:
    """The text of a reply in any of the formats."""
    if not streamed:
        body = orjson.loads(raw)
        if "choices" in body:
            return str(body["choices"][0]["message"]["content"])
        return str(body["text"]) if "text" in body else "".join(block.get("text", "") for block in body["content"])
    chunks = [orjson.loads(line[6:]) for line in raw.split(b"\n") if line.startswith(b"data: {")]
    pieces = []
    for chunk in chunks:
        delta = chunk["choices"][0]["delta"] if chunk.get("choices") else chunk.get("delta") or chunk
        pieces.append(delta.get("content") or delta.get("text") or "")
    return "".join(pieces)


async def test_pictures_from_the_web_are_linked_and_not_fetched(launch: Launch) -> None:
    async with launch() as live:
        for stream in (False, True):
            reply = await live.client.chat("[[sim text=yes title=Lakes web_images=2]]", stream=stream)
            said, *links = reply.text.split("\n\n")
            assert said == "yes"
            assert [link.partition("](https://")[0] for link in links] == ["[Lakes 1", "[Lakes 2"]
        body = {"response_format": {"type": "json_object"}}
        reply = await live.client.chat("[[sim b64=eyJhIjoxfQ== web_images=2]]", **body)
        assert orjson.loads(reply.text) == {"a": 1}
        assert live.site.log.count("image") == 0


# --- streams of pictures ------------------------------------------------------------------------------------------


async def test_openai_streams_a_picture(launch: Launch) -> None:
    async with launch(settings={"server": {"ping_s": 0.05}}) as live, client_of(live) as client:
        stream = await client.images.generate(
            model=FLASH_IMAGE, prompt=f"{DRAW} [[sim image=1 first_ms=300]]", stream=True, partial_images=2, n=2
        )
        events = [event async for event in stream]
        assert [event.type for event in events] == ["image_generation.completed"] * 2
        for event in events:
            picture = decoded(event)
            assert event.size == f"{picture.width}x{picture.height}" and event.output_format == "png"
            assert event.usage.input_tokens > 0
        assert stream.response.headers["x-gateway-ignored"] == "partial_images"


async def test_openai_streams_an_edit(launch: Launch) -> None:
    async with launch() as live, client_of(live) as client:
        stream = await client.images.edit(
            model=FLASH_IMAGE, prompt="make it blue", image=("x.png", drawn()), stream=True, partial_images=0
        )
        (event,) = [event async for event in stream]
        assert event.type == "image_edit.completed" and decoded(event).size == (1408, 768)
        assert "x-gateway-ignored" not in stream.response.headers


async def test_a_stream_without_a_picture_raises_the_reason(launch: Launch) -> None:
    async with launch(settings={"server": {"ping_s": 0.05}}) as live, client_of(live) as client:
        asked = {"model": FLASH_IMAGE, "prompt": '[[sim text="I can\'t draw real people." first_ms=300]]'}
        with pytest.raises(openai.APIError, match="I can't draw real people"):
            async for _ in await client.images.generate(**asked, stream=True):
                raise AssertionError("no event was due")


async def test_a_url_works_without_a_key_until_it_expires(launch: Launch) -> None:
    async with launch() as live, client_of(live) as client, aiohttp.ClientSession() as anybody:
        reply = await client.images.generate(model=FLASH_IMAGE, prompt=DRAW, response_format="url", output_format="webp")
        assert reply.data is not None and reply.data[0].b64_json is None
        url = reply.data[0].url or ""
        async with anybody.get(url) as response:
            picture = opened(await response.read())
            assert (response.content_type, picture.format, picture.size) == ("image/webp", "WEBP", (1408, 768))
            assert response.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in response.headers[
                "Content-Security-Policy"
            ]
            tag = response.headers["ETag"]
        async with anybody.get(url, headers={"If-None-Match": tag}) as response:
            assert response.status == 304
        async with anybody.get(url, headers={"Range": "bytes=0-3"}) as response:
            assert (response.status, await response.read()) == (206, b"RIFF")
        for wrong in (url[:-1] + "0" if url[-1] != "0" else url[:-1] + "1", url.replace("expires=", "expires=9")):
            async with anybody.get(wrong) as response:
                assert response.status == 404
        async with anybody.get(f"{live.url}/media/..%2fmedia_key?expires=99999999999&signature=x") as response:
            assert response.status == 404


async def test_kept_pictures_are_for_the_user_of_the_gateway_alone(launch: Launch, tmp_path: Path) -> None:
    async with launch() as live, client_of(live) as client:
        await client.images.generate(model=FLASH_IMAGE, prompt=DRAW, response_format="url")
        (kept,) = (tmp_path / "state" / "media").iterdir()
        assert [found.stat().st_mode & 0o777 for found in (kept, kept.parent)] == [0o600, 0o700]


async def test_a_chat_links_to_its_pictures(launch: Launch) -> None:
    async with launch() as live:
        reply = await live.client.chat(DRAW, model=FLASH_IMAGE)
        url = reply.text.partition("![image](")[2].rstrip(")")
        async with live.client.http.get(url) as response:
            assert opened(await response.read()).size == (1408, 768)


async def test_without_a_store_a_picture_comes_as_bytes_with_a_warning(launch: Launch) -> None:
    plugins = {"plugins": ["openai_api"]}
    async with launch(settings={"gateway": plugins, "plugins": {}}) as live, client_of(live) as client:
        reply = await client.images.generate(model=FLASH_IMAGE, prompt=DRAW, response_format="url")
        assert reply.data is not None and reply.data[0].url is None
        assert decoded(reply.data[0]).size == (1408, 768)
        assert "no plugin stores" in reply.data[0].model_extra["gateway"]["warnings"][0]  # type: ignore[index]


async def test_metrics_show_where_the_time_of_a_picture_went(launch: Launch) -> None:
    async with launch() as live, client_of(live) as client:
        await client.images.generate(model=FLASH_IMAGE, prompt=DRAW, response_format="url")
        async with live.client.http.get("/metrics") as response:
            text = await response.text()
        for stage in ("wait", "generate", "download", "clean", "store"):
            assert f'gateway_picture_stage_seconds_count{{stage="{stage}"}} 1.0' in text


async def test_the_synchronous_package_works_too(launch: Launch) -> None:
    async with launch() as live:

        def ask() -> tuple[int, int]:
            with openai.OpenAI(base_url=f"{live.url}/v1", api_key=KEY, max_retries=0) as client:
                made = client.images.generate(model=FLASH_IMAGE, prompt=DRAW)
                assert made.data is not None
                kept = base64.b64decode(made.data[0].b64_json or "")
                both = [kept, drawn()]
                edited = client.images.edit(model=FLASH_IMAGE, image=both, prompt="make it night", size="1024x1024")
                assert edited.data is not None
                return decoded(edited.data[0]).size

        assert await asyncio.to_thread(ask) == (1024, 1024)


async def test_documents_go_to_gemini_with_their_own_type(launch: Launch) -> None:
    async with launch() as live:
        pdf = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7\n%%EOF").decode()
        text = "data:text/plain;base64," + base64.b64encode(b"hello").decode()
        parts = [{"type": "text", "text": "read these"}]
        parts += [{"type": "file", "file": {"file_data": data, "filename": "../x"}} for data in (pdf, text)]  # type: ignore[dict-item]
        body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": parts}]}
        async with live.client.http.post("/v1/chat/completions", json=body) as response:
            assert response.status == 200
        files = [(file.name, file.type) for file in live.site.log.generates[-1].files]
        assert files == [("file-1.pdf", "application/pdf"), ("file-2.txt", "text/plain")]
