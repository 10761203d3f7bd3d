"""Where a tool call may begin in an answer, and where its block ends. Pure; knows notation, not what a call says.

A call begins with a fence (```tool_call, or a JSON fence whose object is a call), with a tag (<tool_call>, [tool_call]), or
with a bare JSON object that is a call of a known tool; each also in the forms that Markdown and HTML escaping leave."""

from __future__ import annotations

import html
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import Enum, auto


class Verdict(Enum):
    """What a piece of text is: no call, the beginning of one, or too short to tell."""

    TEXT = auto()
    CALL = auto()
    MAYBE = auto()


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the text: where what is judged begins, and where the body of the call begins."""

    verdict: Verdict
    begin: int
    body: int


_TEXT, _CALL, _MAYBE = Verdict.TEXT, Verdict.CALL, Verdict.MAYBE
_KIND = r"(?:tool|function)(?:\\?[_-])?(?:call|use|code)s?"
_KINDS = tuple(noun + verb for noun in ("tool", "function") for verb in ("calls", "uses", "codes"))
# Bounded: a run without end would be tried from each of its places.
_TICKS = r"(?:(?:\\?`){3,9}|(?:\\?~){3,9})"
_SUSPECT = re.compile(r"(?P<ticks>(?:\\?[`~])+(?:\\\Z)?)|\\?[<\[{]|&|\\(?=\Z)")
_FENCE_KIND = re.compile(rf"[ \t]*(?:{_KIND}|tool call)", re.IGNORECASE)
_LEFT, _RIGHT = r"(?:\\?[<\[]|&lt;|&#60;)", r"(?:\\?[>\]]|&gt;|&#62;)"
_TAG = re.compile(rf"{_LEFT}[ \t]*{_KIND}(?![a-z])[^\n{{\[]{{0,40}}?(?:{_RIGHT}|(?=[\n{{\[]))", re.IGNORECASE)
_OPENING = re.compile(rf"{_TICKS}[ \t]*{_KIND}|{_TAG.pattern}", re.IGNORECASE)
_CLOSING = re.compile(rf"{_TICKS}|{_LEFT}[ \t]*\\?/[ \t]*{_KIND}{_RIGHT}?", re.IGNORECASE)
# What a mark that closes can begin with: looking for this first is ten times as fast.
_CLOSING_BEGINS = re.compile(r"[`~<\[&\\]")
# Fences in which a call may stand although they do not say so.
_DATA = ("", "json", "json5", "jsonc", "javascript", "js", "text", "txt", "plaintext", "xml", "html", "yaml", "markdown")
_INFO = re.compile(r"[ \t]*[\w\\-]*[ \t]*")
_WHOLE_KIND = re.compile(rf"{_KIND}(?![a-z])", re.IGNORECASE)
_WORDS = re.compile(r"[\w -]*")
_MOST_INFO = 60
_MOST_HEAD = 300

# A call's JSON up to where it is certain, once _plain() has taken escapes, white space and typography from it.
_HEAD = re.compile(
    r'\[?(?:\{(?:"(?P<key>\w*)(?:"(?::(?:(?P<nest>[\[{])|"(?P<name>[\w.:/-]*)'
    r'(?:"(?:(?P<end>\})|,(?:"(?P<second>\w*)(?P<done>")?)?)?)?)?)?)?)?)?'
)
_HEAD_BEGINS = re.compile(r"""(?:\\?\[\s*)?(?:\\?\{\s*(?:\\?(?:["“”„‟'‘’]|\Z)|&)|\\?\Z)|\\?\{\s*\Z""")
_NAME_KEYS = ("name", "tool", "tool_name", "function", "function_name")
_NEST_KEYS = ("tool_call", "tool_calls", "function_call", "function_calls")
_SECOND_KEYS = ("arguments", "args", "parameters", "input", "params")
_TO_PLAIN = str.maketrans({"“": '"', "”": '"', "„": '"', "‟": '"', "'": '"', "‘": '"', "’": '"', "\\": None, "\xa0": None})
_SPACE = re.compile(r"\s+")
_JOINTS = re.compile(r"[.:/]")
_NO_LETTER = re.compile(r"[^a-z0-9]")


def closing(text: str, at: int = 0) -> Iterator[int]:
    """Where everything begins from `at` on that may close a call's block."""
    while (begins := _CLOSING_BEGINS.search(text, at)) is not None:
        match = _CLOSING.match(text, begins.start())
        if match is not None:
            yield match.start()
        at = match.end() if match is not None else begins.end()


def opening(text: str) -> tuple[int, int]:
    """Begin and end of the first mark in `text` that opens a call's block; the end of `text` twice where there is none."""
    match = _OPENING.search(text)
    return match.span() if match else (len(text), len(text))


class Finder:
    """Finds calls of `names`."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find(self, text: str, *, final: bool) -> Mark:
        """The first place in `text` where a call begins or may begin. When the text is `final` nothing more will tell:
        a beginning is a call if it can be nothing else."""
        at = 0
        while (suspect := _SUSPECT.search(text, at)) is not None:
            mark = self._judge(text, suspect)
            if mark.verdict is _MAYBE and final:
                mark = Mark(_CALL if self._is_cut_call(text[mark.begin :]) else _TEXT, mark.begin, mark.body)
            if mark.verdict is not _TEXT:
                return mark
            at = suspect.end()
        return Mark(_TEXT, len(text), len(text))

    def _judge(self, text: str, suspect: re.Match[str]) -> Mark:
        begin = suspect.start()
        if suspect["ticks"]:
            return self._fence(text, begin, suspect.end())
        if tag := _TAG.match(text, begin):
            return Mark(_CALL, begin, tag.end())
        verdict = _may_be_tag(text[begin : begin + _MOST_INFO + 1])
        if verdict is _TEXT and suspect.group()[-1] in "[{":
            verdict = self._head(text[begin : begin + _MOST_HEAD])
        return Mark(verdict, begin, begin)

    def _fence(self, text: str, begin: int, end: int) -> Mark:
        ticks = text[begin:end].replace("\\", "")
        if not 3 <= len(ticks) <= _MOST_INFO:
            return Mark(_MAYBE if end == len(text) and len(ticks) < 3 else _TEXT, begin, end)
        if kind := _FENCE_KIND.match(text, end):
            return Mark(_CALL, begin, kind.end())
        line = text.find("\n", end, end + _MOST_INFO)
        if line < 0:
            return Mark(self._unfinished_line(text[end : end + _MOST_HEAD]), begin, end)
        if _word(text[end:line]) not in _DATA:
            return Mark(_TEXT, begin, end)
        return Mark(self._within(text[line : line + _MOST_HEAD].lstrip(), text, line), begin, line)

    def _unfinished_line(self, text: str) -> Verdict:
        """Of a fence's first line, while it has no end: `text` is what stands behind the ticks."""
        info = _INFO.match(text)
        rest = text[info.end() :] if info else text
        if rest:
            return self._head(rest, fenced=True) if info and _word(info.group()) in _DATA else _TEXT
        word = _word(text)
        known = any(kind.startswith(word) for kind in (*_KINDS, *_DATA))
        return _MAYBE if known and len(text) < _MOST_INFO else _TEXT

    def _within(self, inner: str, text: str, line: int) -> Verdict:
        """What stands in a fence that does not say that it holds a call."""
        if _TAG.match(inner):
            return _CALL
        if not inner:
            return _MAYBE if len(text) - line < _MOST_HEAD else _TEXT
        verdict = _may_be_tag(inner)
        return self._head(inner, fenced=True) if verdict is _TEXT else verdict

    def _head(self, text: str, *, fenced: bool = False) -> Verdict:
        """Whether `text` is the JSON of a call: an object that names a known tool, or says tool_call itself. Without
        arguments it is one only in a fence of its own."""
        if _HEAD_BEGINS.match(text) is None:
            return _TEXT
        plain = _plain(text)
        match = _HEAD.match(plain)
        if match is None:
            return _TEXT
        open_end = match.end() == len(plain) and len(text) < _MOST_HEAD
        key, name, second = match["key"], match["name"], match["second"]
        if match["nest"]:
            return _CALL if key in _NEST_KEYS else _TEXT
        if match["end"]:
            return _CALL if fenced and key in _NAME_KEYS and self._knows(name) else _TEXT
        if match["done"]:
            return _CALL if key in _NAME_KEYS and self._knows(name) and second in _SECOND_KEYS else _TEXT
        if not open_end and not _cut_entity(plain[match.end() :]):
            return _TEXT
        return _MAYBE if self._may_become(match) else _TEXT

    def _may_become(self, match: re.Match[str]) -> bool:
        key, name, second = match["key"] or "", match["name"], match["second"] or ""
        if name is None:
            return any(word.startswith(key) for word in _NAME_KEYS + _NEST_KEYS)
        if key not in _NAME_KEYS or not any(word.startswith(second) for word in _SECOND_KEYS):
            return False
        return any(known.startswith(short(name)) for known in self._names) or "default_api".startswith(name)

    def _knows(self, name: str) -> bool:
        return name in self._names or short(name) in self._names

    def _is_cut_call(self, text: str) -> bool:
        """Whether a text that ends here was cut in the middle of a call's beginning."""
        if (match := _HEAD.match(_plain(text.lstrip("`~ \n\\")))) and match["name"]:
            return match["key"] in _NAME_KEYS and self._knows(match["name"])
        return len(_word(text)) >= 5 and any(kind.startswith(_word(text)) for kind in _KINDS)


def short(name: str) -> str:
    """A tool's name without the namespace that models put before it (`default_api.`, `functions.`, `tools:`)."""
    return _JOINTS.split(name)[-1]


def _may_be_tag(text: str) -> Verdict:
    """For text that is no whole tag: whether it may become one."""
    if len(text) > _MOST_INFO:
        return _TEXT
    if "&lt;".startswith(text) or "&#60;".startswith(text) or text == "\\":
        return _MAYBE
    plain = html.unescape(text).replace("\\", "")
    if plain[:1] not in ("<", "["):
        return _TEXT
    rest = plain[1:].lstrip(" \t")
    if _WHOLE_KIND.match(rest):
        return _MAYBE
    begun = _WORDS.fullmatch(rest) is not None and any(kind.startswith(_word(rest)) for kind in _KINDS)
    return _MAYBE if begun else _TEXT


def _word(text: str) -> str:
    """Letters of a mark: without brackets, escapes, spaces and what joins words."""
    return _NO_LETTER.sub("", text.lower())


def _plain(text: str) -> str:
    return _SPACE.sub("", html.unescape(text)).translate(_TO_PLAIN)


def _cut_entity(text: str) -> bool:
    return re.fullmatch(r"&#?\w{0,5}", text) is not None
