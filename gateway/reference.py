"""References made from the code: the example gateway.toml, and the tables of settings and hooks in docs/. A test compares
them with the files, so that they cannot drift."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from config.settings import PLUGINS, Account
from config.settings import Settings as GatewaySettings
from gateway import plugin_loader
from gateway.hookspecs import HOOKS, Specs

ROOT = Path(__file__).parent.parent
_INTRO = """\
# The gateway's configuration. Every setting is here with its default; remove a `#` to change it.
# A misspelt name is refused at start. Environment: GATEWAY__SERVER__PORT=9000 style, or a `.env` file.

# Your accounts: the cookies of gemini.google.com, one table each (README: your own account).
# [[accounts]]
# name = "main"
# secure_1psid = "g.a000..."
# secure_1psidts = "sidts-..."
"""
_KEYS_EXAMPLE = '# keys = [{ name = "me", key = "sk-..." }]'


def gateway_toml() -> str:
    """The example gateway.toml."""
    lines = [_INTRO]
    for name, section in _sections():
        lines += [f"[{name}]", f"# {_first_line(section)}", *_toml_lines(name, section), ""]
    for plugin in PLUGINS:
        model = _plugin_settings(plugin)
        if model is not None:
            # The table itself would wake a plugin that needs settings.
            needs = "# " if any(field.is_required() for field in model.model_fields.values()) else ""
            lines += [f"{needs}[plugins.{plugin}]", *_toml_lines(plugin, model), ""]
    return "\n".join(lines).rstrip() + "\n"


def configuration() -> str:
    """docs/configuration.md."""
    lines = ["# Configuration", "", _CONFIG_INTRO]
    tables: list[tuple[str, type[BaseModel]]] = [*_sections(), ("[accounts]", Account)]
    for name, section in tables:
        lines += [f"## `[{name}]`", "", _first_line(section), "", *_table(section), ""]
    for plugin in PLUGINS:
        model = _plugin_settings(plugin)
        if model is not None:
            lines += [f"## `[plugins.{plugin}]`", "", _first_line(model), "", *_table(model), ""]
    return "\n".join(lines).rstrip() + "\n"


def hooks() -> str:
    """docs/hooks.md."""
    lines = ["# Hooks", "", "In the order in which a call meets them. Made from `gateway/hookspecs.py`.", ""]
    lines += ["| hook | colour | combination | on exception |", "|---|---|---|---|"]
    lines += [f"| `{name}` | {hook.colour} | {hook.combine} | {hook.on_exception} |" for name, hook in HOOKS.items()]
    for name in HOOKS:
        function = getattr(Specs, name)
        parameters = ", ".join(p for p in inspect.signature(function).parameters if p != "self")
        lines += ["", f"## `{name}({parameters})`", "", inspect.cleandoc(function.__doc__ or "")]
    return "\n".join(lines) + "\n"


PAGES: dict[str, Callable[[], str]] = {
    "gateway.toml": gateway_toml,
    "configuration": configuration,
    "hooks": hooks,
}

_CONFIG_INTRO = """\
`gateway.toml` in the folder where the gateway starts (or `--config FILE`). Made from the code by
`python -m gateway docs configuration`.

A value comes from, in this order: the environment, `.env` beside gateway.toml, gateway.toml, the default. In the
environment every setting has the name `GATEWAY__TABLE__SETTING` (`GATEWAY__SERVER__PORT=9000`,
`GATEWAY__ACCOUNTS__0__NAME=main`); lists and tables are JSON. Short names: `PORT`, `API_KEY`, `SECURE_1PSID`,
`SECURE_1PSIDTS`, `SECURE_1PSIDCC`, `REDIS_URL`. `python -m gateway check` says whether all is right; mistakes are
listed all at once.
"""


def _sections() -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in GatewaySettings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def _plugin_settings(name: str) -> type[BaseModel] | None:
    found: type[BaseModel] | None = getattr(plugin_loader.shipped(name), "Settings", None)
    return found


def _first_line(model: type[BaseModel]) -> str:
    return inspect.cleandoc(model.__doc__ or "").splitlines()[0]


def _toml_lines(section: str, model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if (section, name) == ("gateway", "plugins"):
            yield "# Enables the plugins and orders them, outermost first."
            yield "plugins = ["
            yield from (f'  "{plugin}",' for plugin in PLUGINS)
            yield "]"
            continue
        default = _toml(field.default)
        text = f"# {name} = {default}" if default is not None else f"# {name} ="
        if name == "keys":
            text = _KEYS_EXAMPLE
        yield f"{text:<36}  # {field.description}"


def _table(model: type[BaseModel]) -> Iterator[str]:
    yield "| setting | type | default | |"
    yield "|---|---|---|---|"
    for name, field in model.model_fields.items():
        default = "" if field.default is PydanticUndefined else _toml(field.default)
        shown = f"`{default}`" if default else "required" if field.is_required() else ""
        yield f"| `{name}` | {_type(field.annotation)} | {shown} | {field.description} |"


def _toml(value: Any) -> str | None:
    if value is None or value is PydanticUndefined:
        return None
    if isinstance(value, SecretStr):
        return '""'
    if isinstance(value, Path):
        return json.dumps(str(value))
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(item) or "" for item in value) + "]"
    if isinstance(value, BaseModel):
        return "{ }"
    if isinstance(value, dict):
        return "{ }" if not value else json.dumps(value)
    return json.dumps(value)


def _type(annotation: Any) -> str:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is not None and str(origin).endswith("Literal"):
        return " or ".join(f"`{json.dumps(arg)}`" for arg in args)
    if origin is tuple or origin is list:
        return f"list of {_type(args[0])}"
    if origin is dict:
        return "table"
    if args:
        return _type(args[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table"
    names = {"str": "text", "SecretStr": "secret", "int": "whole number", "float": "number", "bool": "true or false"}
    return names.get(getattr(annotation, "__name__", ""), "path" if annotation is Path else "text")
