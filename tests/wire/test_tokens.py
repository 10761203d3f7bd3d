"""Estimates of tokens: they add up, and are near what a real tokenizer says."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import tokens

# What OpenAI's o200k vocabulary makes of these (benchmarks/tokens.py has the corpus, and the package that ships it).
KNOWN = {
    "The quick brown fox jumps over the lazy dog, and nobody asked why it did.": 17,
    "人工智能的发展速度超出了很多人的预期。": 11,
    "def clamp(value: int, low: int, high: int) -> int:\n    return max(low, min(value, high))\n": 27,
    '{"name":"get_weather","arguments":{"city":"Paris","days":3,"unit":"celsius"}}': 21,
}


@given(st.lists(st.text()))
def test_the_weights_of_pieces_add_up_to_that_of_the_whole(pieces: list[str]) -> None:
    whole = "".join(pieces).encode("utf-8", "replace").decode()
    assert tokens.weight(whole) == pytest.approx(sum(map(tokens.weight, pieces)))
    assert tokens.weight(whole * 50) == pytest.approx(tokens.weight(whole) * 50)


@pytest.mark.parametrize(("text", "real"), KNOWN.items(), ids=["english", "chinese", "code", "json"])
def test_an_estimate_is_near_the_truth(text: str, real: int) -> None:
    assert tokens.count(text) == pytest.approx(real, rel=0.25)


@given(st.text(min_size=1, max_size=300), st.floats(0, 50))
def test_a_prefix_fits_its_budget_and_the_next_character_would_not(text: str, budget: float) -> None:
    kept = tokens.prefix_within(text, budget)
    assert text.startswith(kept) and tokens.weight(kept) <= budget
    if kept != text:
        assert tokens.weight(text[: len(kept) + 1]) > budget


def test_longer_texts_never_count_less() -> None:
    text = "Zwölf Boxkämpfer jagen Viktor über den großen Sylter Deich 😀。天气\n" * 3
    counts = [tokens.count(text[:length]) for length in range(len(text))]
    assert all(before <= after for before, after in pairwise(counts))
