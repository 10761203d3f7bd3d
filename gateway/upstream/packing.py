"""A conversation as the one prompt that the web takes. Pure.

The web knows no roles: turns become labelled text. A prompt beyond what its form takes (it cuts silently at about
130,000 UTF-8 bytes) goes as an attached text file, never cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.errors import InvalidRequest
from gateway.model import Blob, Message, Role, Text

MOST_PROMPT_BYTES = 120_000
_LABEL: dict[Role, str] = {"system": "System", "user": "User", "assistant": "Assistant"}
_ATTACHED = "The conversation so far is in the attached file {name}. "


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is sent: the text, and files to attach."""

    text: str
    files: tuple[Blob, ...] = ()


def pack(messages: Sequence[Message], most_bytes: int = MOST_PROMPT_BYTES) -> Prompt:
    """The prompt for `messages`. Raises InvalidRequest when there is nothing in them."""
    files = tuple(part for message in messages for part in message.parts if isinstance(part, Blob))
    said = [message for message in messages if message.text.strip()]
    if not said and not files:
        raise InvalidRequest("messages: there is no text in them", param="messages")
    text = _conversation(said) if said else "Please look at the attached file."
    if len(text) * 4 <= most_bytes or len(text.encode("utf-8", "replace")) <= most_bytes:
        return Prompt(text, files)
    return _with_attachment(said, text, files, most_bytes)


def text_of(messages: Sequence[Message]) -> str:
    """All text that counts as the prompt, for estimates."""
    return "\n".join(part.text for message in messages for part in message.parts if isinstance(part, Text))


def _conversation(messages: Sequence[Message]) -> str:
    if len(messages) == 1 and messages[0].role == "user":
        return messages[0].text
    rules = [message.text for message in messages if message.role == "system"]
    turns = [message for message in messages if message.role != "system"]
    blocks = []
    if rules:
        blocks.append("Follow these instructions in your answer:\n" + "\n\n".join(rules))
    if len(turns) == 1 and turns[0].role == "user":
        blocks.append(turns[0].text)
    elif turns:
        blocks.append("Continue this conversation. Write only the next message of the assistant, without a label.")
        blocks += [f"{_LABEL[turn.role]}:\n{turn.text}" for turn in turns]
    return "\n\n".join(blocks)


def _with_attachment(said: Sequence[Message], text: str, files: tuple[Blob, ...], most_bytes: int) -> Prompt:
    name = "conversation.txt"
    attachment = Blob(text.encode("utf-8", "replace"), "text/plain", name)
    last = said[-1]
    question = last.text if last.role == "user" else ""
    ask = _ATTACHED.format(name=name)
    if question and len(question.encode("utf-8", "replace")) <= most_bytes // 2 and len(said) > 1:
        ask += f"Read it whole, then answer its last message, which is:\n\n{question}"
    else:
        ask += "Read it whole, then answer its last message."
    return Prompt(ask, (attachment, *files))
