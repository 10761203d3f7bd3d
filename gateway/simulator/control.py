"""The control API: plain HTTP on the proxy's own port, for those who run the simulator as a process of its own."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict, fields
from typing import Any

import orjson
from aiohttp import web

from gateway.simulator.accounts import Account
from gateway.simulator.faults import Fault
from gateway.simulator.lines import Line
from gateway.simulator.log import Entry
from gateway.simulator.site import Settings, Site

Handler = Callable[[Site, web.BaseRequest], Awaitable[Any]]

_LARGEST_BODY = 1_000_000
_CHANGEABLE = ("status", "expired", "limit", "used", "used_ratio", "rotation", "served", "psidts")


async def serve(site: Site, request: web.BaseRequest) -> web.Response:
    """Answer one control request with JSON."""
    handler = _ROUTES.get((request.method, request.path)) or _account_route(request)
    if handler is None:
        return _json({"error": "not found", "routes": [" ".join(route) for route in _ROUTES]}, 404)
    try:
        return _json(await handler(site, request))
    except KeyError as exc:
        return _json({"error": f"there is no {exc}"}, 404)
    except (ValueError, TypeError) as exc:
        return _json({"error": str(exc)}, 400)


def describe(account: Account) -> dict[str, Any]:
    """An account as the control API and the command line show it, cookies included: they open nothing else."""
    return {
        "name": account.name,
        "tier": account.tier,
        "cookies": account.cookies,
        "status": int(account.status),
        "expired": account.expired,
        "limit": account.limit,
        "used": account.used,
        "used_ratio": account.used_ratio,
        "rotation": account.rotation,
        "rotations": account.rotations,
        "served": account.served,
        "models": [model.category for model in account.models],
    }


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _account_route(request: web.BaseRequest) -> Handler | None:
    return _change_account if request.method == "POST" and request.path.startswith("/_sim/accounts/") else None


async def _body(request: web.BaseRequest) -> dict[str, Any]:
    data = await request.content.read(_LARGEST_BODY)
    value = orjson.loads(data) if data else {}
    if not isinstance(value, dict):
        raise ValueError("the body must be a JSON object")
    return value


async def _add_fault(site: Site, request: web.BaseRequest) -> Any:
    """{"fault": name, "account": name or null, "endpoint": name, "times": n or null, "skip": n, ...fields of Fault}."""
    body = await _body(request)
    names = {field.name for field in fields(Fault)} - {"name"}
    details = {key: value for key, value in body.items() if key in names}
    unknown = body.keys() - names - {"fault", "account", "endpoint", "times", "skip"}
    if unknown:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    site.fault(
        body.get("account"),
        body.get("endpoint", "generate"),
        Fault(str(body["fault"]), **details),
        times=body.get("times", 1),
        skip=body.get("skip", 0),
    )
    return {"planned": len(site.faults)}


async def _clear_faults(site: Site, request: web.BaseRequest) -> Any:
    site.clear_faults(request.rel_url.query.get("account"))
    return {"planned": len(site.faults)}


async def _add_line(site: Site, request: web.BaseRequest) -> Any:
    """{"text": answer, "match": regular expression on the prompt, "times": n or null}."""
    body = await _body(request)
    if unknown := body.keys() - {field.name for field in fields(Line)}:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    site.lines.plan(Line(**{"text": str(body.pop("text")), **body}))
    return {"planned": len(site.lines)}


async def _clear_lines(site: Site, request: web.BaseRequest) -> Any:
    site.clear_lines()
    return {"planned": len(site.lines)}


async def _show_log(site: Site, request: web.BaseRequest) -> Any:
    """Filters: ?endpoint=, ?account=, ?last=n."""
    query = request.rel_url.query
    entries = [entry for entry in site.log if _wanted(entry, query.get("endpoint"), query.get("account"))]
    last = int(query.get("last", "1000"))
    return {"entries": [asdict(entry) for entry in entries[-last:]]}


def _wanted(entry: Entry, endpoint: str | None, account: str | None) -> bool:
    return endpoint in (None, entry.endpoint) and account in (None, entry.account)


async def _clear_log(site: Site, request: web.BaseRequest) -> Any:
    site.log.clear()
    return {"entries": []}


async def _show_accounts(site: Site, request: web.BaseRequest) -> Any:
    return {"accounts": [describe(account) for account in site.accounts]}


async def _add_account(site: Site, request: web.BaseRequest) -> Any:
    return describe(site.add(Account(**await _body(request))))


async def _change_account(site: Site, request: web.BaseRequest) -> Any:
    """Fields of the account, or {"renew": true} for fresh cookies."""
    account = site.account(request.path.rpartition("/")[2])
    body = await _body(request)
    if unknown := body.keys() - {*_CHANGEABLE, "renew"}:
        raise ValueError(f"unknown fields: {', '.join(sorted(unknown))}")
    if body.pop("renew", False):
        account.renew()
    for key, value in body.items():
        setattr(account, key, value)
    return describe(account)


async def _show_settings(site: Site, request: web.BaseRequest) -> Any:
    return asdict(site.settings)


async def _change_settings(site: Site, request: web.BaseRequest) -> Any:
    body = await _body(request)
    if unknown := body.keys() - {field.name for field in fields(Settings)}:
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
    for key, value in body.items():
        setattr(site.settings, key, value)
    return asdict(site.settings)


_ROUTES: dict[tuple[str, str], Handler] = {
    ("POST", "/_sim/fault"): _add_fault,
    ("DELETE", "/_sim/faults"): _clear_faults,
    ("POST", "/_sim/line"): _add_line,
    ("DELETE", "/_sim/lines"): _clear_lines,
    ("GET", "/_sim/log"): _show_log,
    ("DELETE", "/_sim/log"): _clear_log,
    ("GET", "/_sim/accounts"): _show_accounts,
    ("POST", "/_sim/accounts"): _add_account,
    ("GET", "/_sim/settings"): _show_settings,
    ("POST", "/_sim/settings"): _change_settings,
}
