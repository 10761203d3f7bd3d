"""What the simulated model says: from a prompt, its files and its directive to an `Answer`. Pure and deterministic."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from gateway.simulator import obedience
from gateway.simulator.directives import Directive
from gateway.simulator.log import Attachment

_ALPHABETS = {
    "ascii": "The quick brown fox jumps over the lazy dog while seven bright lanterns sway above the quiet harbour. ",
    "cjk": "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂調陽雲騰致雨露結為霜",
    "emoji": "😀😃😄😁😆😅😂🙂🙃😉😊😇🥰😍🤩😘😋😛😜🤪",
}
_MOST_FRAMES = 200
_FLICKERS = ("\n```", "\\*", "\\_")

_ROLE = re.compile(r"^\W*(?:user|human|you)\W*:\W*", re.IGNORECASE)
_DRAW = re.compile(
    r"\b(?:draw|paint|sketch|illustrate|нарисуй|zeichne|dibuja|dessine)\b"
    r"|\b(?:generate|create|make|render|produce|give|show)\b.{0,60}\b(?:images?|pictures?|photos?|drawings?|logos?|icons?)\b"
    r"|画一|畫一|绘制|生成.{0,12}图",
    re.IGNORECASE | re.DOTALL,
)
_INSTRUCTION = re.compile(r"generate (?:an|the edited) image (?:of this|as the answer|from the attached|that is a)", re.I)
_AROUND = re.compile(r"^generate an image: | Aspect ratio \d+:\d+\.", re.IGNORECASE)
_SINCE = re.compile(r"\n\n(?:Assistant:\n|Results of tools:\n|\(A tool is called by|Answer with one JSON )")
_COUNT = re.compile(r"\bcount (?:up )?(?:from (?:1|one) )?to (\d{1,5})\b", re.IGNORECASE)
_POEM = re.compile(r"\b(?:poem|haiku|verse)\b", re.IGNORECASE)
_TABLE = re.compile(r"\btable\b", re.IGNORECASE)
_CODE = re.compile(r"\b(?:code|function|program|script)\b", re.IGNORECASE)
_ASPECT = re.compile(r"\b(\d{1,2})\s*:\s*(\d{1,2})\b")

# Native sizes of one-megapixel pictures. 1408x768 and 848x1264 are recorded, the others follow their pattern.
_SIZES = {
    "1:1": (1024, 1024),
    "16:9": (1408, 768),
    "9:16": (768, 1376),
    "4:3": (1200, 896),
    "3:4": (896, 1200),
    "3:2": (1264, 848),
    "2:3": (848, 1264),
    "21:9": (1568, 672),
}
_DEFAULT_SIZE = "16:9"
_LARGEST_SIDE = 4096

POEM = """A lantern asks the evening tide
what colour morning wears;
the tide says: *wait, and sit beside
the sea upon the stairs.*

And when the first thin gold appears
along the harbour wall,
the lantern sees, through salt and years,
it needs no flame at all."""


@dataclass(frozen=True, slots=True)
class PictureWish:
    """A picture to be drawn: what of, how large it is natively, and which visible mark it carries."""

    subject: str
    width: int
    height: int
    star: str
    number: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes out. `frames` counts the cumulative content frames, thoughts included."""

    text: str
    title: str = ""
    thoughts: str = ""
    frames: int = 1
    pictures: tuple[PictureWish, ...] = ()
    web_images: int = 0
    citations: int = 0
    video: bool = False
    rewrite: bool = False
    flicker: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What came in. `prompt` is without its directive; `chunk_chars` and `star` are the site's settings."""

    prompt: str
    directive: Directive
    files: Sequence[Attachment] = ()
    model: str = "3.8 Flash"
    turn: int = 1
    thinking: bool = False
    chunk_chars: int = 12
    star: str = "v2"


