"""One line a request, as text or JSON: who, what, how it ended, how long it took. No prompt, no key, no cookie."""

from __future__ import annotations

import logging
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from gateway.hookspecs import hookimpl
from gateway.model import Call, Outcome

log = logging.getLogger("gateway.access")


class Settings(BaseModel):
    """How the lines look."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal["text", "json"] = Field("text", description="text (key=value) or json, one line each.")


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._json = settings.format == "json"

    @hookimpl
    async def call_finished(self, call: Call, outcome: Outcome) -> None:
        if not log.isEnabledFor(logging.INFO):
            return
        fields = _fields(call, outcome)
        if self._json:
            log.info(orjson.dumps(fields).decode())
        else:
            log.info(_text(fields))


def _fields(call: Call, outcome: Outcome) -> dict[str, Any]:
    head = call.head
    fields: dict[str, Any] = {
        "id": head.request_id if head else call.id,
        "method": head.method if head else "",
        "path": head.path[:200] if head else "",
        "status": outcome.status,
        "ms": round(outcome.duration_s * 1000, 1),
        "key": call.principal.name,
    }
    if call.account is not None:  # only then is the model one that exists, and not whatever the caller wrote
        fields |= {"model": call.model, "served": call.served_model, "account": call.account, "tries": call.attempts}
        fields |= {"tokens_in": outcome.usage.prompt, "tokens_out": outcome.usage.output + outcome.usage.thoughts}
    if outcome.first_content_s is not None:
        fields["first_ms"] = round(outcome.first_content_s * 1000, 1)
    if outcome.error is not None:
        fields["error"] = outcome.error
    return fields


def _text(fields: dict[str, Any]) -> str:
    """`fields` as name=value; a value that could forge a line or a field is quoted."""
    line = " ".join([f"{name}={value}" for name, value in fields.items()])
    if line.isascii() and line.isprintable() and line.count(" ") < len(fields):
        return line
    return " ".join([f"{name}={_quoted(value)}" for name, value in fields.items()])


def _quoted(value: Any) -> Any:
    if type(value) is not str or (value.isascii() and value.isprintable() and " " not in value):
        return value
    return orjson.dumps(value).decode()
