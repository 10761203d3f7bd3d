"""Everything else that reads what others wrote: Google's frames, tool calls in a text, data URLs, settings, pasted cookies,
forms. Any input has an answer: a value, or an error that is meant. What once went wrong joins `corpus/`, which is read
first."""

from __future__ import annotations

import asyncio
import html
import json
import re
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import StreamReader
from aiohttp.base_protocol import BaseProtocol
from aiohttp.test_utils import make_mocked_request
from hypothesis import given, settings
from hypothesis import strategies as st

from config.loader import ConfigError, Loaded, load
from config.settings import Server
from gateway.accounts.intake import Pasted, from_json, from_text
from gateway.errors import GatewayError, InvalidRequest
from gateway.http.boundary import HIGH_WATER, hostname, is_loopback
from gateway.http.memory import HighWater
from gateway.http.multipart import read_form
from gateway.logs import Redactor
from gateway.model import Blob, Event, Link, TextDelta, Tool, ToolCall
from gateway.upstream.reply import FrameReader, ReplyReader
from gateway.wire import loose_json, media, sse
from gateway.wire.dialect import Upload
from gateway.wire.tool_calls import ToolCallReader

CORPUS: dict[str, list[str]] = json.loads((Path(__file__).parent / "corpus" / "readers.json").read_text("utf-8"))
# aiohttp's own word for a parameter that it skips.
pytestmark = pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionParam")
SERVER = Server(max_image_mb=0.1)
TOOL = Tool("f", "", {"type": "object"})


def answer(read: Callable[[], Any], *errors: type[Exception]) -> Any:
    """What `read` returns or which of `errors` it raises. Anything else escapes and fails the test."""
    try:
        return read()
    except errors as exc:
        assert str(exc) or isinstance(exc, loose_json.NotJson), "an error without words"
        return exc


# --- one statement for each reader --------------------------------------------------------------------------------


def google(pieces: Iterable[str]) -> None:
    """Frames become events, or the answer is not understood; and never anything else."""
    pieces = list(pieces)
    frames, reply = FrameReader(), ReplyReader()

    def framed() -> list[Any]:
        found = [frame for piece in pieces for frame in frames.feed(piece)]
        frames.finish()
        return found

    def replied() -> list[Event]:
        return [event for piece in pieces for event in reply.feed(piece)]

    assert isinstance(answer(framed, GatewayError), list | GatewayError)
    assert isinstance(answer(replied, GatewayError), list | GatewayError)
    assert isinstance(answer(reply.finish, GatewayError), list | tuple | GatewayError | None)


def loose(text: str) -> None:
    """JSON or not, and what is behind it, of the text or of what it says without its escapes; and as an event it stays one
    line."""
    found = answer(lambda: loose_json.loads(text), loose_json.NotJson)
    if not isinstance(found, loose_json.NotJson):
        _, rest = found
        plain = html.unescape(text)
        assert any(form.endswith(rest) for form in (text, plain, re.sub(r'\\(["\\])', r"\1", plain)))
    data = sse.data({"text": text})
    assert data.startswith(b"data: ") and data.endswith(b"\n\n") and data.count(b"\n") == 2


def called(pieces: Iterable[str]) -> None:
    """A text with tool calls becomes text, and calls that have an object as arguments or say that they cannot be read. A
    tool that nobody offered keeps its name: whoever repairs answers tells the model."""
    reader = ToolCallReader([TOOL], seed="s")
    events = [event for piece in pieces for event in reader.feed(piece)]
    events += reader.finish()
    assert all(isinstance(event, TextDelta | ToolCall) for event in events)
    for call in (event for event in events if isinstance(event, ToolCall)):
        assert call.name == "" or isinstance(orjson.loads(call.arguments), dict)


def linked(url: str) -> None:
    """A file, a link to one, or what is wrong with the field."""
    found = answer(lambda: media.from_url(url, 0, "image_url"), InvalidRequest)
    assert isinstance(found, Blob | Link | InvalidRequest)
    if isinstance(found, InvalidRequest):
        assert found.param == "image_url" and len(found.message) < 200


