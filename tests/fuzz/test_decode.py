"""Whatever stands in a request: a call, or an error that is the caller's and says which field. Bodies of the corpus are
spoilt in every place by every odd value, then in several places at once by hypothesis. What once went wrong joins
`corpus/`."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.model import Call, RequestHead
from gateway.wire.anthropic import Anthropic
from gateway.wire.dialect import Dialect, Request
from gateway.wire.gemini import Gemini
from gateway.wire.openai_chat import OpenAIChat
from gateway.wire.openai_completions import OpenAICompletions
from gateway.wire.openai_responses import OpenAIResponses
from gateway.wire.simple import Simple

CORPUS: dict[str, list[dict[str, Any]]] = json.loads((Path(__file__).parent / "corpus" / "bodies.json").read_text())
DIALECTS: dict[str, Dialect] = {
    "openai": OpenAIChat(),
    "openai_responses": OpenAIResponses(),
    "openai_completions": OpenAICompletions(),
    "simple": Simple(),
    "gemini": Gemini(),
    "anthropic": Anthropic(),
}
ODD: list[Any] = [
    None, True, 0, -1, 2**63, -(2**63), 1.5, 1e308, "", "x", "\u0000", "\u202e", "K", "٣", [], [[]], [None], {}, {"": {}},
    "../../etc/passwd", "data:,", "data:image/png;base64,====", "data:image/png;base64", "http://127.0.0.1/", "file:///x",
    "a" * 5_000, {"type": "text"}, {"type": []}, [{"type": "image_url"}], "{" * 200, {"$ref": "#"}, {"__proto__": {"a": 1}},
]  # fmt: skip
PARAMS = {"model": "gemini-2.5-flash", "action": "streamGenerateContent"}


def decoded(name: str, body: dict[str, Any], params: dict[str, str] | None = None) -> Call | GatewayError:
    """What comes out. Anything else than a call or a caller's error escapes."""
    dialect = DIALECTS[name]
    route = next(route for route in dialect.routes if route.operation == "generate")
    head = RequestHead("POST", route.path, {}, {}, "127.0.0.1", "id", dialect.name)
    try:
        call = dialect.decode(Request(head, route, params or PARAMS, body, "id", 1))
    except GatewayError as exc:
        assert 400 <= exc.status < 500 or exc.status == 501, exc
        assert len(exc.message) < 400
        dialect.encode_error(exc)
        return exc
    assert isinstance(call, Call)
    return call


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of everything inside `value`."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def spoilt(body: Any, path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """A copy of `body` with `value` at `path`, or without it where that is no longer there."""
    made: dict[str, Any] = copy.deepcopy(body)
    inner: Any = made
    try:
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        pass  # an earlier change took the place away
    return made


def without(body: Any, path: tuple[Any, ...]) -> dict[str, Any]:
    made: dict[str, Any] = copy.deepcopy(body)
    inner: Any = made
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return made


BODIES = [pytest.param(name, body, id=f"{name}-{n}") for name, bodies in CORPUS.items() for n, body in enumerate(bodies)]


@pytest.mark.parametrize(("name", "body"), BODIES)
def test_every_field_takes_every_odd_value_without_our_failing(name: str, body: dict[str, Any]) -> None:
    for path in places(body):
        decoded(name, without(body, path))
        for value in ODD:
            decoded(name, spoilt(body, path, value))


@pytest.mark.parametrize(("name", "body"), BODIES)
def test_the_corpus_itself_is_understood(name: str, body: dict[str, Any]) -> None:
    assert isinstance(decoded(name, body), (Call, GatewayError))


values = st.recursive(
    st.sampled_from(ODD) | st.text(max_size=20) | st.integers() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("name", CORPUS)
def test_several_odd_values_at_once(name: str, data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(CORPUS[name]))
    for path in data.draw(st.lists(st.sampled_from(list(places(body))), min_size=1, max_size=4)):
        body = spoilt(body, path, data.draw(values))
    outcome = decoded(name, body)
    if isinstance(outcome, Call):
        for message in outcome.messages:
            assert isinstance(message.text, str)


@settings(max_examples=100, deadline=None)
@given(model=st.text(max_size=40), action=st.text(max_size=40))
def test_any_address_of_gemini(model: str, action: str) -> None:
    decoded("gemini", {"contents": [{"parts": [{"text": "hi"}]}]}, {"model": model, "action": action})


@settings(max_examples=100, deadline=None)
@given(body=st.dictionaries(st.text(max_size=10), values, max_size=5))
@pytest.mark.parametrize("name", CORPUS)
def test_any_object(name: str, body: dict[str, Any]) -> None:
    outcome = decoded(name, body)
    if isinstance(outcome, GatewayError):
        orjson.loads(DIALECTS[name].encode_error(outcome))
