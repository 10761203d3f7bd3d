"""Calls are read out of what models write, and nothing of them is seen, wherever the answer was cut into pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.model import Event, TextDelta, Tool, ToolCall, ToolChoice, ToolUse
from gateway.wire import tool_calls
from gateway.wire.tool_calls import ToolCallReader
from tests.wire.corpus import make

CORPUS = Path(__file__).parent / "corpus" / "answers.jsonl"
ARGUMENTS = {
    "get_weather": ("city", "days", "unit", "detailed", "at"),
    "list_files": (),
    "search": ("query",),
    "write_file": ("path", "content"),
    "run": ("command", "options"),
}
TOOLS = tuple(
    Tool(name, "", {"type": "object", "properties": {argument: {} for argument in arguments}})
    for name, arguments in ARGUMENTS.items()
)
Seen = tuple[str, list[Any]]


def corpus(kind: str) -> Iterator[dict[str, Any]]:
    for line in CORPUS.read_text("utf-8").splitlines():
        if (case := json.loads(line))["kind"] == kind:
            yield case


def seen(pieces: Sequence[str], **options: Any) -> Seen:
    """The text that a caller sees, and the calls: (name, arguments), None for one that could not be read."""
    reader = ToolCallReader(TOOLS, seed="x", **options)
    events: list[Event] = []
    for piece in pieces:
        events += reader.feed(piece)
    events += reader.finish()
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    calls = [event for event in events if isinstance(event, ToolCall)]
    return text, [[call.name, json.loads(call.arguments)] if call.name else None for call in calls]


def test_the_corpus_is_the_one_that_its_maker_makes() -> None:
    kept = [json.loads(line) for line in CORPUS.read_text("utf-8").splitlines()]
    assert kept == json.loads(json.dumps(list(make.lines())))
    assert len(kept) >= 200


@pytest.mark.parametrize("kind", ["well-formed", "sloppy", "hostile"])
def test_every_call_is_recovered_and_none_of_it_leaks(kind: str) -> None:
    for case in corpus(kind):
        assert seen([case["answer"]]) == (case["text"], case["calls"]), case["name"]


@pytest.mark.parametrize("kind", ["well-formed", "sloppy", "hostile"])
def test_it_does_not_matter_where_an_answer_is_cut(kind: str) -> None:
    for case in corpus(kind):
        answer, expected = case["answer"], (case["text"], case["calls"])
        assert seen(list(answer)) == expected, case["name"]
        for at in range(1, len(answer)):
            assert seen([answer[:at], answer[at:]]) == expected, (case["name"], answer[max(0, at - 20) : at])


def test_text_before_a_call_leaves_at_once() -> None:
    reader = ToolCallReader(TOOLS, seed="x")
    for piece in ("Let me ", "look. Code: `x`,", " 1 < 2.\n\n"):
        assert reader.feed(piece) == [TextDelta(piece)]
    assert reader.feed("```") == []
    assert reader.feed("python\nx = 1\n") == [TextDelta("```python\nx = 1\n")]


def test_a_call_comes_as_soon_as_its_block_is_closed() -> None:
    reader = ToolCallReader(TOOLS, seed="x")
    assert reader.feed('```tool_call\n{"name": "search", "arguments": {"query": "a"}}\n') == []
    assert reader.feed("```") == [ToolCall("call_x0", "search", '{"query":"a"}', 0)]
    assert reader.feed('\n```tool_call\n{"name": "list_files", "arguments": {}}\n```') == [
        ToolCall("call_x1", "list_files", "{}", 1)
    ]


def test_only_one_call_is_taken_where_only_one_is_wanted() -> None:
    answer = "\n".join(make.fenced(make.whole(call)) for call in (make.BODIES["plain"], make.BODIES["nothing"]))
    assert seen([answer], parallel=False) == ("", [list(make.BODIES["plain"])])


@pytest.mark.parametrize("unit", ["```\n", "{", "<", "[{", '{"name": "', "&", "\\", "`", "```json\n", '"'])
def test_a_hostile_answer_costs_time_linear_in_its_size(unit: str) -> None:
    for opening in ("", "```tool_call\n", '```tool_call\n{"name": "search", "arguments": {"query": "'):
        answer = opening + unit * (60_000 // len(unit))
        pieces = [answer[at : at + 500] for at in range(0, len(answer), 500)]
        text, calls = seen(pieces)
        assert not text.startswith("```tool_call") and len(calls) <= 64


# --- what the model is told --------------------------------------------------------------------------------------


def test_the_model_is_told_of_every_tool_and_how_to_call_it() -> None:
    told = tool_calls.instructions(TOOLS, ToolChoice(), parallel=True)
    assert "```tool_call" in told
    assert all(f'"name":"{name}"' in told for name in ARGUMENTS)
    assert "several blocks" in told and "several blocks" not in tool_calls.instructions(TOOLS, ToolChoice(), parallel=False)


def test_the_choice_is_told_in_words() -> None:
    assert "must call a tool" in tool_calls.instructions(TOOLS, ToolChoice("required"))
    only = tool_calls.instructions(TOOLS, ToolChoice("required", frozenset(["search"])))
    assert "must call search" in only and '"name":"run"' not in only
    assert '"name"' not in tool_calls.instructions(TOOLS, ToolChoice("none"))
    assert tool_calls.instructions((), ToolChoice()) == ""


def test_an_earlier_call_is_shown_as_one_that_reads_back() -> None:
    shown = tool_calls.rendered(ToolUse("call_1", "search", '{"query": "a"}'))
    assert seen([shown]) == ("", [["search", {"query": "a"}]])
