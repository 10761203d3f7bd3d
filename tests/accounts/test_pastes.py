"""Pastes that nobody means well: large ones are read in time that grows with their length, and refused."""

from __future__ import annotations

import time

import pytest

from gateway.accounts import intake
from gateway.errors import InvalidRequest

BLANKS = " " * 200_000
HOSTILE = {
    "blanks behind a value": f"x\na=b{BLANKS}c",
    "blanks behind a name": f"x\na{BLANKS}\t{BLANKS}!;",
    "a tab and blanks": f"x\na\t{BLANKS}=c;",
    "blanks in front": f"x\n{BLANKS}!",
    "exports": "x\n" + "export " * 50_000,
    "a cURL command that never ends": "curl -H" + BLANKS + "-H 'cookie: " * 30_000,
    "quotes": "x\n" + "'\"=" * 100_000,
    "pairs": "a=b;" * 200_000,
    "lines": "-H\n" * 100_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_huge_paste_is_refused_in_a_moment(kind: str) -> None:
    begun = time.process_time()
    with pytest.raises(InvalidRequest):
        intake.from_text(HOSTILE[kind])
    assert time.process_time() - begun < 2.0  # some 0.2 s at most; minutes where a pattern backtracks


@pytest.mark.parametrize(
    "line",
    ["{}={}", "{} = {}", '"{}": "{}",', "{}:{}", "export {}='{}' # mine", "{}\t{}", "{} \t {}", "{} =\t{}", " {}={} , "],
)
def test_however_a_line_is_laid_out_its_value_is_found(line: str) -> None:
    pairs = (("__Secure-1PSID", "g.a000abc"), ("SECURE_1PSIDTS", "s-x"))
    (pasted,) = intake.from_text("\n".join(line.format(*pair) for pair in pairs))
    assert (pasted.cookies.psid, pasted.cookies.psidts) == ("g.a000abc", "s-x")
