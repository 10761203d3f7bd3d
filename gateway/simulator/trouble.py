"""How the faults that can strike any request look on the wire."""

import asyncio

from aiohttp import web

from gateway.simulator import frames, pages
from gateway.simulator.accounts import Status
from gateway.simulator.faults import Fault
from gateway.simulator.script import rejected
from gateway.simulator.visit import Visit

_HTML = "text/html; charset=utf-8"
_REDIRECTS = {
    "captcha": "https://www.google.com/sorry/index?continue=https://gemini.google.com/app&q=EgQ",
    "consent": "https://consent.google.com/m?continue=https://gemini.google.com/app&gl=DE&hl=en",
    "login": "https://accounts.google.com/ServiceLogin?continue=https://gemini.google.com/app&passive=true",
}


async def strike(visit: Visit, fault: Fault) -> web.StreamResponse | None:
    """Answer as the fault wants it, or change the visit and return None, so that it is served after all. Faults of a
    generation are not known here: None."""
    visit.entry.fault = str(fault.code) if fault.name == "code" else fault.name
    visit.site.log.changed()
    match fault.name:
        case "reset" | "close":
            return visit.drop(reset=fault.name == "reset")
        case "hang" | "hang_after_headers":
            return await _hang(visit, fault)
        case "slow":
            await asyncio.sleep(1.0 if fault.seconds is None else fault.seconds)
        case "expire":
            visit.account.expired = True
            visit.account = visit.site.whose({})
            visit.entry.account = visit.account.name
        case "region":
            visit.account.status = Status.LOCATION_REJECTED
        case _:
            return await _page(visit, fault)
    return None


async def _hang(visit: Visit, fault: Fault) -> web.StreamResponse:
    if fault.name == "hang_after_headers":
        await visit.start("application/json; charset=utf-8")
    await pause(fault.seconds)
    return visit.drop(reset=False)


async def _page(visit: Visit, fault: Fault) -> web.StreamResponse | None:
    match fault.name:
        case "http":
            response = _html(pages.error(fault.status), fault.status)
            if fault.retry_after is not None:
                response.headers["Retry-After"] = str(fault.retry_after)
            return await visit.reply(response)
        case "captcha" | "consent" | "login" | "redirect":
            location = _REDIRECTS.get(fault.name, fault.location)
            response = _html(pages.moved(location), 302)
            response.headers["Location"] = location
            return await visit.reply(response)
        case "captcha_page":
            return await visit.reply(_html(pages.CAPTCHA, 429))
        case "consent_page":
            return await visit.reply(_html(pages.CONSENT))
        case "garbage":
            return await visit.reply(_html(pages.GARBAGE))
        case "empty":
            return await visit.reply(_html(b""))
        case "guest_page" | "no_tokens":
            account = visit.site.whose({}) if fault.name == "guest_page" else None
            return await visit.reply(_html(pages.app(account)))
        case "reject":
            denied = [(rpc, frames.Denied(), "generic") for rpc in visit.entry.rpcs]
            return await visit.reply(_html(frames.rpc_reply(denied) if denied else rejected()))
        case _:
            return None


def _html(page: bytes, status: int = 200) -> web.Response:
    return web.Response(body=page, status=status, headers={"Content-Type": _HTML})


async def pause(seconds: float | None) -> None:
    """Wait; with None until the client leaves, which cancels."""
    if seconds is None:
        await asyncio.get_running_loop().create_future()
    else:
        await asyncio.sleep(seconds)
