"""Memory: the gateway idle with ten accounts, and under 500 slow streams. Baseline: the library's own transfer handle,
which costs about 300 kB for each stream of an unmodified client."""

from __future__ import annotations

import asyncio
import json
import tempfile
from pathlib import Path

import aiohttp

from benchmarks.processes import Child, served, started

STREAMS = 500
# Sessions that nobody needs are kept for 45 s, and the heap is trimmed every 30 s.
SETTLED_S = 90
PROMPT = "[[sim chars=6000 frames=60 pace_ms=500]]"


async def measure() -> list[str]:
    """Lines of a table: what, MB or kB, target."""
    lines = ["| what | measured | target |", "|---|---|---|"]
    async with started(["-m", "gateway.simulator", "--accounts", "10", "--pace-ms", "0"]) as site:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "settings.json"
            file.write_text(json.dumps(_settings(site)))
            async with served(file) as gateway:
                await _all_signed_in(gateway)
                idle = gateway.rss_mb()
                lines.append(f"| idle, ten accounts signed in | {idle:.0f} MB | 130 MB |")
                await _streams(gateway, 50)  # buffers and pools that stay are no cost of a stream
                warm = await _settled(gateway)
                under = await _streams(gateway, STREAMS)
                each = (under - warm) * 1000 / STREAMS
                lines.append(f"| one of {STREAMS} slow streams | {each:.0f} kB | 350 kB |")
                after = await _settled(gateway)
                lines.append(f"| left over after them, against before | {after - warm:+.0f} MB | about 0 |")
                await _streams(gateway, STREAMS)
                again = await _settled(gateway)
                lines.append(f"| left over after {STREAMS} more, against after the first | {again - after:+.0f} MB | 0 |")
    return lines


def _settings(site: Child) -> dict[str, object]:
    accounts = [
        {
            "name": account["name"],
            "secure_1psid": account["cookies"]["__Secure-1PSID"],
            "secure_1psidts": account["cookies"]["__Secure-1PSIDTS"],
            "proxy": site.ready["proxy_url"],
            "max_concurrency": 100,
        }
        for account in site.ready["accounts"]
    ]
    plugins = ["metrics", "access_log", "model_aliases", "retry", "openai_api", "gemini_api"]
    upstream = {"ca_file": site.ready["ca_file"]}
    return {"server": {"port": 0}, "gateway": {"plugins": plugins}, "accounts": accounts, "upstream": upstream}


async def _all_signed_in(gateway: Child) -> None:
    async with aiohttp.ClientSession(gateway.ready["url"]) as http:
        while True:
            async with http.get("/api/accounts") as response:
                states = [account["state"] for account in (await response.json())["accounts"]]
            if set(states) == {"ready"}:
                return
            await asyncio.sleep(0.1)


async def _streams(gateway: Child, count: int) -> float:
    """Resident MB while `count` streams run, each of which has begun; then they are left."""
    timeout = aiohttp.ClientTimeout(total=120)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(gateway.ready["url"], timeout=timeout, connector=connector) as http:
        replies = await asyncio.gather(*(_begun(http) for _ in range(count)))
        used = gateway.rss_mb()
        for reply in replies:
            reply.close()
    return used


async def _begun(http: aiohttp.ClientSession) -> aiohttp.ClientResponse:
    body = {"model": "gemini-2.5-flash", "stream": True, "messages": [{"role": "user", "content": PROMPT}]}
    response = await http.post("/v1/chat/completions", json=body)
    assert response.status == 200, await response.text()
    await response.content.readline()
    return response


async def _settled(gateway: Child) -> float:
    """Resident MB when what the calls needed has been let go of."""
    await asyncio.sleep(SETTLED_S)
    return gateway.rss_mb()


if __name__ == "__main__":
    print("\n".join(asyncio.run(measure())))
