"""Baseline: the unmodified library called directly. `python -m benchmarks.direct PROXY CA PSID PSIDTS`; reads a JSON line
{"prompt", "count", "parallel"} at a time from stdin and answers {"cpu_s"}."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time

import uvloop
from gemini_webapi import GeminiClient
from loguru import logger


async def main(proxy: str, ca: str, psid: str, psidts: str) -> None:
    client = GeminiClient(psid, psidts, proxy=proxy, verify=ca)
    await client.init(auto_refresh=False)
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        job = json.loads(line)
        begun = time.process_time()
        gate = asyncio.Semaphore(job["parallel"])

        async def one(prompt: str = job["prompt"], gate: asyncio.Semaphore = gate) -> None:
            async with gate:
                async for _ in client.generate_content_stream(prompt, temporary=True):
                    pass

        await asyncio.gather(*(one() for _ in range(job["count"])))
        sys.stdout.write(json.dumps({"cpu_s": time.process_time() - begun}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    logger.remove()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GEMINI_COOKIE_PATH"] = folder
        uvloop.run(main(*sys.argv[1:5]))
