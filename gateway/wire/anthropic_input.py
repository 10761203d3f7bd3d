"""Reads what a client of Anthropic's Messages API asks: turns, blocks, tools, thinking. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.errors import InvalidRequest, ThreadsRefused
from gateway.model import (
    JsonAnswer,
    Message,
    Part,
    Role,
    Text,
    Thought,
    Tool,
    ToolChoice,
    ToolResult,
    ToolUse,
)
from gateway.wire import anthropic_files, filing, media, sse
from gateway.wire.fields import Fields, bad

ROLES: dict[str, Role] = {"user": "user", "assistant": "assistant", "system": "system"}
EFFORTS = ("low", "medium", "high", "xhigh", "max")
# The web's longer thinking is asked for from this budget on.
EXTENDED_BUDGET = 8192
# Tools that Anthropic's servers run. The web searches and reads pages by itself; the rest it has not.
_SERVER_TOOLS = ("web_search_", "web_fetch_")
_MEDIA = 100_000_000


class Conversation:
    """Reads `system` and `messages`, and remembers what is named later: files by number, tools by the id of their call."""

    def __init__(self) -> None:
        self._files = 0
        self._names: dict[str, str] = {}

    def read(self, fields: Fields) -> tuple[Message, ...]:
        """All turns, the system prompt first. Raises InvalidRequest."""
        tables = fields.tables("messages", most=100_000)
        if not tables:
            raise bad("messages", "must be a list of at least one message")
        system = self._content(fields, "system") if fields.get("system") is not None else ()
        first = (Message("system", system),) if system else ()
        return (*first, *(self._message(table) for table in tables))

    def _message(self, fields: Fields) -> Message:
        role = fields.word("role", of=tuple(ROLES))
        if role is None:
            raise bad(fields.at("role"), "is required")
        return Message(ROLES[role], self._content(fields, "content"))

    def _content(self, fields: Fields, name: str) -> tuple[Part, ...]:
        match fields.get(name):
            case str() as text:
                return (Text(text),)
            case list():
                return tuple(part for block in fields.tables(name, most=100_000) for part in self._block(block))
            case _:
                raise bad(fields.at(name), "must be a string or a list of blocks")

    def _block(self, fields: Fields) -> Iterator[Part]:
        match fields.text("type", most=100):
            case "text":
                yield Text(fields.needed("text"))
            case "image":
                yield self._source(fields, "image/png", picture=True)
            case "document":
                yield from self._document(fields)
            case "thinking":
                yield Thought(fields.text("thinking") or "")
            case "redacted_thinking":
                return
            case "tool_use":
                yield self._tool_use(fields)
            case "tool_result":
                yield from self._tool_result(fields)
            case "search_result":
                yield Text("\n".join((fields.needed("title"), fields.needed("source"), _plain(fields, "content"))))
            case "tool_reference":
                yield Text(f"[tool {fields.needed('tool_name')}]")
            case _:
                kinds = "text, image, document, search_result, thinking, tool_use or tool_result"
                raise bad(fields.at("type"), f"must be {kinds}")

    def _tool_use(self, fields: Fields) -> ToolUse:
        use = ToolUse(fields.needed("id"), fields.needed("name"), sse.dumps(fields.get("input") or {}).decode())
        self._names[use.id] = use.name
        return use

    def _tool_result(self, fields: Fields) -> Iterator[Part]:
        """The result as text, and the files that are in it."""
        identity = fields.needed("tool_use_id")
        content = self._content(fields, "content") if fields.get("content") is not None else ()
        text = "\n".join(part.text for part in content if isinstance(part, Text))
        yield ToolResult(identity, self._names.get(identity, ""), text, fields.flag("is_error"))
        yield from (part for part in content if not isinstance(part, Text))

    def _document(self, fields: Fields) -> Iterator[Part]:
        about = [text for name in ("title", "context") if (text := fields.text(name))]
        if about:
            yield Text("\n".join(about))
        source = fields.table("source")
        if source is not None and source.get("type") == "text":
            yield Text(source.needed("data"))
        elif source is not None and source.get("type") == "content":
            yield from self._content(source, "content")
        else:
            yield self._source(fields, "application/pdf")

    def _source(self, fields: Fields, mime: str, *, picture: bool = False) -> Part:
        source = fields.table("source")
        if source is None:
            raise bad(fields.at("source"), "is required")
        self._files += 1
        match source.text("type", most=100):
            case "base64":
                mime = source.text("media_type", most=200) or mime
                return media.blob(source.needed("data", _MEDIA), mime.lower(), self._files, source.at("data"))
            case "url":
                return media.from_url(source.needed("url", _MEDIA), self._files, source.at("url"))
            case "file":
                return filing.named(source, anthropic_files.PREFIX, self._files, picture=picture)
            case _:
                raise bad(source.at("type"), "must be base64, url or file")


def tools(fields: Fields) -> tuple[tuple[Tool, ...], tuple[str, ...]]:
    """The functions that the model may call, and the tools that are left to the web itself. Raises InvalidRequest."""
    found: list[Tool] = []
    left: list[str] = []
    for table in fields.tables("tools"):
        kind = table.text("type", most=100) or "custom"
        if kind == "custom":
            found.append(_tool(table))
        elif kind.startswith(_SERVER_TOOLS):
            left.append(f"tools.{kind}")
        else:
            raise bad(table.at("type"), "must be custom: the Gemini web has no such tool")
    return tuple(found), tuple(left)


def _tool(fields: Fields) -> Tool:
    schema = fields.table("input_schema")
    if schema is None:
        raise bad(fields.at("input_schema"), "is required")
    name = fields.needed("name", most=128)
    return Tool(name, fields.text("description") or "", schema.data, fields.flag("strict"))


def tool_choice(fields: Fields, offered: tuple[Tool, ...]) -> tuple[ToolChoice, bool]:
    """Whether tools must be called, and whether several may at once. Raises InvalidRequest."""
    table = fields.table("tool_choice")
    if table is None:
        return ToolChoice(), True
    parallel = not table.flag("disable_parallel_tool_use")
    match table.word("type", of=("auto", "any", "tool", "none")):
        case "any":
            return ToolChoice("required"), parallel
        case "none":
            return ToolChoice("none"), parallel
        case "tool":
            name = table.needed("name", most=128)
            if any(tool.name == name for tool in offered):
                return ToolChoice("required", frozenset([name])), parallel
            if name in _left_to_the_web(fields):  # as Claude Code demands web_search: the web searches when it likes
                return ToolChoice(), parallel
            raise bad(table.at("name"), "is not one of the tools")
        case _:
            return ToolChoice(), parallel


def _left_to_the_web(fields: Fields) -> set[str | None]:
    """The names of the tools that Anthropic's own servers would run."""
    left = [table for table in fields.tables("tools") if (table.text("type", most=100) or "").startswith(_SERVER_TOOLS)]
    return {table.text("name", most=128) for table in left}


