"""Reads the web's answer: frames -> what is new in them. Pure: text in, events out.

Frames are cumulative (each carries the whole answer so far) and length-prefixed in UTF-16 units. The cost here is
linear in the bytes received: nothing is scanned twice, and of several frames in one network chunk only the last is
turned into deltas."""

from __future__ import annotations

import html
import re
from typing import Any

import orjson

from gateway.errors import UpstreamChanged
from gateway.model import Event, TextDelta, ThoughtDelta
from gateway.upstream import rich
from gateway.upstream.rich import at, text_at

# No answer comes near this; a length that claims more is a lie or an attack.
MOST_FRAME_UNITS = 16_000_000
_XSSI = ")]}'"
_MARKER = re.compile(r"\s*(\d{1,12})(?=\n)")
_RESYNC = re.compile(r"(?:^|\n)(\d{1,12})(?=\n\[)")
# Placeholder links that the site leaves where it renders an attachment.
_ARTIFACT = re.compile(r"https?://googleusercontent\.com/(?:\w+/)+[\d_]+\n*")
_ARTIFACT_HEADS = ("https://googleusercontent.com/", "http://googleusercontent.com/")
_CARD = re.compile(r"https?://googleusercontent\.com/card_content/\d+")
# The end of a half-written text is not certain yet: an entity, a closing fence, an escape that a later frame removes.
_OPEN_END = re.compile(r"(?:&[#\w]{0,31}|\n`{1,3}|\\+[`*_~][^\n]*|\\+)$")
_TAIL = 120
_ANCHORS = (64, 32, 16, 8)
_OPENING = 4096


def units(text: str) -> int:
    """Length in UTF-16 code units, as JavaScript counts."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


class FrameReader:
    """Cuts the stream into JSON frames. Feed it decoded text; it returns the frames completed by it."""

    __slots__ = ("_needed", "_pieces", "_started", "_units")

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._units = 0
        self._needed = 0
        self._started = False

    def feed(self, text: str) -> list[Any]:
        """Frames (each a parsed JSON value) that `text` completes. Raises UpstreamChanged for an absurd length."""
        self._pieces.append(text)
        self._units += units(text)
        if self._units < self._needed:
            return []
        return self._cut("".join(self._pieces))

    def finish(self) -> list[Any]:
        """Frames that can still be read once the stream has ended: a last one with a wrong length, for example."""
        rest = "".join(self._pieces)
        self._keep("", 0)
        frames = []
        for match in _RESYNC.finditer(rest):
            end = _RESYNC.search(rest, match.end())
            frames += _parsed(rest[match.end() : end.start() if end else len(rest)])
        return frames

    def _cut(self, buffer: str) -> list[Any]:
        frames: list[Any] = []
        position = self._skip_prefix(buffer)
        needed = 0
        while match := _MARKER.match(buffer, position):
            needed = int(match.group(1))
            if needed > MOST_FRAME_UNITS:
                raise UpstreamChanged("Gemini announced an answer too large to be one")
            frame = _take(buffer, match.end(), needed)
            if frame is None:
                break
            found = _parsed(frame)
            frames += found
            position = match.end() + len(frame)
            needed = 0
            if not found and frame.strip():
                position = _resync(buffer, match.end())
        else:
            position = self._skip_noise(buffer, position)
        self._keep(buffer[position:], needed)
        return frames

    def _keep(self, rest: str, needed: int) -> None:
        self._pieces = [rest] if rest else []
        self._units = units(rest)
        # The marker's own digits stand before the counted part.
        self._needed = needed + len(str(needed)) if needed else 0

    def _skip_prefix(self, buffer: str) -> int:
        if self._started or (len(buffer) < len(_XSSI) and _XSSI.startswith(buffer)):
            return 0
        self._started = True
        return len(_XSSI) if buffer.startswith(_XSSI) else 0

    def _skip_noise(self, buffer: str, position: int) -> int:
        """Where text stands that is no marker: the next marker, or stay (a marker may be cut in half)."""
        rest = buffer[position : position + 16].lstrip()
        if not rest or rest[0].isdigit() or not self._started:
            return position
        return _resync(buffer, position)


def _take(buffer: str, start: int, wanted: int) -> str | None:
    """The slice of `wanted` UTF-16 units from `start`, or None while it is not all there."""
    frame = buffer[start : start + wanted]
    if frame.isascii():
        return frame if len(frame) == wanted else None
    encoded = frame.encode("utf-16-le", "surrogatepass")
    if len(encoded) == 2 * len(frame):
        return frame if len(frame) == wanted else None
    if len(encoded) < 2 * wanted:
        return None
    return encoded[: 2 * wanted].decode("utf-16-le", "surrogatepass")


def _resync(buffer: str, start: int) -> int:
    match = _RESYNC.search(buffer, start)
    return match.start() if match else max(start, len(buffer) - 16)


def _parsed(frame: str) -> list[Any]:
    try:
        value = orjson.loads(frame)
    except orjson.JSONDecodeError:
        return []
    return value if isinstance(value, list) else [value]


class Growing:
    """A text that the upstream sends whole again and again. `advance` returns what is new in it and certain.

    What was passed on cannot be taken back. When the upstream rewrites it, reading goes on behind the place where old
    and new text meet again; so nothing is repeated, and nothing that is new is lost."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen = ""

    def advance(self, whole: str, *, final: bool) -> str:
        """New text since the last call; everything that is left if `final`."""
        if not final:
            whole = whole[: _certain(whole)]
        start = len(self._seen)
        if not whole.startswith(self._seen):
            if self._seen.startswith(whole):
                return ""
            start = _meeting_point(self._seen, whole)
        self._seen = whole
        return _clean(whole[start:])


