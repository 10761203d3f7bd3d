"""Chat from an OpenAI or Gemini client, through the real library, from the offline site."""

from __future__ import annotations

import asyncio
import base64
import html
import os
from pathlib import Path

import orjson
import pytest

from gateway.simulator import filler
from tests.functional.conftest import KEY, Launch

GEMINI = "/gemini/v1beta/models/gemini-2.5-flash"


@pytest.mark.parametrize("charset", ["ascii", "cjk", "emoji"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_an_answer_arrives_to_the_character(launch: Launch, charset: str, stream: bool) -> None:
    async with launch() as live:
        reply = await live.client.chat(f"[[sim chars=3000 frames=60 charset={charset}]]", stream=stream)
        assert reply.text == filler(3000, charset)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_markup_and_entities_arrive_as_the_model_wrote_them(launch: Launch, stream: bool) -> None:
    text = 'if (a < b && c > d) { return "&amp;"; } <b>bold</b> &lt;literal&gt; \\*not bold\\*\n```py\nx = 1\n```\n'
    async with launch() as live:
        prompt = f"[[sim b64={base64.b64encode(text.encode()).decode()} frames=40]]"
        assert (await live.client.chat(prompt, stream=stream)).text == text


@pytest.mark.parametrize("trick", ["flicker", "rewrite"])
async def test_what_the_site_takes_back_is_not_lost_or_repeated(launch: Launch, trick: str) -> None:
    async with launch() as live:
        prompt = f'[[sim {trick} text="one two three four five six seven eight nine ten eleven twelve" frames=12]]'
        whole = (await live.client.chat(prompt)).text
        streamed = (await live.client.chat(prompt, stream=True)).text
        assert whole == "one two three four five six seven eight nine ten eleven twelve"
        words = streamed.split()
        assert words[-6:] == whole.split()[-6:]
        assert len(words) <= len(whole.split()) + 2


async def test_each_piece_leaves_when_it_arrives(launch: Launch) -> None:
    async with launch() as live:
        body = {
            "model": "gemini-2.5-flash",
            "stream": True,
            "messages": [{"role": "user", "content": "[[sim chars=200 frames=10 pace_ms=60]]"}],
        }
        loop = asyncio.get_running_loop()
        times = []
        async with live.client.http.post("/v1/chat/completions", json=body) as response:
            async for line in response.content:
                if b'"content":"' in line and b'"content":""' not in line:
                    times.append(loop.time())
        assert len(times) == 10
        assert times[-1] - times[0] > 0.4


async def test_thoughts_come_apart_from_the_answer(launch: Launch) -> None:
    async with launch() as live:
        prompt = "[[sim thoughts=300 text=answer]]"
        whole = await live.client.chat(prompt)
        message = whole.body["choices"][0]["message"]
        assert message["content"] == "answer"
        assert message["reasoning_content"] == filler(300, "ascii")
        streamed = await live.client.chat(prompt, stream=True)
        deltas = [chunk["choices"][0]["delta"] for chunk in streamed.body]
        assert "".join(delta.get("reasoning_content", "") for delta in deltas) == filler(300, "ascii")
        assert streamed.text == "answer"


async def test_a_whole_conversation_reaches_the_model(launch: Launch) -> None:
    async with launch() as live:
        body = {
            "model": "gemini-2.5-pro",
            "messages": [
                {"role": "system", "content": "Answer like a pirate."},
                {"role": "user", "content": "My name is Ada."},
                {"role": "assistant", "content": "Ahoy Ada!"},
                {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "my name?"}]},
            ],
        }
        async with live.client.http.post("/v1/chat/completions", json=body) as response:
            assert response.status == 200
        prompt = live.site.log.generates[-1].prompt
        for said in ("Answer like a pirate.", "My name is Ada.", "Ahoy Ada!", "What is\nmy name?"):
            assert said in prompt
        assert prompt.index("Ada.") < prompt.index("Ahoy") < prompt.index("my name?")


async def test_a_prompt_beyond_the_form_goes_as_an_attached_file(launch: Launch) -> None:
    async with launch() as live:
        text = "A line of a long report.\n" * 8000
        reply = await live.client.chat(text + "[[sim text=read]]")
        assert (reply.status, reply.text) == (200, "read")
        entry = live.site.log.generates[-1]
        assert len(entry.prompt.encode()) < 130_000
        (file,) = entry.files
        assert (file.name, file.uploaded_name, file.type) == ("conversation.txt", "conversation.txt", "text/plain")
        assert file.size == len(text + "[[sim text=read]]")


async def test_a_conversation_beyond_the_window_is_refused_and_never_cut(launch: Launch) -> None:
    async with launch() as live:
        live.site.account("a").tier = "free"
        live.gateway.keeper.sign_in(live.gateway.pool.accounts[0])
        await live.ready()
        reply = await live.client.chat("word " * 60_000)
        assert reply.status == 400
        assert reply.body["error"]["code"] == "context_length_exceeded"
        assert not live.site.log.generates


