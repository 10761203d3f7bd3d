"""Pages of OpenAI's lists: of the items of a response, of stored completions and their messages, of files. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.wire import sse
from gateway.wire.fields import bad, number_of


def page(
    items: Sequence[Mapping[str, Any]], query: Mapping[str, str], *, order: str, limit: int = 20, most: int = 100
) -> bytes:
    """A page of `items`, oldest first as given. `order` and `limit` are those of a caller who names none, `most` is the
    highest limit. Raises InvalidRequest."""
    size = number_of(query.get("limit", str(limit))) or 0
    if not 1 <= size <= most:
        raise bad("limit", f"must be a whole number from 1 to {most}")
    if (order := query.get("order", order)) not in ("asc", "desc"):
        raise bad("order", "must be asc or desc")
    ordered = list(items) if order == "asc" else list(reversed(items))
    ids = [item["id"] for item in ordered]
    start = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    found = ordered[start : start + size]
    first, last = (found[0]["id"], found[-1]["id"]) if found else ("", "")
    more = start + len(found) < len(ordered)
    return sse.dumps({"object": "list", "data": found, "first_id": first, "last_id": last, "has_more": more})
