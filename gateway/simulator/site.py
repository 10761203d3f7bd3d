"""The simulated site's state: accounts, faults, conversations, uploads, settings. Knows no sockets."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gateway.simulator.accounts import Account, guest, make_accounts
from gateway.simulator.chats import Chats
from gateway.simulator.faults import Fault, FaultBook, Planned
from gateway.simulator.lines import Line, LineBook
from gateway.simulator.log import Log
from gateway.simulator.pictures import Gallery
from gateway.simulator.uploads import Uploads

_PSID, _PSIDTS = "__Secure-1PSID", "__Secure-1PSIDTS"


@dataclass(kw_only=True)
class Settings:
    """How the site behaves where no directive and no fault says otherwise. May be changed while it runs."""

    pace_ms: float = 30.0
    """Pause before each content frame."""
    chunk_chars: int = 12
    """Characters that each content frame adds, up to 200 frames."""
    first_ms: float = 0.0
    """Silence before the headers of a generation."""
    rpc_ms: float = 0.0
    """Silence before each batchexecute reply."""
    full_size_ms: float = 0.0
    """Silence before the reply that names a full-size picture (recorded: up to 22 seconds)."""
    rotation_grace_s: float = 600.0
    """How long an old __Secure-1PSIDTS stays valid after a rotation."""
    rotation_interval_s: float = 0.0
    """A rotation sooner than this after the last one gets a 429."""
    finish_after_abort: bool = True
    """Whether a turn whose client left is finished in the history; else it keeps the half it had come to."""
    sparse: bool = False
    """Whether the fields of a turn above 24 come as a dict in the last slot."""
    cut_prompt_bytes: int = 0
    """Prompts are cut silently after so many UTF-8 bytes (0: never); third parties report about 130,000."""
    token_in_page: bool = True
    """Whether the start page holds SNlM0e (it sometimes does not)."""
    star: str = "v2"
    """The visible mark of generated pictures: none, v1, v2, or size@margin:opacity."""
    placeholder: str = "http://googleusercontent.com/image_generation_content/{number}"
    """What stands in the text where a picture belongs; the form seen in September 2026 ends in `{number}_621`."""


class Site:
    """An offline Gemini web site. Keyword arguments are `Settings`; accounts may be added at any time."""

    def __init__(
        self,
        accounts: Iterable[Account] | None = None,
        *,
        clock: Callable[[], float] = time.time,
        **settings: float | int | bool | str,
    ) -> None:
        self.settings = Settings(**settings)  # type: ignore[arg-type]
        self.clock = clock
        self.log = Log()
        self.uploads = Uploads()
        self.faults = FaultBook()
        self.lines = LineBook()
        self.gallery = Gallery()
        self._guest = guest()
        self._accounts: dict[str, Account] = {}
        self._chats: dict[str, Chats] = {}
        self._rotated: dict[str, float] = {}
        for account in make_accounts(3) if accounts is None else accounts:
            self.add(account)

    @property
    def accounts(self) -> list[Account]:
        """The accounts, in the order they were added."""
        return list(self._accounts.values())

    def add(self, account: Account) -> Account:
        """Add an account. Raises ValueError where its name or cookie is taken."""
        if any(account.name == other.name or account.psid == other.psid for other in self._accounts.values()):
            raise ValueError(f"there is an account named {account.name!r} or with its cookie already")
        self._accounts[account.name] = account
        return account

    def account(self, name: str) -> Account:
        """The account of this name. Raises KeyError."""
        return self._accounts[name]

    def fault(
        self,
        account: str | None,
        endpoint: str,
        fault: Fault | str,
        *,
        times: int | None = 1,
        skip: int = 0,
    ) -> None:
        """Plan a fault: `times` times (None: until `clear_faults`), after `skip` requests that pass. `account` None
        hits anybody. Endpoint names are in `faults.ENDPOINTS`; an RPC id does too."""
        if account is not None and account != self._guest.name and account not in self._accounts:
            raise ValueError(f"there is no account named {account!r}")
        ready = Fault(fault) if isinstance(fault, str) else fault
        self.faults.plan(Planned(account, endpoint, ready, times=times, skip=skip))

    def clear_faults(self, account: str | None = None) -> None:
        """Forget the planned faults, of one account or all."""
        self.faults.clear(account)

    def line(self, text: str, *, match: str = "", times: int | None = 1) -> None:
        """Plan an answer: `times` times (None: until `clear_lines`) to prompts in which the expression `match` is found."""
        self.lines.plan(Line(text, match, times))

    def clear_lines(self) -> None:
        """Forget the planned answers."""
        self.lines.clear()

    def whose(self, cookies: Mapping[str, str]) -> Account:
        """The account that these cookies sign in; a guest where they sign in nobody."""
        psid = cookies.get(_PSID)
        found = next((account for account in self._accounts.values() if account.psid == psid), None) if psid else None
        if found is None or not found.accepts(cookies.get(_PSIDTS, ""), self.clock()):
            return self._guest
        return found

    def chats(self, account: Account) -> Chats:
        """The conversations of an account."""
        return self._chats.setdefault(account.name, Chats())

    def may_rotate(self, account: Account) -> bool:
        """Whether a rotation is not too soon after the last one; notes it."""
        now = self.clock()
        if now - self._rotated.get(account.name, float("-inf")) < self.settings.rotation_interval_s:
            return False
        self._rotated[account.name] = now
        return True
