"""What an answer of the web carries beside its text: generated pictures, pictures found on the web, sources. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway.model import Citation

# Fields of a candidate's rich content: by position, or in a last dict under the number plus one. From records of the site.
_RICH, _FOUND, _GENERATED, _CITATIONS = 12, 1, 7, 43
# An address that Markdown takes as it is.
_PLAIN_URL = re.compile(r"https://[!#-'*-;=?-\[\]-_a-~]+")
_MARKUP = re.compile(r"[\[\]\\`<>]")
_MOST_WORDS = 200


def at(data: Any, *path: int) -> Any:
    """`data[path[0]][path[1]]...`, or None where the path leaves the data."""
    for index in path:
        if not isinstance(data, list) or not -len(data) <= index < len(data):
            return None
        data = data[index]
    return data


def text_at(data: Any, *path: int) -> str | None:
    """The text at `path`, or None where there is none."""
    value = at(data, *path)
    return value if isinstance(value, str) and value else None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A generated picture as the answer names it: address of its preview, its id in the conversation, and the token that
    the site's largest download asks for (empty where none came)."""

    url: str
    id: str
    token: str = ""


def drawn(candidate: Any) -> tuple[Drawn, ...]:
    """The generated pictures of a candidate."""
    found = []
    for item in _items(at(_field(candidate, _GENERATED), 0)):
        file = at(item, 0, 3)
        if url := text_at(file, 3):
            found.append(Drawn(url, text_at(item, 1, 0) or "", text_at(file, 5) or ""))
    return tuple(found)


def web_links(candidate: Any) -> str:
    """The pictures from the web that a candidate shows, each once, as Markdown links. Links, not images: an image would
    make the reader's program ask a stranger's server of itself. Nothing is fetched here either."""
    found: dict[str, str] = {}
    for item in _items(_field(candidate, _FOUND)):
        url = text_at(item, 0, 0, 0) or ""
        if _PLAIN_URL.fullmatch(url):
            found.setdefault(url, _MARKUP.sub("", " ".join((text_at(item, 0, 4) or "").split()))[:_MOST_WORDS])
    return "".join(f"\n\n[{words or 'image'}]({url})" for url, words in found.items())


def citations(candidate: Any) -> list[Citation]:
    """The sources that a candidate names, each once."""
    rows = (at(item, 1, 0, 3, 0) for item in _items(_field(candidate, _CITATIONS)))
    found = {text_at(row, 1): text_at(row, 2) or "" for row in rows}
    return [Citation(url, title) for url, title in found.items() if url and url.startswith(("http://", "https://"))]


def _field(candidate: Any, number: int) -> Any:
    rich = at(candidate, _RICH)
    if isinstance(rich, list) and rich and isinstance(rich[-1], dict):
        return rich[-1].get(str(number + 1)) or at(rich, number)
    return at(rich, number)


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
