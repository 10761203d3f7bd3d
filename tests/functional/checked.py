"""Holds every reply of a test gateway against the original's own schema: whole replies, events of streams, errors, lists,
files.

A plugin like any other, enabled last: it stands in for each wire format by one that looks at its own bytes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import jsonschema_rs
import orjson

from gateway.hookspecs import Dialects, hookimpl
from tests.wire.schemas import document
from tests.wire.test_anthropic import EVENTS

_GEMINI = "GenerateContentResponse"
# By dialect: the document, then the schemas of a whole reply, an event, an error, a list of models, and one model.
SCHEMAS: dict[str, tuple[str, str, str, str, str, str]] = {
    "openai": (
        "openai_chat",
        "CreateChatCompletionResponse",
        "CreateChatCompletionStreamResponse",
        "ErrorResponse",
        "ListModelsResponse",
        "Model",
    ),
    "openai_responses": ("openai_responses", "Response", "ResponseStreamEvent", "ErrorResponse", "", ""),
    "openai_images": ("openai_images", "ImagesResponse", "", "ErrorResponse", "", ""),
    "openai_completions": ("openai_chat", "", "", "ErrorResponse", "", ""),
    "gemini": ("gemini", _GEMINI, _GEMINI, "ErrorEnvelope", "ListModelsResponse", "Model"),
    "anthropic": ("anthropic", "Message", "*", "ErrorResponse", "", ""),
}
# By dialect: the document, then the schemas of a file, a list of files, and the word that one is deleted.
FILES: dict[str, tuple[str, str, str, str]] = {
    "openai": ("openai_files", "OpenAIFile", "ListFilesResponse", "DeleteFileResponse"),
    "anthropic": ("anthropic", "BetaFileMetadataSchema", "BetaFileListResponse", "BetaFileDeleteResponse"),
}


@cache
def _validator(name: str, schema: str) -> Any:
    book = document(name)
    schemas = "#/components/schemas" if "components" in book else "#/schemas"
    return jsonschema_rs.validator_for({**book, "$ref": f"{schemas}/{schema}"})


def _events(raw: bytes) -> Iterator[Any]:
    for line in raw.split(b"\n"):
        line = line.removeprefix(b"data: ").strip(b"[],\r")
        if line.startswith(b"{"):
            yield orjson.loads(line)


class Checked:
    """What is put before a dialect's own class. `faults` are what did not fit, in words."""

    faults: list[str]
    name: str

    def _fits(self, place: int, value: Any) -> None:
        book, *kinds = SCHEMAS.get(self.name, ("", "", "", "", "", ""))
        kind = kinds[place]
        if place == 1 and kind and "error" in value and value.get("type") != "error":
            place, kind = 2, kinds[2]
        if kind == "*":
            kind = EVENTS.get(value["type"], "")
            if not kind and value["type"] != "ping":
                self.faults.append(f"{self.name}: there is no event {value['type']}")
        # Anthropic's documents have this error, its schemas have not.
        if b"request_too_large" in orjson.dumps(value.get("error")) and self.name == "anthropic":
            return
        if not kind or value.get("object") == "response.compaction":
            return
        self._valid(book, kind, value)

    def _file_fits(self, place: int, raw: bytes) -> bytes:
        book, *kinds = FILES.get(self.name, ("", "", "", ""))
        if kinds[place]:
            self._valid(book, kinds[place], orjson.loads(raw))
        return raw

    def _valid(self, book: str, kind: str, value: Any) -> None:
        for error in _validator(book, kind).iter_errors(value):
            where = "/".join(map(str, error.instance_path))
            self.faults.append(f"{self.name} {kind} {where}: {error.message[:300]}")
            break

    def _told(self, raw: bytes) -> bytes:
        for event in _events(raw):
            self._fits(1, event)
        return raw

    def encode_start(self, call: Any) -> bytes:
        return self._told(super().encode_start(call))  # type: ignore[misc]

    def encode_event(self, event: Any, call: Any) -> bytes:
        return self._told(super().encode_event(event, call))  # type: ignore[misc]

    def encode_keep_alive(self, call: Any) -> bytes:
        return self._told(super().encode_keep_alive(call))  # type: ignore[misc]

    def encode_late_error(self, error: Any, call: Any) -> bytes:
        return self._told(super().encode_late_error(error, call))  # type: ignore[misc]

    def encode_whole(self, reply: Any, call: Any) -> bytes:
        raw: bytes = super().encode_whole(reply, call)  # type: ignore[misc]
        if call.options.get("action") != "simple":  # a form of our own, which no original has
            self._fits(0, orjson.loads(raw))
        return raw

    def encode_error(self, error: Any) -> bytes:
        raw: bytes = super().encode_error(error)  # type: ignore[misc]
        self._fits(2, orjson.loads(raw))
        return raw

    def encode_models(self, cards: Any, query: Any) -> bytes:
        raw: bytes = super().encode_models(cards, query)  # type: ignore[misc]
        self._fits(3, orjson.loads(raw))
        return raw

    def encode_model(self, card: Any) -> bytes:
        raw: bytes = super().encode_model(card)  # type: ignore[misc]
        self._fits(4, orjson.loads(raw))
        return raw

    def encode_file(self, file: Any, address: str) -> bytes:
        return self._file_fits(0, super().encode_file(file, address))  # type: ignore[misc]

    def encode_files(self, files: Any, query: Any, address: str) -> bytes:
        return self._file_fits(1, super().encode_files(files, query, address))  # type: ignore[misc]

    def encode_deleted(self, id: str) -> bytes:
        return self._file_fits(2, super().encode_deleted(id))  # type: ignore[misc]


class Plugin:
    """`faults` are those of all formats; `stands_in` says for which formats it looks."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.stands_in: set[str] = set()

    @hookimpl(trylast=True)
    def register_dialects(self, dialects: Dialects) -> None:
        for number, dialect in enumerate(dialects.found):
            kind = type(f"Checked{type(dialect).__name__}", (Checked, type(dialect)), {})
            checked = kind()
            checked.faults = self.faults
            dialects.found[number] = checked
            self.stands_in.add(checked.name)
