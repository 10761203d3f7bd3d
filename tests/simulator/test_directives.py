"""What prompts can order, and how mistakes in it are told."""

import pytest

from gateway.simulator.directives import BadDirective, parse
from gateway.simulator.faults import Fault
from gateway.simulator.generate import fault_of


def test_a_prompt_without_a_directive_stays_as_it_is() -> None:
    directive, prompt = parse("hello [[similar]] [sim] ]]")
    assert not directive.values and prompt == "hello [[similar]] [sim] ]]"


def test_a_directive_is_taken_out_of_the_prompt() -> None:
    directive, prompt = parse("User: [[sim chars=10 frames=2]]hello")
    assert directive.values == {"chars": "10", "frames": "2"} and prompt == "User: hello"


def test_the_last_directive_counts() -> None:
    directive, prompt = parse("[[sim chars=1]] and [[sim chars=2]]")
    assert directive.number("chars") == 2 and prompt == "[[sim chars=1]] and "


def test_a_broken_last_directive_leaves_the_one_before() -> None:
    assert parse("[[sim chars=1]] and [[sim chars=")[0].number("chars") == 1


def test_quoted_values_have_spaces_brackets_and_escapes() -> None:
    directive, _ = parse(r'[[sim text="a [[b]] \"c\"\n\\d" echo]]')
    assert directive.answer() == 'a [[b]] "c"\n\\d' and directive.flag("echo")


def test_an_empty_text_is_an_answer() -> None:
    assert parse('[[sim text=""]]')[0].answer() == ""


def test_base64_carries_any_text() -> None:
    assert parse("[[sim b64=4pyTIF1dIPCfmIA=]]")[0].answer() == "✓ ]] 😀"


@pytest.mark.parametrize("text", ["[[sim nonsense=1]]", "[[sim charz=1]]"])
def test_an_unknown_key_is_named(text: str) -> None:
    with pytest.raises(BadDirective, match=r"unknown key '(nonsense|charz)'"):
        parse(text)


@pytest.mark.parametrize("text", ["[[sim chars=many]]", "[[sim pace_ms=fast]]", "[[sim b64=***]]"])
def test_a_value_that_makes_no_sense_is_told(text: str) -> None:
    directive, _ = parse(text)
    with pytest.raises(BadDirective):
        directive.number("chars")
        directive.seconds("pace_ms")
        directive.answer()


def test_a_fault_by_code_status_or_name() -> None:
    assert fault_of(parse("[[sim fault=1037]]")[0]) == Fault("code", code=1037)
    assert fault_of(parse("[[sim fault=429 retry_after=30]]")[0]) == Fault("http", status=429, retry_after=30)
    assert fault_of(parse("[[sim fault=stall after=3 seconds=0.5]]")[0]) == Fault("stall", after=3, seconds=0.5)
    with pytest.raises(ValueError, match="unknown fault"):
        fault_of(parse("[[sim fault=earthquake]]")[0])


def test_a_long_prompt_is_no_burden() -> None:
    assert parse("[[si" * 1_000_000 + "[[sim echo]]")[0].flag("echo")
