"""Baseline: a bare aiohttp handler that parses the same JSON and answers the same bytes. `python -m benchmarks.bare`.
Prints {"url"}; `/whole` answers a chat completion, `/stream` the same text in 200 events. It runs on uvloop and reads and
writes JSON by orjson, as the gateway does; with `documented` it is what aiohttp's documentation shows, on asyncio's loop
and with the standard library's JSON."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import orjson
import uvloop
from aiohttp import web

DOCUMENTED = "documented" in sys.argv
ANSWER = {
    "id": "chatcmpl-0123456789abcdef",
    "object": "chat.completion",
    "created": 1_800_000_000,
    "model": "gemini-3.8-flash",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "Hello", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ],
    "usage": {
        "prompt_tokens": 1,
        "completion_tokens": 1,
        "total_tokens": 2,
        "completion_tokens_details": {"reasoning_tokens": 0},
    },
}
WHOLE = orjson.dumps(ANSWER)
PIECE = "twenty characters.. "
EVENTS = 200


def _chunk() -> bytes:
    choice = {"index": 0, "delta": {"content": PIECE}, "logprobs": None, "finish_reason": None}
    chunk = {
        "id": "chatcmpl-0123456789abcdef",
        "object": "chat.completion.chunk",
        "created": 1_800_000_000,
        "model": "gemini-3.8-flash",
        "choices": [choice],
    }
    return b"data: " + (json.dumps(chunk).encode() if DOCUMENTED else orjson.dumps(chunk)) + b"\n\n"


async def whole(request: web.Request) -> web.Response:
    """Parse, answer."""
    assert orjson.loads(await request.read())["messages"]
    return web.Response(body=orjson.dumps(orjson.loads(WHOLE)), content_type="application/json")


async def documented(request: web.Request) -> web.Response:
    """Parse, answer, as aiohttp's documentation does it."""
    assert (await request.json())["messages"]
    return web.json_response(ANSWER)


async def stream(request: web.Request) -> web.StreamResponse:
    """Parse, answer in events, each encoded and written on its own."""
    assert orjson.loads(await request.read())["messages"]
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for _ in range(EVENTS):
        await response.write(_chunk())
    await response.write_eof(b"data: [DONE]\n\n")
    return response


async def serve() -> None:
    """Run until SIGTERM."""
    app = web.Application()
    app.router.add_post("/whole", documented if DOCUMENTED else whole)
    app.router.add_post("/stream", stream)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    host, port = runner.addresses[0][:2]
    sys.stdout.write(json.dumps({"url": f"http://{host}:{port}"}) + "\n")
    sys.stdout.flush()
    await told.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve()) if DOCUMENTED else uvloop.run(serve())