def configured(text: str) -> None:
    """Settings, or a list of mistakes."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.toml"
        file.write_text(text, "utf-8", newline="")
        found = answer(lambda: load(file, environ={}), ConfigError)
    assert isinstance(found, Loaded) or found.problems


def pasted(value: Any) -> None:
    """Accounts, or what is wrong with the paste, without a value of it."""
    read = from_text if isinstance(value, str) else from_json
    found = answer(lambda: read(value), GatewayError)
    if isinstance(found, GatewayError):
        assert found.status == 400 and len(found.message) < 1000
    else:
        assert found and all(isinstance(account, Pasted) and account.cookies.psid for account in found)


def formed(body: bytes) -> None:
    """Fields and files, or what is wrong with the form."""
    found = answer(lambda: asyncio.run(read(body)), GatewayError)
    if isinstance(found, GatewayError):
        assert 400 <= found.status < 500
    else:
        values = [item for value in found.values() for item in (value if isinstance(value, list) else [value])]
        assert all(isinstance(value, str | Upload) for value in values)


async def read(body: bytes) -> dict[str, Any]:
    payload = StreamReader(BaseProtocol(asyncio.get_running_loop()), 2**16)
    payload.feed_data(body)
    payload.feed_eof()
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    request = make_mocked_request("POST", "/v1/images/edits", headers, payload=payload)
    request[HIGH_WATER] = HighWater(None)
    return await read_form(request, SERVER)


READERS: dict[str, Callable[[str], None]] = {
    "frames": lambda text: google([text]),
    "answers": lambda text: called([text]),
    "json": loose,
    "data_urls": linked,
    "toml": configured,
    "cookies": pasted,
    "forms": lambda text: formed(text.encode("latin-1")),
}
OLD = [pytest.param(name, text, id=f"{name}-{n}") for name, texts in CORPUS.items() for n, text in enumerate(texts)]


@pytest.mark.parametrize(("name", "text"), OLD)
def test_what_once_went_wrong_goes_well(name: str, text: str) -> None:
    READERS[name](text)


# --- anything else ------------------------------------------------------------------------------------------------

pieces_of = {name: st.sampled_from(sorted({line for text in texts for line in text.splitlines(keepends=True)}))
             for name, texts in CORPUS.items()}  # fmt: skip
plain = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(pieces_of["frames"] | st.text(max_size=60), max_size=8))
def test_any_frames_from_google(pieces: list[str]) -> None:
    google(pieces)


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_as_loose_json_and_as_an_event(text: str) -> None:
    loose(text)


MARKS = ["```tool_call\n", "```", "<tool_call>", "</tool_call>", '{"name": "f", "arguments": {', "}}", "\\_", "&lt;", "\n"]


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(st.sampled_from(MARKS) | st.text(max_size=12), max_size=12))
def test_any_answer_as_tool_calls(pieces: list[str]) -> None:
    called(pieces)


@settings(max_examples=200, deadline=None)
@given(rest=st.text(max_size=80), scheme=st.sampled_from(["", "data:", "data:image/png;base64,", "data:text/plain,", "//"]))
def test_any_text_as_a_data_url(rest: str, scheme: str) -> None:
    linked(scheme + rest)


LINES = ["[server]", "port = 1", 'port = "x"', "[[accounts]]", 'secure_1psid = "a"', "[plugins.x]", "a = [", "= 1", "\x00"]


@settings(max_examples=150, deadline=None)
@given(text=st.lists(pieces_of["toml"] | st.sampled_from(LINES) | plain, max_size=8).map("\n".join))
def test_any_file_as_settings(text: str) -> None:
    configured(text)


NAMES = ["SECURE_1PSID", "__Secure-1PSID", "__Secure-1PSIDTS", "name", "value", "domain", "cookies", "paste", "path"]
VALUES = ["g.a000-x", "sidts-x", ".google.com", "a;b", "a\r\nb", "x" * 5000, "…", "{", "[]", "__Secure-1PSID=g.a000"]
scalars = st.none() | st.booleans() | st.integers() | st.sampled_from(VALUES) | st.text(max_size=20)
keys = st.sampled_from(NAMES) | st.text(max_size=8)
tables = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(value=tables | st.lists(pieces_of["cookies"] | st.sampled_from(NAMES + VALUES) | plain, max_size=6).map("\t".join))
def test_any_paste_as_cookies(value: Any) -> None:
    pasted(value)


HEADS = ["--B\r\n", "--B--\r\n", "\r\n", 'Content-Disposition: form-data; name="prompt"\r\n', "Content-Length: 1\r\n", "x"]


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(pieces_of["forms"] | st.sampled_from(HEADS) | st.text(st.characters(max_codepoint=255), max_size=30)))
def test_any_bytes_as_a_form(parts: list[str]) -> None:
    formed("".join(parts).encode("latin-1"))


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_as_a_host_or_a_log_line(text: str) -> None:
    assert isinstance(is_loopback(hostname(text)), bool)
    assert isinstance(Redactor().clean(text), str)
