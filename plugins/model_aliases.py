"""Other names for models: what tools ask for by default, and your own."""

from __future__ import annotations

import re
from dataclasses import replace
from fnmatch import translate
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, Field

from gateway.hookspecs import hookimpl
from gateway.model import Call

USUAL = {
    "gemini-3-flash": "gemini-3-flash-preview",
    "gemini-3-pro-preview": "gemini-3.0-pro",
    "gemini-3.1-pro-preview": "gemini-3.0-pro",
    # gemini-cli has these in its lists.
    "gemini-3.1-pro-preview-customtools": "gemini-3.0-pro",
    "gemini-3.1-flash-lite": "gemini-2.5-flash-lite",
    "gemini-3.1-flash-lite-preview": "gemini-2.5-flash-lite",
    "gemini-3.5-flash": "gemini-2.5-flash",
    "gemini-3-pro": "gemini-3.0-pro",
    "gemini-3.5-flash-lite": "gemini-2.5-flash-lite",
    "gemini-flash-lite-latest": "gemini-2.5-flash-lite",
    "gemini-flash-latest": "gemini-2.5-flash",
    "gemini-pro-latest": "gemini-2.5-pro",
    "gemini-2.5-flash-image-preview": "gemini-2.5-flash-image",
    # What picture tools ask for unless told otherwise (Open WebUI, LibreChat, OpenAI's and Google's own examples).
    "gpt-image-*": "gemini-2.5-flash-image",
    "dall-e-*": "gemini-2.5-flash-image",
    "imagen-*": "gemini-2.5-flash-image",
    # Anthropic's clients ask for these of themselves, Claude Code for several at once.
    "claude-*haiku*": "gemini-2.5-flash",
    "claude-*": "gemini-2.5-pro",
}
_PREFIXES = ("models/", "google/", "gemini/")


class Settings(BaseModel):
    """Names of your own come before the usual ones; `*` in a name stands for any text."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    aliases: dict[str, str] = Field({}, description='Your own, such as { "gpt-4o" = "gemini-2.5-flash" }.')


class Plugin:
    def __init__(self, settings: Settings) -> None:
        self._aliases = {**USUAL, **settings.aliases}
        named = [*settings.aliases.items(), *USUAL.items()]
        self._named = lru_cache(maxsize=1024)(self._looked_up)
        self._patterns = [(re.compile(translate(name)).match, to) for name, to in named if "*" in name]

    @hookimpl
    async def prepare_call(self, call: Call) -> Call:
        name = self._named(call.model)
        return call if name == call.model else replace(call, model=name)

    def _looked_up(self, name: str) -> str:
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if (other := self._aliases.get(name)) is not None:
            return other
        return next((to for matches, to in self._patterns if matches(name)), name)
