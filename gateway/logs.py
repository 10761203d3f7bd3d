"""What the process writes to stderr: one handler, whose formatter is the last line of defence. Whatever any library logs,
no cookie, key or password leaves here, and no stranger fills the disk."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from gateway.secrecy import SHORTEST, hidden

HIDDEN = "***"
# Things that look like a secret, wherever they come from.
_SUSPECT = re.compile(
    r"(?:(?<=Bearer )|(?<=bearer )|(?<=[?&]key=)|(?<=api-key: )|(?<=1PSID=)|(?<=1PSIDTS=)|(?<=1PSIDCC=))[^\s'\"&,;]+"
    r"|\bg\.a[\w.-]{30,}"  # __Secure-1PSID
    r"|\bsidts-[\w.-]{10,}"  # __Secure-1PSIDTS
    r"|\b(?:sk|adm)-[\w-]{16,}"  # our own keys
    r"|(?<=://)[^/\s:@]+:[^/\s@]+(?=@)"  # user:password of a URL
)
# Without one of these in it a line holds none of them: looking is cheaper than matching.
_HINTS = ("earer ", "?key=", "&key=", "api-key: ", "1PSID", "g.a", "sidts-", "sk-", "adm-", "://")
_SECRET_NAME = re.compile(r"key|secret|token|pass")
_BURST, _SPAN_S, _MOST_KINDS = 20, 10.0, 1000


class Redactor:
    """Replaces secrets by `***`: those it was told of, those that came in since (`secrecy`), and what looks like one."""

    def __init__(self) -> None:
        self._known: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str]) -> None:
        """From now on hide these, and no longer those it learned before."""
        self._known = tuple(sorted({word for word in secrets if len(word) >= SHORTEST}, key=len, reverse=True))

    def clean(self, text: str) -> str:
        """`text` without secrets."""
        for words in (self._known, hidden()):
            for word in words:
                if word in text:
                    text = text.replace(word, HIDDEN)
        return _SUSPECT.sub(HIDDEN, text) if any(hint in text for hint in _HINTS) else text


class CleanFormatter(logging.Formatter):
    """Formats a record, traceback included, with the id of the request that runs, and cleans what comes out."""

    def __init__(self, redactor: Redactor, request_id: Callable[[], str] = lambda: "-") -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s [%(request)s] %(message)s")
        self._redactor = redactor
        self._request_id = request_id
        self._second, self._text = -1, ""

    def format(self, record: logging.LogRecord) -> str:
        request = self._request_id()
        if record.exc_info or record.exc_text or record.stack_info:
            record.request = request
            return self._redactor.clean(super().format(record))
        # The same line, for a third of what filling in a format costs.
        line = f"{self.formatTime(record)} {record.levelname} {record.name} [{request}] {record.getMessage()}"
        return self._redactor.clean(line)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """As logging writes it. Many lines fall into one second, whose text is made once."""
        second = int(record.created)
        if second != self._second:
            self._second, self._text = second, time.strftime(self.default_time_format, time.localtime(second))
        return f"{self._text},{int(record.msecs):03d}"


class StormFilter(logging.Filter):
    """Lets 20 lines of one kind through in ten seconds, then counts, and says with the next one how many it left out. A
    kind is a logger and a message before its arguments; access lines are never left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._seen: dict[tuple[str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        now, kind = self._clock(), (record.name, str(record.msg)[:200])
        since, count = self._seen.get(kind, (now, 0))
        if now - since >= _SPAN_S:
            if count > _BURST:
                record.msg = f"{record.msg} ({count - _BURST} more of these were left out)"
            since, count = now, 0
        if len(self._seen) >= _MOST_KINDS:
            self._seen.clear()
        self._seen[kind] = since, count + 1
        return count < _BURST


def _warned(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
) -> None:
    """Python's warnings, without their text: libraries quote there what a caller sent."""
    logging.getLogger("py.warnings").warning("%s in line %d of %s", category.__name__, lineno, Path(filename).name)


def log_to_stderr(request_id: Callable[[], str]) -> Redactor:
    """Send all logging, and everything that nobody caught, to stderr through one handler. Returns its redactor."""
    redactor = Redactor()
    handler = logging.StreamHandler()
    handler.addFilter(StormFilter())
    handler.setFormatter(CleanFormatter(redactor, request_id))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # Nothing of this is in our lines, and looking it up costs more than writing them (logging HOWTO, Optimization).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    warnings.showwarning = _warned
    logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    sys.excepthook = lambda kind, exc, trace: _uncaught(kind, exc, trace)
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)
    no_core_dumps()
    return redactor


def _uncaught(kind: Any, exc: Any, trace: Any) -> None:
    logging.getLogger("gateway").critical("uncaught %s", kind.__name__, exc_info=(kind, exc, trace))


def no_core_dumps() -> None:
    """The memory of this process holds cookies: it is not written to disk when it crashes."""
    try:
        import resource
    except ImportError:  # Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def secrets_in(value: Any) -> list[str]:
    """Every secret in settings, and in the raw tables of plugins whatever has the name of one."""
    match value:
        case SecretStr():
            return [value.get_secret_value()]
        case BaseModel():
            return [word for name in type(value).model_fields for word in secrets_in(getattr(value, name))]
        case dict():
            named = [item for name, item in value.items() if isinstance(item, str) and _SECRET_NAME.search(name)]
            return [*named, *(word for item in value.values() for word in secrets_in(item))]
        case list() | tuple():
            return [word for item in value for word in secrets_in(item)]
        case _:
            return []
