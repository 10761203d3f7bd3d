"""Makes answers.jsonl: what models write when they call tools, each with what a reader must get out of it.

    python -m tests.wire.corpus.make > tests/wire/corpus/answers.jsonl

A line is {"kind", "name", "answer", "text", "calls"}: `text` is what the caller may see, to the character; `calls` are
[tool, arguments], or null for a call that cannot be read without guessing."""

from __future__ import annotations

import html
import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

Call = tuple[str, dict[str, Any]]
BODIES: dict[str, Call] = {
    "plain": ("get_weather", {"city": "Paris"}),
    "nothing": ("list_files", {}),
    "several": ("get_weather", {"city": "São Paulo", "days": 3, "unit": "c", "detailed": True, "at": None}),
    "unicode": ("search", {"query": "天気 in 東京 😀 – naïve café"}),
    "code": ("write_file", {"path": "a.py", "content": 'def f(x):\n    return {"a": [x, "b"]}  # `tick` \\ back\n'}),
    "fence": ("write_file", {"path": "README.md", "content": "# Hi\n\n```python\nprint(1)\n```\n\n- *a* _b_ [c](d)\n"}),
    "html": ("write_file", {"path": "i.html", "content": '<p class="x">a &lt; b &amp;&amp; c</p><br/>'}),
    "quotes": ("search", {"query": "it's \"quoted\" and “curly” and 'single'"}),
    "nested": ("run", {"command": "ls", "options": {"env": {"A": "1", "B": ["x", {"y": [1, 2.5, -3e4]}]}, "cwd": "/tmp"}}),
    "protocol": ("write_file", {"path": "doc.md", "content": 'Write ```tool_call\n{"name": "x"}\n``` or </tool_call>.'}),
    "windows": ("run", {"command": "C:\\Users\\new\\table.exe", "options": {}}),
    "long": ("write_file", {"path": "long.txt", "content": "All work and no play. {[`<\n" * 30}),
}
PREFACES = (
    "",
    "Let me look that up.\n\n",
    "I'll call `get_weather` now:\n",
    "**Plan**\n1. look\n2. answer\n\n> quote {a: [1]}\n\n",
)


def whole(call: Call, **options: Any) -> str:
    return json.dumps({"name": call[0], "arguments": call[1]}, ensure_ascii=False, **options)


def fenced(body: str, info: str = "tool_call", ticks: str = "```") -> str:
    return f"{ticks}{info}\n{body}\n{ticks}"


def escaped(text: str) -> str:
    """As Markdown escapes what is outside of code; JSON's own escapes are left alone."""
    return re.sub(r"([_*\[\]`<>#~|])", r"\\\1", text)


def curly(call: Call) -> str:
    return re.sub(r'"([^"]*)"', r"“\1”", whole(call))


def trailing(call: Call) -> str:
    return re.sub(r"([\d\w\"])(\s*[}\]])", r"\1,\2", whole(call))


def python(call: Call) -> str:
    return f"print(default_api.{call[0]}({', '.join(f'{name}={value!r}' for name, value in call[1].items())}))"


