"""Runs the official SDKs' own tests against a gateway on the simulator: `make sdk-suites`. They are in the source
distributions of the packages, which pip fetches; needs the network, and takes minutes. Arguments narrow the choice of
tests, as pytest's -k does. What is left out, and why, is in suites.py; it is printed with its number."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tarfile
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config.settings import Settings
from gateway.app import running
from gateway.reference import PLUGINS
from gateway.simulator import Simulator, Site
from gateway.simulator.accounts import make_accounts
from gateway.upstream.gemini_web import GeminiWeb
from tests.sdk_suites.suites import SUITES, Left, Suite

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / ".venv" / "sdk-suites"
PYTHON = FOLDER / "env" / "bin" / "python"
TESTS = Path("tests/api_resources")
NEEDS = ("pytest", "pytest-asyncio", "pytest-timeout", "pytest-xdist", "rich", "respx", "dirty-equals", "inline-snapshot")
MORE = ("standardwebhooks", "time-machine", "nest-asyncio", "http-snapshot[httpx]")
# The models and keys that the suites name.
ALIASES = {"*image*": "gemini-2.5-flash-image", "dall-e-*": "gemini-2.5-flash-image"}
ALIASES |= dict.fromkeys(("gpt-*", "string", "model", "model_id", "ft:*"), "gemini-2.5-flash")
KEYS = [{"name": "openai", "key": "My API Key"}, {"name": "anthropic", "key": "my-anthropic-api-key"}]


def fetched(suite: Suite) -> Path:
    """The unpacked source of the version that is installed here, with its edits."""
    release = f"{suite.name}-{version(suite.name)}"
    archive = FOLDER / f"{release}.tar.gz"
    if not archive.exists():
        wanted = f"{suite.name}=={version(suite.name)}"
        _pip(sys.executable, "download", "--no-binary", suite.name, "--no-deps", "--dest", str(FOLDER), wanted)
    with tarfile.open(archive) as unpacked:
        unpacked.extractall(FOLDER, filter="data")
    for edit in suite.edits:
        _edit(FOLDER / release / TESTS, edit.file, edit.old, edit.new)
    return FOLDER / release


def _edit(tests: Path, ending: str, old: str, new: str) -> None:
    files = [file for file in tests.rglob("test_*.py") if str(file).endswith("/" + ending)]
    found = [file for file in files if re.search(old, file.read_text("utf-8"), re.DOTALL)]
    if not found:
        raise SystemExit(f"{ending} has no {old} any more: look at its edit in suites.py")
    for file in found:
        text = re.sub(old, new, file.read_text("utf-8"), flags=re.DOTALL)
        if "import fresh" not in text:
            text = text.replace("import annotations\n", "import annotations\n\nimport fresh\n", 1)
        file.write_text(text, "utf-8")


def _pip(python: str | Path, *arguments: str) -> None:
    subprocess.run([python, "-m", "pip", *arguments, "--quiet", "--disable-pip-version-check"], check=True)


def environment() -> None:
    """An environment of their own: the suites need packages that the gateway's tests do not."""
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", FOLDER / "env"], check=True)
    packages = [f"{suite.name}[aiohttp]=={version(suite.name)}" for suite in SUITES]
    _pip(PYTHON, "install", *packages, *NEEDS, *MORE)


async def run(suite: Suite, source: Path, url: str) -> int:
    """Run the tests of `suite`; prints what became of them, returns how many failed. An entry of `suite.left` that left
    nothing out counts as one: it is to be removed."""
    report = FOLDER / f"{suite.name}.xml"
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, "-m", "pytest", "-n0", "-q", "--tb=short", "-rf", "-p", "no:cacheprovider", "-p", "leaving"),
        *("--show-capture=no", "--timeout=60", f"--junitxml={report}", TESTS, *_narrowed()),
        cwd=source,
        env={
            **os.environ,
            "TEST_API_BASE_URL": url + suite.base,
            "LEFT": json.dumps([(part.tests, part.why, part.said) for part in suite.left]),
            "PYTHONPATH": str(Path(__file__).parent),  # for `leaving` and `fresh`
            "COLUMNS": "300",
        },
    )
    await process.wait()
    totals = ET.parse(report).getroot()[0]
    skipped = Counter(skip.get("message", "") for skip in totals.iter("skipped"))
    failed = int(totals.attrib["failures"]) + int(totals.attrib["errors"])
    idle = [part for part in suite.left if not skipped[part.why]] if not _narrowed() else []
    for line in _told(suite, int(totals.attrib["tests"]), failed, skipped, idle):
        print(line)  # noqa: T201
    return failed + len(idle)


def _narrowed() -> list[str]:
    return ["-k", " and ".join(sys.argv[1:])] if sys.argv[1:] else []


def _told(suite: Suite, tests: int, failed: int, skipped: Counter[str], idle: list[Left]) -> Iterator[str]:
    left = skipped.total()
    numbers = f"{tests} tests, {tests - left - failed} passed, {failed} failed, {left} left out:"
    yield f"{suite.name} {version(suite.name)}: {numbers}"
    for why, count in skipped.most_common():
        yield f"{count:7} {why}"
    for part in idle:
        yield f"        none any more for {part.tests}: remove it from suites.py"


def _table(site: Site, simulator: Simulator) -> dict[str, Any]:
    cookies = [
        {"name": one.name, "secure_1psid": one.psid, "secure_1psidts": one.psidts, "proxy": simulator.proxy_url}
        for one in site.accounts
    ]
    return {
        "server": {"port": 0},
        "gateway": {"plugins": list(PLUGINS)},
        "accounts": cookies,
        "upstream": {"ca_file": str(simulator.ca_file)},
        "state": {"dir": str(FOLDER / "state")},
        "plugins": {
            "api_key": {"keys": KEYS},
            "model_aliases": {"aliases": ALIASES},
            "rate_limit": {"global_per_hour": 0, "model_interval_s": 0},
        },
    }


async def main() -> int:
    """How many tests failed."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    environment()
    sources = [fetched(suite) for suite in SUITES]
    site = Site(make_accounts(3, "pro"), pace_ms=0)
    async with Simulator(site) as simulator:
        made = Settings.model_validate(_table(site, simulator))
        async with running(made, ROOT, upstream=lambda s, d: GeminiWeb(s, d, simulated=True), simulated=True) as gateway:
            return sum([await run(suite, source, gateway.url) for suite, source in zip(SUITES, sources, strict=True)])


if __name__ == "__main__":
    sys.exit(1 if asyncio.run(main()) else 0)
