"""Name -> file -> Settings -> Plugin -> bound hooks. Only what `gateway.plugins` names is imported; the list is the order.

A plugin is a file NAME.py in the shipped folder `plugins/` or one of `gateway.plugin_dirs`, or a package with the
entry point group `gemini_gateway.plugins`. It is no sandbox: a plugin is code with all the rights of the gateway."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

import pluggy
from pydantic import BaseModel, ValidationError

from config.loader import ConfigError, explain, suggest
from config.settings import Settings
from gateway.hooks import Bound, Hooks
from gateway.hookspecs import HOOKS, PROJECT, Colour, Specs

ENTRY_POINTS = "gemini_gateway.plugins"
SHIPPED = Path(__file__).resolve().parent.parent / "plugins"


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin of the list. `instance` and `settings` are None while it is dormant (it needs settings, and has none)."""

    name: str
    source: str
    instance: Any = None
    settings: BaseModel | None = None
    hooks: tuple[str, ...] = ()

    @property
    def dormant(self) -> bool:
        return self.instance is None


def load(settings: Settings, root: Path) -> list[LoadedPlugin]:
    """Import, configure and check the enabled plugins, in their order. Raises ConfigError with all mistakes at once."""
    sources, problems = _find(settings, root)
    loaded = []
    names = settings.gateway.plugins
    for position, name in enumerate(names):
        if name in names[:position]:
            problems.append(f"gateway.plugins.{position}: {name!r} is listed twice")
        elif name not in sources:
            hint = suggest(name, sources)
            problems.append(f"gateway.plugins.{position}: no plugin {name!r} in the plugin folders{hint}")
        else:
            try:
                loaded.append(_load_one(name, sources[name], settings.plugins.get(name)))
            except ConfigError as exc:
                problems.extend(exc.problems)
    problems += [
        f"plugins.{name}: no such plugin{suggest(name, sources)}" for name in settings.plugins if name not in sources
    ]
    if problems:
        raise ConfigError(problems)
    return loaded


def idle_tables(settings: Settings) -> list[str]:
    """What to know of the tables of plugins that are not enabled: that they do nothing, and for plugins of the tree what
    would be wrong with them."""
    found = []
    for name, table in settings.plugins.items():
        if name in settings.gateway.plugins:
            continue
        found.append(f"plugins.{name}: does nothing, gateway.plugins does not name it")
        if (SHIPPED / f"{name}.py").is_file():
            try:
                _settings(name, shipped(name), table)
            except ImportError as exc:
                found.append(f"plugins.{name}: cannot be checked: {exc}")
            except ConfigError as exc:
                found += exc.problems
    return found


def shipped(name: str) -> ModuleType:
    """The module of a plugin of the tree, whether it is enabled or not."""
    return _import(name, SHIPPED / f"{name}.py")


def from_instances(plugins: Iterable[tuple[str, Any]]) -> list[LoadedPlugin]:
    """Plugins that exist already (tests of plugin authors), checked like those of a file. Raises ConfigError."""
    return [LoadedPlugin(name, "<given>", plugin, None, _checked(name, plugin)) for name, plugin in plugins]


def bind(plugins: Sequence[LoadedPlugin], timeout_s: float = 10) -> Hooks:
    """The hooks of `plugins`, sorted by pluggy (tryfirst, trylast) within the order of the list."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(Specs)
    # pluggy calls the last registered first; registered in reverse, the list's order is the calling order.
    for plugin in reversed([plugin for plugin in plugins if not plugin.dormant]):
        manager.register(plugin.instance, plugin.name)
    found: dict[str, Sequence[Bound]] = {}
    for name in HOOKS:
        caller = getattr(manager.hook, name)
        found[name] = [
            (impl.plugin_name, _by_position(impl.function, caller.spec.argnames, impl.argnames))
            for impl in reversed(caller.get_hookimpls())
        ]
    return Hooks(found, timeout_s)


def _by_position(function: Callable[..., Any], offered: Sequence[str], wanted: Sequence[str]) -> Callable[..., Any]:
    """`function` as one that takes all of the spec's arguments by position; it may want fewer, in any order."""
    if tuple(offered) == tuple(wanted):
        return function
    indexes = [tuple(offered).index(name) for name in wanted]
    return lambda *args: function(*[args[index] for index in indexes])


# --- finding ------------------------------------------------------------------------------------------------------


