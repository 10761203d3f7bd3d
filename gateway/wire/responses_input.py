"""Reads what a client of OpenAI's Responses API asks: input items of all kinds, tools and namespaces of tools. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gateway.model import JsonAnswer, Message, Part, Role, Text, Thought, Tool, ToolChoice, ToolResult, ToolUse
from gateway.wire import filing, media, openai_files, openai_tools, responses_compact, sse
from gateway.wire.fields import Fields, bad

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
# Tools of OpenAI's own servers. The web searches and draws by itself; looking for more tools is the client's own affair.
_LEFT = ("web_search", "image_generation", "tool_search")
_MEDIA = 100_000_000
MOST_TOOLS = 512
_FREE_FORM = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


# --- tools --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """What a tool is called by the client: the model knows it by one name, namespace included."""

    kind: Literal["function", "custom"]
    name: str
    namespace: str | None = None


@dataclass(slots=True)
class Tools:
    """The tools of a request: as the model sees them, whose they are, and those that are left to the web itself."""

    offered: list[Tool] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def read(self, fields: Fields) -> Tools:
        """Take in the list `tools`. Raises InvalidRequest."""
        for table in fields.tables("tools", most=MOST_TOOLS):
            kind = table.text("type", most=100) or "function"
            if kind == "namespace":
                namespace = _name(table)
                for inner in table.tables("tools", most=MOST_TOOLS):
                    self._add(inner, inner.text("type", most=100) or "function", namespace)
            else:
                self._add(table, kind, None)
        return self

    def _add(self, fields: Fields, kind: str, namespace: str | None) -> None:
        match kind:
            case "function":
                self._offer(fields, Target("function", _name(fields), namespace), openai_tools.function(fields))
            case "custom":
                tool = Tool(_name(fields), (fields.text("description") or "") + _grammar(fields), _FREE_FORM)
                self._offer(fields, Target("custom", tool.name, namespace), tool)
            case _ if kind.startswith(_LEFT):
                self.left.append(f"tools.{kind}")
            case _:
                raise bad(fields.at("type"), "must be function, custom or namespace: the Gemini web has no such tool")

    def _offer(self, fields: Fields, target: Target, tool: Tool) -> None:
        name = known_as(target.name, target.namespace)
        if name in self.targets:
            raise bad(fields.at("name"), "is there twice")
        self.targets[name] = target
        self.offered.append(replace(tool, name=name))

    def choice(self, fields: Fields) -> ToolChoice:
        """`tool_choice` in any of its forms. Raises InvalidRequest."""
        value = fields.get("tool_choice")
        if value is None or isinstance(value, str):
            return openai_tools.word_choice(fields, "tool_choice", self.offered)
        table = fields.table("tool_choice") or Fields({}, "tool_choice")
        match table.text("type", most=100):
            case "function" | "custom":
                return ToolChoice("required", frozenset([self._chosen(table)]))
            case "allowed_tools":
                required = table.word("mode", of=("auto", "required")) == "required"
                named = [inner for inner in table.tables("tools") if inner.get("type") in ("function", "custom")]
                return ToolChoice("required" if required else "auto", frozenset(map(self._chosen, named)))
            case str() as kind if kind.startswith(_LEFT):
                return ToolChoice()
            case _:
                raise bad(table.at("type"), "must be function, custom or allowed_tools")

    def _chosen(self, fields: Fields) -> str:
        name = known_as(_name(fields), fields.text("namespace", most=128))
        if name not in self.targets:
            raise bad(fields.at("name"), "is not one of the tools")
        return name


def known_as(name: str, namespace: str | None) -> str:
    """The one name by which the model knows a tool."""
    return f"{namespace}.{name}" if namespace else name


def _name(fields: Fields) -> str:
    return openai_tools.tool_name(fields.text("name", most=200), fields.at("name"))


def _grammar(fields: Fields) -> str:
    """What is said to the model about the form of a custom tool's input."""
    form = fields.table("format")
    if form is None or form.get("type") != "grammar":
        return ""
    syntax, definition = form.text("syntax", most=100) or "lark", form.text("definition") or ""
    return f"\nThe input must follow this {syntax} grammar:\n{definition}"


def json_answer(fields: Fields | None) -> JsonAnswer | None:
    """`text.format`. Raises InvalidRequest."""
    form = fields.table("format") if fields else None
    match form.word("type", of=("text", "json_object", "json_schema")) if form else None:
        case "json_object":
            return JsonAnswer()
        case "json_schema":
            assert form is not None
            if form.get("schema") is None:
                raise bad(form.at("schema"), "is required")
            return openai_tools.named_schema(form)
        case _:
            return None


# --- input --------------------------------------------------------------------------------------------------------


