"""The gateway as a process of its own, for measuring: `python -m benchmarks.served SETTINGS.json`. Prints {"url"}."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import tempfile
from pathlib import Path

import uvloop

from benchmarks.processes import ROOT
from config.settings import Settings
from gateway.app import running
from gateway.testing import Script, ScriptedUpstream


async def serve(table: dict[str, object]) -> None:
    """Run until SIGTERM. `script` in the table (pieces of text) plays a scripted upstream instead of the real one."""
    script = table.pop("script", None)
    settings = Settings.model_validate(table)
    seam = {}
    if isinstance(script, list):
        upstream = ScriptedUpstream([Script(*script)])
        seam["upstream"] = lambda settings, folder: upstream
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    with tempfile.TemporaryDirectory() as folder:
        made = settings.model_copy(update={"state": settings.state.model_copy(update={"dir": Path(folder)})})
        async with running(made, ROOT, **seam) as gateway:
            while gateway.pool.why_not_ready() is not None and not told.is_set():
                await asyncio.sleep(0.02)
            sys.stdout.write(json.dumps({"url": gateway.url}) + "\n")
            sys.stdout.flush()
            await told.wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    uvloop.run(serve(json.loads(Path(sys.argv[1]).read_text())))