def _certain(text: str) -> int:
    """Length of the part of a half-written text that later frames will not take back."""
    tail = text[-_TAIL:]
    end = len(text)
    if match := _OPEN_END.search(tail):
        end -= len(tail) - match.start()
        tail = tail[: match.start()]
    opened = tail.rfind("http")
    if opened >= 0 and _may_be_artifact(tail[opened:]):
        return end - (len(tail) - opened)
    for size in (3, 2, 1):
        if tail.endswith("http"[:size]):
            return end - size
    return end


def _may_be_artifact(text: str) -> bool:
    return any(head.startswith(text) for head in _ARTIFACT_HEADS) or (
        text.startswith(_ARTIFACT_HEADS) and re.fullmatch(r"[\w:/.]+\n*", text) is not None
    )


def _clean(text: str) -> str:
    if "googleusercontent" in text:
        text = _ARTIFACT.sub("", text)
    return html.unescape(text) if "&" in text else text


def _meeting_point(old: str, new: str) -> int:
    """Index in `new` that corresponds to the end of `old`, whose text was rewritten somewhere before it."""
    parted = _common_prefix(old, new)
    for size in _ANCHORS:
        anchor = old[-size:]
        if len(anchor) < size or len(old) - size < parted:
            continue
        nearest = new.find(anchor, max(parted, len(old) - size - 256))
        if nearest >= 0:
            return nearest + size
    return parted


