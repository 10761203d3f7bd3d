"""Answers on cue: planned in the process or over the control API, each for the prompt that it fits."""

from __future__ import annotations

import pytest
from aiohttp import ClientSession
from curl_cffi.requests import AsyncSession, Response

from gateway.simulator import Simulator, Site
from gateway.simulator.lines import Line, LineBook

from .by_hand import ask


def test_lines_are_said_in_order_each_to_a_prompt_that_it_fits() -> None:
    book = LineBook()
    for line in (Line("first", "cat"), Line("always", "dog", times=None), Line("second", "cat")):
        book.plan(line)
    said = [book.take(prompt) for prompt in ("a dog", "a cat", "a dog", "a cat", "a cat", "a bird")]
    assert said == ["always", "first", "always", "second", None, None]
    book.clear()
    assert (len(book), book.take("a dog")) == (0, None)


def test_an_expression_that_cannot_be_read_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="no regular expression"):
        Line("x", "(")


async def test_lines_are_planned_over_the_control_api(
    sim: Simulator, session: AsyncSession[Response], site: Site
) -> None:
    async with ClientSession(sim.proxy_url) as control:
        async with control.post("/_sim/line", json={"text": "On cue.", "match": "weather"}) as reply:
            assert (reply.status, await reply.json()) == (200, {"planned": 1})
        assert "On cue." not in (await ask(session, site.account("a"), "hi")).text
        assert "On cue." in (await ask(session, site.account("a"), "the weather?")).text
        assert "On cue." not in (await ask(session, site.account("a"), "the weather?")).text
        async with control.post("/_sim/line", json={"text": "x", "mtach": "y"}) as reply:
            assert reply.status == 400
        site.line("again")
        async with control.delete("/_sim/lines") as reply:
            assert await reply.json() == {"planned": 0}
