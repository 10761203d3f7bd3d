"""The conversations of an account, as the site keeps them. Bounded: the oldest are forgotten."""

import secrets
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

_MOST_CHATS = 500
_MOST_CHARACTERS = 8_000_000


def new_id(prefix: str) -> str:
    """An id as the site makes them: `c_`, `r_` or `rc_` and 16 hex digits."""
    return f"{prefix}_{secrets.token_hex(8)}"


@dataclass(slots=True)
class Record:
    """One turn: what the user sent, and the candidate as it stands now."""

    rid: str
    prompt: str
    model_id: str
    candidate: list[Any]


@dataclass(slots=True)
class Chat:
    """A conversation. Temporary ones can be continued but are not listed, cannot be read and have no full-size
    pictures."""

    cid: str
    title: str
    temporary: bool = False
    pinned: bool = False
    at: float = field(default_factory=time.time)
    turns: list[Record] = field(default_factory=list)

    def characters(self) -> int:
        """Rough size, for the bound."""
        return sum(len(turn.prompt) + len(turn.candidate[1][0]) for turn in self.turns)


class Chats:
    """The conversations of one account, by id."""

    def __init__(self) -> None:
        self._chats: OrderedDict[str, Chat] = OrderedDict()
        self._sizes: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(not chat.temporary for chat in self._chats.values())

    def find(self, cid: str) -> Chat | None:
        """The conversation, also a temporary one."""
        return self._chats.get(cid)

    def readable(self, cid: str) -> Chat | None:
        """The conversation, if it is in the history."""
        chat = self._chats.get(cid)
        return None if chat is None or chat.temporary else chat

    def keep(self, chat: Chat) -> None:
        """Add a conversation, or note that it changed; the oldest go where there are too many."""
        self._chats[chat.cid] = chat
        self._chats.move_to_end(chat.cid)
        self._sizes[chat.cid] = chat.characters()
        while len(self._chats) > _MOST_CHATS or (sum(self._sizes.values()) > _MOST_CHARACTERS and len(self._chats) > 1):
            gone, _ = self._chats.popitem(last=False)
            del self._sizes[gone]

    def delete(self, cid: str) -> bool:
        """Forget a conversation; whether there was one."""
        self._sizes.pop(cid, None)
        return self._chats.pop(cid, None) is not None

    def listed(self, most: int, *, pinned: bool) -> list[Chat]:
        """The newest conversations of the history, newest first."""
        chats = [chat for chat in reversed(self._chats.values()) if not chat.temporary and chat.pinned == pinned]
        return chats[:most]
