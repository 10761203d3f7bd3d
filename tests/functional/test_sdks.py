"""The official SDKs against the running gateway: they get answers, and raise their own typed exceptions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import google.genai.errors
import openai
import pytest
from google import genai
from google.genai import types

from gateway.simulator import Fault, filler
from tests.functional.conftest import KEY, Launch, Live

# google-genai subclasses aiohttp's session in a way that aiohttp advises against.
pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
FLASH = "gemini-2.5-flash"
SAY = "[[sim text=hello frames=5]]"


def openai_client(live: Live, key: str = KEY) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key=key, max_retries=0)


def gemini_client(live: Live, key: str = KEY, version: str = "v1beta", attempts: int | None = None) -> genai.Client:
    again = None if attempts is None else types.HttpRetryOptions(attempts=attempts)
    options = types.HttpOptions(base_url=f"{live.url}/gemini", api_version=version, retry_options=again)
    return genai.Client(api_key=key, http_options=options)


# --- openai -------------------------------------------------------------------------------------------------------


async def test_openai_chats_streams_and_lists_models(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:
        messages: Any = [{"role": "user", "content": SAY}]
        whole = await client.chat.completions.create(model=FLASH, messages=messages)
        assert whole.choices[0].message.content == "hello"
        assert whole.choices[0].finish_reason == "stop"
        assert whole.usage is not None and whole.usage.total_tokens > 0
        options: Any = {"include_usage": True}
        stream = await client.chat.completions.create(model=FLASH, messages=messages, stream=True, stream_options=options)
        chunks = [chunk async for chunk in stream]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hello"
        assert chunks[-1].usage is not None
        names = [model.id async for model in client.models.list()]
        assert {FLASH, "gemini-3.0-pro", "gemini-3-pro-image-preview-4k", "gemini-3.8-flash"} <= set(names)
        assert (await client.models.retrieve(FLASH)).id == FLASH


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("1037"), openai.RateLimitError),
        (Fault("1060"), openai.InternalServerError),
        (Fault("500"), openai.InternalServerError),
        (Fault("401"), openai.InternalServerError),
        (Fault("hang"), openai.InternalServerError),
    ],
    ids=lambda value: getattr(value, "name", None) or value.__name__,
)
async def test_openai_raises_its_own_exceptions_for_upstream_trouble(
    launch: Launch, fault: Fault, error: type[openai.APIStatusError]
) -> None:
    async with launch(settings={"upstream": {"first_byte_timeout_s": 1.5}}) as live, openai_client(live) as client:
        live.site.fault("a", "generate", fault, times=None)
        with pytest.raises(error) as raised:
            await client.chat.completions.create(model=FLASH, messages=[{"role": "user", "content": "x"}])
        assert raised.value.body["code"]  # type: ignore[index]
        if error is openai.RateLimitError:
            assert raised.value.response.headers["retry-after"] == "3600"


async def test_openai_raises_its_own_exceptions_for_mistakes_of_the_caller(launch: Launch) -> None:
    limits = {"rate_limit": {"global_per_hour": 1}}
    async with launch(settings={"plugins": limits}) as live, openai_client(live) as client:
        create = client.chat.completions.create
        messages: Any = [{"role": "user", "content": SAY}]
        with pytest.raises(openai.NotFoundError):
            await create(model="gpt-nothing", messages=messages)
        with pytest.raises(openai.BadRequestError) as bad:
            await create(model=FLASH, messages=messages, temperature=9)
        assert bad.value.param == "temperature"
        async with openai_client(live, "sk-wrong") as stranger:
            with pytest.raises(openai.AuthenticationError):
                await stranger.chat.completions.create(model=FLASH, messages=messages)
        with pytest.raises(openai.APIStatusError) as large:
            await create(model=FLASH, messages=[{"role": "user", "content": "x " * 3_000_000}])
        assert large.value.status_code == 413
        assert (await create(model=FLASH, messages=messages)).choices[0].message.content == "hello"
        with pytest.raises(openai.RateLimitError) as limited:
            await create(model=FLASH, messages=messages)
        assert 3590 < int(limited.value.response.headers["retry-after"]) <= 3600


async def test_openai_raises_in_the_middle_of_a_stream_that_broke(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:
        live.site.fault("a", "generate", Fault("reset_mid"), times=None)
        prompt: Any = [{"role": "user", "content": "[[sim chars=400 frames=8]]"}]
        stream = await client.chat.completions.create(model=FLASH, messages=prompt, stream=True)
        text = ""
        with pytest.raises(openai.APIError):
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
        assert text and filler(400, "ascii").startswith(text)


async def test_a_key_without_the_right_is_told_so(launch: Launch) -> None:
    keys = [{"name": "small", "key": KEY, "models": [FLASH]}]
    async with launch(settings={"plugins": {"api_key": {"keys": keys}}}) as live, openai_client(live) as client:
        with pytest.raises(openai.PermissionDeniedError):
            await client.chat.completions.create(model="gemini-2.5-pro", messages=[{"role": "user", "content": "x"}])
        assert [model.id async for model in client.models.list()] == [FLASH]


# --- google-genai -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_genai_chats_streams_and_lists_models(launch: Launch, version: str) -> None:
    async with launch() as live, gemini_client(live, version=version).aio as client:
        whole = await client.models.generate_content(model=FLASH, contents=SAY)
        assert whole.text == "hello"
        assert whole.model_version == "gemini-3.8-flash"
        config = types.GenerateContentConfig(system_instruction="Be brief", max_output_tokens=100, temperature=0.5)
        stream = await client.models.generate_content_stream(model=FLASH, contents=SAY, config=config)
        assert "".join([chunk.text or "" async for chunk in stream]) == "hello"
        assert "Be brief" in live.site.log.generates[-1].prompt
        names = [model.name async for model in await client.models.list()]
        assert f"models/{FLASH}" in names
        assert (await client.models.get(model=FLASH)).name == f"models/{FLASH}"


async def test_genai_gets_thoughts_as_thought_parts(launch: Launch) -> None:
    async with launch() as live, gemini_client(live).aio as client:
        config = types.GenerateContentConfig(thinking_config=types.ThinkingConfig(include_thoughts=True))
        reply = await client.models.generate_content(model=FLASH, contents="[[sim thoughts=40 text=hi]]", config=config)
        parts = reply.candidates[0].content.parts  # type: ignore[index,union-attr]
        assert [(part.text, bool(part.thought)) for part in parts or ()] == [(filler(40, "ascii"), True), ("hi", False)]


@pytest.mark.parametrize(
    ("fault", "error", "status"),
    [
        (Fault("1037"), google.genai.errors.ClientError, "RESOURCE_EXHAUSTED"),
        (Fault("1060"), google.genai.errors.ServerError, "UNAVAILABLE"),
        (Fault("500"), google.genai.errors.ServerError, "UNAVAILABLE"),
        (Fault("hang"), google.genai.errors.ServerError, "DEADLINE_EXCEEDED"),
    ],
    ids=lambda value: getattr(value, "name", None),
)
async def test_genai_raises_its_own_exceptions(launch: Launch, fault: Fault, error: type[Exception], status: str) -> None:
    async with launch(settings={"upstream": {"first_byte_timeout_s": 1.5}}) as live, gemini_client(live).aio as client:
        live.site.fault("a", "generate", fault, times=None)
        with pytest.raises(error) as raised:
            await client.models.generate_content(model=FLASH, contents="x")
        assert isinstance(raised.value, google.genai.errors.APIError)
        assert raised.value.status == status


async def test_genai_is_told_of_its_callers_mistakes(launch: Launch) -> None:
    async with launch() as live:
        for key, model, code, status in (
            ("sk-wrong", FLASH, 401, "UNAUTHENTICATED"),
            (KEY, "gemini-nothing", 404, "NOT_FOUND"),
        ):
            async with gemini_client(live, key).aio as client:
                with pytest.raises(google.genai.errors.ClientError) as raised:
                    await client.models.generate_content(model=model, contents="x")
                assert (raised.value.code, raised.value.status) == (code, status)


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_genai_is_told_what_to_use_in_place_of_interactions(launch: Launch, version: str) -> None:
    # Once: this part of the SDK knows no x-should-retry, and would ask five times within seven seconds.
    async with launch() as live, gemini_client(live, version=version, attempts=1).aio as client:
        with pytest.raises(Exception, match="use models/MODEL:generateContent") as raised:
            await client.interactions.create(model=FLASH, input="hello")
        assert getattr(raised.value, "status_code", None) == 501


async def test_genai_raises_in_the_middle_of_a_stream_that_broke(launch: Launch) -> None:
    async with launch() as live, gemini_client(live).aio as client:
        live.site.fault("a", "generate", Fault("reset_mid"), times=None)
        stream = await client.models.generate_content_stream(model=FLASH, contents="[[sim chars=400 frames=8]]")
        with pytest.raises(google.genai.errors.APIError):
            await drain(stream)


async def drain(stream: AsyncIterator[Any]) -> None:
    async for _ in stream:
        pass
