"""Requests to the simulated site by hand, without the client library."""

from typing import Any

import orjson
from curl_cffi.requests import AsyncSession, Response

from gateway.simulator import Account

GENERATE = (
    "https://gemini.google.com/_/BardChatUi/data/assistant.lamda.BardFrontendService/StreamGenerate?bl=x&_reqid=1&rt=c"
)
BATCH = "https://gemini.google.com/_/BardChatUi/data/batchexecute"


def cookie_header(account: Account) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in account.cookies.items())}


def form(prompt: str, **slots: Any) -> dict[str, str]:
    """The form of a generation; `slots` are s<number>=value, `at` is the page token."""
    inner: list[Any] = [None] * 81
    inner[0] = [prompt, 0, None, slots.pop("files", None), None, None, 0]
    inner[2] = ["", "", "", None, None, None, None, None, None, ""]
    token = slots.pop("at", "")
    for name, value in slots.items():
        inner[int(name[1:])] = value
    return {"at": token, "f.req": orjson.dumps([None, orjson.dumps(inner).decode()]).decode()}


async def ask(session: AsyncSession[Response], account: Account, prompt: str, **slots: Any) -> Response:
    """One generation by hand."""
    return await session.post(GENERATE, headers=cookie_header(account), data=form(prompt, **slots))
