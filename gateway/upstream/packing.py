"""A conversation as the one prompt that the web takes. Pure.

The web knows no roles, tools or schemas: turns become labelled text, earlier calls and results of tools too, and what may
be called and what the answer must look like is said in words. A prompt beyond what its form takes (it cuts silently at
about 130,000 UTF-8 bytes) goes as an attached text file, never cut."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.errors import InvalidRequest
from gateway.model import Blob, Call, JsonAnswer, Message, Part, PictureWish, Role, Text, ToolResult, ToolUse
from gateway.wire import sse, tool_calls

MOST_PROMPT_BYTES = 120_000
_LABEL: dict[Role, str] = {"system": "System", "user": "User", "assistant": "Assistant"}
_RESULTS = "Results of tools"
_RULES = "Follow these instructions in your answer:\n"
_TURNS = "Continue this conversation. Write only the next message of the assistant, without a label."
_ATTACHED = "The conversation so far is in the attached file {name}. "
_JSON = "Answer with one JSON object and nothing else: no words before or after it, no code fence."
_JSON_SCHEMA = (
    "Answer with one JSON value and nothing else: no words before or after it, no code fence. "
    "It must be valid against this JSON Schema:\n{schema}"
)
_MOST_QUOTED = 300


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent: the text, and files to attach."""

    text: str
    files: tuple[Blob, ...] = ()


@dataclass(frozen=True, slots=True)
class _Turn:
    """A message as text, or several that are the results of tools."""

    role: Role
    label: str
    text: str