Dress = Callable[[Call], str]
WELL: dict[str, Dress] = {
    "fence": lambda call: fenced(whole(call)),
    "indented": lambda call: fenced(whole(call, indent=2)),
    "compact": lambda call: fenced(whole(call, separators=(",", ":"))),
}
SLOPPY: dict[str, Dress] = {
    "plural": lambda call: fenced(f"[{whole(call)}]", "tool_calls"),
    "json fence": lambda call: fenced(whole(call), "json"),
    "no info": lambda call: fenced(whole(call), ""),
    "bare": whole,
    "list": lambda call: f"[{whole(call)}]",
    "tag": lambda call: f"<tool_call>\n{whole(call)}\n</tool_call>",
    "tag on one line": lambda call: f"<tool_call>{whole(call)}</tool_call>",
    "tag around a fence": lambda call: f"<tool_call>\n{fenced(whole(call), 'json')}\n</tool_call>",
    "tag within a fence": lambda call: fenced(f"<tool_call>\n{whole(call)}\n</tool_call>", "xml"),
    "square tag": lambda call: f"[TOOL_CALLS] [{whole(call)}]",
    "entities": lambda call: html.escape(f"<tool_call>{whole(call)}</tool_call>", quote=True),
    "tildes": lambda call: fenced(whole(call), ticks="~~~"),
    "four ticks": lambda call: fenced(whole(call), ticks="````"),
    "spaces": lambda call: fenced("  " + whole(call) + "  ", "  tool_call "),
    "hyphen": lambda call: fenced(whole(call), "tool-call"),
    "capitals": lambda call: fenced(whole(call), "TOOL_CALL"),
    "on one line": lambda call: f"```tool_call {whole(call)} ```",
    "no end": lambda call: "```tool_call\n" + whole(call),
    "no last brace": lambda call: fenced(whole(call)[:-1]),
    "crlf": lambda call: fenced(whole(call)).replace("\n", "\r\n"),
    "zero width": lambda call: "```tool_call\n\u200b\ufeff" + whole(call) + "\u200b\n```",
    "other names": lambda call: fenced(json.dumps({"tool": call[0], "args": call[1]}, ensure_ascii=False)),
    "openai": lambda call: fenced(
        json.dumps(
            {"id": "call_1", "type": "function", "function": {"name": call[0], "arguments": json.dumps(call[1])}}
        )
    ),
    "arguments as text": lambda call: fenced(json.dumps({"name": call[0], "arguments": json.dumps(call[1])})),
    "name as key": lambda call: fenced(json.dumps({call[0]: call[1]}, ensure_ascii=False)),
    "namespace": lambda call: fenced(whole((f"default_api.{call[0]}", call[1]))),
    "nest": lambda call: json.dumps({"tool_calls": [{"name": call[0], "arguments": call[1]}]}, ensure_ascii=False),
    "talk after": lambda call: fenced(whole(call)) + "\n\nThe tool says that all is well.",
    "raw line breaks": lambda call: fenced(whole(call).replace("\\n", "\n")),
}
# Where the escaping itself is ambiguous for a value, no reader can tell: only for these.
SIMPLE: dict[str, Dress] = {
    "markdown escapes": lambda call: escaped(fenced(whole(call))),
    "escaped inside": lambda call: fenced(whole(call).replace("_", "\\_")),
    "curly quotes": lambda call: fenced(curly(call)),
    "trailing commas": lambda call: fenced(trailing(call)),
    "python dict": lambda call: fenced(repr({"name": call[0], "arguments": call[1]})),
    "python call": lambda call: fenced(python(call), "tool_code"),
    "escaped as a whole": lambda call: fenced(whole(call).replace('"', '\\"')),
    "bare keys": lambda call: fenced(re.sub(r'"(\w+)":', r"\1:", whole(call))),
}
SIMPLE_BODIES = ("plain", "nothing", "several", "nested")

HOSTILE_TEXTS = (
    "A fence with the info string `tool_call` holds one call.",
    "Use <tool_calling> or <toolbox> tags, [tools] and ```toolbox\nx\n``` fences.",
    '```json\n{"name": "Peter", "age": 3}\n```\nis a person.',
    '```json\n{"name": "get_weather", "description": "a tool"}\n```',
    'The object {"name": "get_weath"} names nothing; nor does [{"tool": 1}].',
    "a < b && c > d, x[0] = {y: 1}; `{` and ``[`` and \\` and ~~gone~~",
    "```python\nprint({'name': 'get_weather'})\n```\n",
    "```\nplain block\n```\n\n```js\nconst a = {\"name\": 1}\n```",
    '{"answer": [1, 2, {"name": "x"}], "tool": null}',
    "It ends with a fence:\n```",
    "It ends with `` and [ and <",
    "&lt;b&gt; &amp; &quot;x&quot; &lt;tool&gt;",
    "[tool](https://example.org) and [function calls](x) and <function>",
    "```tool\nhammer\n```",
    "x" * 300 + "`" + "{" * 50,
    "`" * 2,
    "",
    "Nul \x00, escape \x1b[0m, rtl \u202e, emoji 👩‍👩‍👧 and \ufeff.",
    "| name | get_weather |\n|---|---|\n| {a} | [b] |",
    "\\[x\\] \\<y\\> \\{z\\} \\\\",
)
CUT = (
    '```tool_call\n{"name": "write_file", "arguments": {"path": "a", "content": "half of',
    '```tool_call\n{"name": "write_file", "arguments": {"path": "a"',
    '```tool_call\n{"name": "write_file", "argum',
    "```tool_call\n",
    "```tool_cal",
    "<tool_call",
    '<tool_call>{"name": "get_weather", "arguments": {"city": "Par',
    '{"name": "get_weather", "arguments": {"city": "Par',
    '```json\n{"name": "get_weather", "arguments": {"city": "Par',
)
UNREADABLE = (
    fenced("get the weather in Paris please"),
    fenced('{"name": "get_weather", "arguments": [1, 2]}'),
    fenced('{"name": "get_weather", "arguments": {"city": "say "hi" twice"}}'),
    fenced('{"arguments": {"city": "Paris"}}'),
    fenced("[" * 500),
    fenced('{"name": "get_weather", "arguments": {"city": NaN}}'),
    fenced('{"a":' * 150 + "1" + "}" * 150),
    fenced("") + "\n",
    fenced("import os; os.system('ls')", "tool_code"),
    fenced('{"name": "get_weather", "arguments": "Paris"}'),
)


