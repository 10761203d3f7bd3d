"""llm-comply, a public suite that checks an endpoint against the originals' specifications, finds no fault."""

from __future__ import annotations

import asyncio
import sys

import orjson
import pytest

from tests.functional.conftest import KEY, Launch

CALLED = '```tool_call\n{"name": "get_weather", "arguments": {"location": "San Francisco"}}\n```'


@pytest.mark.parametrize(
    ("form", "base", "model"),
    [
        ("openai-chat", "/v1", "gemini-2.5-flash"),
        ("open-responses", "/v1", "gemini-2.5-flash"),
        ("anthropic", "/v1", "claude-sonnet-4-5"),
        ("google-genai", "/gemini", "gemini-2.5-flash"),
    ],
    ids=lambda value: value if value.isalpha() or "-" in value else "",
)
async def test_the_public_suite_finds_no_fault(launch: Launch, form: str, base: str, model: str) -> None:
    async with launch() as live:
        live.site.line(CALLED, match="get_weather", times=None)
        arguments = ["--format", form, "-u", live.url + base, "-k", KEY, "-m", model, "--json"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "llm_comply.cli", *arguments, stdout=asyncio.subprocess.PIPE
        )
        report, _ = await process.communicate()
        results = orjson.loads(report)["results"]
    assert len(results) >= 9
    assert {r["id"]: r["errors"] for r in results if r["status"] not in ("passed", "skipped")} == {}