def pack(call: Call, most_bytes: int = MOST_PROMPT_BYTES) -> Prompt:
    """The prompt for `call`. Raises InvalidRequest when there is nothing in its messages."""
    files = tuple(part for message in call.messages for part in message.parts if isinstance(part, Blob))
    turns = _turns(call.messages)
    if not turns and not files:
        raise InvalidRequest("messages: there is no text in them", param="messages")
    rules, demand = tool_calls.instructions(call.tools, call.tool_choice, parallel=call.parallel_tools), _demand(call)
    said = _conversation(turns) if turns else "Please look at the attached file."
    if call.pictures is not None:
        said, ask = _drawing(said, call.pictures, masked=any(file.mask for file in files))
        demand = _joined(demand, ask)
    text = _joined(rules, said, demand)
    if _fits(text, most_bytes):
        return Prompt(text, files)
    if not _fits(rules + demand, most_bytes // 2):
        said, rules = _joined(rules, said), ""
    return _with_attachment(turns, said, files, _Around(rules, demand, most_bytes))


def text_of(call: Call) -> str:
    """All text that counts as the prompt, for estimates."""
    texts = [_part_text(part, {}) for message in call.messages for part in message.parts]
    if call.tools:
        texts.append(tool_calls.instructions(call.tools, call.tool_choice, parallel=call.parallel_tools))
    if call.json_answer and call.json_answer.schema:
        texts.append(sse.dumps(call.json_answer.schema).decode())
    return "\n".join(texts)


# --- turns --------------------------------------------------------------------------------------------------------


def _turns(messages: Sequence[Message]) -> list[_Turn]:
    """The messages that say something; results of tools know which call they answer."""
    uses = {part.id: part for message in messages for part in message.parts if isinstance(part, ToolUse) and part.id}
    found: list[_Turn] = []
    for message in messages:
        said = [(part, text) for part in message.parts if (text := _part_text(part, uses))]
        text = "\n".join([text for _, text in said])
        if not text.strip():
            continue
        label = _RESULTS if all(isinstance(part, ToolResult) for part, _ in said) else _LABEL[message.role]
        if label == _RESULTS and found and found[-1].label == _RESULTS:
            text = f"{found.pop().text}\n{text}"
        found.append(_Turn(message.role, label, text))
    return found


def _part_text(part: Part, uses: Mapping[str, ToolUse]) -> str:
    match part:
        case Text(text=text):
            return text
        case ToolUse():
            return tool_calls.rendered(part)
        case ToolResult():
            return _result(part, uses.get(part.id))
        case _:
            return ""


def _result(result: ToolResult, use: ToolUse | None) -> str:
    """A result names the call that it answers by what was asked, not by an id that models would copy."""
    asked = f"{use.name} {_shortened(use.arguments)}" if use else result.name or "a tool"
    return f"{'Error' if result.failed else 'Result'} of {asked}:\n{result.text}"


def _shortened(text: str) -> str:
    return text if len(text) <= _MOST_QUOTED else text[:_MOST_QUOTED] + "…"


def _conversation(turns: Sequence[_Turn]) -> str:
    if len(turns) == 1 and turns[0].role == "user":
        return turns[0].text
    return _joined(*_blocks(turns))


def _blocks(turns: Sequence[_Turn]) -> Iterator[str]:
    rules = [turn.text for turn in turns if turn.role == "system"]
    others = [turn for turn in turns if turn.role != "system"]
    if rules:
        yield _RULES + "\n\n".join(rules)
    if len(others) == 1 and others[0].role == "user":
        yield others[0].text
    elif others:
        yield _TURNS
        yield from (f"{turn.label}:\n{turn.text}" for turn in others)


# --- demands ------------------------------------------------------------------------------------------------------


def _demand(call: Call) -> str:
    """What stands at the end, where models look last."""
    reminder = tool_calls.reminder(call.tools, call.tool_choice) if len(call.messages) > 1 else ""
    return _joined(reminder, _json_demand(call.json_answer))


def _json_demand(answer: JsonAnswer | None) -> str:
    if answer is None:
        return ""
    return _JSON_SCHEMA.format(schema=sse.dumps(answer.schema).decode()) if answer.schema else _JSON


# --- pictures -----------------------------------------------------------------------------------------------------

_ASKS = {
    "generate": "Generate an image of this.",
    "edit": "Generate the edited image from the attached one.",
    "vary": "Generate an image that is a variation of the attached one: same subject and style, other composition.",
    "answer": "Generate an image as the answer.",
}


def _drawing(said: str, wish: PictureWish, *, masked: bool) -> tuple[str, str]:
    """(what is said, what is asked for at the end) so that the web answers with a picture. It goes by the last paragraph,
    so a wish of one line is all in that line."""
    details = [f"Aspect ratio {wish.aspect}."] if wish.aspect else []
    if masked:
        details.append("The attached mask shows what to change: change only its white part, keep all else as it is.")
    if wish.notes:
        details.append(wish.notes)
    if wish.insist:
        details.append("Do not answer with words: answer with the image itself.")
    if wish.task == "generate" and "\n" not in said:
        return " ".join([f"Generate an image: {_ended(said)}", *details]), ""
    return said, " ".join([_ASKS[wish.task], *details])


def _ended(sentence: str) -> str:
    sentence = sentence.strip()
    return sentence if sentence.endswith((".", "!", "?", "]", "。")) else sentence + "."


# --- size ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Around:
    """What stays in the prompt itself, around a conversation that goes as a file."""

    before: str
    after: str
    most_bytes: int


def _with_attachment(turns: Sequence[_Turn], text: str, files: tuple[Blob, ...], around: _Around) -> Prompt:
    name = "conversation.txt"
    attachment = Blob(text.encode("utf-8", "replace"), "text/plain", name)
    last = turns[-1]
    room = around.most_bytes // 2 - len((around.before + around.after).encode("utf-8", "replace"))
    ask = _ATTACHED.format(name=name)
    if last.role == "user" and len(turns) > 1 and _fits(last.text, room):
        ask += f"Read it whole, then answer its last message, which is:\n\n{last.text}"
    else:
        ask += "Read it whole, then answer its last message."
    return Prompt(_joined(around.before, ask, around.after), (attachment, *files))


def _fits(text: str, most_bytes: int) -> bool:
    return len(text) * 4 <= most_bytes or len(text.encode("utf-8", "replace")) <= most_bytes


def _joined(*blocks: str) -> str:
    return "\n\n".join(filter(None, blocks))