@pytest.mark.parametrize(("chat", "temporary", "left"), [("temporary", True, 0), ("keep", False, 1), ("delete", False, 0)])
async def test_chats_leave_the_trace_that_is_configured(launch: Launch, chat: str, temporary: bool, left: int) -> None:
    async with launch(settings={"gateway": {"chat": chat}, "upstream": {"activity_ping": "off"}}) as live:
        assert (await live.client.chat("hello")).status == 200
        assert live.site.log.generates[-1].temporary is temporary
        if chat == "delete":
            await live.site.log.wait(lambda entry: "GzXR5e" in entry.rpcs)
            await live.site.log.wait(lambda entry: "qWymEb" in entry.rpcs)
        assert len(live.site.chats(live.site.account("a"))) == left


@pytest.mark.parametrize(("effort", "extended"), [("low", False), ("high", True)])
async def test_reasoning_effort_chooses_the_thinking(launch: Launch, effort: str, extended: bool) -> None:
    async with launch() as live:
        await live.client.chat("hello", reasoning_effort=effort)
        assert live.site.log.generates[-1].thinking is extended


@pytest.mark.parametrize(
    ("asked", "category"),
    [
        ("gemini-2.5-flash", "Flash"),
        ("gemini-3-flash-preview", "Flash"),
        ("gemini-2.5-pro", "Pro"),
        ("gemini-3.0-pro", "Pro"),
        ("gemini-3.8-flash", "Flash"),
        ("gemini-3.5-flash-lite", "Flash-Lite"),
        ("models/gemini-3.1-pro-preview", "Pro"),
    ],
)
async def test_a_model_name_means_its_family_and_nothing_less(launch: Launch, asked: str, category: str) -> None:
    async with launch() as live:
        reply = await live.client.chat("hello", model=asked)
        assert reply.status == 200
        assert live.site.log.generates[-1].model == category
        assert reply.headers["x-gateway-model"] == reply.body["model"]


async def test_a_downgrade_is_told_and_refused_where_strict(launch: Launch) -> None:
    async with launch() as live:
        reply = await live.client.chat("[[sim downgrade=Flash-Lite]] hello", model="gemini-2.5-pro")
        assert reply.status == 200
        assert reply.headers["x-gateway-model"] == "gemini-3.5-flash-lite"
    async with launch(settings={"gateway": {"strict_models": True}}) as live:
        reply = await live.client.chat("[[sim downgrade=Flash-Lite]] hello", model="gemini-2.5-pro", stream=True)
        assert reply.status == 429


async def test_a_dead_cookie_is_noticed_before_the_first_word_and_another_account_answers(launch: Launch) -> None:
    async with launch(accounts=2) as live:
        live.site.account("a").expired = True
        reply = await live.client.chat("[[sim text=saved]]", model="gemini-2.5-pro", stream=True)
        assert (reply.status, reply.text) == (200, "saved")
        assert reply.headers["x-gateway-model"] == "gemini-3.1-pro"
        await live.ready()
        view = live.gateway.pool.views()[0]
        assert view.state == "expired"
        assert "signed out" in view.reason


async def test_stop_words_and_max_tokens_are_enforced_here(launch: Launch) -> None:
    async with launch() as live:
        prompt = '[[sim text="one two STOP three" frames=18]]'
        for stream in (True, False):
            reply = await live.client.chat(prompt, stop=["STOP"], stream=stream)
            assert reply.text == "one two "
            last = reply.body[-1] if stream else reply.body
            assert last["choices"][0]["finish_reason"] == "stop"
            reply = await live.client.chat("[[sim chars=4000 frames=50]]", max_tokens=10, stream=stream)
            assert reply.text == "The quick brown fox jumps over the lazy dog while "  # ten, by a real tokenizer too
            last = reply.body[-1] if stream else reply.body
            assert last["choices"][0]["finish_reason"] == "length"


async def test_what_cannot_be_honoured_is_named(launch: Launch) -> None:
    async with launch() as live:
        reply = await live.client.chat("hello", temperature=0.2, seed=7)
        assert reply.headers["x-gateway-ignored"] == "temperature, seed"


async def test_usage_comes_only_when_asked_for_and_last(launch: Launch) -> None:
    async with launch() as live:
        without = await live.client.chat("hello", stream=True)
        assert all("usage" not in chunk for chunk in without.body)
        asked = await live.client.chat("hello", stream=True, stream_options={"include_usage": True})
        assert asked.body[-1]["choices"] == []
        assert asked.body[-1]["usage"]["total_tokens"] > 0


