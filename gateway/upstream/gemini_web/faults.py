"""What a failure of the site or of the library means: HTTP answers, error numbers and exceptions -> our error tree."""

from __future__ import annotations

import re
from typing import Any

from curl_cffi.requests.exceptions import DNSError, ProxyError, RequestException, SSLError, Timeout
from gemini_webapi import exceptions as library_errors

from gateway.errors import (
    AccountExhausted,
    AccountExpired,
    ContentRefused,
    EgressBlocked,
    GatewayError,
    UpstreamChanged,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gateway.upstream.reply import ReplyReader

# A captcha redirect lasted 106 to 121 minutes in the one measurement known.
BLOCK_SECONDS = 7200.0
CAPTCHA = re.compile(rb"/sorry/|recaptcha|captcha|unusual traffic|consent\.google", re.IGNORECASE)
_NOTHING = 16  # characters: an answer that is no longer holds the site's opening and no frame

# Trouble that is likely on the owner's side: said in words that tell where to look.
_BROKEN: dict[type[RequestException], str] = {
    DNSError: "cannot be made: its name is not found (no network, or DNS)",
    ProxyError: "cannot be made: the proxy does not answer as one",
    SSLError: "cannot be trusted: its certificate is not accepted (upstream.ca_file, for an inspecting proxy)",
}


def http_error(status: int, headers: Any, body: bytes) -> UpstreamError:
    """What an answer that is not the expected one means."""
    location = headers.get("location") or ""
    if 300 <= status < 400:
        if "/sorry/" in location or "consent." in location:
            return EgressBlocked("Google asks this network address for a captcha", retry_after=BLOCK_SECONDS)
        if "accounts.google." in location:
            return AccountExpired("The Gemini account is signed out")
        return UpstreamChanged("Gemini redirects to an unexpected place")
    if status in (403, 429, 503) and CAPTCHA.search(body):
        return EgressBlocked("Google asks this network address for a captcha", retry_after=BLOCK_SECONDS)
    if status == 429:
        return AccountExhausted("Gemini asks to slow down", retry_after=_retry_after(headers) or 60.0)
    if status in (401, 403):
        return AccountExpired("The Gemini account is signed out")
    if status >= 500:
        return UpstreamUnavailable("Gemini failed", retry_after=_retry_after(headers), hint=f"HTTP {status}")
    return UpstreamChanged("Gemini answered in an unexpected way", hint=f"HTTP {status}")


def _retry_after(headers: Any) -> float | None:
    value = headers.get("retry-after") or ""
    return min(float(value), 86_400.0) if value.isdigit() else None


def of_code(code: Any) -> GatewayError:
    """An error number of the site. Known ones by the library or by record; all others may pass."""
    number = code[-1] if isinstance(code, list) and code and len(code) > 1 and code[0] == 13 else code
    number = number[0] if isinstance(number, list) and number else number
    match number:
        case 1037:
            return AccountExhausted("The Gemini account has reached its usage limit for this model")
        case 1185:
            return AccountExhausted("Gemini limits pictures for a moment", retry_after=90)
        case 1060:
            return EgressBlocked("Google blocks this network address for Gemini", retry_after=BLOCK_SECONDS)
        case 1003:
            return ContentRefused("Gemini refused the request")
        case 1050 | 1052:
            return UpstreamChanged("Gemini no longer knows the model as it was asked for", hint=f"code {number}")
        case _:
            return UpstreamUnavailable("Gemini failed for a moment", hint=f"code {number}")


def translated(exc: BaseException, reader: ReplyReader | None = None, expired: str | None = None) -> Any:
    """The error of ours for whatever the library raised."""
    if isinstance(exc, GatewayError) or not isinstance(exc, Exception):
        return exc
    if expired is not None:
        return UpstreamTimeout(expired)
    if reader is not None and reader.error_code is not None:
        return of_code(reader.error_code)
    cause: BaseException | None = exc
    while cause is not None:
        if isinstance(cause, GatewayError):
            return cause
        if isinstance(cause, Timeout):
            return UpstreamTimeout("Gemini did not answer in time")
        if isinstance(cause, RequestException):
            words = next((words for kind, words in _BROKEN.items() if isinstance(cause, kind)), "broke")
            return UpstreamUnavailable(f"The connection to Gemini {words}", hint=type(cause).__name__)
        cause = cause.__cause__
    if reader is not None and reader.rejected:
        return AccountExpired("Gemini rejected the account's session")
    if reader is not None and len(reader.opening) > _NOTHING and not reader.understood:
        if CAPTCHA.search(reader.opening.encode("utf-8", "replace")):
            return EgressBlocked("Google asks this network address for a captcha", retry_after=BLOCK_SECONDS)
        return UpstreamChanged("Gemini answered in a way that this version does not understand")
    if isinstance(exc, (library_errors.APIError, library_errors.GeminiError)):
        return UpstreamUnavailable("Gemini broke off its answer", hint=type(exc).__name__)
    return UpstreamChanged("Gemini answered in an unexpected way", hint=type(exc).__name__)
