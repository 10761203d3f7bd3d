"""Starts the processes that are measured, and reads what they cost."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


@dataclass(slots=True)
class Child:
    """A started process and the JSON line that it printed when ready."""

    process: asyncio.subprocess.Process
    ready: dict[str, Any]

    def cpu_s(self) -> float:
        """CPU seconds that all its threads have used; nanosecond counters of the kernel."""
        total = 0
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
        return total / 1e9

    def loop_s(self) -> float:
        """CPU seconds of its first thread, in which the event loop runs."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9

    def rss_mb(self) -> float:
        """Resident memory in MB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1000
        raise RuntimeError("no VmRSS")


@asynccontextmanager
async def served(settings: Path) -> AsyncIterator[Child]:
    """The gateway (benchmarks/served.py), as `make run`, the image and the systemd unit start it."""
    async with started(["-m", "benchmarks.served", str(settings)], {"PYTHONMALLOC": "malloc"}) as child:
        yield child


@asynccontextmanager
async def started(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> AsyncIterator[Child]:
    """`python ARGUMENTS` with `environment` on top of ours, once it has printed its JSON line; ended with SIGTERM."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        cwd=ROOT,
        env={**os.environ, **(environment or {})},
    )
    assert process.stdout is not None
    try:
        line = await asyncio.wait_for(process.stdout.readline(), 30)
        yield Child(process, json.loads(line))
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
