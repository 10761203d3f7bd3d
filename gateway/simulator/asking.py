"""What a generation request says: the form's nested JSON and the model header, as a plain value. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

MODEL_HEADER = "x-goog-ext-525001261-jspb"
_LEAST_SLOTS = 17
_GEM, _TEMPORARY, _THINKING = 19, 45, 80
_EXTENDED = 2


class NotAsked(ValueError):
    """The form is no generation request."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A generation request. `files` are (upload id, name); `cid` is empty for a new conversation."""

    prompt: str
    files: tuple[tuple[str, str], ...]
    cid: str
    token: str
    model_id: str | None
    temporary: bool
    thinking: bool
    gem: str | None


def read(form: Mapping[str, str], headers: Mapping[str, str]) -> Ask:
    """The request that a form and its headers make. Raises NotAsked."""
    try:
        slots = orjson.loads(orjson.loads(form["f.req"])[1])
        if len(slots) < _LEAST_SLOTS or not isinstance(slots[0][0], str):
            raise NotAsked("too few slots, or no prompt")
        return Ask(
            prompt=slots[0][0],
            files=tuple((str(file[0][0]), str(file[1])) for file in _slot(slots[0], 3) or ()),
            cid=str((_slot(slots, 2) or [""])[0] or ""),
            token=form.get("at", ""),
            model_id=_model_id(headers.get(MODEL_HEADER)),
            temporary=_slot(slots, _TEMPORARY) == 1,
            thinking=_slot(slots, _THINKING) == _EXTENDED,
            gem=_slot(slots, _GEM),
        )
    except (KeyError, LookupError, TypeError, orjson.JSONDecodeError) as exc:
        raise NotAsked("f.req is not what a generation sends") from exc


def _slot(slots: list[Any], number: int) -> Any:
    return slots[number] if number < len(slots) else None


def _model_id(header: str | None) -> str | None:
    return orjson.loads(header)[4] if header else None
