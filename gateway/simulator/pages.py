"""The HTML pages of the simulated hosts. Pure."""

from http import HTTPStatus

import orjson

from gateway.simulator.accounts import Account

BUILD_LABEL = "boq_assistant-bard-web-server_20261110.08_p0"
PUSH_ID = "feeds/mcudyrk2a4khkz"

CAPTCHA = (
    b"<!DOCTYPE html><html><head><title>https://gemini.google.com/app</title></head><body><form id='captcha-form' "
    b"action='index' method='post'><div class='g-recaptcha' data-sitekey='simulated'></div></form><p>Our systems have "
    b"detected unusual traffic from your computer network.</p></body></html>"
)
CONSENT = (
    b"<!DOCTYPE html><html><head><title>Before you continue</title></head><body><h1>Before you continue to Google</h1>"
    b"<form action='https://consent.google.com/save' method='POST'><button>Accept all</button></form></body></html>"
)
SIGN_IN = b"<!DOCTYPE html><html><head><title>Sign in - Google Accounts</title></head><body><h1>Sign in</h1></body></html>"
GARBAGE = b"<!DOCTYPE html><html><body>\x00\xff\xfe nothing that a client could know ]}' 12 [[[" + b"\xc3(" * 40


def app(account: Account | None, *, token_in_page: bool = True) -> bytes:
    """The start page: for an account with its token, for a guest without, for None without any of the five."""
    if account is None:
        return b"<!DOCTYPE html><html><head><title>Gemini</title></head><body></body></html>"
    data: dict[str, str | bool] = {
        "cfb2h": BUILD_LABEL,
        "FdrFJe": "-" + str(7_000_000_000_000_000_000 + len(account.name)),
        "TuX5cc": "en",
        "qKIAYe": PUSH_ID,
    }
    if not account.guest and token_in_page:
        data["SNlM0e"] = account.token
    return (
        b"<!DOCTYPE html><html lang='en'><head><title>Gemini</title><script>window.WIZ_global_data = "
        + orjson.dumps(data)
        + b";</script></head><body></body></html>"
    )


def error(status: int) -> bytes:
    """An error page as Google's front end writes it."""
    try:
        words = HTTPStatus(status).phrase
    except ValueError:
        words = "Error"
    return (
        f"<!DOCTYPE html><html lang=en><title>Error {status} ({words})!!1</title>"
        f"<p><b>{status}.</b> <ins>That's an error.</ins></html>"
    ).encode()


def moved(location: str) -> bytes:
    """The body of a redirect."""
    return f'<HTML><TITLE>302 Moved</TITLE><H1>302 Moved</H1><A HREF="{location}">here</A>.</HTML>'.encode()
