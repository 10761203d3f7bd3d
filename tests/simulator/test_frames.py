"""Frames against recorded markers and against the client library's own parser."""

import html

import orjson
import pytest
from gemini_webapi.utils import StreamingFrameParser, extract_json_from_response, get_nested_value
from hypothesis import given
from hypothesis import strategies as st

from gateway.simulator import frames

RECORDED = (
    '[["wrb.fr",null,null,null,null,[13,null,[["type.googleapis.com/assistant.boq.bard.application.BardErrorInfo",'
    "[1096]]]]]]"
)


def test_an_error_frame_is_the_recorded_one_with_its_recorded_length() -> None:
    assert frames.error(1096) == f"122\n{RECORDED}\n".encode()


def test_the_last_frame_has_its_recorded_length() -> None:
    assert frames.tail(131, milliseconds=191, trace="1").split(b"\n")[2] == b"25"


@pytest.mark.parametrize(
    ("text", "units"), [("abc", 3), ("é", 1), ("天地", 2), ("😀", 2), ("a😀b", 4), ("", 0), ("👨‍👩‍👧", 8)]
)
def test_lengths_count_utf16_units(text: str, units: int) -> None:
    assert frames.utf16_units(text.encode()) == units


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=6), st.booleans())
def test_cumulative_frames_say_what_single_frames_would(texts: list[str], grows: bool) -> None:
    if grows:
        texts = ["".join(texts[: n + 1]) for n in range(len(texts))]
    ids, model = ("c_1", "r_1"), ("hash", "3.8 Flash")
    series = frames.Cumulative(ids, "rc_1", model=model, thinks=True)
    for text in texts:
        record = frames.candidate("rc_1", text=text, thoughts="t" + text)
        assert series.frame(text, "t" + text) == frames.part(frames.turn(ids, [record], model=model))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=40), max_size=5))
def test_the_library_reads_every_frame_whatever_the_text(texts: list[str]) -> None:
    stream = frames.PREFIX + b"".join(frames.part([None, ["c", "r"], [text]]) for text in texts)
    parts = StreamingFrameParser().feed(stream.decode())
    assert [orjson.loads(part[2])[2][0] for part in parts] == texts


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_escaped_text_comes_back_by_unescaping(text: str) -> None:
    escaped = frames.escape_html(text)
    assert "<" not in escaped and ">" not in escaped
    assert html.unescape(escaped) == text


def test_quotes_are_left_as_they_are() -> None:
    assert frames.escape_html("\"a\" < 'b' & c") == "\"a\" &lt; 'b' &amp; c"


def test_the_fields_of_a_candidate_stand_where_the_library_looks() -> None:
    record = frames.candidate("rc_1", text="hi", thoughts="hm", complete=True, rich=[None, "web"])
    assert (record[0], record[1][0], record[8][0], record[12], record[37][0][0]) == (
        "rc_1", "hi", 2, [None, "web"], "hm",
    )  # fmt: skip


@pytest.mark.parametrize("sparse", [False, True])
def test_a_turn_has_its_fields_in_either_spelling(sparse: bool) -> None:
    inner = frames.turn(("c", "r"), [], model=("hash", "name"), context="ctx", sparse=sparse)
    found = (inner[-1]["40"], inner[-1]["43"], inner[-1]["26"]) if sparse else (inner[39], inner[42], inner[25])
    assert found == ("hash", "name", "ctx")


def test_an_rpc_reply_is_read_by_the_library() -> None:
    reply = frames.rpc_reply([("otAQ7b", {"ü": 1}, "generic"), ("c8o8Fe", frames.Denied(), "generic")]).decode()
    first, second = [part for part in extract_json_from_response(reply) if part[0] == "wrb.fr"]
    assert orjson.loads(first[2]) == {"ü": 1} and first[-1] == "generic"
    assert second[2] is None and get_nested_value(second, [5, 0]) == 7
