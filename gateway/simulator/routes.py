"""Which handler serves a request, by host and path. What arrives is logged here, and meets its fault here."""

import asyncio
from collections.abc import Awaitable, Callable

from aiohttp import web

from gateway.simulator import cookies, downloads, generate, pages, rpc, trouble
from gateway.simulator.faults import Fault
from gateway.simulator.log import Entry
from gateway.simulator.site import Site
from gateway.simulator.visit import Visit, decode_cookies, query_of

Handler = Callable[[Visit], Awaitable[web.StreamResponse]]

_GEMINI = "gemini.google.com"
_BACKEND = "/_/BardChatUi/data/"
_GENERATE = _BACKEND + "assistant.lamda.BardFrontendService/StreamGenerate"
_BATCH = _BACKEND + "batchexecute"
_HTML = "text/html"


async def serve(site: Site, request: web.BaseRequest) -> web.StreamResponse:
    """Answer one request of the simulated hosts."""
    names = decode_cookies(request.headers.get("Cookie", ""))
    account = site.whose(names)
    entry = Entry(account.name, request.host.partition(":")[0].lower(), request.method, request.path)
    entry.cookies = tuple(names)
    visit = Visit(site, request, account, entry)
    endpoint, handler = _route(visit)
    entry.endpoint = endpoint
    if endpoint == "rpc":
        entry.rpcs = tuple(filter(None, query_of(request).get("rpcids", "").split(",")))
    site.log.add(entry)
    try:
        return await _serve(visit, endpoint, handler)
    except (asyncio.CancelledError, ConnectionError):
        entry.end("aborted")
        raise
    finally:
        entry.end("cut")
        site.log.changed()


async def _serve(visit: Visit, endpoint: str, handler: Handler | None) -> web.StreamResponse:
    if handler is None:
        return await _not_found(visit)
    names = rpc.endpoints(visit.entry.rpcs) if endpoint == "rpc" else [endpoint]
    fault = visit.site.faults.take(visit.account.name, names)
    if endpoint == "generate":
        return await generate.generate(visit, fault)
    if fault is not None and (struck := await _struck(visit, fault)) is not None:
        return struck
    return await handler(visit)


async def _struck(visit: Visit, fault: Fault) -> web.StreamResponse | None:
    if fault.name not in ("reset", "close"):
        await visit.welcome()
    return await trouble.strike(visit, fault)


def _route(visit: Visit) -> tuple[str, Handler | None]:
    host, path, method = visit.host, visit.request.path, visit.request.method
    if host == "work.fife.usercontent.google.com":
        return "download", downloads.hop
    if host.endswith(".googleusercontent.com"):
        return "image", downloads.image
    endpoint, handler = _ROUTES.get((method, host, path), ("unknown", None))
    return endpoint, handler


async def _app(visit: Visit) -> web.StreamResponse:
    page = pages.app(visit.account, token_in_page=visit.site.settings.token_in_page)
    return await visit.reply(web.Response(body=page, content_type=_HTML, charset="utf-8"))


async def _google(visit: Visit) -> web.StreamResponse:
    visit.extra_cookies += cookies.anonymous()
    return await visit.reply(web.Response(text="<!DOCTYPE html><title>Google</title>", content_type=_HTML))


async def _sorry(visit: Visit) -> web.StreamResponse:
    return await visit.reply(web.Response(body=pages.CAPTCHA, status=429, content_type=_HTML))


async def _sign_in(visit: Visit) -> web.StreamResponse:
    return await visit.reply(web.Response(body=pages.SIGN_IN, content_type=_HTML))


async def _not_found(visit: Visit) -> web.StreamResponse:
    return await visit.reply(web.Response(body=pages.error(404), status=404, content_type=_HTML))


async def _generate(visit: Visit) -> web.StreamResponse:
    return await generate.generate(visit, None)


_ROUTES: dict[tuple[str, str, str], tuple[str, Handler]] = {
    ("GET", _GEMINI, "/app"): ("app", _app),
    ("POST", _GEMINI, _GENERATE): ("generate", _generate),
    ("POST", _GEMINI, _BATCH): ("rpc", rpc.batch),
    ("POST", "accounts.google.com", "/RotateCookies"): ("rotate", cookies.rotate),
    ("GET", "accounts.google.com", "/ServiceLogin"): ("sign_in", _sign_in),
    ("GET", "www.google.com", "/"): ("google", _google),
    ("GET", "www.google.com", "/sorry/index"): ("sorry", _sorry),
    ("POST", "content-push.googleapis.com", "/upload"): ("upload", downloads.upload),
}
