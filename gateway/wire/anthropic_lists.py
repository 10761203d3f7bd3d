"""Pages of Anthropic's lists, by the ids before and after them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gateway.errors import NotFound
from gateway.wire.fields import bad, number_of


def limit(query: Mapping[str, str]) -> int:
    """How many a page has at most. Raises InvalidRequest."""
    most = number_of(query.get("limit", "20")) or 0
    if not 1 <= most <= 1000:
        raise bad("limit", "must be a whole number from 1 to 1000")
    return most


def window(ids: Sequence[str], query: Mapping[str, str]) -> tuple[slice, bool]:
    """Which of `ids` are on the page that is asked for, and whether there are more in that direction. Raises
    InvalidRequest, NotFound."""
    most = limit(query)
    if (before := query.get("before_id")) is not None:
        end = _place(ids, before, "before_id")
        return slice(max(0, end - most), end), end > most
    start = _place(ids, query["after_id"], "after_id") + 1 if "after_id" in query else 0
    return slice(start, start + most), start + most < len(ids)


def _place(ids: Sequence[str], id: str, param: str) -> int:
    try:
        return ids.index(id)
    except ValueError:
        raise NotFound(f"{param}: is not in this list", param=param) from None
