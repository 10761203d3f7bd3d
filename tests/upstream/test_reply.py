"""The web's answer, read: any cut of the network gives the same text, to the character, at a cost linear in the bytes."""

from __future__ import annotations

import html
import itertools

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UpstreamChanged
from gateway.model import TextDelta, ThoughtDelta
from gateway.upstream.reply import FrameReader, Growing, ReplyReader, units

PREFIX = ")]}'\n\n"
prose = st.text(alphabet=st.sampled_from("ab <>&;\"'\n`\\*[]{}0123你好🎉👩‍🚀é"), max_size=120)


def frame(part: object) -> str:
    body = orjson.dumps([part]).decode()
    return f"{units(body) + 2}\n{body}\n"


def answer(text: str, *, thoughts: str = "", done: bool = False) -> str:
    """One cumulative frame of the site, text in its escaped form."""
    candidate: list[object] = ["rc_1", [html.escape(text, quote=False)], *[None] * 6, [2 if done else 1], *[None] * 28]
    candidate.append([[html.escape(thoughts, quote=False)]])
    inner = [None, ["c_1", "r_1"], None, None, [candidate]]
    return frame(["wrb.fr", None, orjson.dumps(inner).decode()])


def read(stream: str, cuts: list[int], *, hold: bool = False) -> tuple[str, str]:
    """The text and the thoughts that come out of `stream` when the network cuts it at `cuts`."""
    reader = ReplyReader(hold=hold)
    text = thoughts = ""
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    for begin, end in itertools.pairwise(edges):
        reader.feed(stream[begin:end])
        for event in reader.take():
            match event:
                case TextDelta(piece):
                    text += piece
                case ThoughtDelta(piece):
                    thoughts += piece
    reader.finish()
    for event in reader.take():
        text += event.text if isinstance(event, TextDelta) else ""
    return text, thoughts


@given(prose, prose, st.lists(st.integers(0, 10_000), max_size=12), st.lists(st.integers(1, 40), max_size=8), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_cut_of_the_network_changes_the_answer(
    text: str, thoughts: str, cuts: list[int], steps: list[int], hold: bool
) -> None:
    stream = PREFIX
    for step in steps:
        stream += answer(text[: step * 3], thoughts=thoughts[: step * 3])
    stream += answer(text, thoughts=thoughts, done=True)
    assert read(stream, cuts, hold=hold) == (text, thoughts)


@given(st.text(max_size=2000), st.lists(st.integers(0, 5000), max_size=6))
@settings(max_examples=200, deadline=None)
def test_no_garbage_of_the_network_is_an_exception_of_its_own(noise: str, cuts: list[int]) -> None:
    try:
        read(noise, cuts)
    except UpstreamChanged:
        return


def test_a_length_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(UpstreamChanged):
        FrameReader().feed(PREFIX + "999999999\n[")


def test_a_garbage_frame_is_skipped_and_what_follows_is_read() -> None:
    stream = PREFIX + '12\n{"garbage": \n' + answer("the answer", done=True)
    assert read(stream, [])[0] == "the answer"


def test_an_error_after_a_complete_answer_is_no_error() -> None:
    reader = ReplyReader()
    reader.feed(PREFIX + answer("whole", done=True))
    reader.feed(frame(["wrb.fr", None, None, None, None, [3, None, [["t", [1096]]]]]))
    assert reader.complete and reader.error_code is None


def test_an_error_before_the_end_is_reported() -> None:
    reader = ReplyReader()
    reader.feed(PREFIX + frame(["wrb.fr", None, None, None, None, [3, None, [["t", [1037]]]]]))
    assert reader.error_code == [1037] and not reader.complete


@given(st.lists(prose, min_size=1, max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_text_that_is_taken_back_is_neither_lost_at_its_end_nor_repeated_whole(versions: list[str]) -> None:
    growing = Growing()
    told = "".join(growing.advance(version, final=False) for version in versions)
    final = versions[-1] + " and this is how it really ends."
    told += growing.advance(final, final=True)
    assert told.endswith(html.unescape(final)[-20:])
    assert len(told) <= sum(map(len, versions)) + len(final)
