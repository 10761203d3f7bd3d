"""Large bodies: what is lifted out of them comes back as the parser would have read it."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from gateway.errors import BodyTooLarge, InvalidRequest
from gateway.http.large_json import parsed

MEDIA = base64.b64encode(bytes(range(256)) * 800).decode()
MOST = 100_000


@pytest.mark.parametrize(
    "value",
    [
        {"image": MEDIA},
        {"image": [MEDIA, "data:image/png;base64," + MEDIA, "short"], "prompt": "x"},
        {"a": {"b": [{"url": "data:image/svg+xml;charset=utf-8;base64," + MEDIA}]}, "n": 1},
        {"prompt": f'he said "{MEDIA[:8000]}" and left', "other": MEDIA},
        {"prompt": "data:text/plain;base64,not " + MEDIA[:9000], "image": MEDIA},
        {"prompt": MEDIA[:9000] + "é", "image": MEDIA},
        {"prompt": "lifted 0", "image": MEDIA},
        {"image": "\n".join(MEDIA[at : at + 76] for at in range(0, len(MEDIA), 76))},
        {"image": MEDIA[:9000] + "\\n" + MEDIA, "quoted": '"\\"' + MEDIA[:9000]},
        {MEDIA[:20_000]: 1, "image": MEDIA},
    ],
    ids=["plain", "list", "deep", "quoted", "almost a url", "not ascii", "mark", "lines", "escapes", "key"],
)
@pytest.mark.parametrize("slashes", [False, True], ids=["", "escaped slashes"])
def test_a_body_with_media_reads_as_the_parser_would_read_it(value: dict[str, Any], slashes: bool) -> None:
    body = orjson.dumps(value)
    expected = orjson.loads(body)
    if slashes:  # as PHP writes them
        body = body.replace(b"/", b"\\/")
    assert parsed(body, 10_000_000) == expected


def test_media_does_not_count_as_json_and_text_does() -> None:
    parsed(orjson.dumps({"image": MEDIA, "prompt": "word " * 10_000}), MOST)
    with pytest.raises(BodyTooLarge):
        parsed(orjson.dumps({"image": MEDIA, "prompt": "word " * 30_000}), MOST)
    with pytest.raises(BodyTooLarge):
        parsed(b'{"prompt": "' + b"A" * 200_000, MOST)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": "' + MEDIA.encode(),
        b'{"a": ' + b"1" * 90_000 + b"}",
        b'{"a": "x" ' + MEDIA.encode() + b'"}',
        b'{"a": "' + MEDIA.encode() + b'" "b": 1}',
        b'{"a": "' + MEDIA.encode()[:70_000] + b"\n" + MEDIA.encode()[:70_000] + b'"}',
        b'"' + MEDIA.encode() + b'"',
        b'["' + MEDIA.encode() + b'"]',
    ],
    ids=["open", "number", "bare", "no comma", "raw line break", "a string", "a list"],
)
def test_what_is_no_json_object_stays_one(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parsed(body, 10_000_000)
