"""What the web is asked: tools, their calls and results, and demands for JSON become part of the one prompt."""

from __future__ import annotations

from typing import Any

from gateway.model import Blob, Call, JsonAnswer, Message, Text, Tool, ToolChoice, ToolResult, ToolUse
from gateway.upstream.packing import pack, text_of

TOOL = Tool("get_weather", "The weather", {"type": "object", "properties": {"city": {"type": "string"}}})


def call(*messages: Message, **more: Any) -> Call:
    return Call("id", 0, "test", messages=messages, **more)


def user(text: str) -> Message:
    return Message("user", (Text(text),))


def test_a_question_alone_goes_as_it_is() -> None:
    assert pack(call(user("Hello"))).text == "Hello"


def test_tools_come_first_and_the_question_last() -> None:
    text = pack(call(user("The weather?"), tools=(TOOL,))).text
    assert text.startswith("You can call tools.") and text.endswith("\n\nThe weather?")
    assert '{"name":"get_weather","description":"The weather","parameters":{' in text


def test_results_say_which_call_they_answer_in_any_order() -> None:
    uses = [ToolUse("1", "get_weather", '{"city":"Oslo"}'), ToolUse("2", "get_weather", '{"city":"Rome"}')]
    results = [ToolResult("2", "", "sunny"), ToolResult("1", "", "no such city", failed=True)]
    turns = (user("?"), Message("assistant", tuple(uses)), *(Message("user", (result,)) for result in results))
    text = pack(call(*turns, tools=(TOOL,))).text
    assert '```tool_call\n{"name": "get_weather", "arguments": {"city":"Oslo"}}\n```' in text
    told = 'Result of get_weather {"city":"Rome"}:\nsunny\nError of get_weather {"city":"Oslo"}:\nno such city'
    assert f"Results of tools:\n{told}" in text


def test_a_picture_that_a_tool_brought_is_a_result_too() -> None:
    turns = (user("?"), Message("assistant", (ToolUse("1", "read", '{"file":"a.png"}'),)))
    picture = Blob(b"x", "image/png", "image-1.png")
    packed = pack(call(*turns, Message("user", (ToolResult("1", "", "a picture"), picture)), tools=(TOOL,)))
    assert 'Results of tools:\nResult of read {"file":"a.png"}:\na picture' in packed.text
    assert packed.files == (picture,)


def test_a_demand_for_json_stands_last() -> None:
    schema = {"type": "object", "required": ["a"]}
    text = pack(call(Message("system", (Text("Be brief."),)), user("List"), json_answer=JsonAnswer(schema))).text
    assert text.endswith('JSON Schema:\n{"type":"object","required":["a"]}')
    assert pack(call(user("List"), json_answer=JsonAnswer())).text.startswith("List\n\nAnswer with one JSON object")


def test_forty_kilobytes_of_tools_stay_in_the_prompt_of_a_conversation_that_goes_as_a_file() -> None:
    tools = tuple(Tool(f"tool_{n}", "x" * 1000, {"type": "object"}) for n in range(40))
    prompt = pack(call(user("word " * 40_000), user("What now?"), tools=tools))
    (file,) = prompt.files
    assert len(prompt.text.encode()) < 120_000 and "tool_39" in prompt.text and "What now?" in prompt.text
    assert file.name == "conversation.txt" and b"tool_39" not in file.data


def test_more_tools_than_a_prompt_takes_go_into_the_file_too() -> None:
    tools = tuple(Tool(f"tool_{n}", "x" * 1000, {"type": "object"}) for n in range(200))
    prompt = pack(call(user("Hello"), tools=tools))
    (file,) = prompt.files
    assert len(prompt.text.encode()) < 120_000 and b"tool_199" in file.data and b"Hello" in file.data


def test_files_are_sent_beside_it() -> None:
    picture = Blob(b"x", "image/png", "file-1.png")
    prompt = pack(call(Message("user", (picture, Text("What is it?")))))
    assert (prompt.text, prompt.files) == ("What is it?", (picture,))


def test_all_that_is_said_counts() -> None:
    asked = call(user("aaa"), Message("user", (ToolResult("", "f", "bbb"),)), tools=(TOOL,), tool_choice=ToolChoice())
    assert all(part in text_of(asked) for part in ("aaa", "bbb", "get_weather"))
