"""An offline Gemini web site on loopback, for the demo, the tests and the benchmarks.

It is an HTTP CONNECT proxy with a certificate authority of its own that plays gemini.google.com and its side hosts, so
that the unmodified client library talks to it:
`GeminiClient(psid, psidts, proxy=sim.proxy_url, verify=str(sim.ca_file))`.

    from gateway.simulator import Account, Fault, Simulator, Site

    site = Site([Account("a", tier="pro"), Account("b", tier="free", limit=2)], pace_ms=0)
    async with Simulator(site) as sim:
        sim.proxy_url, sim.ca_file, site.account("a").cookies     # what a client needs
        site.fault("a", "generate", Fault("http", status=500))    # the next one; times=2, times=None: always; skip=1
        site.fault(None, "usage", "429", times=None)              # anybody's, by endpoint name or RPC id
        site.clear_faults()
        site.account("a").expired = True                          # .status, .limit, .rotation, .served, .renew(), ...
        entry = await site.log.wait(lambda e: e.outcome == "aborted")
        site.log.generates[-1].prompt; site.log.count("generate", "a")

- `Account` (accounts.py): who there is. `make_accounts(n)` makes a, b, c, ... with random cookies.
- `Site(accounts, clock=..., **settings)`: the settings are the fields of `Settings` (site.py).
- `Fault(name, ...)`: the names are in `faults.NAMES`, the endpoints in `faults.ENDPOINTS`.
- `site.log` (log.py): `Entry` values; `.generates`, `.count()`, `.wait()`, `.clear()`.
- Directives: a prompt may script its own answer by `[[sim key=value ...]]`, anywhere in it; the keys are in
  `directives.KEYS`. `answers.filler(chars, charset)` is the text that `[[sim chars=N charset=cjk]]` answers.
- `python -m gateway.simulator` runs it as a process: one JSON line when ready, control API under /_sim/ (control.py).

Knows nothing of the gateway; of the project it imports `watermark` alone, to draw the visible star.
"""

from gateway.simulator.accounts import Account, Model, Status, make_accounts
from gateway.simulator.answers import filler
from gateway.simulator.faults import Fault
from gateway.simulator.log import Attachment, Entry, Log
from gateway.simulator.proxy import Simulator
from gateway.simulator.site import Settings, Site

__all__ = [
    "Account",
    "Attachment",
    "Entry",
    "Fault",
    "Log",
    "Model",
    "Settings",
    "Simulator",
    "Site",
    "Status",
    "filler",
    "make_accounts",
]
