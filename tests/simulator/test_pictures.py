"""Generated pictures: what they show, the star on them, their sizes and their addresses."""

import io

import numpy as np
import orjson
import pytest
from curl_cffi.requests import AsyncSession, Response
from PIL import Image

from gateway.simulator import Site
from gateway.simulator.answers import PictureWish
from gateway.simulator.pictures import Gallery, Picture, UnknownPicture, encode, media_token, native, png
from gateway.simulator.scenery import look
from watermark import add

from .by_hand import BATCH, ask, cookie_header

LH3 = "https://lh3.googleusercontent.com/"


def picture(subject: str = "a boat", star: str = "none", width: int = 320, height: int = 240) -> Picture:
    return Picture.of(PictureWish(subject, width, height, star))


def pixels(file: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGB"))


def test_a_picture_depends_on_its_subject_and_on_nothing_else() -> None:
    assert np.array_equal(native(picture("a boat")), native(picture("a boat")))
    assert not np.array_equal(native(picture("a boat")), native(picture("a boat!")))
    assert look("a lighthouse at dusk")[1] == "sea-dusk"


@pytest.mark.parametrize(
    ("star", "slot", "opacity"), [("v2", "48@96", 77), ("v1", "48@32", 128), ("96@64:128", "96@64", 128)]
)
def test_the_star_is_drawn_by_the_exact_model(star: str, slot: str, opacity: int) -> None:
    assert np.array_equal(native(picture(star=star)), add(native(picture()), slot, opacity))


def test_a_picture_too_small_for_the_star_has_none() -> None:
    assert np.array_equal(native(picture(star="v2", width=100, height=100)), native(picture(width=100, height=100)))


def test_the_png_writer_keeps_every_pixel() -> None:
    drawn = native(picture())
    assert np.array_equal(pixels(png(drawn)), drawn)


def test_the_token_says_all() -> None:
    original = picture("äöü 天地", star="v1")
    assert Picture.from_token(original.token) == original


@pytest.mark.parametrize("token", ["", "AO", "AOxx", "AO" + "x" * 50, picture(width=99_999).token])
def test_a_token_of_no_picture_is_refused(token: str) -> None:
    with pytest.raises(UnknownPicture):
        Picture.from_token(token)


@pytest.mark.parametrize(
    ("options", "size", "form"),
    [
        ("", (512, 279), "image/jpeg"),
        ("s1024-rj", (1024, 559), "image/jpeg"),
        ("s2048-rj", (1408, 768), "image/jpeg"),
        ("s0-rp", (1408, 768), "image/png"),
    ],
)
def test_previews_are_never_larger_than_native(options: str, size: tuple[int, int], form: str) -> None:
    file, content_type = encode(picture(width=1408, height=768), options)
    assert content_type == form and pixels(file).shape[1::-1] == size


async def test_full_and_large_files_are_made_of_the_native_one(session: AsyncSession[Response], site: Site) -> None:
    account = site.account("a")
    reply = await ask(session, account, "[[sim image=1 w=320 h=240 star=none]]")
    part = next(line for line in reply.text.split("\n") if "gg-dl" in line)
    inner = orjson.loads(orjson.loads(part)[0][2])
    (cid, rid), candidate = inner[1], inner[4][0]
    item = candidate[12][7][0][0]
    token = item[0][3][5]
    assert (token[:5], item[0][3][15][:2], item[3][18]) == ("$AedX", [320, 240], "simulated")
    assert token == media_token(picture("", star="none")) or token.startswith("$AedX")

    async def sizes(mode: int, media: str) -> tuple[int, int]:
        place = [[None, None, None, [None] * 5 + [media]], [item[1][0], 0], None, [mode, ""]]
        payload = orjson.dumps([place, [rid, candidate[0], cid, None, ""], 1, 0, 1]).decode()
        data = {"f.req": orjson.dumps([[["c8o8Fe", payload, None, "generic"]]]).decode()}
        answer = await session.post(f"{BATCH}?rpcids=c8o8Fe", headers=cookie_header(account), data=data)
        url = orjson.loads(orjson.loads(answer.text.split("\n")[3])[0][2])[0]
        first = await session.get(url + "=d-I?alr=yes")
        second = await session.get(first.text)
        assert first.headers["content-type"].startswith("text/plain") and "work.fife" in first.text
        file = await session.get(second.text)
        assert file.headers["content-type"] == "image/png"
        return pixels(file.content).shape[1::-1]  # type: ignore[return-value]

    assert await sizes(19, "") == (640, 480)
    assert await sizes(20, "") == (640, 480)
    assert await sizes(20, token) == (4096, 3072)


async def test_a_guest_gets_no_full_size(session: AsyncSession[Response]) -> None:
    data = {"f.req": '[[["c8o8Fe","[]",null,"generic"]]]'}
    assert '"c8o8Fe",null,null,null,[7]' in (await session.post(f"{BATCH}?rpcids=c8o8Fe", data=data)).text


async def test_a_conversation_that_is_not_in_the_history_is_refused(session: AsyncSession[Response], site: Site) -> None:
    payload = orjson.dumps([[[], ["id", 0], None, [19, ""]], ["r_1", "rc_1", "c_1", None, ""], 1, 0, 1]).decode()
    data = {"f.req": orjson.dumps([[["c8o8Fe", payload, None, "generic"]]]).decode()}
    answer = await session.post(f"{BATCH}?rpcids=c8o8Fe", headers=cookie_header(site.account("a")), data=data)
    assert "BardErrorInfo" in answer.text and "[1003]" in answer.text


async def test_addresses_of_nothing_are_forbidden(session: AsyncSession[Response]) -> None:
    for path in ("gg-dl/nothing", "gg-dl/AOx=s0-rp", "rd-gg-dl/", ""):
        assert (await session.get(LH3 + path)).status_code == 403


async def test_a_picture_is_drawn_once() -> None:
    gallery = Gallery()
    wish = PictureWish("a boat", 320, 240, "none")
    first, second = await gallery.sizes([wish, wish])
    assert (
        first == second
        and (await gallery.file(Picture.of(wish), "s0-rp"))[0] is (await gallery.file(Picture.of(wish), "s0-rp"))[0]
    )
