"""What reaches stderr: no secret, and not the same line a million times."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
from pydantic import SecretStr

from config.settings import Settings
from gateway import secrecy
from gateway.logs import CleanFormatter, Redactor, StormFilter, secrets_in
from gateway.testing import make_client

PSID = "g.a000vwjYZ0-Ab_cdEfGhIjKlMnOpQrStUvWxYz0123456789.x"
SUSPECT = [
    f"cookie __Secure-1PSID={PSID}; path=/",
    f"session {PSID} ended",
    "__Secure-1PSIDTS=sidts-CjEB3E2kJ8Yw0",
    "Authorization: Bearer sk-me-and-nobody-else",
    "GET /gemini/v1beta/models?key=AIzaSy-something HTTP/1.1",
    "x-goog-api-key: AIzaSy-something",
    "cannot reach redis://user:hunter2pass@cache:6379/0",
    "made adm-Zm9vYmFyYmF6cXV4cXV1eA for you",
]
WORDS = (PSID, "sidts-Cj", "nobody-else", "AIzaSy", "hunter2", "Zm9vYmFy")


def record(message: str, *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    made = logging.LogRecord("some.library", level, __file__, 1, message, args, None)
    made.request = "-"
    return made


@pytest.mark.parametrize("line", SUSPECT)
def test_what_looks_like_a_secret_is_hidden_whoever_logs_it(line: str) -> None:
    shown = CleanFormatter(Redactor()).format(record("%s", line))
    assert "***" in shown
    assert not [word for word in WORDS if word in shown]


def test_configured_secrets_are_hidden_in_tracebacks_too() -> None:
    redactor = Redactor()
    settings = Settings.model_validate(
        {
            "accounts": [{"name": "a", "secure_1psid": "plain-looking-cookie", "proxy": "http://10.0.0.1:3128"}],
            "plugins": {
                "api_key": {"keys": [{"name": "me", "key": "open sesame"}]},
                "r2_upload": {"secret_access_key": "r2r2r2"},
            },
        }
    )
    redactor.learn(secrets_in(settings))
    words = [word.get_secret_value() for word in (settings.accounts[0].secure_1psid,)]
    try:
        raise ValueError(f"bad cookie {words[0]} for open sesame and r2r2r2")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    shown = CleanFormatter(redactor).format(made)
    assert "Traceback" in shown and "bad cookie *** for *** and ***" in shown
    assert "plain-looking-cookie" not in shown


def test_a_secret_that_comes_later_is_hidden_and_the_list_of_them_has_an_end() -> None:
    redactor = Redactor()
    secrecy.hide("opaque-one", "opaque-one-and-more", "short")
    assert redactor.clean("opaque-one-and-more, opaque-one, short") == "***, ***, short"
    for number in range(secrecy.MOST):
        secrecy.hide(f"opaque-{number:05}")
        secrecy.hide("opaque-one")
    assert redactor.clean("opaque-one opaque-00999") == "*** ***"
    assert len(secrecy.hidden()) == secrecy.MOST


def test_ordinary_lines_stay_as_they_are() -> None:
    line = "account main: starting -> ready; GET /v1/models 200 key=me model=gemini-2.5-flash ms=12.5"
    assert Redactor().clean(line) == line
    assert secrets_in([SecretStr("one"), {"name": "two", "key": "three"}, 4]) == ["one", "three"]


def test_a_storm_is_counted_not_written() -> None:
    now = [0.0]
    storm = StormFilter(lambda: now[0])
    assert sum(storm.filter(record("request %s failed", n)) for n in range(1000)) == 20
    assert storm.filter(record("another kind"))
    assert all(storm.filter(record("access", level=logging.INFO)) for _ in range(100))
    now[0] = 60.0
    after = record("request %s failed", 1001)
    assert storm.filter(after)
    assert after.getMessage() == "request 1001 failed (980 more of these were left out)"


def test_a_crash_says_what_broke_and_leaves_no_core_and_no_secret() -> None:
    program = f"""
import resource
from gateway.logs import log_to_stderr
log_to_stderr(lambda: "-")
assert resource.getrlimit(resource.RLIMIT_CORE)[0] == 0
cookie = "{PSID}"
raise RuntimeError("lost " + cookie)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert "RuntimeError: lost ***" in done.stderr


def test_a_warning_of_a_library_is_one_line_without_the_callers_words() -> None:
    program = """
import warnings
from gateway.logs import log_to_stderr
log_to_stderr(lambda: "-")
warnings.warn("form-data; name=image; filename=my-diary.png\\n2026-01-01 INFO forged")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=50)
    assert done.returncode == 0
    assert "UserWarning in line 5 of <string>" in done.stderr and done.stderr.count("\n") == 1
    assert "diary" not in done.stderr and "forged" not in done.stderr


async def test_an_account_that_becomes_ready_is_told_without_loose_ends(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "gateway.accounts.pool"):
        async with make_client() as client:
            await client.chat("hi")
    assert "account a: starting -> ready" in caplog.messages
