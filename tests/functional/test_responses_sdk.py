"""The official openai package on responses and legacy completions, against the running gateway."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from gateway.simulator import Fault, filler
from tests.functional.conftest import KEY, Launch, Live

FLASH = "gemini-2.5-flash"
SAY = "[[sim text=hello frames=5]]"
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}


def sdk(live: Live, key: str = KEY) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{live.url}/v1", api_key=key, max_retries=0)


def called(name: str, arguments: str) -> str:
    return f'```tool_call\n{{"name": "{name}", "arguments": {arguments}}}\n```'


async def test_it_answers_whole_and_streamed(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        whole = await client.responses.create(model=FLASH, input=SAY, instructions="Be brief")
        assert (whole.output_text, whole.status, whole.model) == ("hello", "completed", "gemini-3.8-flash")
        async with client.responses.stream(model=FLASH, input=SAY) as stream:
            deltas = [event.delta async for event in stream if event.type == "response.output_text.delta"]
            final = await stream.get_final_response()
        assert "".join(deltas) == final.output_text == "hello"
        assert final.usage is not None and final.usage.total_tokens > 0


async def test_thoughts_come_as_a_reasoning_item(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        ask: Any = {"model": FLASH, "input": "[[sim thoughts=40 text=hi]]", "reasoning": {"summary": "auto"}}
        reply = await client.responses.create(**ask)
        assert reply.output[0].summary[0].text == filler(40, "ascii")  # type: ignore[union-attr]
        assert reply.output_text == "hi"


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "whole"])
async def test_tools_are_called_in_parallel_and_their_results_answered(launch: Launch, stream: bool) -> None:
    both = called("weather", '{"city": "Oslo"}') + "\n" + called("weather", '{"city": "Rome"}')
    async with launch() as live, sdk(live) as client:
        live.site.line("I look.\n" + both, match="Oslo and Rome")
        live.site.line("Cold and warm.", match="20 degrees")
        ask: Any = {"model": FLASH, "input": "Oslo and Rome?", "tools": [WEATHER]}
        if stream:
            async with client.responses.stream(**ask) as events:
                reply: Any = await events.get_final_response()
        else:
            reply = await client.responses.create(**ask)
        message, *calls = reply.output
        assert message.content[0].text.strip() == "I look."
        assert [call.arguments for call in calls] == ['{"city":"Oslo"}', '{"city":"Rome"}']
        results: Any = [
            {"type": "function_call_output", "call_id": calls[1].call_id, "output": "20 degrees"},
            {"type": "function_call_output", "call_id": calls[0].call_id, "output": "2 degrees"},
        ]
        final = await client.responses.create(model=FLASH, input=results, previous_response_id=reply.id, tools=[WEATHER])
        assert final.output_text == "Cold and warm."
        assert "2 degrees" in live.site.log.generates[-1].prompt


class City(BaseModel):
    city: str


async def test_an_answer_is_parsed_into_the_callers_type(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        live.site.line('```json\n{"city": "Oslo"}\n```', match="capital")
        reply = await client.responses.parse(model=FLASH, input="The capital of Norway", text_format=City)
        assert reply.output_parsed == City(city="Oslo")


@pytest.mark.parametrize(
    ("fault", "error"),
    [(Fault("1037"), openai.RateLimitError), (Fault("500"), openai.InternalServerError)],
    ids=lambda value: getattr(value, "name", None),
)
async def test_it_raises_its_own_exceptions(launch: Launch, fault: Fault, error: type[openai.APIStatusError]) -> None:
    async with launch() as live, sdk(live) as client:
        live.site.fault("a", "generate", fault, times=None)
        with pytest.raises(error):
            await client.responses.create(model=FLASH, input=SAY)


async def test_it_raises_in_the_middle_of_a_stream_that_broke(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        live.site.fault("a", "generate", Fault("reset_mid"), times=None)
        stream = await client.responses.create(model=FLASH, input="[[sim chars=400 frames=8]]", stream=True)
        text = ""
        with pytest.raises(openai.APIError):
            async for event in stream:
                text += event.delta if event.type == "response.output_text.delta" else ""
        assert text and filler(400, "ascii").startswith(text)


async def test_legacy_completions_answer_and_stream(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        assert (await client.completions.create(model=FLASH, prompt=SAY)).choices[0].text == "hello"
        stream = await client.completions.create(model=FLASH, prompt=SAY, stream=True)
        assert "".join([chunk.choices[0].text async for chunk in stream]) == "hello"
        two = await client.completions.create(model=FLASH, prompt=SAY, n=2, echo=True)
        assert [(choice.index, choice.text) for choice in two.choices] == [(0, SAY + "hello"), (1, SAY + "hello")]
        stream = await client.completions.create(model=FLASH, prompt=SAY, n=2, stream=True)
        said = ["", ""]
        async for chunk in stream:
            said[chunk.choices[0].index] += chunk.choices[0].text
        assert said == ["hello", "hello"]


async def test_what_the_web_has_not_is_a_501(launch: Launch) -> None:
    async with launch() as live, sdk(live) as client:
        for asked in (
            client.embeddings.create(model=FLASH, input="x"),
            client.uploads.create(bytes=1, filename="a.txt", mime_type="text/plain", purpose="user_data"),
            client.audio.speech.create(model=FLASH, input="x", voice="alloy"),
            client.audio.transcriptions.create(model=FLASH, file=b"x"),
            client.moderations.create(input="x"),
        ):
            with pytest.raises(openai.InternalServerError) as raised:
                await asked
            assert (raised.value.status_code, raised.value.code) == (501, "not_supported")
