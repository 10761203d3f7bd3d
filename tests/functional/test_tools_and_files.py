"""The official SDKs use tools, JSON, files and token counts, through the real library, from the offline site."""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from pathlib import Path
from typing import Any

import google.genai.errors
import openai
import pytest
from google.genai import types
from pydantic import BaseModel

from tests.functional.conftest import KEY, Launch
from tests.functional.test_sdks import gemini_client, openai_client

pytestmark = pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession:DeprecationWarning")
FLASH = "gemini-2.5-flash"
PLACE = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: Any = {"name": "get_weather", "description": "The weather in a city", "parameters": PLACE}
TOOLS: Any = [{"type": "function", "function": WEATHER}]


class Person(BaseModel):
    name: str
    age: int


def scripted(text: str, frames: int = 8) -> str:
    return f"[[sim b64={base64.b64encode(text.encode()).decode()} frames={frames}]]"


# --- openai -------------------------------------------------------------------------------------------------------


async def test_openai_calls_a_tool_and_uses_its_result(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:
        create = client.chat.completions.create
        messages: Any = [{"role": "user", "content": "What is the weather in Paris and Rome?"}]
        first = await create(model=FLASH, messages=messages, tools=TOOLS)
        message = first.choices[0].message
        assert first.choices[0].finish_reason == "tool_calls" and message.content is None
        calls: Any = message.tool_calls
        assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
        results: list[Any] = []
        for number, call in enumerate(calls):
            results.append({"role": "tool", "tool_call_id": call.id, "content": f"{number} degrees"})
        asked = [*messages, message.model_dump(exclude_none=True), *reversed(results)]
        last = await create(model=FLASH, messages=asked, tools=TOOLS)
        assert last.choices[0].message.content == "get_weather says: 1 degrees\nget_weather says: 0 degrees"
        prompt = live.site.log.generates[-1].prompt
        assert 'Result of get_weather {"city":"Rome"}:\n1 degrees' in prompt


@pytest.mark.parametrize("frames", [1, 7, 40])
async def test_openai_streams_calls_and_no_part_of_them_as_text(launch: Launch, frames: int) -> None:
    arguments = {"city": 'Pa"ris`` <b>&amp; *_\n```\n'}
    block = f"```tool_call\n{json.dumps({'name': 'get_weather', 'arguments': arguments})}\n```"
    async with launch() as live, openai_client(live) as client:
        prompt: Any = [{"role": "user", "content": scripted(f"Let me look.\n\n{block}\n\n{block}\n", frames)}]
        stream = await client.chat.completions.create(model=FLASH, messages=prompt, tools=TOOLS, stream=True)
        text, joined = "", {}
        async for chunk in stream:
            delta = chunk.choices[0].delta
            text += delta.content or ""
            for call in delta.tool_calls or ():
                name, known = joined.get(call.index, ("", ""))
                assert call.function is not None
                joined[call.index] = (name or call.function.name, known + (call.function.arguments or ""))
        assert text == "Let me look.\n\n"
        assert [(name, json.loads(found)) for name, found in joined.values()] == [("get_weather", arguments)] * 2


async def test_openai_parses_structured_output(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:
        prompt: Any = [{"role": "user", "content": "Describe 'Ada', 36 years old"}]
        reply = await client.chat.completions.parse(model=FLASH, messages=prompt, response_format=Person)
        assert reply.choices[0].message.parsed == Person(name="Ada", age=36)


async def test_openai_gets_the_calls_of_the_older_form(launch: Launch) -> None:
    async with launch() as live, openai_client(live) as client:
        prompt: Any = [{"role": "user", "content": "The weather in Oslo?"}]
        reply = await client.chat.completions.create(model=FLASH, messages=prompt, functions=[WEATHER])
        called = reply.choices[0].message.function_call
        assert called is not None and json.loads(called.arguments) == {"city": "Oslo"}
        assert reply.choices[0].finish_reason == "function_call"
        prompt += [{"role": "assistant", "function_call": called.model_dump()}, {"role": "function", "name": "get_weather"}]
        prompt[-1]["content"] = "snow"
        reply = await client.chat.completions.create(model=FLASH, messages=prompt, functions=[WEATHER])
        assert reply.choices[0].message.content == "get_weather says: snow"


async def test_sources_of_an_answer_are_named(launch: Launch) -> None:
    async with launch() as live:
        for stream in (False, True):
            reply = await live.client.chat("[[sim text=yes citations=2]]", stream=stream)
            named: list[Any] = []
            for part in reply.body if stream else [reply.body]:
                choice = part["choices"][0]
                named += choice.get("delta", choice.get("message")).get("annotations", [])
            assert [one["url_citation"]["title"] for one in named] == ["Source 1", "Source 2"]


# --- google-genai -------------------------------------------------------------------------------------------------


async def test_genai_calls_a_tool_by_itself_and_uses_its_result(launch: Launch) -> None:
    asked: list[str] = []

    def get_weather(city: str) -> str:
        """The weather in a city."""
        asked.append(city)
        return "sunny"

    async with launch() as live, gemini_client(live).aio as client:
        config = types.GenerateContentConfig(tools=[get_weather])
        reply = await client.models.generate_content(model=FLASH, contents="The weather in Paris?", config=config)
        assert (reply.text, asked) == ("get_weather says: sunny", ["Paris"])


async def test_genai_streams_a_call_with_its_id(launch: Launch) -> None:
    async with launch() as live, gemini_client(live).aio as client:
        declared = types.FunctionDeclaration(name="get_weather", description="weather", parameters_json_schema=PLACE)
        any_mode = types.FunctionCallingConfigMode.ANY
        calling = types.FunctionCallingConfig(mode=any_mode, allowed_function_names=["get_weather"])
        config = types.GenerateContentConfig(
            tools=[types.Tool(function_declarations=[declared])],
            tool_config=types.ToolConfig(function_calling_config=calling),
        )
        stream = await client.models.generate_content_stream(model=FLASH, contents="Is it nice in Rome?", config=config)
        calls = [call async for chunk in stream for call in chunk.function_calls or ()]
        assert [(call.name, call.args) for call in calls] == [("get_weather", {"city": "Rome"})]
        assert calls[0].id


async def test_genai_parses_structured_output(launch: Launch) -> None:
    async with launch() as live, gemini_client(live).aio as client:
        config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=list[Person])
        reply = await client.models.generate_content(model=FLASH, contents="List 'Ada', aged 36", config=config)
        assert reply.parsed == [Person(name="Ada", age=36)]


async def test_genai_counts_tokens(launch: Launch) -> None:
    async with launch() as live, gemini_client(live).aio as client:
        counted = await client.models.count_tokens(model=FLASH, contents="How many tokens are in this sentence?")
        assert 6 <= (counted.total_tokens or 0) <= 12
        inner = {"model": f"models/{FLASH}", "contents": [{"parts": [{"text": "a b c"}]}]}
        address = f"/gemini/v1beta/models/{FLASH}:countTokens"
        async with live.client.http.post(address, json={"generateContentRequest": inner}) as response:
            assert (await response.json())["totalTokens"] >= 1
        assert not live.site.log.generates


async def test_genai_names_sources(launch: Launch) -> None:
    async with launch() as live, gemini_client(live).aio as client:
        reply = await client.models.generate_content(model=FLASH, contents="[[sim text=yes citations=1]]")
        grounding: Any = reply.candidates[0].grounding_metadata  # type: ignore[index]
        assert grounding.grounding_chunks[0].web.uri == "https://example.org/source/1"


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_genai_uploads_a_file_and_asks_about_it(launch: Launch, tmp_path: Path, version: str) -> None:
    note = tmp_path / "note.txt"
    note.write_text("the moon is far")
    async with launch() as live, gemini_client(live, version=version).aio as client:
        file = await client.files.upload(file=str(note), config={"display_name": "A note", "mime_type": "text/plain"})
        assert (file.display_name, file.mime_type, file.size_bytes, file.state) == (
            "A note",
            "text/plain",
            15,
            types.FileState.ACTIVE,
        )
        assert [found.name async for found in await client.files.list()] == [file.name]
        assert (await client.files.get(name=str(file.name))).uri == file.uri
        await client.models.generate_content(model=FLASH, contents=["What is in it?", file])
        (seen,) = live.site.log.generates[-1].files
        assert (seen.type, seen.size) == ("text/plain", 15)
        await client.files.delete(name=str(file.name))
        with pytest.raises(google.genai.errors.ClientError) as gone:
            await client.models.generate_content(model=FLASH, contents=["What is in it?", file])
        assert gone.value.code == 400


async def test_a_file_comes_in_by_multipart_too_and_is_nobody_elses(launch: Launch) -> None:
    keys = [{"name": "tests", "key": KEY}, {"name": "other", "key": "sk-other"}]
    async with launch(settings={"plugins": {"api_key": {"keys": keys}}}) as live:
        body = (
            b"--b\r\nContent-Type: application/json\r\n\r\n"
            b'{"file": {"displayName": "x"}}\r\n--b\r\nContent-Type: image/png\r\n\r\n'
            b"\x89PNG\r\n\x1a\n\x00\xff\r\n--b--\r\n"
        )
        headers = {"Content-Type": "multipart/related; boundary=b", "X-Goog-Upload-Protocol": "multipart"}
        async with live.client.http.post("/upload/v1beta/files", data=body, headers=headers) as response:
            file = (await response.json())["file"]
        assert (file["mimeType"], file["sizeBytes"]) == ("image/png", "10")
        for key, status in (("sk-other", 404), ("sk-none", 401)):
            async with live.client.http.get(f"/v1beta/{file['name']}", headers={"Authorization": f"Bearer {key}"}) as found:
                assert found.status == status
                assert (await found.json())["error"]["code"] == status


async def test_an_upload_may_come_in_pieces_and_its_address_ends_with_it(launch: Launch) -> None:
    async with launch() as live:
        http = live.client.http
        begin = {"X-Goog-Upload-Protocol": "resumable", "X-Goog-Upload-Command": "start"}
        async with http.post("/upload/v1beta/files", json={"file": {"mimeType": "text/plain"}}, headers=begin) as response:
            address = response.headers["X-Goog-Upload-URL"]
        for offset, data, command, status in (
            ("0", b"one ", "upload", 200),
            ("9", b"two", "upload, finalize", 400),
            ("4", b"two", "upload, finalize", 200),
            ("7", b"three", "upload, finalize", 404),
        ):
            headers = {"X-Goog-Upload-Offset": offset, "X-Goog-Upload-Command": command}
            async with http.post(address, data=data, headers=headers) as response:
                assert response.status == status
                if status == 200 and "finalize" in command:
                    assert (await response.json())["file"]["sizeBytes"] == "7"


async def test_several_answers_are_several_runs(launch: Launch) -> None:
    async with launch(accounts=2) as live, openai_client(live) as client:
        prompt: Any = [{"role": "user", "content": "The weather in Oslo?"}]
        reply = await client.chat.completions.create(model=FLASH, messages=prompt, n=3, tools=TOOLS)
        assert [choice.index for choice in reply.choices] == [0, 1, 2]
        ids = {call.id for choice in reply.choices for call in choice.message.tool_calls or ()}
        assert len(ids) == len(live.site.log.generates) == 3
        prompt = [{"role": "user", "content": "[[sim text=heads frames=3]]"}]
        stream = await client.chat.completions.create(model=FLASH, messages=prompt, n=2, stream=True)
        said = ["", ""]
        async for chunk in stream:
            for choice in chunk.choices:
                said[choice.index] += choice.delta.content or ""
        assert said == ["heads", "heads"]


async def test_an_error_in_one_of_several_answers_ends_all(launch: Launch) -> None:
    async with launch(accounts=1) as live, openai_client(live) as client:
        prompt: Any = [{"role": "user", "content": "[[sim fault=1037]]"}]
        with pytest.raises(openai.RateLimitError):
            await client.chat.completions.create(model=FLASH, messages=prompt, n=3)
        await live.ready()
        assert all(account.in_flight == 0 for account in live.gateway.pool._accounts)


CORPUS = Path(__file__).parent.parent / "wire" / "corpus" / "answers.jsonl"


async def test_calls_of_all_kinds_survive_the_web(launch: Launch) -> None:
    """A sample of the corpus in tests/wire, through the site's frames, the library and the gateway, as streams."""
    cases = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()][::6]
    declared: Any = [
        {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
        for name in ("get_weather", "list_files", "search", "write_file", "run", "rm_rf")
    ]
    async with launch(settings={"plugins": {"structured_output": {"repairs": 0}}}) as live:
        for number, case in enumerate(cases):
            if not case["answer"].strip():
                continue
            prompt = scripted(case["answer"], frames=1 + number % 23)
            reply = await live.client.chat(prompt, stream=True, tools=declared)
            text, calls, error = _streamed(reply.body if isinstance(reply.body, list) else [reply.body])
            readable = [call for call in case["calls"] if call is not None]
            assert text == case["text"], case["name"]
            assert calls == readable[: len(calls)] and (error or calls == readable), case["name"]
            assert error == (None in case["calls"]), case["name"]


def _streamed(chunks: list[Any]) -> tuple[str, list[Any], bool]:
    text, names, arguments = "", [], []
    for chunk in chunks:
        for choice in chunk.get("choices", ()):
            text += choice["delta"].get("content") or ""
            for call in choice["delta"].get("tool_calls", ()):
                if "id" in call:
                    names.append(call["function"]["name"])
                    arguments.append("")
                arguments[call["index"]] += call["function"]["arguments"]
    calls = [[name, json.loads(said)] for name, said in zip(names, arguments, strict=True)]
    return text, calls, any("error" in chunk for chunk in chunks)


@pytest.mark.parametrize(("form", "base"), [("openai-chat", "/v1"), ("google-genai", "")])
async def test_the_public_conformance_suite_passes(launch: Launch, form: str, base: str) -> None:
    async with launch() as live:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "llm_comply.cli", "--json"),
            *("--format", form, "-u", live.url + base, "-k", KEY, "-m", FLASH),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
    assert process.returncode == 0, err
    summary = json.loads(out)["summary"]
    assert summary["failed"] == 0 and summary["passed"] >= 8
