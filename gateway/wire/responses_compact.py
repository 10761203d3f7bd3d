"""A conversation made short (`POST /v1/responses/compact`): what the model is asked, and the item that holds its summary.
Pure."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from gateway.model import Call, Message, Text

_MARK = "gw1."
_ASK = """\
Do not answer. Write instead a summary of this conversation from which another assistant can go on without having seen it:
what the user wants, what was decided and done, facts, names, numbers, paths and code that are still needed, what is open.
Only the summary, without a word before or after it."""
_BEFORE = "Summary of the conversation so far:\n"


def asking(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation, and the wish for its summary."""
    return (*messages, Message("user", (Text(_ASK),)))


def compacted(call: Call, seed: str, summary: str, usage: dict[str, Any]) -> dict[str, Any]:
    """The reply. The original seals the summary for its own use; here it is only wrapped."""
    sealed = _MARK + base64.urlsafe_b64encode(summary.encode("utf-8", "replace")).decode("ascii")
    item = {"id": f"cmp_{seed}0000", "type": "compaction", "encrypted_content": sealed}
    return {
        "id": call.id,
        "object": "response.compaction",
        "created_at": call.created,
        "output": [item],
        "usage": usage,
    }


def summary(sealed: str) -> Text | None:
    """What an item of ours says; None for one of another maker."""
    if not sealed.startswith(_MARK):
        return None
    try:
        return Text(_BEFORE + base64.urlsafe_b64decode(sealed[len(_MARK) :]).decode("utf-8", "replace"))
    except (binascii.Error, ValueError):
        return None