def filler(chars: int, charset: str = "ascii") -> str:
    """A deterministic text of exactly `chars` characters (code points) that neither begins nor ends with a space."""
    alphabet = _ALPHABETS.get(charset, _ALPHABETS["ascii"])
    text = (alphabet * (chars // len(alphabet) + 1))[:chars]
    return text[:-1] + "." if text.endswith(" ") else text


def answer(question: Question) -> Answer:
    """The reply to a question. Raises BadDirective where a directive's value makes no sense."""
    wanted = question.directive
    pictures = _pictures(question)
    text = _scripted_text(question)
    if text is None:
        text = _picture_text(pictures, question.prompt) if pictures else _chat_text(question)
    thoughts = _thoughts(question)
    return Answer(
        text,
        title=wanted.values.get("title", _title(question.prompt)),
        thoughts=thoughts,
        frames=_frame_count(wanted, text, thoughts, question.chunk_chars),
        pictures=pictures,
        web_images=wanted.number("web_images"),
        citations=wanted.number("citations"),
        video=wanted.flag("video"),
        rewrite=wanted.flag("rewrite"),
        flicker=wanted.flag("flicker"),
    )


def _scripted_text(question: Question) -> str | None:
    wanted = question.directive
    if wanted.flag("echo"):
        return question.prompt
    if "chars" in wanted.values:
        return filler(wanted.number("chars"), wanted.values.get("charset", "ascii"))
    if (scripted := wanted.answer()) is not None:
        return scripted
    return obedience.obeyed(question.prompt, asked(question.prompt), wanted.values.get("steps"))


def asked(prompt: str) -> str:
    """The last line that the user said: not what the model and the tools said since, nor what is demanded of the answer."""
    return last_line(_SINCE.split(_last_turn(prompt))[0])


def _last_turn(prompt: str) -> str:
    return prompt[max(0, prompt.rfind("\n\nUser:\n")) :]


def _thoughts(question: Question) -> str:
    wanted = question.directive
    if "thoughts" in wanted.values:
        return filler(wanted.number("thoughts"), wanted.values.get("charset", "ascii"))
    if not question.thinking:
        return ""
    return f"**Reading the request**\n\nThe user wrote: {shortened(asked(question.prompt), 80)}\n\nI keep it short.\n"


def _frame_count(wanted: Directive, text: str, thoughts: str, chunk_chars: int) -> int:
    if "frames" in wanted.values:
        return max(1, wanted.number("frames"))
    return min(_MOST_FRAMES, max(1, -(-(len(text) + len(thoughts)) // chunk_chars)))


def stages(reply: Answer) -> Iterator[tuple[str, str]]:
    """The cumulative (text, thoughts) of each content frame; the last one is the whole answer."""
    thinking = _thought_frames(reply)
    for number in range(1, thinking + 1):
        yield "", _share(reply.thoughts, number, thinking)
    speaking = reply.frames - thinking
    for number in range(1, speaking):
        yield _disturbed(reply, _share(reply.text, number, speaking), number, speaking), reply.thoughts
    yield reply.text, reply.thoughts


def _thought_frames(reply: Answer) -> int:
    if not reply.thoughts or reply.frames < 2:
        return 0
    share = len(reply.thoughts) / (len(reply.thoughts) + len(reply.text) or 1)
    return min(reply.frames - 1, max(1, round(reply.frames * share)))


def _share(text: str, number: int, of: int) -> str:
    return text[: len(text) * number // of]


def _disturbed(reply: Answer, text: str, number: int, of: int) -> str:
    if reply.rewrite and number * 2 <= of:
        text = "Draft: " + text
    if reply.flicker:
        text += _FLICKERS[number % len(_FLICKERS)]
    return text


def last_line(prompt: str) -> str:
    """The last line of a prompt that says something, without a leading `User:`."""
    lines = [line for line in prompt[-20_000:].splitlines() if re.search(r"\w", line)]
    return _ROLE.sub("", lines[-1]).strip() if lines else prompt.strip()


def shortened(text: str, most: int) -> str:
    """`text` on one line, cut to `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def _title(prompt: str) -> str:
    return shortened(asked(prompt), 40) or "New chat"


def _chat_text(question: Question) -> str:
    line = asked(question.prompt)
    if counted := _COUNT.search(line):
        return ", ".join(str(number) for number in range(1, min(int(counted[1]), 10_000) + 1))
    if _POEM.search(line):
        return POEM
    if _TABLE.search(line):
        return _table()
    if _CODE.search(line):
        return _code()
    return _plain_text(question, line)


def _plain_text(question: Question, line: str) -> str:
    text = f"You said: **{shortened(line, 200)}**\n\n"
    text += f"I am a simulated {question.model}; nothing left this machine. "
    text += f"Your prompt has {len(question.prompt):,} characters"
    text += f", and this is turn {question.turn} of our chat." if question.turn > 1 else "."
    if question.files:
        text += "\n\nFiles I got:\n" + "\n".join(f"- {_described(file)}" for file in question.files)
    return text + "\n\nTry *write a poem*, *count to 20*, *make a table*, *show some code* or *draw a lighthouse at dusk*."


def _described(file: Attachment) -> str:
    if file.type is None:
        return f"`{file.name}`: I don't seem to have access to that content."
    return f"`{file.name}`: {file.type}, {file.size:,} bytes"


def _table() -> str:
    rows = [("Mercury", 4_879, 0), ("Venus", 12_104, 0), ("Earth", 12_756, 1), ("Mars", 6_792, 2)]
    lines = ["| Planet | Diameter (km) | Moons |", "|---|---:|---:|"]
    return "\n".join(lines + [f"| {name} | {size:,} | {moons} |" for name, size, moons in rows])


def _code() -> str:
    return (
        "Here is a small function:\n\n```python\ndef clamp(value: int, low: int, high: int) -> int:\n"
        '    """Keep `value` within low <= value <= high."""\n    if value < low:\n        return low\n'
        "    return high if value > high else value\n```\n\nIt has no side effects & works for any `a < b`."
    )


def _pictures(question: Question) -> tuple[PictureWish, ...]:
    wanted = question.directive
    line = asked(question.prompt)
    scripted = any(key in wanted.values for key in ("echo", "text", "b64", "chars"))
    count = wanted.number("image", 0 if scripted or not _DRAW.search(line) else 1)
    if count <= 0:
        return ()
    width, height = _picture_size(wanted, line)
    wish = PictureWish(shortened(line, 200) or "a picture", width, height, wanted.values.get("star", question.star))
    return tuple(replace(wish, number=number) for number in range(min(count, 8)))


def _picture_size(wanted: Directive, line: str) -> tuple[int, int]:
    aspect = _ASPECT.search(line)
    named = f"{aspect[1]}:{aspect[2]}" if aspect else ""
    if re.search(r"\bsquare\b", line, re.IGNORECASE):
        named = "1:1"
    elif re.search(r"\bportrait\b", line, re.IGNORECASE):
        named = "2:3"
    width, height = _SIZES.get(named, _SIZES[_DEFAULT_SIZE])
    width, height = wanted.number("w", width), wanted.number("h", height)
    return max(16, min(width, _LARGEST_SIDE)), max(16, min(height, _LARGEST_SIDE))


def _picture_text(pictures: Sequence[PictureWish], prompt: str) -> str:
    return f"Here is your picture: {_subject(prompt)}" if len(pictures) == 1 else "Here are your pictures."


def _subject(prompt: str) -> str:
    """What the user wants to see: the last line, without what tools say around it."""
    lines = [line for line in _SINCE.split(_last_turn(prompt))[0].splitlines() if line.strip()]
    spoken = [line for line in lines if not _INSTRUCTION.match(line)]
    return shortened(_AROUND.sub("", (spoken or lines or [""])[-1]), 200) or "a picture"
