"""Reads gateway.toml, `.env` and the environment into `Settings`. All mistakes at once, each with its dotted path.

Order: environment, `.env`, TOML, default. `GATEWAY__SERVER__PORT=9000` style for every key, and the short names of
`SHORT_NAMES` for the few that everybody sets."""

from __future__ import annotations

import difflib
import itertools
import json
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr, ValidationError

from config.settings import Settings

SHORT_NAMES: dict[str, tuple[str, ...]] = {
    "PORT": ("server", "port"),
    "SECURE_1PSID": ("accounts", "0", "secure_1psid"),
    "SECURE_1PSIDTS": ("accounts", "0", "secure_1psidts"),
    "SECURE_1PSIDCC": ("accounts", "0", "secure_1psidcc"),
    "REDIS_URL": ("state", "url"),
    "GATEWAY_SECRET": ("state", "secret"),
    "GATEWAY_OTHER_SECRET": ("state", "other_secret"),
    "API_KEY": ("plugins", "api_key", "keys", "0", "key"),
    "R2_ENDPOINT_URL": ("plugins", "r2_upload", "endpoint_url"),
    "R2_BUCKET": ("plugins", "r2_upload", "bucket"),
    "R2_ACCESS_KEY_ID": ("plugins", "r2_upload", "access_key_id"),
    "R2_SECRET_ACCESS_KEY": ("plugins", "r2_upload", "secret_access_key"),
    "R2_PUBLIC_BASE_URL": ("plugins", "r2_upload", "public_base_url"),
}
PREFIX = "GATEWAY__"


class ConfigError(Exception):
    """The configuration is wrong. `problems` holds one line for each mistake, each opening with its dotted path; `rest`
    is what is left without the wrong ones, where that can be told, so that mistakes further on can be told too."""

    def __init__(self, problems: Iterable[str], rest: Loaded | None = None) -> None:
        self.problems = tuple(problems)
        self.rest = rest
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Loaded:
    """`settings`, the folder that relative paths are relative to, and which file was read (None: defaults only)."""

    settings: Settings
    root: Path
    file: Path | None


def load(file: Path | None, environ: Mapping[str, str] | None = None) -> Loaded:
    """Read `file` (None: `gateway.toml` here if there is one). Raises ConfigError."""
    environ = os.environ if environ is None else environ
    if file is None and Path("gateway.toml").is_file():
        file = Path("gateway.toml")
    root = file.resolve().parent if file else Path.cwd()
    data = _read_toml(file) if file else {}
    problems: list[str] = []
    origins = {path: file.name for path in _leaves(data)} if file else {}
    for source, kind in ((_read_dotenv(root / ".env"), ".env"), (environ, "environment")):
        for path, name in _merge(data, source, problems):
            origins[path] = f"{kind}: {name}"
    try:
        settings = Settings.model_validate(data)
    except ValidationError as exc:
        rest = _without(data, [error["loc"] for error in exc.errors()])
        raise ConfigError([*problems, *explain(exc, Settings)], Loaded(rest, root, file) if rest else None) from None
    if problems:
        raise ConfigError(problems)
    settings.origins.update(origins)
    return Loaded(settings, root, file)


def _leaves(table: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Dotted paths of the settings that are there. A list is one setting, however long."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _without(data: dict[str, Any], mistakes: Iterable[tuple[int | str, ...]]) -> Settings | None:
    """The settings that `data` makes without what is wrong in it."""
    for mistake in mistakes:
        table: Any = data
        for key in mistake[:-1]:
            table = table.get(key) if isinstance(table, dict) else None
        if mistake and isinstance(table, dict):
            table.pop(mistake[-1], None)
    try:
        return Settings.model_validate(data)
    except ValidationError:
        return None


def _read_toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as exc:
        raise ConfigError([f"{file}: {exc.strerror or exc}"]) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError([f"{file}: {exc}"]) from None


def _read_dotenv(file: Path) -> dict[str, str]:
    if not file.is_file():
        return {}
    values = {}
    for line in file.read_text("utf-8").splitlines():
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            value = value.strip()
            if len(value) >= 2 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            values[name.strip()] = value
    return values


def _merge(data: dict[str, Any], environ: Mapping[str, str], problems: list[str]) -> list[tuple[str, str]]:
    """Put what `environ` sets into `data`. Returns the settings that it set: (dotted path, name of the variable)."""
    found = []
    for name, text in environ.items():
        if name.startswith(PREFIX):
            path, value = tuple(name[len(PREFIX) :].lower().split("__")), _value(text)
        elif name in SHORT_NAMES and text:
            path, value = SHORT_NAMES[name], text
        else:
            continue
        try:
            _put(data, path, value)
            found.append((".".join(itertools.takewhile(lambda part: not part.isdigit(), path)), name))
        except (TypeError, ValueError, IndexError):
            problems.append(f"{'.'.join(path)}: {name} does not fit what gateway.toml has there")
    match data:
        case {"plugins": {"api_key": {"keys": [{} as first, *_]}}}:
            first.setdefault("name", "default")
    return found


def _value(text: str) -> Any:
    """A list or table comes as JSON; all else is a string, which pydantic turns into what the setting wants."""
    if text[:1] in "[{":
        try:
            return json.loads(text)
        except ValueError:
            return text
    return text


def _put(data: Any, path: tuple[str, ...], value: Any) -> None:
    """Set `data[path]`, making tables and (for numbers) lists on the way."""
    for key, following in zip(path, (*path[1:], None), strict=True):
        slot: Any = key
        if isinstance(data, list):
            slot = int(key)
            if slot > len(data):
                raise IndexError(key)
            if slot == len(data):
                data.append(None)
        if following is None:
            data[slot] = value
            return
        if isinstance(data, dict) and slot not in data:
            data[slot] = None
        if data[slot] is None:
            data[slot] = [] if following.isdigit() else {}
        data = data[slot]


def explain(exc: ValidationError, model: type[BaseModel], prefix: str = "") -> list[str]:
    """One line for each mistake: dotted path, what is wrong, and a did-you-mean for a misspelt name. Values that were
    configured are not quoted: one of them may be a cookie."""
    lines = []
    for error in exc.errors(include_url=False, include_input=False, include_context=False):
        path = ".".join(part for part in (prefix, *map(str, error["loc"])) if part)
        if error["type"] == "extra_forbidden":
            lines.append(f"{path}: unknown setting{suggest(str(error['loc'][-1]), _names_at(model, error['loc'][:-1]))}")
        else:
            message = error["msg"].removeprefix("Value error, ")
            lines.append(f"{path}: {message}" if path else message)
    return lines


def suggest(name: str, known: Iterable[str]) -> str:
    """`", did you mean 'x'?"` or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f", did you mean {near[0]!r}?" if near else ""


def _names_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        found = _model_in(field.annotation) if field else None
        if found is None:
            return []
        model = found
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in getattr(annotation, "__args__", ()):
        if (found := _model_in(part)) is not None:
            return found
    return None


def masked(value: Any) -> Any:
    """`value` as plain data for showing: secrets become `***`."""
    if isinstance(value, BaseModel):
        return {name: masked(getattr(value, name)) for name in type(value).model_fields}
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    if isinstance(value, dict):
        return {key: masked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    return str(value) if isinstance(value, Path) else value
