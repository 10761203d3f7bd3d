"""Hostile pictures and forms: a clear 4xx, never a 500, never more memory than the limits allow."""

from __future__ import annotations

import base64
import io
import re
import struct
import sys
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import PIL.Image
import pytest

from gateway.model import Blob, Image, ImageReady
from gateway.testing import Client, Script, make_client


def drawn(mode: str = "RGB", form: str = "PNG", size: tuple[int, int] = (40, 30), **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new(mode, size).save(buffer, form, **options)
    return buffer.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(
    width: int, height: int, *extra: bytes, pixels: bytes = b"", bits: int = 8, colour: int = 2
) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def animated(form: str, frames: int) -> bytes:
    buffer = io.BytesIO()
    pictures = [PIL.Image.new("RGB", (8, 8), (number * 37 % 256, 0, number // 256)) for number in range(frames)]
    pictures[0].save(buffer, form, save_all=True, append_images=pictures[1:])
    with PIL.Image.open(buffer) as made:
        assert made.n_frames == frames  # equal ones would have been put together
    return buffer.getvalue()


GOOD = drawn()
BAD = {
    "bomb": png(50_000, 50_000, pixels=b"\0" * 300_000),
    "2^31": png(2**31 - 1, 2**31 - 1),
    "26 megapixels": png(5100, 5100, pixels=b"\0" * 5100),
    "truncated": GOOD[: len(GOOD) // 2],
    "header only": GOOD[:20],
    "bad checksum": GOOD[:-20] + bytes([GOOD[-20] ^ 1]) + GOOD[-19:],
    "bad data": png(40, 30, pixels=b"\0" * 10),
    "zero size": png(0, 0),
    "text bomb": png(4, 4, chunk(b"zTXt", b"x\0\0" + zlib.compress(b"a" * 200_000_000)), pixels=b"\0" * 52),
    "profile bomb": png(4, 4, chunk(b"iCCP", b"x\0\0" + zlib.compress(b"a" * 200_000_000)), pixels=b"\0" * 13),
    "page": b"<html><body>",
    "svg": b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><svg>&e;</svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n",
    "tiff": drawn(form="TIFF"),
    "pdf": b"%PDF-1.7\n%%EOF",
    "fits": b"SIMPLE  =                    T".ljust(2880),
    "zip": b"PK\x03\x04" + b"\0" * 30,
    "gzip": b"\x1f\x8b\x08\0" + b"\0" * 30,
    "empty": b"",
}
ODD = {
    "gray16": drawn("I;16"),
    "rgb16": png(4, 4, pixels=(b"\0" + b"\x12\x34" * 12) * 4, bits=16),
    "rgba16": png(4, 4, pixels=(b"\0" + b"\x12\x34" * 16) * 4, bits=16, colour=6),
    "bad gamma": png(4, 4, chunk(b"gAMA", b"\0\0\0\0"), pixels=b"\0" * 52),
    "bad exif": drawn(form="JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + b"\x01" * 30),
    "gray alpha": drawn("LA"),
    "palette": drawn("P", transparency=0),
    "one bit": drawn("1"),
    "cmyk": drawn("CMYK", "JPEG"),
    "progressive": drawn("RGB", "JPEG", progressive=True),
    "animated webp": animated("WEBP", 3),
    "gif": animated("GIF", 6000),
    "thin": drawn(size=(200_000, 1)),
    "tail": GOOD + b"PK\x03\x04 a zip <script>",
    "jpeg tail": drawn(form="JPEG") + b"<?php ?>" * 10,
    "webp tail": drawn(form="WEBP") + b"<?php ?>" * 10,
}


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    script = [Script(ImageReady(Image(GOOD, "image/png", 40, 30)))]
    settings = {"server": {"max_image_mb": 2, "body_timeout_s": 2}}
    async with make_client(script=script, settings=settings) as made:
        yield made


async def sent(client: Client, data: bytes) -> dict[str, int]:
    """The status of an edit as JSON and as a form, a chat and a Gemini call with the picture."""
    encoded = base64.b64encode(data).decode()
    url = f"data:image/png;base64,{encoded}"
    form = aiohttp.FormData()
    form.add_field("prompt", "blue")
    form.add_field("image", data, filename="x.png", content_type="image/png")
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    inline = [{"inlineData": {"mimeType": "image/png", "data": encoded}}]
    model = "gemini-2.5-flash"
    requests: dict[str, tuple[str, dict[str, Any]]] = {
        "edit": ("/v1/images/edit", {"json": {"prompt": "blue", "image": url}}),
        "form": ("/v1/images/edits", {"data": form}),
        "chat": ("/v1/chat/completions", {"json": {"model": model, "messages": [{"role": "user", "content": parts}]}}),
        "gemini": (f"/v1beta/models/{model}:generateContent", {"json": {"contents": [{"parts": inline}]}}),
    }
    statuses = {}
    for name, (path, options) in requests.items():
        async with client.http.post(path, **options) as response:
            statuses[name] = response.status
            body = await response.json()
            if response.status != 200:
                assert len(body["error"]["message"]) < 200 and "Traceback" not in body["error"]["message"]
    return statuses


def memory_mb(name: str) -> float:
    """What Linux says of this process: VmRSS (now) or VmHWM (the most since `forget_peak`)."""
    return int(re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024  # type: ignore[index]


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


@pytest.mark.parametrize("name", BAD)
async def test_what_is_no_sound_picture_is_refused_and_takes_no_memory(client: Client, name: str) -> None:
    assert set((await sent(client, BAD["truncated"])).values()) == {400}  # what is loaded at first use is here now
    if linux := sys.platform == "linux":
        forget_peak()
        before = memory_mb("VmRSS")
    statuses = await sent(client, BAD[name])
    assert set(statuses.values()) == {400}
    assert not client.upstream.asked
    if linux:
        assert memory_mb("VmHWM") - before < 24


async def test_a_document_that_says_so_is_no_mistake_in_a_chat(client: Client) -> None:
    url = f"data:application/pdf;base64,{base64.b64encode(BAD['pdf']).decode()}"
    parts = [{"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "gemini-2.5-flash", "messages": [{"role": "user", "content": parts}]}
    async with client.http.post("/v1/chat/completions", json=body) as response:
        assert response.status == 200


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
@pytest.mark.parametrize("name", ODD)
async def test_odd_but_sound_pictures_are_taken_and_made_plain(client: Client, name: str) -> None:
    assert set((await sent(client, ODD[name])).values()) == {200}
    for _, call in client.upstream.asked:
        (file,) = [part for part in call.messages[0].parts if isinstance(part, Blob)]
        assert b"<script>" not in file.data and b"<?php" not in file.data
        with PIL.Image.open(io.BytesIO(file.data)) as picture:
            assert picture.mode in ("1", "L", "LA", "P", "RGB", "RGBA") and not getattr(picture, "is_animated", False)


def body_of(*parts: tuple[str, bytes], end: bytes = b"--X--\r\n") -> bytes:
    return b"".join(b"--X\r\n" + head.encode("latin-1") + b"\r\n\r\n" + data + b"\r\n" for head, data in parts) + end


PROMPT = ('Content-Disposition: form-data; name="prompt"', b"blue")
FILE = ('Content-Disposition: form-data; name="image"; filename="x.png"\r\nContent-Type: image/png', GOOD)
MARKED = "multipart/form-data; boundary=X"
TEXT_FILE = ('Content-Disposition: form-data; name="image"', b"hi")
ARABIC = ('Content-Disposition: form-data; name="n"', "٣".encode())
FORMS: dict[str, tuple[str, bytes]] = {
    "no boundary": ("multipart/form-data", body_of(PROMPT, FILE)),
    "empty boundary": ("multipart/form-data; boundary=", body_of(PROMPT, FILE)),
    "long boundary": (f"multipart/form-data; boundary={'x' * 3000}", body_of(PROMPT, FILE)),
    "other boundary": ("multipart/form-data; boundary=Y", body_of(PROMPT, FILE)),
    "no end": (MARKED, body_of(PROMPT, FILE, end=b"")),
    "many parts": (MARKED, body_of(PROMPT, *[PROMPT] * 20_000)),
    "many headers": (MARKED, body_of((PROMPT[0] + "\r\nX: y" * 5000, b"x"))),
    "long header": (MARKED, body_of((PROMPT[0] + "\r\nX: " + "y" * 100_000, b"x"))),
    "long field": (MARKED, body_of((PROMPT[0], b"x" * 1_000_000), FILE)),
    "base64": (MARKED, body_of(PROMPT, (FILE[0] + "\r\nContent-Transfer-Encoding: base64", b"aGk="))),
    "gzip": (MARKED, body_of(PROMPT, (FILE[0] + "\r\nContent-Encoding: gzip", b"\x1f\x8b"))),
    "length lies": (MARKED, body_of(PROMPT, (FILE[0] + "\r\nContent-Length: 999999", GOOD))),
    "charset": (MARKED, body_of((PROMPT[0], b"\xff\xfe"), FILE)),
    "no image": (MARKED, body_of(PROMPT)),
    "no prompt": (MARKED, body_of(FILE)),
    "no name": (MARKED, body_of(("Content-Disposition: form-data", b"x"))),
    "nested": (MARKED, body_of(("Content-Type: multipart/mixed; boundary=Z", b"--Z--"))),
    "image as text": (MARKED, body_of(PROMPT, TEXT_FILE)),
    "odd number": (MARKED, body_of(PROMPT, FILE, ARABIC)),
    "not a form": (MARKED, b"hello"),
    "nothing": (MARKED, b""),
    "too large": (MARKED, body_of(PROMPT, (FILE[0], b"x" * 3_000_000))),
}


@pytest.mark.parametrize("name", FORMS)
async def test_a_malformed_form_is_refused(client: Client, name: str) -> None:
    content_type, body = FORMS[name]
    headers = {"Content-Type": content_type}
    async with client.http.post("/v1/images/edits", data=io.BytesIO(body), headers=headers) as response:
        assert response.status in (400, 413, 415), await response.text()
        assert (await response.json())["error"]["message"]
    assert not client.upstream.asked


@pytest.mark.parametrize("name", ["../x.png", "/etc/passwd", "a\\b.png", "CON", "<b>.png", "x" * 5000, "a%00.png"])
async def test_file_names_of_callers_are_ignored(client: Client, name: str) -> None:
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("prompt", "blue")
    form.add_field("image", GOOD, filename=name)
    async with client.http.post("/v1/images/edits", data=form) as response:
        assert response.status == 200
    (_, call) = client.upstream.asked[0]
    assert [part.name for part in call.messages[0].parts if isinstance(part, Blob)] == ["file-1.png"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("image", "data:image/png;base64,"), ("image", "data:image/png;base64,%%%"), ("image", "data:,x"), ("image", ""),
        ("image", []), ("image", [None]), ("image", 5), ("image", {}), ("image", ["aGk="] * 1000),
        ("image", "data:;base64"),
        ("images", [{"file_id": "f"}]), ("mask", 7), ("n", 0), ("n", -1), ("n", 11), ("n", 1.5), ("n", "3x"), ("n", 2**63),
        ("size", "0x0"), ("size", "-1x-1"), ("size", "99999x99999"), ("size", "١٠٢٤x١٠٢٤"), ("size", "../x"), ("size", 5),
        ("output_format", "gif"), ("output_compression", 101), ("response_format", "file"), ("background", "blue"),
        ("prompt", ""), ("prompt", None), ("prompt", ["x"]), ("prompt", "x" * 32_001), ("model", "../x"), ("stream", "yes"),
        ("partial_images", 4), ("partial_images", -1),
    ],
)  # fmt: skip
async def test_a_wrong_field_is_named(client: Client, field: str, value: Any) -> None:
    body = {"prompt": "blue", "image": base64.b64encode(GOOD).decode(), field: value}
    if field == "images":
        del body["image"]
    async with client.http.post("/v1/images/edits", json=body) as response:
        assert response.status == 400
        assert (await response.json())["error"]["param"].startswith(field)
    assert not client.upstream.asked


@pytest.mark.parametrize("path", ["/v1/images/variations", "/v1/generate-images"])
async def test_what_openai_does_not_stream_is_not_streamed_here(client: Client, path: str) -> None:
    body = {"prompt": "blue", "image": base64.b64encode(GOOD).decode(), "stream": True}
    async with client.http.post(path, json=body) as response:
        assert (response.status, (await response.json())["error"]["param"]) == (400, "stream")