async def test_a_long_silence_is_kept_alive_in_each_dialects_way(launch: Launch) -> None:
    async with launch(settings={"server": {"ping_s": 0.1}}) as live:
        prompt = "[[sim think_ms=600 text=done]]"
        body: dict[str, object] = {"model": "gemini-2.5-flash", "stream": True}
        body["messages"] = [{"role": "user", "content": prompt}]
        async with live.client.http.post("/v1/chat/completions", json=body) as response:
            lines = (await response.read()).split(b"\n")
        assert lines.count(b": keep-alive") >= 3
        assert b"data: [DONE]" in lines
        contents = {"contents": [{"parts": [{"text": prompt}]}]}
        async with live.client.http.post(f"{GEMINI}:streamGenerateContent?alt=sse", json=contents) as response:
            lines = [line for line in (await response.read()).split(b"\n") if line]
        assert all(line.startswith(b"data: {") for line in lines)
        parts = [orjson.loads(line[6:])["candidates"][0]["content"]["parts"][0]["text"] for line in lines]
        assert parts.count("") >= 4
        assert "".join(parts) == "done"


@pytest.mark.parametrize("prefix", ["/gemini/v1beta", "/gemini/v1", "/v1beta", "/v1"])
async def test_gemini_is_served_at_all_its_addresses(launch: Launch, prefix: str) -> None:
    async with launch() as live:
        http = live.client.http
        body = {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "[[sim text=hello frames=3 thoughts=20]]"}]}],
            "generationConfig": {"thinkingConfig": {"includeThoughts": True, "thinkingLevel": "HIGH"}, "temperature": 1},
        }
        url = f"{prefix}/models/gemini-2.5-flash"
        async with http.post(f"{url}:generateContent", json=body) as response:
            whole = orjson.loads(await response.read())
            assert response.headers["x-gateway-ignored"] == "temperature"
        parts = whole["candidates"][0]["content"]["parts"]
        assert parts[0].pop("thoughtSignature")
        assert parts == [{"text": filler(20, "ascii"), "thought": True}, {"text": "hello"}]
        assert whole["candidates"][0]["finishReason"] == "STOP"
        assert whole["modelVersion"] == "gemini-3.8-flash"
        async with http.post(f"{url}:streamGenerateContent", json=body) as response:
            assert response.content_type == "application/json"
            chunks = orjson.loads(await response.read())
        parts = [part for chunk in chunks for part in chunk["candidates"][0]["content"]["parts"]]
        assert "".join(part["text"] for part in parts if "thought" not in part) == "hello"
        async with http.post(f"{url}:streamGenerateContent?alt=sse&key={KEY}", json=body) as response:
            assert response.content_type == "text/event-stream"
        async with http.get(f"{prefix}/models", params={"key": KEY, "pageSize": "3"}) as response:
            page = orjson.loads(await response.read())
        assert len(page["models"]) == 3
        assert page["nextPageToken"]
        async with http.get(url, headers={"x-goog-api-key": KEY}) as response:
            assert orjson.loads(await response.read())["name"] == "models/gemini-2.5-flash"


async def test_a_picture_in_the_question_is_uploaded_with_its_type(launch: Launch) -> None:
    png = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII=")
    async with launch() as live:
        content = [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(png).decode()}},
        ]
        body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": content}]}
        async with live.client.http.post("/v1/chat/completions", json=body) as response:
            assert response.status == 200
        (file,) = live.site.log.generates[-1].files
        assert (file.name, file.uploaded_name, file.type, file.size) == ("file-1.png", "file-1.png", "image/png", len(png))


async def test_the_simplest_call_works(launch: Launch) -> None:
    body = {"prompt": "[[sim text=hi]]", "model": "gemini-2.5-pro"}
    async with launch() as live, live.client.http.post("/v1/generate", json=body) as response:
        assert orjson.loads(await response.read()) == {"text": "hi", "model": "gemini-3.1-pro"}


async def test_nothing_of_the_cookies_reaches_a_disk_or_a_log(
    launch: Launch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    caplog.set_level("DEBUG")
    async with launch(accounts=2) as live:
        await live.client.chat("my secret question", stream=True)
        await live.client.chat("[[sim fault=500]] my secret question")
        secrets = [value for account in live.site.accounts for value in account.cookies.values()]
        async with live.client.http.get("/metrics") as response:
            shown = await response.text()
        async with live.client.http.get("/api/accounts") as response:
            shown += await response.text()
    captured = capfd.readouterr()
    texts = [shown, caplog.text, captured.out, captured.err, *everything_below(tmp_path)]
    assert not everything_below(Path(os.environ["GEMINI_COOKIE_PATH"]))
    for text in texts:
        for secret in (*secrets, *map(html.escape, secrets), KEY, "my secret question"):
            assert secret not in text


def everything_below(folder: Path) -> list[str]:
    """Names and contents of all files."""
    paths = list(folder.rglob("*"))
    return [str(path) for path in paths] + [path.read_text("latin-1") for path in paths if path.is_file()]
