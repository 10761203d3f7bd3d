"""What is special about picture calls, with plugins and a scripted upstream."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

from gateway.errors import ContentRefused, UpstreamUnavailable
from gateway.hookspecs import Generate, hookimpl
from gateway.model import Call, Event, Image, ImageReady, Outcome
from gateway.testing import Client, Script, make_client

PICTURE = ImageReady(Image(b"\x89PNG\r\n\x1a\n", "image/png", 1024, 1024))


async def ask(client: Client, **body: Any) -> tuple[int, dict[str, Any]]:
    async with client.http.post("/v1/images/generations", json={"prompt": "a boat", **body}) as response:
        return response.status, await response.json()


class Cleaner:
    """Marks every picture, and looks whether the account is still held meanwhile."""

    def __init__(self) -> None:
        self.client: Client | None = None
        self.held: list[int] = []

    @hookimpl
    async def process_image(self, image: Image, call: Call) -> Image:
        assert self.client is not None
        self.held += [view.in_flight for view in self.client.gateway.pool.views()]
        return Image(image.data + b"cleaned", image.mime, image.width, image.height, watermark="removed")


class Broken:
    @hookimpl
    async def process_image(self, image: Image, call: Call) -> Image:
        raise RuntimeError("no")

    @hookimpl
    async def store_image(self, image: Image, call: Call) -> str | None:
        raise RuntimeError("no")


class Watcher:
    """Tells when `wanted` generations have begun, when so many pieces have come of them, and when a request is over."""

    def __init__(self, wanted: int) -> None:
        self._left = self._silent = wanted
        self.begun, self.said, self.over = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.outcome: Outcome | None = None

    @hookimpl
    async def wrap_generate(self, call: Call, generate: Generate) -> AsyncIterator[Event]:
        self._left -= 1
        if self._left == 0:
            self.begun.set()
        async for event in generate(call):
            yield event
            self._silent -= 1
            if self._silent == 0:
                self.said.set()

    @hookimpl
    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        self.outcome = outcome
        self.over.set()


class Store:
    def __init__(self) -> None:
        self.kept: list[Image] = []

    @hookimpl
    async def store_image(self, image: Image, call: Call) -> str | None:
        self.kept.append(image)
        return "https://store/x.png"


async def test_a_picture_is_cleaned_and_stored_when_the_account_is_free_again() -> None:
    cleaner, store = Cleaner(), Store()
    async with make_client(plugins=[("cleaner", cleaner), ("store", store)], script=[Script(PICTURE)]) as client:
        cleaner.client = client
        _, body = await ask(client, response_format="url")
        assert body["data"][0]["url"] == "https://store/x.png"
        assert body["data"][0]["gateway"]["watermark"] == "removed"
        assert store.kept[0].data.endswith(b"cleaned") and cleaner.held == [0]
        streamed = await client.chat("a boat", stream=True)
        assert "![image](https://store/x.png)" in streamed.text


async def test_a_plugin_that_fails_costs_nobody_the_picture() -> None:
    store = Store()
    async with make_client(plugins=[("broken", Broken()), ("store", store)], script=[Script(PICTURE)]) as client:
        status, body = await ask(client, response_format="url")
        assert status == 200 and body["data"][0]["b64_json"]
        warnings = body["data"][0]["gateway"]["warnings"]
        assert warnings[0].startswith("broken was skipped") and warnings[1].startswith("broken could not store it")
        assert store.kept == []


async def test_nothing_is_stored_where_bytes_are_wanted() -> None:
    store = Store()
    async with make_client(plugins=[("store", store)], script=[Script(PICTURE)]) as client:
        await ask(client)
        path = "/v1beta/models/gemini-2.5-flash-image:generateContent"
        async with client.http.post(path, json={"contents": [{"parts": [{"text": "a boat"}]}]}) as response:
            parts = (await response.json())["candidates"][0]["content"]["parts"]
        assert "inlineData" in parts[-1] and store.kept == []


async def test_several_pictures_are_made_at_the_same_time() -> None:
    gate, watcher = asyncio.Event(), Watcher(3)
    async with make_client(plugins=[("watcher", watcher)], script=[Script(gate, PICTURE)], accounts=3) as client:
        asked = asyncio.create_task(ask(client, n=3))
        await watcher.begun.wait()
        gate.set()
        status, body = await asked
        assert status == 200 and len(body["data"]) == 3
        assert {account for account, _ in client.upstream.asked} == {"a", "b", "c"}


async def test_a_caller_who_leaves_ends_all_of_them() -> None:
    never, watcher = asyncio.Event(), Watcher(3)
    async with make_client(plugins=[("watcher", watcher)], script=[Script(never, PICTURE)], accounts=3) as client:
        asked = asyncio.create_task(ask(client, n=3))
        await watcher.begun.wait()
        asked.cancel()
        await watcher.over.wait()
        assert sum(view.in_flight for view in client.gateway.pool.views()) == 0


async def test_only_some_pictures_are_a_warning_and_none_is_an_error() -> None:
    refused, gone = Script(ContentRefused("no people")), Script(UpstreamUnavailable("down"))
    async with make_client(script=[Script(PICTURE), refused, gone]) as client:
        status, body = await ask(client, n=3)
        assert (status, len(body["data"])) == (200, 1)
        assert body["warnings"][0].startswith("2 of 3 pictures failed")
        status, body = await ask(client, n=2)
        assert (status, body["error"]["message"]) == (502, "down")


async def test_a_refusal_is_an_error_for_pictures_and_an_answer_in_chats() -> None:
    async with make_client(script=[Script(ContentRefused("no people"))]) as client:
        status, body = await ask(client)
        assert (status, body["error"]["code"], body["error"]["message"]) == (400, "content_filter", "no people")
        chat = await client.chat("a boat", model="gemini-2.5-flash-image")
        assert (chat.status, chat.body["choices"][0]["finish_reason"]) == (200, "content_filter")


async def test_a_picture_model_may_answer_with_words_in_a_chat() -> None:
    async with make_client(script=[Script("just words")]) as client:
        assert (await client.chat("hello", model="gemini-2.5-flash-image")).text == "just words"
        assert len(client.upstream.asked) == 1


async def test_too_many_large_requests_at_once_are_told_to_come_back() -> None:
    gate, watcher = asyncio.Event(), Watcher(1)
    settings = {"server": {"max_held_mb": 1.5}}
    plugins = [("watcher", watcher)]
    async with make_client(plugins=plugins, script=[Script(gate, "ok")], settings=settings) as client:
        large = "x" * 1_020_000
        first = asyncio.create_task(client.chat(large))
        await watcher.begun.wait()
        second = await client.chat(large)
        assert (second.status, second.headers["Retry-After"]) == (503, "5")
        gate.set()
        assert (await first).status == 200
        assert (await client.chat(large)).status == 200


async def test_who_leaves_before_several_pictures_come_has_used_what_came_of_them() -> None:
    watcher = Watcher(2)
    plugins, script = [("watcher", watcher)], [Script("Well, ", asyncio.Event())]
    async with make_client(plugins=plugins, script=script, accounts=2) as client:
        asked = asyncio.create_task(ask(client, n=2))
        await watcher.said.wait()
        asked.cancel()
        await watcher.over.wait()
    assert watcher.outcome is not None and watcher.outcome.error == "ClientLeft"
    assert watcher.outcome.usage.output > 1


async def test_a_small_request_that_does_not_say_its_size_holds_what_it_has() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b'{"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": "hi"}]}'

    gate, watcher = asyncio.Event(), Watcher(1)
    settings, json = {"server": {"max_held_mb": 40}}, {"Content-Type": "application/json"}
    script, plugins = [Script(gate, "ok"), Script("ok")], [("watcher", watcher)]
    async with make_client(plugins=plugins, script=script, accounts=2, settings=settings) as client:
        first = asyncio.create_task(client.http.post("/v1/chat/completions", data=body(), headers=json))
        await watcher.begun.wait()
        assert (await client.http.post("/v1/chat/completions", data=body(), headers=json)).status == 200
        gate.set()
        assert (await first).status == 200


async def test_a_large_reply_is_whole_and_who_leaves_in_the_middle_of_it_holds_nothing() -> None:
    large = Image(bytes(range(256)) * 80_000, "image/png", 1024, 1024)
    watcher = Watcher(1)
    async with make_client(plugins=[("watcher", watcher)], script=[Script(ImageReady(large))]) as client:
        status, body = await ask(client)
        assert (status, base64.b64decode(body["data"][0]["b64_json"])) == (200, large.data)
        await watcher.over.wait()
        watcher.over.clear()
        response = await client.http.post("/v1/images/generations", json={"prompt": "a boat"})
        assert response.status == 200 and int(response.headers["Content-Length"]) > 27_000_000
        await response.content.readexactly(1000)
        response.close()
        await watcher.over.wait()
        assert watcher.outcome is not None and watcher.outcome.error == "ClientLeft"
        assert (await client.chat("hello")).status == 200
