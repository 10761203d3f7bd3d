"""What can go wrong on demand: the faults by name, and the book that says whom they hit, where and how often.

Pure bookkeeping; how a fault looks on the wire is in `trouble.py` (any request) and `script.py` (a generation).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ANYWHERE: Mapping[str, str] = {
    "http": "an error page with `status` (and Retry-After, if `retry_after` is set)",
    "reset": "TCP reset before the headers",
    "close": "the connection ends before the headers",
    "hang": "nothing before the headers for `seconds` (without: until the client leaves), then the connection ends",
    "hang_after_headers": "headers, then nothing for `seconds`, then the connection ends",
    "slow": "everything as it should be, `seconds` later",
    "captcha": "redirect to www.google.com/sorry/index",
    "captcha_page": "429 with the captcha page",
    "consent": "redirect to consent.google.com",
    "consent_page": "200 with the consent page",
    "login": "redirect to accounts.google.com/ServiceLogin",
    "redirect": "redirect to `location`",
    "garbage": "200 with a body that is nothing known",
    "empty": "200 with an empty body",
    "reject": "rejected, status list [7] (generations and RPCs)",
    "guest_page": "a start page without the token of the account (/app)",
    "no_tokens": "a start page without any token (/app)",
    "expire": "the cookies of the account end now, and the request is served as a guest's",
    "region": "the account's status becomes 1060, and the request is served so",
}
GENERATION: Mapping[str, str] = {
    "code": "BardErrorInfo with `code`; with `after` so many content frames in; 1096 comes after the whole answer",
    "stall": "silence mid-stream, after `after` frames, for `seconds`, then the connection ends",
    "truncate": "clean end in the middle of a frame",
    "no_completion": "clean end without the completion mark",
    "garbage_frame": "a frame that is not JSON in the middle; the rest is whole",
    "dribble": "the whole answer, three bytes at a time",
    "bad_chunk": "broken chunk framing mid-stream",
    "reset_mid": "TCP reset mid-stream",
    "lying_length": "a frame whose length prefix says too much",
    "huge_frame": "a frame of `size` bytes in the middle",
    "endless": "the same content frame again and again until `size` bytes were sent",
    "empty_answer": "a complete answer with an empty text",
    "downgrade": "a smaller model answers than the one asked for",
}
NAMES: Mapping[str, str] = {**ANYWHERE, **GENERATION}
ENDPOINTS: Mapping[str, str] = {
    "*": "any request inside a tunnel",
    "connect": "the CONNECT request (no account is known yet)",
    "app": "the start page",
    "google": "www.google.com",
    "rotate": "RotateCookies",
    "upload": "uploads",
    "generate": "StreamGenerate",
    "rpc": "any batchexecute call",
    "image": "previews and pictures on lh3.googleusercontent.com",
    "download": "the download hop on work.fife.usercontent.google.com",
    "status": "RPC otAQ7b",
    "preferences": "RPC ESY5D",
    "chats": "RPC MaZiqc",
    "usage": "RPC jSf9Qc",
    "quota": "RPC qpEbW",
    "extra_quota": "RPC aPya6c",
    "abuse": "RPC GPRiHf",
    "history": "RPC hNvQHb",
    "delete": "RPC GzXR5e",
    "gems": "RPC CNgdBe",
    "full_size": "RPC c8o8Fe",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault by name (`NAMES`). A four-digit name is an error code (`Fault("1037")`), a three-digit one an HTTP status
    (`Fault("429", retry_after=30)`). Raises ValueError for a name that does not exist."""

    name: str
    status: int = 500
    code: int = 1037
    retry_after: int | None = None
    after: int | None = None
    seconds: float | None = None
    size: int = 8_000_000
    location: str = "https://example.com/elsewhere"

    def __post_init__(self) -> None:
        if self.name.isdigit():
            is_code = len(self.name) == 4
            object.__setattr__(self, "code" if is_code else "status", int(self.name))
            object.__setattr__(self, "name", "code" if is_code else "http")
        if self.name not in NAMES:
            raise ValueError(f"unknown fault {self.name!r}; there are {', '.join(NAMES)}")


@dataclass(slots=True)
class Planned:
    """A fault that waits: for `account` (None: anybody), at `endpoint` (a name of `ENDPOINTS` or an RPC id), after
    `skip` requests that pass, `times` times (None: until it is cleared)."""

    account: str | None
    endpoint: str
    fault: Fault
    times: int | None = 1
    skip: int = 0


class FaultBook:
    """The planned faults, oldest first."""

    def __init__(self) -> None:
        self._planned: list[Planned] = []

    def __len__(self) -> int:
        return len(self._planned)

    def plan(self, planned: Planned) -> None:
        """Add one. Raises ValueError for an endpoint that does not exist."""
        if planned.endpoint not in ENDPOINTS and not _like_rpc_id(planned.endpoint):
            raise ValueError(f"unknown endpoint {planned.endpoint!r}; there are {', '.join(ENDPOINTS)} and RPC ids")
        self._planned.append(planned)

    def clear(self, account: str | None = None) -> None:
        """Forget all faults, or those of one account."""
        self._planned = [] if account is None else [p for p in self._planned if p.account != account]

    def take(self, account: str | None, endpoints: Iterable[str]) -> Fault | None:
        """The fault that strikes a request with these endpoint names, counted down."""
        names = set(endpoints)
        if "connect" not in names:
            names.add("*")
        for planned in self._planned:
            if planned.endpoint not in names or planned.account not in (None, account):
                continue
            if planned.skip > 0:
                planned.skip -= 1
                continue
            self._count_down(planned)
            return planned.fault
        return None

    def _count_down(self, planned: Planned) -> None:
        if planned.times is None:
            return
        planned.times -= 1
        if planned.times <= 0:
            self._planned.remove(planned)


def _like_rpc_id(name: str) -> bool:
    return len(name) in (5, 6) and name.isalnum() and not name.islower()
