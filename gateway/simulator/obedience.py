"""What the simulated model does when its prompt tells it of tools or of a JSON Schema: it obeys, deterministically. Pure.

It calls a tool whose name, description or arguments share a word with the last question (any, when it must), fills the
arguments from the question, and once results are there answers in words. With the directive `steps` it plays a script of
calls instead, one step for each message in which results came."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gateway.simulator.directives import BadDirective

_TOOL = re.compile(r'^\{"name":.*\}$', re.MULTILINE)
_MUST = re.compile(r"You must call (a tool|[\w., :/-]+?) in this message")
_OFF = "Calling tools is switched off"
_SCHEMA = re.compile(r"valid against this JSON Schema:\n(\{.*\})\s*$", re.MULTILINE)
_RESULTS = re.compile(r"^Results of tools:\n", re.MULTILINE)
_RESULT = re.compile(r"^(?:Result|Error) of (.*):\n(.*)", re.MULTILINE)
_WORD = re.compile(r"[a-z]{4,}")
_PLACE = re.compile(r"\b(?:in|for|at|of|to|from)\s+((?:[A-Z][\w'-]*\s?)+)")
_MORE = re.compile(r"\s*(?:,|and|&)\s+([A-Z][\w'-]*(?:\s[A-Z][\w'-]*)*)")
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTED = re.compile(r"[\"'`“]([^\"'`”]+)[\"'`”]")
_COMMON = frozenset(("what", "when", "where", "which", "this", "that", "with", "from", "have", "your", "tell", "call"))
_MOST_DEPTH = 12


def obeyed(prompt: str, question: str, steps: str | None) -> str | None:
    """The answer to a prompt that has tools or a schema; None for any other. `question` is the last line of what the user
    said; `steps` is JSON: a list of calls {"name", "arguments"}, or of lists of them."""
    if _OFF not in prompt and (tools := _tools(prompt)):
        text = _tool_answer(prompt, question, tools, steps)
        if text is not None:
            return text
    if schema := _SCHEMA.search(prompt):
        return json.dumps(sample(json.loads(schema[1]), question), ensure_ascii=False)
    if "Answer with one JSON object and nothing else" in prompt:
        return json.dumps({"answer": question[:200]}, ensure_ascii=False)
    return None


def _tools(prompt: str) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in _TOOL.findall(prompt) if '"parameters":' in line]


def _tool_answer(prompt: str, question: str, tools: Sequence[Mapping[str, Any]], steps: str | None) -> str | None:
    if steps is not None:
        return _step(steps, len(_RESULTS.findall(prompt)))
    if _RESULTS.search(prompt, max(0, prompt.rfind("\n\nUser:\n"))):
        return _told(prompt)
    must = _MUST.search(prompt)
    chosen = _chosen(question, tools, must=must is not None)
    if chosen is None:
        return None
    return "\n".join(_block(chosen["name"], arguments) for arguments in _arguments(chosen["parameters"], question))


def _step(steps: str, rounds: int) -> str | None:
    try:
        script = json.loads(steps)
        step = script[rounds] if rounds < len(script) else []
        calls = step if isinstance(step, list) else [step]
        return "\n".join(_block(call["name"], call.get("arguments", {})) for call in calls) or "All steps are done."
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise BadDirective(f"steps is no list of calls: {exc}") from None


def _told(prompt: str) -> str:
    last = [match.start() for match in _RESULTS.finditer(prompt)][-1]
    told = [f"{asked.split()[0]} says: {said[:200]}" for asked, said in _RESULT.findall(prompt[last:])]
    return "\n".join(told) or "The tools said nothing."


def _block(name: str, arguments: Any) -> str:
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"```tool_call\n{call}\n```\n"


def _chosen(question: str, tools: Sequence[Mapping[str, Any]], *, must: bool) -> Mapping[str, Any] | None:
    """The tool that has the most words in common with the question."""
    asked = _words(question)
    named = [tool for tool in tools if tool["name"] in question]
    scored = [(len(asked & _words(json.dumps(tool))), -at) for at, tool in enumerate(tools)]
    best, at = max(scored)
    if named:
        return named[0]
    return tools[-at] if best or must else None


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower().replace("_", " "))) - _COMMON


def _arguments(schema: Mapping[str, Any], question: str) -> Iterator[Any]:
    """The arguments of each call: several, when the question names several places for one text."""
    first = sample(schema, question)
    yield first
    place = _PLACE.search(question)
    if place is None or not isinstance(first, dict):
        return
    if texts := [name for name, value in first.items() if value == place[1].strip()]:
        rest = question[place.end(1) :].rstrip("?.! ")
        yield from ({**first, texts[0]: other.strip()} for other in _MORE.findall(" " + rest if rest else ""))


def sample(schema: Any, question: str, root: Any = None, depth: int = 0) -> Any:
    """A value that fits `schema` as far as its usual words go, with what the question gives."""
    root = schema if root is None else root
    if not isinstance(schema, dict) or depth > _MOST_DEPTH:
        return None
    if isinstance(reference := schema.get("$ref"), str):
        return sample(_referred(root, reference), question, root, depth + 1)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if options := schema.get("enum"):
        return next((one for one in options if str(one).lower() in question.lower()), options[0])
    for key in ("anyOf", "oneOf", "allOf"):
        if inner := schema.get(key):
            return sample({**{k: v for k, v in schema.items() if k != key}, **inner[0]}, question, root, depth + 1)
    return _typed(schema, question, root, depth)


def _typed(schema: Mapping[str, Any], question: str, root: Any, depth: int) -> Any:
    kind = schema.get("type", "object" if "properties" in schema else "string")
    match kind[0] if isinstance(kind, list) and kind else kind:
        case "object":
            wanted = schema.get("required") or list(schema.get("properties", {}))[:1]
            inner = schema.get("properties", {})
            return {name: sample(inner.get(name, {}), question, root, depth + 1) for name in wanted}
        case "array":
            count = max(1, int(schema.get("minItems", 1)))
            return [sample(schema.get("items", {}), question, root, depth + 1) for _ in range(min(count, 20))]
        case "integer" | "number" as number:
            return _number(schema, question, whole=number == "integer")
        case "boolean":
            return True
        case "null":
            return None
    return _text(schema, question)


def _number(schema: Mapping[str, Any], question: str, *, whole: bool) -> float:
    found = _NUMBER.search(question)
    value = float(found.group()) if found else 1.0
    value = min(max(value, float(schema.get("minimum", value))), float(schema.get("maximum", value)))
    return int(value) if whole or value.is_integer() else value


def _text(schema: Mapping[str, Any], question: str) -> str:
    formats = {"date": "2026-01-31", "date-time": "2026-01-31T12:00:00Z", "email": "ada@example.com"}
    if schema.get("format") in formats:
        return formats[schema["format"]]
    for pattern in (_QUOTED, _PLACE):
        if found := pattern.search(question):
            return found[1].strip()
    text = question.strip() or "text"
    most = int(schema.get("maxLength", 200))
    return (text + " " * max(0, int(schema.get("minLength", 0)) - len(text)))[:most]


def _referred(root: Any, reference: str) -> Any:
    for step in reference.removeprefix("#").split("/")[1:]:
        root = root.get(step) if isinstance(root, dict) else None
    return root
