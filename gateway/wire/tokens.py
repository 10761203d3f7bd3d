"""Token counts by estimate. The web reports none, so a count is what a tokenizer would roughly say: a quarter of a token
for an ASCII character, 0.7 for any other (most of those are CJK, where one character is about one token or less)."""

from __future__ import annotations

ASCII_WEIGHT = 0.25
OTHER_WEIGHT = 0.7


def weight(text: str) -> float:
    """Estimated tokens of `text`, not rounded, so that the weights of pieces add up."""
    if text.isascii():
        return len(text) * ASCII_WEIGHT
    # Encoded length counts the others without a loop in Python: 2 bytes in Latin and Cyrillic, 3 in CJK, 4 in emoji.
    ascii_count = len(text.encode("ascii", "ignore"))
    return ascii_count * ASCII_WEIGHT + (len(text) - ascii_count) * OTHER_WEIGHT


def count(text: str) -> int:
    """Estimated tokens of `text`; at least 1 for any text."""
    return rounded(weight(text))


def rounded(tokens: float) -> int:
    """A whole number of tokens, at least 1 for any text at all."""
    return max(1, round(tokens)) if tokens > 0 else 0


def prefix_within(text: str, budget: float) -> str:
    """The longest prefix of `text` that weighs at most `budget`."""
    if weight(text) <= budget:
        return text
    spent = 0.0
    for index, char in enumerate(text):
        spent += ASCII_WEIGHT if char.isascii() else OTHER_WEIGHT
        if spent > budget:
            return text[:index]
    return text
