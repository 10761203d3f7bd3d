"""Cookies as people paste them -> values, or what exactly is wrong with them. Pure: text in, values out.

Taken are: the seed's JSON body and lists of it, JSON exports of browser extensions and of Playwright, a Netscape
cookies.txt, a `Cookie:` header, a cURL command, lines of `.env`, rows copied from the developer tools, and the bare
values. No message quotes a value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from gateway.errors import CookiesRefused, InvalidRequest
from gateway.upstream.protocol import Cookies

PSID, PSIDTS, PSIDCC = "__Secure-1PSID", "__Secure-1PSIDTS", "__Secure-1PSIDCC"
_FIELDS = {PSID: "psid", PSIDTS: "psidts", PSIDCC: "psidcc"}
_ALIASES = {
    **{name.lower(): name for name in _FIELDS},
    "secure_1psid": PSID,
    "secure_1psidts": PSIDTS,
    "secure_1psidcc": PSIDCC,
    "__secure_1psid": PSID,
    "__secure_1psidts": PSIDTS,
    "__secure_1psidcc": PSIDCC,
}
# What other cookies say about a browser: the first are everybody's, the second those of other login schemes.
_ANYBODYS = {"NID", "AEC", "SOCS", "CONSENT", "ENID", "OTZ", "1P_JAR", "_GA"}
_RELATED = {"SID", "HSID", "SSID", "__SECURE-3PSID", "__SECURE-3PSIDTS", "SAPISID", "__SECURE-1PAPISID"}
MOST_ACCOUNTS = 100
MOST_VALUE = 4096
_VALUE = re.compile(r"[!#-+\--.0-:<-\[\]-~]{1,4096}")
_NAME = re.compile(r"[A-Za-z0-9_@+-][A-Za-z0-9._@+-]{0,63}")  # `.` and `..` are no parts of an address
_CURL = re.compile(
    r"""(?:-H|--header)\s+\$?(['"])cookie:\s*(?P<header>.*?)\1"""
    r"""|(?:-b|--cookie)\s+\$?(['"])(?P<cookie>.*?)\3""",
    re.IGNORECASE,
)
# Possessive where blanks could be shared out in many ways: a paste of a megabyte takes milliseconds.
_PAIR = re.compile(
    r"""^\s*+(?:export\s++)?["']?([\w-]++)["']?(?:\s*+[=:]|[^\S\t]*+\t)\s*+["']?([^"';,\s]*+)["']?\s*+,?\s*+(?:\#.*)?$"""
)
_BARE_PSID, _BARE_PSIDTS = re.compile(r"g\.a[\w.-]+"), re.compile(r"sidts-[\w.-]+")
_CUT = ("…", "...", "%E2%80%A6")


# Settings of an account that may stand beside its cookies.
OPTIONS = ("proxy", "language", "max_concurrency", "enabled")


@dataclass(frozen=True, slots=True)
class Pasted:
    """One account as pasted. `name` is None where the paste has none; `options` are those of OPTIONS that stand there."""

    cookies: Cookies
    name: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


def from_text(text: str) -> list[Pasted]:
    """The accounts in a pasted text. Raises InvalidRequest, which says what is wrong."""
    stripped = text.strip().lstrip("\ufeff")
    if not stripped:
        raise InvalidRequest("Nothing was pasted")
    if stripped[0] in "[{":
        try:
            return from_json(orjson.loads(stripped))
        except orjson.JSONDecodeError:
            raise InvalidRequest("The paste looks like JSON but is none: was it copied to its end?") from None
    return [_pasted(list(_from_lines(stripped)))]


def from_json(value: Any) -> list[Pasted]:
    """The accounts in a JSON value: one, a list of them, or a browser's export. Raises InvalidRequest."""
    if isinstance(value, Mapping):
        return _from_object(value)
    if _is_export(value):
        return [_from_export(value)]
    objects = _objects(value)
    if len(objects) == 1:
        return _from_object(objects[0])
    return [pasted for number, item in enumerate(objects, 1) for pasted in _told_apart(number, item)]


def _told_apart(number: int, item: Mapping[Any, Any]) -> list[Pasted]:
    """The accounts of one of several objects; a mistake in it says which one it is."""
    try:
        return _from_object(item)
    except InvalidRequest as exc:
        name = item.get("name")
        which = name if isinstance(name, str) and _NAME.fullmatch(name) else f"account {number}"
        raise type(exc)(f"{which}: {exc.message}", param=exc.param) from None


def _from_object(table: Mapping[Any, Any]) -> list[Pasted]:
    """One account as an object, or an export with a name beside it."""
    match table.get("cookies", table.get("paste")):
        case str() as text:
            found = from_text(text)
        case list() as nested:
            found = [_from_export(nested)] if _is_export(nested) else [_from_table(item) for item in _objects(nested)]
        case Mapping() as nested:
            found = [_from_table(nested)]
        case _:
            found = [_from_table(table)]
    options = {name: table[name] for name in OPTIONS if name in table}
    if options:
        found = [replace(pasted, options={**options, **pasted.options}) for pasted in found]
    name = table.get("name")
    return [_named(found[0], name)] if len(found) == 1 else found


def _objects(value: Any) -> list[Mapping[Any, Any]]:
    if not isinstance(value, list) or not value:
        raise InvalidRequest(f"The cookies are missing: {PSID} and {PSIDTS} are needed", param="SECURE_1PSID")
    if not all(isinstance(item, Mapping) for item in value):
        raise InvalidRequest("The list must hold objects: one for each account, or a browser's export")
    if len(value) > MOST_ACCOUNTS:
        raise InvalidRequest(f"At most {MOST_ACCOUNTS} accounts at once")
    return value


def _is_export(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(i, Mapping) and "value" in i for i in value)


# --- reading the forms --------------------------------------------------------------------------------------------

Found = tuple[Any, Any, Any]  # name, value, domain (None: not told)


def _from_table(table: Mapping[Any, Any]) -> Pasted:
    return _named(_pasted([(name, value, None) for name, value in table.items()]), table.get("name"))


def _from_export(cookies: list[Mapping[Any, Any]]) -> Pasted:
    return _pasted([(cookie.get("name"), cookie["value"], cookie.get("domain")) for cookie in cookies])


def _from_lines(text: str) -> Iterator[Found]:
    if match := _CURL.search(text):
        text = match["header"] or match["cookie"]
    text = re.sub(r"^cookie:\s*", "", text, flags=re.IGNORECASE)
    lines = text.splitlines()
    if any(_is_netscape(line) for line in lines):
        rows = (line.removeprefix("#HttpOnly_").split("\t") for line in lines if _is_netscape(line))
        yield from ((row[5], row[6].strip(), row[0]) for row in rows)
    elif len(lines) == 1 and "=" in text:
        yield from _from_header(text)
    else:
        yield from _from_rows(lines)


def _is_netscape(line: str) -> bool:
    return line.count("\t") == 6 and line.split("\t")[1] in ("TRUE", "FALSE")


def _from_header(text: str) -> Iterator[Found]:
    for pair in text.split(";"):
        name, _, value = pair.strip().partition("=")
        yield name, value.strip('"'), None


def _from_rows(lines: Sequence[str]) -> Iterator[Found]:
    """One cookie a line: `name=value`, `name: value`, a row of the developer tools, or a bare value."""
    for line in lines:
        cells = line.strip().split("\t")
        if len(cells) >= 3:
            yield cells[0], cells[1], cells[2]
        elif match := _PAIR.match(line):
            yield _ALIASES.get(match[1].lower(), match[1]), match[2], None
        elif ";" in line and "=" in line:
            yield from _from_header(line)
        elif _BARE_PSID.fullmatch(line.strip()):
            yield PSID, line.strip(), None
        elif _BARE_PSIDTS.fullmatch(line.strip()):
            yield PSIDTS, line.strip(), None
        elif line.strip() and not line.startswith("#"):
            yield "", line.strip(), None


# --- judging ------------------------------------------------------------------------------------------------------


def _pasted(found: Sequence[Found]) -> Pasted:
    ours: dict[str, Any] = {}
    elsewhere = set()
    for name, value, domain in found:
        known = _ALIASES.get(name.strip().lower()) if isinstance(name, str) else None
        if known is None:
            continue
        if domain is not None and not _is_google(domain):
            elsewhere.add(known)
        elif value not in (None, ""):
            ours[_FIELDS[known]] = _checked(known, value)
    if "psid" not in ours:
        raise CookiesRefused(_without_psid(found, elsewhere), param="SECURE_1PSID")
    cookies = Cookies(**ours)
    _check_places(cookies)
    return Pasted(cookies)


def _is_google(domain: Any) -> bool:
    host = str(domain).lower().lstrip(".")
    return host == "google.com" or host.endswith(".google.com")


def _checked(name: str, value: Any) -> str:
    field = name.replace("__Secure-", "SECURE_")
    if not isinstance(value, str):
        raise InvalidRequest(f"{name}: the value must be text", param=field)
    value = value.strip(" \"'")
    if any(mark in value for mark in _CUT):
        raise CookiesRefused(f"{name} is truncated: copy the whole value, not what a narrow column shows", param=field)
    if len(value) > MOST_VALUE:
        raise InvalidRequest(f"{name} is no cookie value: it is longer than {MOST_VALUE} characters", param=field)
    if not _VALUE.fullmatch(value):
        raise InvalidRequest(f"{name} is no cookie value: it has a character that none may have", param=field)
    return str(value)


def _check_places(cookies: Cookies) -> None:
    """Refuse values that stand under another's name."""
    if cookies.psid.startswith("sidts-"):
        raise InvalidRequest(f"{PSID} holds the value of {PSIDTS}", param="SECURE_1PSID")
    if cookies.psidts.startswith("g.a"):
        raise InvalidRequest(f"{PSIDTS} holds a value of {PSID}", param="SECURE_1PSIDTS")
    if cookies.psid == cookies.psidts:
        raise InvalidRequest(f"{PSID} and {PSIDTS} hold the same value", param="SECURE_1PSIDTS")


def _without_psid(found: Sequence[Found], elsewhere: set[str]) -> str:
    names = {name.strip().upper() for name, _, _ in found if isinstance(name, str)}
    domains = sorted({str(domain).lower().lstrip(".") for _, _, domain in found if domain is not None})
    if PSID in elsewhere or (domains and not any(_is_google(domain) for domain in domains)):
        shown = ", ".join(domain for domain in domains[:3] if re.fullmatch(r"[a-z0-9.-]{1,60}", domain))
        return f"These are foreign cookies, of {shown or 'another site'}: export those of gemini.google.com"
    if names & _RELATED:
        return f"{PSID} is missing: other Google cookies are there, but this gateway needs exactly that one and {PSIDTS}"
    if names & _ANYBODYS:
        return f"These are the cookies of a guest: {PSID} is missing, so the browser is not signed in to Google"
    if PSIDTS.upper() in names or PSIDCC.upper() in names:
        return f"{PSID} is missing: copy it from the same place"
    return f"These are the wrong cookies, or none: {PSID} and {PSIDTS} of gemini.google.com are needed"


# Real values have some 150 and 70 characters. Far below that nothing was ever seen that signs in.
_LEAST = {PSID: 24, PSIDTS: 20}
NEEDED = "copy them anew, from a private window that is signed in to gemini.google.com and then closed, not signed out"


def diagnosis(cookies: Cookies, known: Mapping[str, Cookies]) -> CookiesRefused:
    """Why Google does not sign `cookies` in, as far as can be told. `known` are the cookies of the accounts that are
    here already, by name."""
    given = {PSID: cookies.psid, PSIDTS: cookies.psidts}
    for name, value in given.items():
        theirs = [getattr(other, _FIELDS[name]) for other in known.values()]
        if value and any(whole != value and whole.startswith(value) for whole in theirs):
            return CookiesRefused(f"{name} is truncated: a longer value that begins like it is known here")
        if value and len(value) < _LEAST[name]:
            return CookiesRefused(f"{name} is truncated: it has only {len(value)} characters")
    for name, other in known.items():
        if cookies.psidts and cookies.psidts == other.psidts and cookies.psid != other.psid:
            return CookiesRefused(f"{PSIDTS} is foreign: it belongs to the account {name}; both must come from one browser")
    if not cookies.psidts:
        return CookiesRefused(f"Google does not sign {PSID} in alone: {PSIDTS} is missing")
    return CookiesRefused(f"The cookies are stale: Google no longer signs them in; {NEEDED}")


def _named(pasted: Pasted, name: Any) -> Pasted:
    if name is None or name == "":
        return pasted
    return replace(pasted, name=check_name(name))


def check_name(name: Any) -> str:
    """An account's name. Raises InvalidRequest."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidRequest("name: 1 to 64 letters, digits and . _ @ + -, with no dot at its begin", param="name")
    return name
