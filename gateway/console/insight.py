"""What is set and what runs, as plain data for showing: plugins in their order, and every setting with its value (secrets
masked), its description and where the value came from."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from config.loader import masked
from config.settings import Settings
from gateway.hooks import Hooks
from gateway.plugin_loader import LoadedPlugin

DEFAULT = "default"


def plugins(loaded: Sequence[LoadedPlugin], hooks: Hooks, origins: Mapping[str, str]) -> list[dict[str, Any]]:
    """The plugins, outermost first: hooks with calls, seconds and errors, and settings."""
    return [_plugin(plugin, hooks, origins) for plugin in loaded]


def _plugin(plugin: LoadedPlugin, hooks: Hooks, origins: Mapping[str, str]) -> dict[str, Any]:
    measured = []
    for name in plugin.hooks:
        cost = hooks.cost(plugin.name, name)
        calls, seconds, errors = (cost.runs, cost.seconds, cost.errors) if cost else (0, 0.0, 0)
        measured.append({"hook": name, "calls": calls, "seconds": round(seconds, 6), "errors": errors})
    about = (_module_doc(plugin.instance) or type(plugin.instance).__doc__ or "").strip().split("\n\n")[0]
    return {
        "name": plugin.name,
        "source": plugin.source,
        "about": " ".join(about.split()),
        "dormant": plugin.dormant,
        "hooks": measured,
        "settings": _settings_of(plugin, origins),
    }


def _settings_of(plugin: LoadedPlugin, origins: Mapping[str, str]) -> list[dict[str, Any]]:
    return list(_fields(plugin.settings, f"plugins.{plugin.name}", origins)) if plugin.settings is not None else []


def fingerprint(settings: Settings, loaded: Sequence[LoadedPlugin]) -> str:
    """A word that is another one when `sections` or `plugins` show other settings."""
    shown = [sections(settings), [[plugin.name, _settings_of(plugin, settings.origins)] for plugin in loaded]]
    return hashlib.sha256(orjson.dumps(shown)).hexdigest()[:16]


def _module_doc(instance: Any) -> str:
    if instance is None:
        return ""
    return getattr(sys.modules.get(type(instance).__module__), "__doc__", None) or ""


def sections(settings: Settings) -> list[dict[str, Any]]:
    """The tables of gateway.toml but for accounts and plugins, which have views of their own."""
    found = []
    for name in type(settings).model_fields:
        section = getattr(settings, name)
        if isinstance(section, BaseModel):
            about = (type(section).__doc__ or "").strip().splitlines()[0]
            found.append({"name": name, "about": about, "settings": list(_fields(section, name, settings.origins))})
    return found


def _fields(model: BaseModel, prefix: str, origins: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        default = None if field.default is PydanticUndefined else field.default
        yield {
            "name": name,
            "value": _without_secret(value),
            "default": _without_secret(default),
            "about": field.description or "",
            "origin": origins.get(f"{prefix}.{name}") or _unsaid(origins, f"{prefix}.{name}", value == default),
        }


def _unsaid(origins: Mapping[str, str], path: str, is_default: bool) -> str:
    """Where a value came from that no source names: from parts of it, from the default, or the program set it."""
    parts = [origin for name, origin in origins.items() if name.startswith(f"{path}.")]
    return parts[0] if parts else DEFAULT if is_default else "set at start"


def _without_secret(value: Any) -> Any:
    """`value` with secrets masked, also where it is a URL with a password in it."""
    shown = masked(value)
    if isinstance(shown, str) and "://" in shown and "@" in shown:
        scheme, _, rest = shown.partition("://")
        return f"{scheme}://***@{rest.rpartition('@')[2]}"
    return shown

