"""JSON with the marks of models and of the web is read; what would have to be guessed is not."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.loose_json import NotJson, loads

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON, st.text(alphabet=" \t\n,;`x"))
def test_what_is_json_is_read_as_json(value: Any, behind: str) -> None:
    text = json.dumps({"v": value})
    assert loads(text + behind) == ({"v": value}, behind)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1,}', {"a": 1}),
        ("{'a': 'it\\'s', b: True, c: None}", {"a": "it's", "b": True, "c": None}),
        ("{“a”: “say \"hi\", now”}", {"a": 'say "hi", now'}),
        ('{"a": "two\nlines"}', {"a": "two\nlines"}),
        ('{"a\\_b": "\\*c\\*", "p": "C:\\Users\\new"}', {"a_b": "*c*", "p": "C:\\Users\new"}),
        ("\\{\"a\": \\[1, 2\\]\\}", {"a": [1, 2]}),
        ("{&quot;a&quot;: &quot;x &amp;lt; y&quot;}", {"a": "x &lt; y"}),
        ('{\\"a\\": \\"b\\\\\\"c\\"}', {"a": 'b"c'}),
        ('{"a": "&lt;b&gt; stays"}', {"a": "&lt;b&gt; stays"}),
        ('\u200b{"a": 1}', {"a": 1}),
        ('{"a": {"b": [1, 2', {"a": {"b": [1, 2]}}),
        ('{"e": "\\ud83d\\ude00"}', {"e": "😀"}),
    ],
)
def test_marks_of_models_and_of_the_web_are_read(text: str, value: Any) -> None:
    assert loads(text)[0] == value


@pytest.mark.parametrize(
    "text",
    ["", "words", '{"a": "cut', '{"a": "he said "hi" twice"}', '{"a" 1}', "{1: 2}", '{"a": NaN}', "[" * 200, "{'a': 'b"],
)
def test_what_would_have_to_be_guessed_is_refused(text: str) -> None:
    with pytest.raises(NotJson):
        loads(text)


def test_what_was_cut_off_is_not_completed() -> None:
    with pytest.raises(NotJson):
        loads('{"path": "a", "content": "b"', closed=False)
