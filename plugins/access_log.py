"""One line a request, as text or JSON: who, what, how it ended, how long it took. No prompt, no key, no cookie."""

from __future__ import annotations

import logging
import re
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
            log.info(" ".join([f"{name}={_shown(value)}" for name, value in fields.items()]))


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


_PLAIN = re.compile(r"[!#-~]*").fullmatch  # printable ASCII without spaces and quotes


def _shown(value: Any) -> Any:
    """A value that cannot forge a line or a field."""
    return orjson.dumps(value).decode() if type(value) is str and not _PLAIN(value) else value
