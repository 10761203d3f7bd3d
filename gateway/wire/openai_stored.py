"""Chat completions that are kept (`store`): what a record holds, and the replies about it. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from gateway.model import Call
from gateway.wire import openai_lists, sse
from gateway.wire.fields import Fields


def asked(fields: Fields) -> dict[str, Any] | None:
    """What of a request is kept beside its answer; None where nothing is."""
    if not fields.flag("store"):
        return None
    return {"messages": fields.get("messages"), "metadata": metadata(fields)}


def metadata(fields: Fields) -> Mapping[str, Any]:
    """`metadata`, an object."""
    table = fields.table("metadata")
    return table.data if table else {}


def keep(call: Call, completion: Mapping[str, Any]) -> bytes:
    """The record of an answered call."""
    kept = call.options["kept"]
    return sse.dumps({"messages": kept["messages"], "completion": {**completion, "metadata": kept["metadata"]}})


def amend(record: bytes, body: Mapping[str, Any]) -> bytes:
    """`record` with other metadata. Raises InvalidRequest."""
    kept = orjson.loads(record)
    kept["completion"]["metadata"] = metadata(Fields(body))
    return sse.dumps(kept)


def encode(action: str, id: str, record: bytes, query: Mapping[str, str]) -> bytes:
    """The reply to a request about one record."""
    match action:
        case "delete":
            return sse.dumps({"id": id, "object": "chat.completion.deleted", "deleted": True})
        case "messages":
            return openai_lists.page(list(_messages(id, orjson.loads(record)["messages"])), query, order="asc")
        case _:
            return sse.dumps(orjson.loads(record)["completion"])


def encode_list(records: Sequence[bytes], query: Mapping[str, str]) -> bytes:
    """A page of completions, oldest first unless `order=desc`."""
    found = [orjson.loads(record)["completion"] for record in records]
    wanted = {name[9:-1]: value for name, value in query.items() if name.startswith("metadata[")}
    fitting = [
        one
        for one in sorted(found, key=lambda one: (one["created"], one["id"]))
        if query.get("model") in (None, one["model"]) and wanted.items() <= one["metadata"].items()
    ]
    return openai_lists.page(fitting, query, order="asc")


def _messages(id: str, messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for number, message in enumerate(messages):
        content = message.get("content")
        parts = content if isinstance(content, list) else None
        text = content if isinstance(content, str) else None
        own = {"id": f"{id}-{number}", "content": text, "content_parts": parts}
        yield {"refusal": None, **message, **own}

