"""Pages of OpenAI's lists: of the items of a response, of stored completions and their messages. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.wire import sse
from gateway.wire.fields import bad, number_of


def page(items: Sequence[Mapping[str, Any]], query: Mapping[str, str], *, order: str) -> bytes:
    """A page of `items`, oldest first as given. `order` is that of a caller who names none. Raises InvalidRequest."""
    limit = number_of(query.get("limit", "20")) or 0
    if not 1 <= limit <= 100:
        raise bad("limit", "must be a whole number from 1 to 100")
    ordered = list(items) if query.get("order", order) == "asc" else list(reversed(items))
    ids = [item["id"] for item in ordered]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    found = ordered[start : start + limit]
    first, last = (found[0]["id"], found[-1]["id"]) if found else (None, None)
    more = start + len(found) < len(ordered)
    return sse.dumps({"object": "list", "data": found, "first_id": first, "last_id": last, "has_more": more})
