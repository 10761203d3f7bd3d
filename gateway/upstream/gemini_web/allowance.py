"""How much of an account is used up: four questions in one request, beside the replies."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from gemini_webapi.constants import GEMINI_ADVANCED_QUOTA_PAYLOAD, GEMINI_FLASH_QUOTA_PAYLOAD, GRPC
from gemini_webapi.types import RPCData
from gemini_webapi.utils import extract_json_from_response

from gateway.errors import UpstreamChanged
from gateway.model import UsageWindow
from gateway.upstream.gemini_web.client import Client
from gateway.upstream.protocol import Allowance
from gateway.upstream.rich import at

_WINDOWS = {1: "5h", 2: "week"}
_QUESTIONS = (
    RPCData(rpcid=GRPC.GET_USAGE_INFO, payload="[]", identifier="usage"),
    RPCData(rpcid=GRPC.CHECK_GEMINI_QUOTA, payload=GEMINI_FLASH_QUOTA_PAYLOAD, identifier="flash"),
    RPCData(rpcid=GRPC.CHECK_GEMINI_QUOTA, payload=GEMINI_ADVANCED_QUOTA_PAYLOAD, identifier="pro"),
    RPCData(rpcid=GRPC.CHECK_QUOTA, payload="[]", identifier="extra"),
    RPCData(rpcid=GRPC.GET_ABUSE_STATUS, payload="[]", identifier="abuse"),
)


async def read(client: Client) -> Allowance:
    """Ask. Raises an UpstreamError."""
    response = await client._batch_execute(list(_QUESTIONS), source_path="/usage")
    return decode(response.text)


def decode(text: str) -> Allowance:
    """The allowance that a reply tells. Raises UpstreamChanged when it tells nothing. Pure."""
    answers = dict(_answers(text))
    if not answers:
        raise UpstreamChanged("Gemini does not say how much of the account is used")
    windows = [*_usage(answers.get("usage")), *_quota("flash", answers), *_quota("pro", answers)]
    return Allowance(tuple(windows), at(answers.get("extra"), 0) is True, _flag(answers.get("abuse")))


def _answers(text: str) -> Iterator[tuple[str, Any]]:
    """(identifier, body) of each question that was answered."""
    try:
        parts = extract_json_from_response(text)
    except ValueError:
        return
    for part in parts:
        identifier, body = at(part, 6), at(part, 2)
        if isinstance(identifier, str) and isinstance(body, str):
            try:
                yield identifier, orjson.loads(body)
            except orjson.JSONDecodeError:
                continue


def _usage(body: Any) -> Iterator[UsageWindow]:
    for row in at(body, 1) or ():
        name, used = _WINDOWS.get(at(row, 2)), at(row, 1)
        if name is not None and isinstance(used, (int, float)):
            yield UsageWindow(name, _share(used), _instant(at(row, 3, 0, 0)))


def _quota(name: str, answers: dict[str, Any]) -> Iterator[UsageWindow]:
    """The fullest of the quotas that a kind of model has."""
    rows = [row for row in at(answers.get(name), 0) or () if isinstance(at(row, 2), (int, float))]
    if rows:
        fullest = max(rows, key=lambda row: float(at(row, 2)))
        yield UsageWindow(name, _share(at(fullest, 2) / 100), _instant(at(fullest, 3, 0)))


def _flag(body: Any) -> str:
    status = at(body, 1, 1)
    return f"Google flags the account (abuse status {int(status) // 1_000_000})" if isinstance(status, int) else ""


def _share(value: float) -> float:
    return min(1.0, max(0.0, float(value)))


def _instant(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None
