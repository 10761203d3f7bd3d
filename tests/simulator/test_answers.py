"""What the simulated model says to a person."""

from itertools import pairwise

import pytest

from gateway.simulator.answers import Answer, Question, answer, filler, last_line, stages
from gateway.simulator.directives import parse
from gateway.simulator.log import Attachment


def reply_to(prompt: str, **more: object) -> Answer:
    directive, rest = parse(prompt)
    return answer(Question(rest, directive, **more))  # type: ignore[arg-type]


def test_the_default_answer_quotes_the_last_line() -> None:
    reply = reply_to("System: be brief\n\nUser: how are you?")
    assert "**how are you?**" in reply.text and "36 characters" in reply.text
    assert reply.title == "how are you?"


def test_it_names_its_files() -> None:
    files = (Attachment("a.png", "a.png", "image/png", 1234), Attachment("lost.txt"))
    reply = reply_to("see these", files=files)
    assert "`a.png`: image/png, 1,234 bytes" in reply.text
    assert "`lost.txt`: I don't seem to have access to that content." in reply.text


@pytest.mark.parametrize(
    ("prompt", "part"),
    [
        ("count to 5", "1, 2, 3, 4, 5"),
        ("Please write a poem about the sea", "\n\nAnd when the first thin gold appears\n"),
        ("make a table of planets", "| Mars | 6,792 | 2 |"),
        ("show some code", "```python\n"),
    ],
)
def test_special_wishes(prompt: str, part: str) -> None:
    assert part in reply_to(prompt).text


@pytest.mark.parametrize("prompt", ["draw a cat", "Generate an image of a cat", "please create three nice pictures"])
def test_a_wish_for_a_picture_gives_one(prompt: str) -> None:
    [picture] = reply_to(prompt).pictures
    assert (picture.width, picture.height, picture.star) == (1408, 768, "v2")


@pytest.mark.parametrize("prompt", ["what is a picture frame?", "I drew a cat", '[[sim text="draw a cat"]]', "hello"])
def test_other_prompts_give_none(prompt: str) -> None:
    assert not reply_to(prompt).pictures


def test_pictures_follow_the_aspect_ratio_or_the_directive() -> None:
    assert (reply_to("draw a cat, 9:16").pictures[0].width, reply_to("draw a square cat").pictures[0].width) == (
        768,
        1024,
    )
    pictures = reply_to("[[sim image=2 w=640 h=480 star=none]]").pictures
    assert [(p.width, p.height, p.star, p.number) for p in pictures] == [(640, 480, "none", 0), (640, 480, "none", 1)]


def test_echo_is_verbatim() -> None:
    assert reply_to("User:  a <b> & c [[sim echo]]\n").text == "User:  a <b> & c \n"


@pytest.mark.parametrize("charset", ["ascii", "cjk", "emoji"])
@pytest.mark.parametrize("chars", [1, 2, 101, 4096])
def test_filler_has_exactly_the_length_and_no_space_at_its_ends(chars: int, charset: str) -> None:
    text = filler(chars, charset)
    assert len(text) == chars and text == text.strip() and text == filler(chars, charset)


def test_frames_grow_to_the_whole_answer() -> None:
    reply = reply_to("[[sim chars=1000 thoughts=500 frames=30]]")
    shown = list(stages(reply))
    assert len(shown) == 30 and shown[-1] == (filler(1000), filler(500))
    for (text, thoughts), (later, more) in pairwise(shown):
        assert later.startswith(text) and more.startswith(thoughts)
        assert not text or thoughts == reply.thoughts


def test_a_frame_adds_about_twelve_characters() -> None:
    assert reply_to('[[sim text="' + "x" * 120 + '"]]').frames == 10
    assert reply_to("[[sim chars=100000]]").frames == 200


def test_rewriting_takes_back_what_was_said() -> None:
    shown = [text for text, _ in stages(reply_to("[[sim chars=100 frames=10 rewrite]]"))]
    assert shown[0].startswith("Draft: ") and shown[-2].startswith("The quick") and shown[-1] == filler(100)


def test_flicker_is_gone_in_the_end() -> None:
    shown = [text for text, _ in stages(reply_to("[[sim chars=100 frames=10 flicker]]"))]
    assert any(text.endswith("\n```") for text in shown) and any(text.endswith("\\*") for text in shown)
    assert shown[-1] == filler(100)


def test_an_empty_answer_has_one_frame() -> None:
    assert list(stages(reply_to('[[sim text=""]]'))) == [("", "")]


def test_the_last_line_of_a_packed_conversation() -> None:
    assert last_line("User: one\n\nAssistant: two\n\nUser: three\n\n---\n") == "three"
