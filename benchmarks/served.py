"""The gateway as a process of its own, for measuring: `python -m benchmarks.served SETTINGS.json`. Prints {"url"}."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.beat import Beat, Steps
from benchmarks.processes import ROOT
from config.settings import Settings
from gateway.allocator import keep_what_is_there, return_large_blocks
from gateway.app import running
from gateway.http.boundary import request_id
from gateway.logs import log_to_stderr
from gateway.testing import Script, ScriptedUpstream
from gateway.threads import hand_over_soon
from gateway.upstream.gemini_web import GeminiWeb


async def serve(table: dict[str, object]) -> None:
    """Run until SIGTERM. `script` in the table (pieces of text) plays a scripted upstream instead of the real one. With
    `beat`, each byte on stdin is answered with what the loop's beat saw since the last ("sample": and where it stood;
    "steps": how long the steps of the standard library's loop were)."""
    # The simulator's CA alone, as the baseline has it: the usual bundle costs each connection 0.7 MB and 6 ms, theirs too.
    script, beat = table.pop("script", None), table.pop("beat", None)
    settings = Settings.model_validate(table)
    seam: dict[str, Any] = {"upstream": lambda settings, folder: GeminiWeb(settings, folder, simulated=True)}
    if isinstance(script, list):
        upstream = ScriptedUpstream([Script(*script)])
        upstream.asked = deque(maxlen=1)  # whoever serves for hours keeps no call
        seam["upstream"] = lambda settings, folder: upstream
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    with tempfile.TemporaryDirectory() as folder:
        made = settings.model_copy(update={"state": settings.state.model_copy(update={"dir": Path(folder)})})
        async with running(made, ROOT, **seam) as gateway:
            while gateway.pool.why_not_ready() is not None and not told.is_set():
                await asyncio.sleep(0.02)
            keep_what_is_there()  # as gateway.serving does
            sys.stdout.write(json.dumps({"url": gateway.url}) + "\n")
            sys.stdout.flush()
            if beat:
                _tell_beats(sample=beat == "sample", steps=beat == "steps")
            await told.wait()


def _tell_beats(*, sample: bool, steps: bool) -> None:
    measures: list[Beat | Steps] = [Steps() if steps else Beat(sample=sample)]

    def tell() -> None:
        if os.read(sys.stdin.fileno(), 1):
            sys.stdout.write(json.dumps(measures[0].result()) + "\n")
            sys.stdout.flush()
            if not steps:
                measures[0] = Beat(sample=sample)

    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), tell)


if __name__ == "__main__":
    log_to_stderr(request_id.get)
    return_large_blocks()
    hand_over_soon()
    table = json.loads(Path(sys.argv[1]).read_text())
    run = asyncio.run if table.get("beat") == "steps" else uvloop.run
    run(serve(table))