def _find(settings: Settings, root: Path) -> tuple[dict[str, Path | EntryPoint], list[str]]:
    sources: dict[str, Path | EntryPoint] = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    files: dict[str, Path] = {}
    problems = []
    folders = {SHIPPED: None}
    for position, folder in enumerate(settings.gateway.plugin_dirs):
        if (root / folder).is_dir():
            folders[(root / folder).resolve()] = None
        elif folder != Path("plugins"):  # the default need not exist where gateway.toml lives elsewhere
            problems.append(f"gateway.plugin_dirs.{position}: {root / folder} is not a folder")
    for folder in folders:
        for file in sorted(folder.glob("[a-z]*.py")):
            if file.stem in files:
                problems.append(f"gateway.plugins: two files have the name {file.stem}: {files[file.stem]} and {file}")
            files.setdefault(file.stem, file)
    return {**sources, **files}, problems


def _load_one(name: str, source: Path | EntryPoint, table: dict[str, Any] | None) -> LoadedPlugin:
    file = source if isinstance(source, Path) else _file_of(source)
    shown = source.name if isinstance(source, Path) else source.value
    if table is None and file is not None and needs_settings(file):
        return LoadedPlugin(name, shown)
    try:
        module = _import(name, source) if isinstance(source, Path) else importlib.import_module(source.module)
    except Exception as exc:
        raise ConfigError([f"gateway.plugins: {name} cannot be imported: {type(exc).__name__}: {exc}"]) from exc
    factory = getattr(module, "Plugin", None)
    if not isinstance(factory, type):
        raise ConfigError([f"gateway.plugins: {name} has no class Plugin"])
    settings = _settings(name, module, table)
    try:
        instance = factory(settings) if settings is not None else factory()
    except (ValueError, TypeError) as exc:
        raise ConfigError([f"plugins.{name}: {exc}"]) from exc
    return LoadedPlugin(name, shown, instance, settings, _checked(name, instance))


def _file_of(point: EntryPoint) -> Path | None:
    spec = importlib.util.find_spec(point.module)
    return Path(spec.origin) if spec and spec.origin and spec.origin.endswith(".py") else None


def needs_settings(file: Path) -> bool:
    """Whether the file's class Settings has a field without a default. Read, not imported: a dormant plugin may need a
    package that is not installed."""
    return _needs_settings(file.read_text("utf-8"))


@lru_cache(maxsize=64)  # a reload asks of the same files
def _needs_settings(source: str) -> bool:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and node.name == "Settings":
            return any(
                isinstance(line, ast.AnnAssign) and (line.value is None or _is_required(line.value))
                for line in node.body
            )
    return False


def _is_required(value: ast.expr) -> bool:
    """`Field(...)`, or `Field(description=...)` with neither a default nor a default_factory."""
    if not isinstance(value, ast.Call):
        return False
    if value.args:
        return isinstance(value.args[0], ast.Constant) and value.args[0].value is Ellipsis
    return not any(keyword.arg in ("default", "default_factory") for keyword in value.keywords)


def _import(name: str, file: Path) -> ModuleType:
    """Import by path under a private name, so that a plugin can have any name without shadowing a package."""
    private = f"_gateway_plugin_{name}"
    spec = importlib.util.spec_from_file_location(private, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file.name} is not Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[private] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[private]
        raise
    return module


def _settings(name: str, module: ModuleType, table: dict[str, Any] | None) -> BaseModel | None:
    model = getattr(module, "Settings", None)
    if model is None:
        if table:
            raise ConfigError([f"plugins.{name}: this plugin has no settings"])
        return None
    try:
        settings: BaseModel = model.model_validate(table or {})
    except ValidationError as exc:
        raise ConfigError(explain(exc, model, f"plugins.{name}")) from None
    return settings


# --- checking -----------------------------------------------------------------------------------------------------


def _checked(name: str, plugin: Any) -> tuple[str, ...]:
    """The names of the hooks that `plugin` implements. Raises ConfigError for an unknown hook, a wrong colour or an
    argument that the hook does not have."""
    found, problems = [], []
    for attribute in dir(type(plugin)):
        function: Any = getattr(plugin, attribute, None)
        if not hasattr(function, f"{PROJECT}_impl"):
            continue
        found.append(attribute)
        if attribute not in HOOKS:
            problems.append(f"gateway.plugins: {name}.{attribute} is no hook{suggest(attribute, HOOKS)}")
            continue
        if (colour := _colour(function)) != HOOKS[attribute].colour:
            problems.append(f"gateway.plugins: {name}.{attribute} must be a {HOOKS[attribute].colour}, it is {colour}")
        known = [p for p in inspect.signature(getattr(Specs, attribute)).parameters if p != "self"]
        for argument in inspect.signature(function).parameters:
            if argument not in known:
                hint = suggest(argument, known)
                problems.append(f"gateway.plugins: {name}.{attribute} has no argument {argument!r}{hint}")
    if problems:
        raise ConfigError(problems)
    return tuple(hook for hook in HOOKS if hook in found)


def _colour(function: Any) -> Colour:
    if inspect.isasyncgenfunction(function):
        return "async generator"
    return "coroutine" if inspect.iscoroutinefunction(function) else "sync"
