"""Plays the steps of a generation: writes, waits, breaks off."""

import asyncio
from collections.abc import Iterable

from aiohttp import web

from gateway.simulator import script, trouble
from gateway.simulator.log import Entry
from gateway.simulator.visit import Visit

_CUT = ("truncate", "no_completion", "stall")
_PIECE = 65536


async def play(visit: Visit, response: web.StreamResponse, steps: Iterable[script.Step], pace: float) -> web.StreamResponse:
    """Play `steps` onto a reply whose headers are out, with `pace` seconds before each content frame."""
    out, metronome = _Out(visit.entry, response), _Metronome(pace)
    for step in steps:
        match step:
            case script.Send(data=data, content=content):
                if content and pace:
                    await out.flush()
                    await metronome.beat()
                await out.write(data)
            case script.Wait(seconds=seconds):
                await out.flush()
                await trouble.pause(seconds)
            case script.Reset() | script.BadChunk():
                await out.flush()
                return _break(visit, step)
    await out.end()
    visit.entry.end("cut" if visit.entry.fault in _CUT else "whole")
    return response


def _break(visit: Visit, step: script.Reset | script.BadChunk) -> web.Response:
    if isinstance(step, script.BadChunk) and (transport := visit.request.transport) is not None:
        transport.write(b"no chunk\r\n\r\n")
    return visit.drop(reset=isinstance(step, script.Reset))


class _Out:
    """Writes a streamed reply. What no pause separates goes out in one piece, which is several times cheaper."""

    def __init__(self, entry: Entry, response: web.StreamResponse) -> None:
        self._entry, self._response = entry, response
        self._held: list[bytes] = []
        self._size = 0

    async def write(self, data: bytes) -> None:
        self._held.append(data)
        self._size += len(data)
        if self._size >= _PIECE:
            await self.flush()

    async def flush(self) -> None:
        if self._held:
            await self._response.write(self._taken())

    async def end(self) -> None:
        await self._response.write_eof(self._taken())

    def _taken(self) -> bytes:
        data = b"".join(self._held)
        self._entry.sent += len(data)
        self._held.clear()
        self._size = 0
        return data


class _Metronome:
    """Paces frames against the clock, so that delays do not add up; one that fell behind does not rush."""

    def __init__(self, pace: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._pace = pace
        self._due = self._loop.time()

    async def beat(self) -> None:
        now = self._loop.time()
        self._due = max(self._due + self._pace, now)
        await asyncio.sleep(self._due - now)