def lines() -> Iterator[dict[str, Any]]:
    """All answers."""
    for number, (name, dress, body) in enumerate(_dressed()):
        preface = PREFACES[number % len(PREFACES)]
        kind = "well-formed" if name in WELL else "sloppy"
        yield _line(kind, f"{name}: {body}", preface + dress(BODIES[body]), preface, [BODIES[body]])
    yield from _parallel()
    for text in HOSTILE_TEXTS:
        yield _line("hostile", "no call", text, text, [])
        answer = text + "\n\n" + fenced(whole(BODIES["plain"]))
        yield _line("hostile", "text before a call", answer, text + "\n\n", ["plain"])
    for text in CUT:
        yield _line("hostile", "cut off", "Well.\n" + text, "Well.\n", [None])
    for text in UNREADABLE:
        yield _line("hostile", "unreadable", text, "", [None])


def _dressed() -> Iterator[tuple[str, Dress, str]]:
    for name, dress in WELL.items():
        yield from ((name, dress, body) for body in BODIES)
    for number, (name, dress) in enumerate(SLOPPY.items()):
        bodies = list(BODIES)
        picked = [bodies[(number + step) % len(bodies)] for step in (0, 3, 5, 8)]
        yield from ((name, dress, body) for body in picked if (name, body) not in _SKIPPED)
    for name, dress in SIMPLE.items():
        yield from ((name, dress, body) for body in SIMPLE_BODIES)


# Combinations that change the value itself, so that no reader could get it back.
_SKIPPED = {("raw line breaks", "windows"), ("crlf", "code")}


def _parallel() -> Iterator[dict[str, Any]]:
    plain, code, other = BODIES["plain"], BODIES["code"], ("get_weather", {"city": "Rome"})
    three = [plain, code, other]
    for kind, name, answer in (
        ("well-formed", "three blocks", "\n\n".join(fenced(whole(call)) for call in three)),
        ("sloppy", "three in a list", fenced(json.dumps([{"name": n, "arguments": a} for n, a in three]), "tool_calls")),
        ("sloppy", "three in one block", fenced("\n".join(map(whole, three)))),
        ("sloppy", "three tags with talk", " and ".join(f"<tool_call>{whole(call)}</tool_call>" for call in three)),
        ("sloppy", "three without ends", "\n".join("```tool_call\n" + whole(call) for call in three)),
    ):
        yield _line(kind, name, answer, "", three)
    first_cut = fenced('{"name": "get_weather", "arguments": {"city": "x') + "\n" + fenced(whole(other))
    yield _line("hostile", "the first of two unreadable", first_cut, "", [None, other])
    yield _line("hostile", "an unknown tool", fenced(whole(("rm_rf", {"path": "/"}))), "", [("rm_rf", {"path": "/"})])


def _line(kind: str, name: str, answer: str, text: str, calls: list[Any]) -> dict[str, Any]:
    found = [BODIES[call] if isinstance(call, str) else call for call in calls]
    return {"kind": kind, "name": name, "answer": answer, "text": text, "calls": found}


if __name__ == "__main__":
    for line in lines():
        sys.stdout.write(json.dumps(line, ensure_ascii=True) + "\n")
