"""The batchexecute endpoint: the site's small RPCs. Each is a pure function of the site's state and its payload."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from gateway.simulator import frames, pictures
from gateway.simulator.accounts import Account, Model, windows
from gateway.simulator.chats import Chat
from gateway.simulator.site import Site
from gateway.simulator.visit import Visit

ALIASES = {
    "otAQ7b": "status",
    "ESY5D": "preferences",
    "MaZiqc": "chats",
    "jSf9Qc": "usage",
    "qpEbW": "quota",
    "aPya6c": "extra_quota",
    "GPRiHf": "abuse",
    "hNvQHb": "history",
    "GzXR5e": "delete",
    "CNgdBe": "gems",
    "c8o8Fe": "full_size",
}
_FULL_SIZE = "c8o8Fe"
_LARGE_MODE = 20
_FOR_ANYBODY = ("otAQ7b",)

Handler = Callable[[Site, Account, Any], Any]


def endpoints(rpcs: tuple[str, ...]) -> list[str]:
    """The names by which a fault may mean these RPCs."""
    return ["rpc", *rpcs, *(ALIASES[rpc] for rpc in rpcs if rpc in ALIASES)]


async def batch(visit: Visit) -> web.StreamResponse:
    """Answer all RPCs of one request."""
    form = await visit.form()
    calls = decode_calls(form.get("f.req", ""))
    if calls is None:
        return await visit.reply(web.Response(status=400, text="Bad Request"))
    settings = visit.site.settings
    delay = settings.full_size_ms if any(rpc == _FULL_SIZE for rpc, _, _ in calls) else settings.rpc_ms
    if delay:
        await asyncio.sleep(delay / 1000)
    results = [(rpc, answer(visit.site, visit.account, rpc, payload), identifier) for rpc, payload, identifier in calls]
    return await visit.reply(web.Response(body=frames.rpc_reply(results), content_type="application/json"))


def decode_calls(request: str) -> list[tuple[str, Any, str]] | None:
    """(rpc id, payload, identifier) of each call in an `f.req` field; None where it is not one."""
    try:
        rows = orjson.loads(request)[0]
        return [(str(row[0]), _payload(row[1]), str(row[3])) for row in rows]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None


def _payload(text: Any) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None  # some of the site's own payloads are not JSON: [2,['en'],0]


def answer(site: Site, account: Account, rpc: str, payload: Any) -> Any:
    """The body of one RPC; Denied where this account may not call it (7) or nobody knows it (12)."""
    handler = _HANDLERS.get(rpc)
    if account.guest and rpc not in _FOR_ANYBODY:
        return frames.Denied()
    if handler is None:
        return frames.Denied([12])
    try:
        return handler(site, account, payload)
    except (LookupError, TypeError, ValueError):
        return frames.Denied([3])


def _user_status(site: Site, account: Account, payload: Any) -> Any:
    _, tier_flags, capability_flags = account.plan
    body: list[Any] = [None] * 18
    body[14] = int(account.status)
    body[15] = [_model_row(model) for model in account.models]
    body[16], body[17] = list(tier_flags), list(capability_flags)
    return body


def _model_row(model: Model) -> list[Any]:
    row: list[Any] = [None] * 20
    row[0], row[1], row[2], row[7] = model.id, model.category, model.text, model.default
    row[10], row[11], row[12] = model.category, model.display, model.text
    row[15], row[17], row[19] = model.default, model.number, model.display
    return row


def _preferences(site: Site, account: Account, payload: Any) -> Any:
    return [[["bard_activity_enabled", [None, None, None, None, None, True]]]]


def _chat_list(site: Site, account: Account, payload: Any) -> Any:
    chats = site.chats(account).listed(int(payload[0]), pinned=bool(payload[2][0]))
    return [None, None, [[chat.cid, chat.title, chat.pinned, None, None, _instant(chat.at)] for chat in chats]]


def _instant(at: float) -> list[int]:
    return [int(at), int(at % 1 * 1e9)]


def _history(site: Site, account: Account, payload: Any) -> Any:
    chat = site.chats(account).readable(payload[0])
    if chat is None:
        return frames.Denied([5])
    newest_first = list(reversed(chat.turns))[: int(payload[1] or 10)]
    return [[_turn_row(chat, number) for number in range(len(newest_first))]]


def _turn_row(chat: Chat, number: int) -> list[Any]:
    turn = chat.turns[-1 - number]
    user = [[turn.prompt], 1, None, 0, turn.model_id, 0]
    return [[chat.cid, turn.rid], None, user, [[turn.candidate]], _instant(chat.at)]


def _delete(site: Site, account: Account, payload: Any) -> Any:
    site.chats(account).delete(payload[0])
    return []


def _tasks(site: Site, account: Account, payload: Any) -> Any:
    return [[]]


def _usage(site: Site, account: Account, payload: Any) -> Any:
    ratio = account.ratio()
    left = max(0, 1000 - round(ratio * 1000))
    rows = [[left, ratio, kind, [[end, 0]]] for kind, end in enumerate(windows(site.clock()), start=1)]
    return [account.plan[0], rows, False]


def _quota(site: Site, account: Account, payload: Any) -> Any:
    ratio, end = account.ratio(), windows(site.clock())[0]
    left = max(0, 100 - round(ratio * 100))
    return [[[pair, None, ratio * 100, [end, 0], 100, left] for pair in payload[0]]]


def _extra_quota(site: Site, account: Account, payload: Any) -> Any:
    return [account.exhausted(), account.ratio(), [windows(site.clock())[0], 0]]


def _abuse(site: Site, account: Account, payload: Any) -> Any:
    return [None]


def _gems(site: Site, account: Account, payload: Any) -> Any:
    gem = ["coding-partner", ["Coding partner", "Helps to write code"], ["You are a friendly coding partner."]]
    return [None, None, [gem]]


def _full_size(site: Site, account: Account, payload: Any) -> Any:
    """[url] of a picture in full size. Mode 20 with the picture's media token gives the large one. Refused (1003) where
    the conversation is not in the history: temporary chats."""
    image_id, (_, rcid, cid) = payload[0][1][0], payload[1][:3]
    chat = site.chats(account).readable(cid)
    wish = pictures.find(chat.turns, rcid, image_id) if chat else None
    if wish is None:
        return frames.Denied(frames.error_info(1003, grpc_status=3))
    large = payload[0][3][0] == _LARGE_MODE and pictures.media_token(wish) in orjson.dumps(payload).decode()
    return [pictures.download_url(wish, "large" if large else "full")]


_HANDLERS: dict[str, Handler] = {
    "otAQ7b": _user_status,
    "ESY5D": _preferences,
    "MaZiqc": _chat_list,
    "hNvQHb": _history,
    "GzXR5e": _delete,
    "qWymEb": _tasks,
    "jSf9Qc": _usage,
    "qpEbW": _quota,
    "aPya6c": _extra_quota,
    "GPRiHf": _abuse,
    "CNgdBe": _gems,
    _FULL_SIZE: _full_size,
}
