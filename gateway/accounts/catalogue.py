"""Public model names -> what an account offers. Pure; the table is `config/models.toml`.

The library's own name matching is not used: it turns gemini-2.5-flash into Flash-Lite."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from config import loader
from config.loader import suggest
from gateway.errors import UnknownModel
from gateway.upstream.protocol import Offer
from gateway.wire.dialect import ModelCard

DEFAULT_WINDOW = 32_768


@dataclass(frozen=True, slots=True)
class PublicModel:
    """A name that callers may ask for. `families` in order of preference: all but the first are a downgrade. A model
    that is only known because accounts offer it has no families and one `offered` name."""

    name: str
    title: str
    families: tuple[str, ...] = ()
    image: str | None = None
    offered: str | None = None


class Catalogue:
    """The configured names and how families are recognised."""

    def __init__(self, file: Path | None = None) -> None:
        table = tomllib.loads((file or Path(loader.__file__).with_name("models.toml")).read_text("utf-8"))
        self._families = {name: re.compile(rule, re.IGNORECASE) for name, rule in table["families"].items()}
        self.models = {
            name: PublicModel(name, entry["title"], tuple(entry["families"]), entry.get("image"))
            for name, entry in table["models"].items()
        }

    def find(self, name: str, offers: Iterable[Offer]) -> PublicModel:
        """The model `name`, configured or offered by some account. Raises UnknownModel."""
        if (model := self.models.get(name)) is not None:
            return model
        offered = {offer.name: offer for offer in offers}
        if name in offered:
            return PublicModel(name, offered[name].name, offered=name)
        shown = name if len(name) <= 80 else name[:80] + "..."
        near = suggest(name, [*self.models, *offered])
        raise UnknownModel(f"The model {shown!r} does not exist here{near}", param="model")

    def match(self, model: PublicModel, offers: Sequence[Offer], *, strict: bool) -> tuple[Offer, int] | None:
        """What an account with `offers` would serve `model` with, and how far that is from what was asked (0: exactly
        that). None when it has nothing that fits; with `strict` only the first family fits."""
        if model.offered is not None:
            found = next((offer for offer in offers if offer.name == model.offered), None)
            return (found, 0) if found else None
        for rank, family in enumerate(model.families[:1] if strict else model.families):
            rule = self._families[family]
            for offer in offers:
                if rule.search(offer.label):
                    return offer, rank
        return None

    def cards(self, offers: Iterable[Offer], window: int) -> list[ModelCard]:
        """All models for a list: the configured ones first, then what accounts offer under names of their own."""
        cards = [ModelCard(model.name, model.title, window, model.image) for model in self.models.values()]
        names = sorted({offer.name for offer in offers} - self.models.keys())
        return cards + [ModelCard(name, name.replace("-", " ").title(), window) for name in names]
