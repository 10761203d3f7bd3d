"""What is changed in the official SDKs' own tests, which are left out, and why. All others are run, also those that a
later version brings.

They are written for a mock that accepts anything and knows every id. What is changed here is what the originals would
refuse as well, or ids that have to exist; what is left out asks for what the Gemini web has not."""

from __future__ import annotations

from dataclasses import dataclass

UNSERVED = r"There is nothing at this address|does not take this method|offers nothing that could serve this address"


@dataclass(frozen=True, slots=True)
class Edit:
    """The expression `old` becomes `new` in files whose path ends with `file`. It must be in one of them: a suite that
    moved on is looked at."""

    file: str
    old: str
    new: str
    why: str


@dataclass(frozen=True, slots=True)
class Left:
    """Tests whose ids `tests` (an expression) finds may be refused, in words that `said` finds: they are tried, and left
    out if they are. One that fails in any other way is a failure."""

    tests: str
    why: str
    said: str = UNSERVED


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of the package `name`. `base` is what its clients have as their base URL."""

    name: str
    base: str
    edits: tuple[Edit, ...]
    left: tuple[Left, ...]


_CHAT, _MESSAGES = "chat/test_completions.py", "completions/test_messages.py"
_COMPLETIONS = "api_resources/test_completions.py"
_RESPONSES, _ITEMS, _TOKENS = "test_responses.py", "test_input_items.py", "test_input_tokens.py"
_ID = "an id that exists"
_LEAST = "the least that the original takes"
_NOTHING = "the original refuses to answer nothing"
_NO_LOGPROBS = "the web reports no probabilities: refused, as the original's thinking models do"

OPENAI = Suite(
    "openai",
    "/v1",
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
        Edit("test_files.py", r'((?:retrieve|delete|retrieve_content)\(\s+)"file_id"', r"\1fresh.file()", _ID),
        Edit("test_files.py", "limit=0", "limit=1", _LEAST),
        Edit("test_images.py", 'b"Example data"', "fresh.PICTURE", "the original refuses what is no picture"),
    ),
    (
        Left("/audio/|/test_embeddings|/test_moderations", "the web offers no such thing: a 501"),
        Left("/test_models.*delete", "models are Google's: there are none to delete"),
        Left("/uploads/|/test_uploads|/test_batches", "uploads in parts and batches need OpenAI's storage and queues"),
        Left("/(test_)?(vector_stores|containers)", "search and code run on OpenAI's servers"),
        Left("/(test_)?conversations", "conversations are kept on OpenAI's servers only"),
        Left("/beta/(test_)?(agents|assistants|chatkit|threads)", "agents run on OpenAI's servers"),
        Left("/(test_)?(fine_tuning|evals)", "training and grading of OpenAI's own models"),
        Left("/(test_)?(realtime|live)", "spoken conversations: the web offers none"),
        Left("/test_videos", "the web makes videos in chats; jobs that make them are not served"),
        Left("/(test_)?(skills|decisions)", "skills and decisions run on OpenAI's servers"),
        Left("/(test_)?(admin|safety|webhooks|content_provenance)", "the management of an account at OpenAI"),
        Left(
            "/test_responses.*retrieve.*overload_2",
            "as the original: only what streamed in the background is streamed again",
            said="stream: must be false",
        ),
    ),
)

ANTHROPIC = Suite(
    "anthropic",
    "",
    (
        Edit("test_messages.py", r'"(location|unit)": "bar"', r'"\1": {}', "the original refuses what is no JSON Schema"),
        Edit("beta/test_messages.py", r"mcp_servers=\[.*?\n            \],", "", "the web connects to no MCP servers"),
        Edit("beta/test_messages.py", r'thread=\{"type": "create"\},', "", "conversations are kept by Anthropic only"),
        Edit("test_files.py", r'((?:delete|retrieve_metadata)\(\s+file_id=)"file_id"', r"\1fresh.anthropic_file()", _ID),
        Edit("test_files.py", r'limit=1,\s+page="page",', "", "the original takes neither beside ids"),
        Edit("test_models.py", r'(after|before)_id="(after|before)_id",', "", _ID),
    ),
    (
        Left("/messages/test_batches", "batches need Anthropic's queues: a 501"),
        Left("/(test_)?skills", "skills run on Anthropic's servers"),
        Left(
            "/beta/(test_)?(agents|deployment|dreams|environments|memory_stores|sessions|vaults)",
            "agents run on Anthropic's servers",
        ),
        Left("/(test_)?(organization|user_profiles|tunnels|webhooks)", "the management of an account at Anthropic"),
    ),
)
SUITES = (OPENAI, ANTHROPIC)
