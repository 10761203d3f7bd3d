"""The house keeps its shape: one direction of imports, one importer of the library, no plugin that knows another."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# A name imports only from names above it.
ORDER = (
    "config",
    "watermark",
    "gateway.version",
    "gateway.background",
    "gateway.allocator",
    "gateway.clock",
    "gateway.threads",
    "gateway.secrecy",
    "gateway.meters",
    "gateway.sockets",
    "gateway.model",
    "gateway.errors",
    "gateway.imaging",
    "gateway.wire",
    "gateway.state",
    "gateway.hookspecs",
    "gateway.hooks",
    "gateway.plugin_loader",
    "gateway.upstream",
    "gateway.accounts",
    "gateway.choices",
    "gateway.pictures",
    "gateway.calls",
    "gateway.http",
    "gateway.openapi_requests",
    "gateway.openapi",
    "gateway.console",
    "gateway.first_keys",
    "gateway.backend",
    "gateway.application",
    "gateway.app",
    "gateway.logs",
    "gateway.watchdog",
    "gateway.serving",
    "gateway.workers",
    "gateway.permissions",
    "gateway.testing",
    "gateway.simulator",
    "gateway.reference",
    "gateway.account_commands",
    "gateway.demo",
    "gateway.__main__",
)
# What a plugin may use of the gateway.
PUBLIC = (
    "config", "watermark", "gateway.hookspecs", "gateway.meters", "gateway.sockets", "gateway.model", "gateway.errors",
    "gateway.threads", "gateway.wire", "gateway.state",
)  # fmt: skip
ROOMS = ("config", "gateway", "plugins", "watermark")


def modules(*folders: str) -> Iterator[tuple[str, Path]]:
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            dotted = ".".join(file.relative_to(ROOT).with_suffix("").parts)
            yield dotted.removesuffix(".__init__"), file


def imports(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def room(name: str) -> int | None:
    fitting = [index for index, prefix in enumerate(ORDER) if name == prefix or name.startswith(prefix + ".")]
    return fitting[0] if fitting else None


@pytest.mark.parametrize(("name", "file"), [pytest.param(*m, id=m[0]) for m in modules("config", "watermark", "gateway")])
def test_a_name_imports_only_from_names_above_it(name: str, file: Path) -> None:
    here = room(name)
    if name == "gateway":
        return
    assert here is not None, f"{name} has no room in ORDER"
    below = {found for found in imports(file) if (there := room(found)) is not None and there > here}
    assert not below, f"{name} imports from below: {sorted(below)}"


def test_the_library_has_one_importer() -> None:
    importers = {name for name, file in modules(*ROOMS) if any(i.split(".")[0] == "gemini_webapi" for i in imports(file))}
    assert {name for name in importers if not name.startswith("gateway.upstream.gemini_web.")} == set()


def test_the_wire_is_pure() -> None:
    forbidden = {"asyncio", "socket", "time", "random", "secrets", "uuid", "os", "aiohttp", "logging", "datetime"}
    for name, file in modules("gateway/wire"):
        found = {i.split(".")[0] for i in imports(file)} & forbidden
        assert not found, f"{name} imports {sorted(found)}"


def test_watermark_knows_nothing_of_ours() -> None:
    for name, file in modules("watermark"):
        assert not {i for i in imports(file) if i.split(".")[0] in ("gateway", "config", "plugins")}, name


@pytest.mark.parametrize(("name", "file"), [pytest.param(*m, id=m[0]) for m in modules("plugins")])
def test_a_plugin_uses_the_public_api_and_no_other_plugin(name: str, file: Path) -> None:
    ours = {found for found in imports(file) if found.split(".")[0] in ROOMS}
    assert not {found for found in ours if not found.startswith(PUBLIC)}, name


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "base", "manager"}
    assert not {name for name, _ in modules(*ROOMS) if name.rsplit(".", 1)[-1] in empty}


@pytest.mark.parametrize(("name", "file"), [pytest.param(*m, id=m[0]) for m in modules(*ROOMS)])
def test_classes_are_matched_by_keyword(name: str, file: Path) -> None:
    """`case Kind(value)` looks up `__match_args__` under a new string each time (CPython 3.11): that costs more than all
    else in a match, throws other names out of the cache of attributes, and the strings stay there."""
    patterns = (node for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.MatchClass))
    assert not [f"{name}:{pattern.lineno}" for pattern in patterns if pattern.patterns]