def items(fields: Fields, seed: str) -> list[dict[str, Any]]:
    """`input` as a list of items, each with an id (of our making where the caller gave none)."""
    value = fields.get("input")
    if value is None and fields.get("previous_response_id") is not None:
        return []  # go on from there
    if value is None:
        raise bad("input", "is required")
    if isinstance(value, str):
        found: list[dict[str, Any]] = [{"type": "message", "role": "user", "content": value}]
    else:
        found = [dict(table.data) for table in fields.tables("input", most=100_000)]
    for number, item in enumerate(found):
        item.setdefault("type", "message")
        item["id"] = item.get("id") or f"in_{seed}{number:04d}"
        if item["type"] == "message" and isinstance(item.get("content"), str):
            kind = "output_text" if item.get("role") == "assistant" else "input_text"
            item["content"] = [{"type": kind, "text": item["content"]}]
    return found


class Conversation:
    """Reads items into turns: what an assistant said, thought and called in a row is one turn."""

    def __init__(self) -> None:
        self._files = 0
        self._names: dict[str, str] = {}
        self._turns: list[tuple[Role, list[Part]]] = []

    def read(self, instructions: str | None, found: Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
        """All turns, `instructions` first. Raises InvalidRequest that names the item in `input`."""
        if instructions:
            self._turns.append(("system", [Text(instructions)]))
        for number, item in enumerate(found):
            self._item(Fields(item, f"input.{number}"))
        return tuple(Message(role, tuple(parts)) for role, parts in self._turns)

    def _add(self, role: Role, *parts: Part, apart: bool = False) -> None:
        if not apart and self._turns and self._turns[-1][0] == role:
            self._turns[-1][1].extend(parts)
        else:
            self._turns.append((role, list(parts)))

    def _item(self, fields: Fields) -> None:
        match fields.text("type", most=100):
            case "message":
                role = ROLES[fields.word("role", of=tuple(ROLES)) or "user"]
                self._add(role, *self._content(fields, "content"), apart=role != "assistant")
            case "function_call" | "custom_tool_call":
                self._add("assistant", self._use(fields))
            case "function_call_output" | "custom_tool_call_output":
                self._result(fields)
            case "reasoning":
                self._add("assistant", *_thoughts(fields))
            case "compaction":
                if (said := responses_compact.summary(fields.text("encrypted_content") or "")) is not None:
                    self._add("user", said, apart=True)
            case "image_generation_call":
                self._drawn(fields)
            case "item_reference" | "web_search_call" | "tool_search_call" | "tool_search_output":
                return  # nothing in it for the model; references are resolved before
            case _:
                raise bad(fields.at("type"), "is not a kind of item that can be used here")

    def _use(self, fields: Fields) -> ToolUse:
        identity = fields.needed("call_id", most=200)
        name = known_as(fields.needed("name", most=200), fields.text("namespace", most=200))
        if fields.get("type") == "custom_tool_call":
            arguments = sse.dumps({"input": fields.text("input") or ""}).decode()
        else:
            arguments = fields.text("arguments") or "{}"
        self._names[identity] = name
        return ToolUse(identity, name, arguments)

    def _result(self, fields: Fields) -> None:
        identity = fields.needed("call_id", most=200)
        content = self._content(fields, "output") if fields.get("output") is not None else ()
        text = "\n".join(part.text for part in content if isinstance(part, Text))
        files = [part for part in content if not isinstance(part, Text)]
        self._add("user", ToolResult(identity, self._names.get(identity, ""), text), *files)

    def _drawn(self, fields: Fields) -> None:
        """A picture of an earlier answer. It goes with the user's files: the web takes none from an assistant."""
        if result := fields.text("result", most=_MEDIA):
            self._files += 1
            self._add("user", media.blob(result, "image/png", self._files, fields.at("result")), apart=True)

    def _content(self, fields: Fields, name: str) -> tuple[Part, ...]:
        match fields.get(name):
            case str() as text:
                return (Text(text),)
            case list():
                return tuple(self._part(table) for table in fields.tables(name, most=100_000))
            case _:
                raise bad(fields.at(name), "must be a string or a list of parts")

    def _part(self, fields: Fields) -> Part:
        match fields.text("type", most=100):
            case "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text":
                return Text(fields.needed("text"))
            case "refusal":
                return Text(fields.needed("refusal"))
            case "input_image":
                return self._file(fields, "image_url", picture=True)
            case "input_file":
                return self._file(fields, "file_data" if fields.get("file_data") is not None else "file_url")
            case _:
                raise bad(fields.at("type"), "must be input_text, input_image, input_file or output_text")

    def _file(self, fields: Fields, name: str, *, picture: bool = False) -> Part:
        self._files += 1
        if fields.get("file_id") is not None:
            return filing.named(fields, openai_files.PREFIX, self._files, picture=picture)
        return media.from_url(fields.needed(name, most=_MEDIA), self._files, fields.at(name))


def _thoughts(fields: Fields) -> Iterator[Thought]:
    for name in ("summary", "content"):
        for table in fields.tables(name):
            yield Thought(table.text("text") or "")
