"""Ends an answer where the caller wants it: at a stop word, or after `max_tokens`. The web knows neither."""

from __future__ import annotations

from gateway.model import FinishReason
from gateway.wire import tokens


class Cutter:
    """Feed it deltas; it returns what may go out. Text that may be the beginning of a stop word is held back until the
    next piece decides. `reason` is None while the answer goes on; `word` is the stop word that ended it, if one did."""

    __slots__ = ("_budget", "_held", "_longest", "_words", "reason", "word")

    def __init__(self, words: tuple[str, ...], max_tokens: int | None) -> None:
        self._words = words
        self._longest = max(map(len, words), default=0)
        self._budget = float(max_tokens) if max_tokens is not None else None
        self._held = ""
        self.reason: FinishReason | None = None
        self.word: str | None = None

    def feed(self, text: str) -> str:
        """The part of the answer that may leave now."""
        if self._words:
            text = self._until_word(self._held + text)
        return self._within_budget(text)

    def flush(self) -> str:
        """What was held back, once the answer has ended by itself."""
        held, self._held = self._held, ""
        return self._within_budget(held)

    def _until_word(self, text: str) -> str:
        found = [(at, word) for word in self._words if (at := text.find(word)) >= 0]
        if found:
            at, self.word = min(found)
            self.reason, self._held = FinishReason.STOP, ""
            return text[:at]
        keep = self._held_length(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def _held_length(self, text: str) -> int:
        """Length of the longest tail that is the beginning of a stop word."""
        for size in range(min(self._longest - 1, len(text)), 0, -1):
            if any(word.startswith(text[-size:]) for word in self._words):
                return size
        return 0

    def _within_budget(self, text: str) -> str:
        if self._budget is None or not text:
            return text
        kept = tokens.prefix_within(text, self._budget)
        self._budget -= tokens.weight(kept)
        if len(kept) < len(text):
            self.reason, self.word, self._held = FinishReason.LENGTH, None, ""
        return kept