def thinking(fields: Fields, effort: str | None) -> tuple[bool, bool]:
    """Whether the web's longer thinking is asked for, and whether the caller wants to see thoughts."""
    table = fields.table("thinking")
    if table is None:
        return effort in ("xhigh", "max"), False
    kind = table.word("type", of=("enabled", "disabled", "adaptive"))
    budget = table.whole("budget_tokens", low=1024, high=10_000_000)
    if kind == "enabled" and budget is None:
        raise bad(table.at("budget_tokens"), "is required")
    shown = kind != "disabled" and table.word("display", of=("summarized", "omitted")) != "omitted"
    extended = kind != "disabled" and ((budget or 0) > EXTENDED_BUDGET or effort in ("xhigh", "max"))
    return extended, shown


def json_answer(fields: Fields, output: Fields | None) -> JsonAnswer | None:
    """The schema that the answer must fit, from `output_config.format` (or `output_format`, as in its beta)."""
    wanted = (output.table("format") if output else None) or fields.table("output_format")
    if wanted is None:
        return None
    if wanted.text("type", most=100) != "json_schema":
        raise bad(wanted.at("type"), "must be json_schema")
    schema = wanted.table("schema")
    if schema is None:
        raise bad(wanted.at("schema"), "is required")
    return JsonAnswer(schema.data, strict=True)


def refuse_unsupported(fields: Fields) -> None:
    """What only Anthropic's own servers can do. Raises InvalidRequest."""
    if fields.get("thread") is not None:
        raise ThreadsRefused("thread: no conversation is kept here; send all of its messages", param="thread")
    if fields.items("mcp_servers"):
        raise InvalidRequest("mcp_servers: the Gemini web connects to no MCP servers", param="mcp_servers")


def _plain(fields: Fields, name: str) -> str:
    return "\n".join(block.text("text") or "" for block in fields.tables(name))
