"""OpenAI's legacy completions on the wire."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.errors import InvalidRequest
from gateway.wire.openai_completions import OpenAICompletions
from tests.wire.goldens import ANSWERS, all_errors, asked, data, same, streamed, whole

DIALECT = OpenAICompletions()


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "gemini-2.5-flash", "prompt": "Say hello", **fields}


@pytest.mark.parametrize("answer", ["plain", "thoughts", "cut", "refused", "empty"])
def test_an_answer_goes_out_as_the_original_writes_it(answer: str) -> None:
    same(f"openai_completions/{answer}.json", whole(DIALECT, asked(DIALECT, ask()), ANSWERS[answer]))
    call = asked(DIALECT, ask(stream=True, stream_options={"include_usage": True}))
    same(f"openai_completions/{answer}.sse", streamed(DIALECT, call, ANSWERS[answer]))


def test_every_error_has_the_originals_body() -> None:
    same("openai_completions/errors.json", all_errors(DIALECT))


def test_the_prompt_is_echoed_when_asked_for() -> None:
    reply = orjson.loads(whole(DIALECT, asked(DIALECT, ask(echo=True)), ANSWERS["plain"]))
    assert reply["choices"][0]["text"] == "Say helloHello wörld"
    chunks = data(streamed(DIALECT, asked(DIALECT, ask(echo=True)), ANSWERS["plain"]))
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "Say helloHello wörld"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": None}, "prompt"),
        ({"prompt": ["one", "two"]}, "prompt"),
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"suffix": "the end"}, "suffix"),
        ({"n": 9}, "n"),
        ({"best_of": 2}, "best_of"),
        ({"logprobs": 1}, "logprobs"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_what_the_web_cannot_do_is_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        asked(DIALECT, ask(**fields))
    assert raised.value.param == param
