"""The `[[sim ...]]` directive that a prompt may hold anywhere: flags and key=value pairs that script the answer. Pure.

The last one in the prompt counts, since a client may pack a whole conversation into one prompt. A value with spaces
stands in double quotes, with the escapes `\\n`, `\\t`, `\\"` and `\\\\`. All keys are in `KEYS`.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

KEYS: Mapping[str, str] = {
    "echo": "the answer is the prompt, verbatim, without this directive",
    "text": "the answer, in double quotes",
    "b64": "the answer, as base64 of UTF-8",
    "steps": "tools to call, a list in JSON: one step for each message with results (see obedience)",
    "chars": "the answer is a deterministic text of so many characters",
    "charset": "what `chars` and `thoughts` are made of: ascii, cjk or emoji",
    "frames": "in how many cumulative frames the answer comes",
    "pace_ms": "pause before each content frame",
    "thoughts": "so many characters of thoughts before the answer",
    "title": "the title of the conversation",
    "image": "so many generated pictures (a flag means one)",
    "w": "width of the native picture",
    "h": "height of the native picture",
    "star": "the visible mark: none, v1, v2, or size@margin:opacity",
    "web_images": "so many pictures found on the web",
    "citations": "so many cited sources",
    "video": "a generated video",
    "rewrite": "earlier text is rewritten half way",
    "flicker": "frames end in a code fence or a backslash escape that the next frame takes back",
    "first_ms": "nothing at all, not even headers, for so long",
    "queue_ms": "status frames of a queue for so long",
    "think_ms": "bookkeeping frames only, after the ids, for so long",
    "downgrade": "another model answers than the one asked for",
    "fault": "a fault by name, code or HTTP status (see Fault)",
    "after": "content frames before the fault",
    "status": "HTTP status of the fault `http`",
    "code": "error code of the fault `code`",
    "retry_after": "seconds in the Retry-After header of the fault",
    "seconds": "how long the fault lasts",
    "size": "bytes of the fault `huge_frame`",
}

_PAIR = r'[\w-]+(?:=(?:"(?:\\.|[^"\\])*"|[^\s"\]]+))?'
_DIRECTIVE = re.compile(rf"\[\[sim((?:\s+{_PAIR})*)\s*\]\]")
_PAIRS = re.compile(r'([\w-]+)(?:=(?:"((?:\\.|[^"\\])*)"|([^\s"\]]+)))?')
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_OPENING = "[[sim"


class BadDirective(ValueError):
    """A directive with an unknown key or a value that makes no sense."""


@dataclass(frozen=True, slots=True)
class Directive:
    """What a prompt asked the simulator to do. `values` of an absent directive is empty."""

    values: Mapping[str, str] = field(default_factory=dict)

    def flag(self, key: str) -> bool:
        """Whether `key` stands in the directive and is not 0, no, off or false."""
        return self.values.get(key, "0").lower() not in ("0", "no", "off", "false")

    def number(self, key: str, default: int = 0) -> int:
        """The whole number of `key`; a flag without a value counts 1."""
        value = self.values.get(key)
        if value is None:
            return default
        try:
            return int(value)
        except ValueError:
            raise BadDirective(f"{key}={value!r} is no whole number") from None

    def seconds(self, key: str, default: float = 0.0) -> float:
        """How long `key` says: milliseconds where its name ends in `_ms`, else seconds."""
        value = self.values.get(key)
        if value is None:
            return default
        try:
            return float(value) / (1000 if key.endswith("_ms") else 1)
        except ValueError:
            raise BadDirective(f"{key}={value!r} is no number") from None

    def answer(self) -> str | None:
        """The exact answer that `text` or `b64` gives."""
        if "b64" in self.values:
            try:
                return base64.b64decode(self.values["b64"], validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise BadDirective("b64 is not base64 of UTF-8") from None
        return self.values.get("text")


def parse(prompt: str) -> tuple[Directive, str]:
    """The last directive of `prompt`, and the prompt without it. Raises BadDirective for a key that does not exist."""
    end = len(prompt)
    while (start := prompt.rfind(_OPENING, 0, end)) >= 0:
        if found := _DIRECTIVE.match(prompt, start):
            return Directive(_values(found[1])), prompt[:start] + prompt[found.end() :]
        end = start
    return Directive(), prompt


def _values(pairs: str) -> dict[str, str]:
    values = {}
    for pair in _PAIRS.finditer(pairs):
        key, quoted, plain = pair.groups()
        if key not in KEYS:
            raise BadDirective(f"unknown key {key!r}; there are {', '.join(KEYS)}")
        values[key] = plain or "1" if quoted is None else _unescaped(quoted)
    return values


def _unescaped(quoted: str) -> str:
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), quoted)