def _common_prefix(a: str, b: str) -> int:
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[:middle] == b[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class ReplyReader:
    """The state of one answer. `feed` takes network text and returns parts for the library, which decides by them
    whether the answer is complete; the parts are stripped of the text, which is read here. `take` returns new events.

    With `hold` nothing comes out until the answer is complete: for a caller who does not stream, the text is then
    exactly the last one, however often it was rewritten on the way. `links` closes the text with links to the pictures
    that the answer shows from the web. `opening` is how an answer began that has no frame:
    it may be a page for people."""

    def __init__(self, *, hold: bool = False, links: bool = True) -> None:
        self._links = links
        self._frames = FrameReader()
        self._hold = hold
        self._text = Growing()
        self._thoughts = Growing()
        self._candidate: list[Any] | None = None  # the latest, until it is taken
        self._cited = False
        self.opening = ""
        self.pictures: tuple[rich.Drawn, ...] = ()
        self.understood = False
        self.complete = False
        self.content_seen = False
        self.error_code: Any = None
        self.rejected = False
        self.served_id: str | None = None
        self.served_name: str | None = None
        self.cid: str | None = None
        self.rid: str | None = None
        self.rcid: str | None = None

    # --- in -------------------------------------------------------------------------------------------------------

    def feed(self, text: str) -> list[Any]:
        """Read network text; returns what the library needs to know of it."""
        if not self.understood and len(self.opening) < _OPENING:
            self.opening += text[:_OPENING]
        return self._absorb(self._frames.feed(text))

    def finish(self) -> list[Any]:
        """The stream has ended."""
        return self._absorb(self._frames.finish())

    def recovered(self, text: str, thoughts: str, pictures: tuple[rich.Drawn, ...] = ()) -> None:
        """The library read the whole answer from the chat's history, already unescaped."""
        self.pictures = self.pictures or pictures
        self._candidate = ["", [html.escape(text, quote=False)]] + [None] * 35 + [[[html.escape(thoughts, quote=False)]]]
        self.complete = True

    def _absorb(self, frames: list[Any]) -> list[Any]:
        parts: list[Any] = []
        latest = False
        self.understood = self.understood or bool(frames)
        for part in frames:
            body = at(part, 2)
            code = at(part, 5, 2, 0, 1)
            if code:
                # 1096 and its like come after a complete answer too: the answer stands.
                if not self.complete:
                    self.error_code = code
                    parts.append(part)
            elif at(part, 5) == [7]:
                self.rejected = True
            elif isinstance(body, str):
                latest = self._inner(body) or latest
            elif at(part, 5) and not self.complete:
                parts.append(part)
        if latest:
            parts.append(self._skeleton())
        return parts

    def _inner(self, body: str) -> bool:
        try:
            inner = orjson.loads(body)
        except orjson.JSONDecodeError:
            return False
        if not isinstance(inner, list):
            return False
        self.cid = text_at(inner, 1, 0) or self.cid
        self.rid = text_at(inner, 1, 1) or self.rid
        self._served(inner)
        candidate = at(inner, 4, 0)
        if not isinstance(candidate, list) or not text_at(candidate, 0):
            return False
        self.rcid = candidate[0]
        self._candidate = candidate
        self.pictures = rich.drawn(candidate) or self.pictures
        self.complete = at(candidate, 8, 0) == 2 or self.complete
        # Any text or thought counts: from here on the prompt is never sent again.
        self.content_seen = self.content_seen or bool(
            at(candidate, 1, 0) or at(candidate, 37, 0, 0) or self.pictures
        )
        return True

    def _served(self, inner: list[Any]) -> None:
        """Which model answers: hash and name in fields 39 and 42, or in the sparse tail as "40" and "43"."""
        sparse = inner[-1] if inner and isinstance(inner[-1], dict) else {}
        self.served_id = text_at(inner, 39) or text_at(sparse.get("40")) or self.served_id
        self.served_name = text_at(inner, 42) or text_at(sparse.get("43")) or self.served_name

    def _skeleton(self) -> list[Any]:
        candidate = [self.rcid, [""], None, None, None, None, None, None, [2 if self.complete else 1]]
        inner = [None, [self.cid, self.rid], None, None, [candidate]]
        return ["wrb.fr", None, orjson.dumps(inner).decode()]

    # --- out ------------------------------------------------------------------------------------------------------

    def take(self) -> list[Event]:
        """What is new since the last call."""
        if (candidate := self._candidate) is None or (self._hold and not self.complete):
            return []
        self._candidate = None
        events: list[Event] = []
        thoughts = self._thoughts.advance(text_at(candidate, 37, 0, 0) or "", final=self.complete)
        text = self._text.advance(_raw_text(candidate), final=self.complete)
        if thoughts:
            events.append(ThoughtDelta(thoughts))
        if text:
            events.append(TextDelta(text))
        if self.complete and not self._cited:
            self._cited = True
            if self._links and (links := rich.web_links(candidate)):
                events.append(TextDelta(links))
            events += rich.citations(candidate)
        return events


def _raw_text(candidate: list[Any]) -> str:
    text = text_at(candidate, 1, 0) or ""
    if _CARD.match(text):
        text = text_at(candidate, 22, 0) or text
    return text
