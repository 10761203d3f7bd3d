"""Every error that a caller can see. The class says whose fault it is, the HTTP status, and whether another account
may do better (`elsewhere`):

    GatewayError
    +- InvalidRequest 400            the caller's; `param` names the field
    |  +- ContextTooLong 400, PreviousNotFound 400, CookiesRefused 400, ThreadsRefused 400,
    |     NotDownloadable 400
    +- Unauthenticated 401, Forbidden 403, NotFound 404, UnknownModel 404, MethodNotAllowed 405, RequestTimeout 408,
    |  BodyTooLarge 413, UnsupportedMedia 415, Misdirected 421, RateLimited 429, HeadersTooLarge 431
    +- ContentRefused 400            the model refused
    +- UpstreamError                 Google's side; `elsewhere` is True unless content was seen
    |  +- AccountExhausted 429       usage limit of that account and model
    |  +- AccountExpired 502         dead cookie, guest downgrade
    |  +- AccountRejected 502        region, terms, guardian: the account itself is refused
    |  +- EgressBlocked 503          1060, captcha page: the network address, not the account
    |  +- UpstreamUnavailable 502    1013, 5xx, reset, empty
    |  +- UpstreamTimeout 504        first byte, stall, total
    |  +- UpstreamChanged 502        nothing understandable came
    |  +- NoPicture 502              a picture was asked for, and words came twice
    |  +- InvalidAnswer 502          the model does not keep to the tools or the schema that the caller gave
    +- NoAccount 503, Overloaded 503, Stopping 503
    +- NotSupported 501              the web has no such thing
    +- PluginFailed 500, Internal 500   ours

`retry_after` is in seconds; `request_id` is noted at the edge, for formats whose error bodies name it. `hint` is for the
log: it may name an account, and never goes to a caller."""

from __future__ import annotations

from typing import ClassVar

# Control characters, half surrogates, and what turns the direction of text: an echo of them could forge lines and colours
# where the message is shown.
_INVISIBLE = {
    **dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((*range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys(b"\t\n\v\f\r", " "),
}


class GatewayError(Exception):
    """Base of all. `message` goes to the caller: no secret, no path, at most a short echo of what was sent."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    elsewhere: bool = False
    request_id: str | None = None
    quotes_the_model: bool = False

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: float | None = None, hint: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message.translate(_INVISIBLE)
        self.param = param
        self.retry_after = retry_after
        self.hint = hint

    @property
    def for_the_log(self) -> str:
        """What may be logged of it. What the model said quotes the prompt: it is for the caller alone."""
        if self.quotes_the_model:
            return self.hint or "the model's own words, not logged"
        return f"{self.message} ({self.hint})" if self.hint else self.message


class InvalidRequest(GatewayError):
    """A field is wrong; `param` is its dotted path."""

    status = 400
    code = "invalid_request"


class ContextTooLong(InvalidRequest):
    """The conversation does not fit the model's window."""

    code = "context_length_exceeded"


class CookiesRefused(InvalidRequest):
    """Cookies for an account that sign nobody in. The message says what they are: wrong, truncated, foreign, a guest's,
    stale."""

    code = "cookies_refused"


class PreviousNotFound(InvalidRequest):
    """The response that the conversation was to go on from is not kept here, or no longer."""

    code = "previous_response_not_found"


class ThreadsRefused(InvalidRequest):
    """The conversation was to be kept here, and only its end to be sent: it must be sent whole."""

    code = "thread_unsupported_request"


class NotDownloadable(InvalidRequest):
    """A file that the caller's API gives back to nobody."""

    code = "file_not_downloadable"


class Unauthenticated(GatewayError):
    """No key, or one that nobody knows."""

    status = 401
    code = "invalid_api_key"


class Forbidden(GatewayError):
    """A known key without this right."""

    status = 403
    code = "permission_denied"


class NotFound(GatewayError):
    """No such address."""

    status = 404
    code = "not_found"


class UnknownModel(GatewayError):
    """No such model here."""

    status = 404
    code = "model_not_found"


class MethodNotAllowed(GatewayError):
    """The address exists, not for this method."""

    status = 405
    code = "method_not_allowed"


class RequestTimeout(GatewayError):
    """The caller was too slow in sending."""

    status = 408
    code = "request_timeout"


class BodyTooLarge(GatewayError):
    """More bytes than the settings allow."""

    status = 413
    code = "request_too_large"


class UnsupportedMedia(GatewayError):
    """A content type or encoding that is not taken."""

    status = 415
    code = "unsupported_media_type"


class Misdirected(GatewayError):
    """The Host header names someone else."""

    status = 421
    code = "misdirected_request"


class HeadersTooLarge(GatewayError):
    """The request head is larger than the server takes."""

    status = 431
    code = "headers_too_large"


class RateLimited(GatewayError):
    """One of our own limits."""

    status = 429
    code = "rate_limit_exceeded"


class ContentRefused(GatewayError):
    """The model refused to answer."""

    status = 400
    code = "content_filter"


class UpstreamError(GatewayError):
    """Google's side failed. `elsewhere` may be cleared on the instance: once content was seen nothing is sent again."""

    status = 502
    code = "upstream_error"
    elsewhere = True


class AccountExhausted(UpstreamError):
    """The usage limit of this account for this model."""

    status = 429
    code = "quota_exceeded"


class AccountExpired(UpstreamError):
    """The account's cookies no longer sign it in. Never a 401: it is not the caller's key."""

    code = "account_expired"


class AccountRejected(UpstreamError):
    """Google refuses the account itself: region, terms not accepted, guardian."""

    code = "account_rejected"


class EgressBlocked(UpstreamError):
    """Google blocks the network address. Only another egress can do better."""

    status = 503
    code = "egress_blocked"


class UpstreamUnavailable(UpstreamError):
    """A failure that may pass."""

    code = "upstream_unavailable"


class UpstreamTimeout(UpstreamError):
    """Google was silent for too long."""

    status = 504
    code = "upstream_timeout"


class UpstreamChanged(UpstreamError):
    """Nothing that this version understands came back."""

    code = "upstream_changed"


class NoPicture(UpstreamError):
    """The model answered with words where a picture was asked for, also the second time."""

    code = "no_picture"
    elsewhere = False


class InvalidAnswer(UpstreamError):
    """The model called a tool, or wrote JSON, in a way that does not fit what the caller gave. No account's fault."""

    code = "invalid_answer"
    elsewhere = False


class NoAccount(GatewayError):
    """The pool has no account that could serve this call now."""

    status = 503
    code = "no_account"


class Overloaded(GatewayError):
    """Too many calls wait already."""

    status = 503
    code = "overloaded"


class Stopping(GatewayError):
    """The gateway is shutting down."""

    status = 503
    code = "stopping"


class NotSupported(GatewayError):
    """The Gemini web offers nothing that could serve this."""

    status = 501
    code = "not_supported"


class PluginFailed(GatewayError):
    """A plugin raised something that is no GatewayError."""

    code = "plugin_failed"


class Internal(GatewayError):
    """Our own mistake."""
