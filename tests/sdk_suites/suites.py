"""Which of the official SDKs' own tests are run, what is changed in them, which are left out, and why.

They are written for a mock that accepts anything and knows every id. What is changed here is what the originals would
refuse as well, or ids that have to exist; what is left out asks for what the Gemini web has not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Edit:
    """The expression `old` becomes `new` in files whose path ends with `file`. It must be there: a
    suite that moved on is looked at."""

    file: str
    old: str
    new: str
    why: str


@dataclass(frozen=True, slots=True)
class Left:
    """A part of test ids that are not run."""

    names: str
    why: str


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests of the package `name`. `base` is what its clients have as their base URL."""

    name: str
    base: str
    paths: tuple[str, ...]
    edits: tuple[Edit, ...]
    left: tuple[Left, ...]


_CHAT, _MESSAGES = "chat/test_completions.py", "completions/test_messages.py"
_COMPLETIONS = "api_resources/test_completions.py"
_RESPONSES, _ITEMS, _TOKENS = "api_resources/test_responses.py", "test_input_items.py", "test_input_tokens.py"
_ID = "an id that exists"
_LEAST = "the least that the original takes"
_NOTHING = "the original refuses to answer nothing"
_NO_LOGPROBS = "the web reports no probabilities: refused, as the original's thinking models do"

OPENAI = Suite(
    "openai",
    "/v1",
    ("chat", "test_completions.py", "test_responses.py", "responses", "test_models.py", "test_images.py"),
    (
        Edit(_CHAT, '"completion_id"', "fresh.completion()", _ID),
        Edit(_MESSAGES, '"completion_id"', "fresh.completion()", _ID),
        Edit(_RESPONSES, '"resp_677efb5139a88190b512bc3fef8e535d"', "fresh.response()", _ID),
        Edit(_RESPONSES, '"resp_123"', "fresh.answered()", _ID),
        Edit(_ITEMS, '"response_id"', "fresh.response()", _ID),
        Edit(_CHAT, "logprobs=True", "logprobs=False", _NO_LOGPROBS),
        Edit(_CHAT, r"max(_completion)?_tokens=0", "max_tokens=1", _LEAST),
        Edit(_CHAT, "max_tokens=1,\n            max_tokens=1", "max_tokens=1", "one of the two, as the original asks"),
        Edit(_CHAT, "limit=0", "limit=1", _LEAST),
        Edit(_MESSAGES, "limit=0", "limit=1", _LEAST),
        Edit(_ITEMS, "limit=0", "limit=1", _LEAST),
        Edit(_RESPONSES, r"create\(\)", 'create(model="gpt-4o", input="Hi")', _NOTHING),
        Edit(_RESPONSES, r"create\(\s+stream=True,\s+\)", 'create(model="gpt-4o", input="Hi", stream=True)', _NOTHING),
        Edit(_RESPONSES, r'compact\(\s+model="[^"]*",\s+\)', 'compact(model="gpt-4o", input="Hi")', _NOTHING),
        Edit(_TOKENS, '"resp_123"', "fresh.answered()", _ID),
        Edit(_TOKENS, r"count\(\)", 'count(model="gpt-4o", input="Hi")', _NOTHING),
        Edit(_RESPONSES, r' conversation="string",', "", "conversations are kept on OpenAI's servers only"),
        Edit(_TOKENS, r' conversation="string",', "", "conversations are kept on OpenAI's servers only"),
        Edit(_RESPONSES, r"\bprompt=\{.*?\n            \},", "", "prompts are kept on OpenAI's servers only"),
        Edit(_RESPONSES, '"previous_response_id"', "fresh.answered()", _ID),
        Edit(_COMPLETIONS, 'suffix="test.",', "", "the web cannot fill in between texts"),
        Edit(_COMPLETIONS, "best_of=0,", "", _LEAST),
        Edit(_COMPLETIONS, " logprobs=0,", "", _NO_LOGPROBS),
        Edit("test_images.py", 'b"Example data"', "fresh.PICTURE", "the original refuses what is no picture"),
    ),
    (
        Left("TestModels and delete", "models are Google's: there are none to delete"),
        Left("TestAsyncModels and delete", "models are Google's: there are none to delete"),
        Left("TestMessages and list", "the client's own type has no room for what the user said"),
        Left("TestAsyncMessages and list", "the client's own type has no room for what the user said"),
        Left("retrieve and overload_2", "only what was made as a stream in the background can be streamed again"),
    ),
)

ANTHROPIC = Suite(
    "anthropic",
    "",
    ("test_messages.py", "test_models.py", "beta/test_messages.py", "beta/test_models.py"),
    (
        Edit("test_messages.py", r'"(location|unit)": "bar"', r'"\1": {}', "the original refuses what is no JSON Schema"),
        Edit("beta/test_messages.py", r"mcp_servers=\[.*?\n            \],", "", "the web connects to no MCP servers"),
        Edit("test_models.py", r'(after|before)_id="(after|before)_id",', "", _ID),
    ),
    (),
)
SUITES = (OPENAI, ANTHROPIC)
