"""Everything else that reads what others wrote: Google's frames, tool calls in a text, data URLs, settings. Any input has
an answer."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from config.loader import ConfigError, load
from gateway.errors import GatewayError
from gateway.http.boundary import hostname, is_loopback
from gateway.logs import Redactor
from gateway.model import Tool
from gateway.upstream.reply import FrameReader, ReplyReader
from gateway.wire import loose_json, media, sse
from gateway.wire.tool_calls import ToolCallReader

FRAME = ")]}'\n\n25\n[[\"wrb.fr\",null,\"[]\"]]\n"
HALVES = [FRAME, "0\n", "-1\n", "99999999999999999999\n", "5\n", "\n", ")]}'", '[["wrb.fr",null,"[', "𝒳" * 9, "²\n"]
frames = st.lists(st.sampled_from(HALVES) | st.text(max_size=60), max_size=8)


@settings(max_examples=300, deadline=None)
@given(pieces=frames)
@example(pieces=["²\n"])
@example(pieces=["٣\n[]"])
def test_any_frames_from_google(pieces: list[str]) -> None:
    for reader in (FrameReader(), ReplyReader()):
        with contextlib.suppress(GatewayError):
            for piece in pieces:
                reader.feed(piece)
            reader.finish()


@settings(max_examples=300, deadline=None)
@given(text=st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_as_loose_json_and_as_an_event(text: str) -> None:
    with contextlib.suppress(loose_json.NotJson):
        loose_json.loads(text)
    data = sse.data({"text": text})
    assert data.startswith(b"data: ") and data.endswith(b"\n\n") and data.count(b"\n") == 2


MARKS = ["```tool_call\n", "```", "<tool_call>", "</tool_call>", '{"name": "f", "arguments": {', "}}", "\\_", "&lt;", "\n"]
marks = st.sampled_from(MARKS)


@settings(max_examples=300, deadline=None)
@given(pieces=st.lists(marks | st.text(max_size=12), max_size=12))
def test_any_answer_as_tool_calls(pieces: list[str]) -> None:
    reader = ToolCallReader([Tool("f", "", {"type": "object"})], seed="s")
    for piece in pieces:
        reader.feed(piece)
    reader.finish()


@settings(max_examples=200, deadline=None)
@given(rest=st.text(max_size=80), scheme=st.sampled_from(["", "data:", "data:image/png;base64,", "data:text/plain,", "//"]))
def test_any_text_as_a_data_url(rest: str, scheme: str) -> None:
    with contextlib.suppress(GatewayError):
        media.from_url(scheme + rest, 0, "image_url")


LINES = ["[server]", "port = 1", 'port = "x"', "[[accounts]]", 'secure_1psid = "a"', "[plugins.x]", "a = [", "= 1", "\x00"]
lines = st.sampled_from(LINES)


@settings(max_examples=150, deadline=None)
@given(text=st.lists(lines | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8).map("\n".join))
def test_any_file_as_settings(text: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "gateway.toml"
        file.write_text(text, "utf-8")
        with contextlib.suppress(ConfigError):
            load(file, environ={})


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_any_text_as_a_host_or_a_log_line(text: str) -> None:
    is_loopback(hostname(text))
    Redactor().clean(text)
