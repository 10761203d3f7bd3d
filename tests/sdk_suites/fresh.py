"""For the tests of an SDK: things that exist on the server that they run against."""

from __future__ import annotations

import base64
import os
from typing import Any

MODEL = "gpt-4o"
# One pixel.
PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def _client() -> Any:
    import openai

    return openai.OpenAI(base_url=os.environ["TEST_API_BASE_URL"], api_key="My API Key")


def completion() -> str:
    """The id of a stored chat completion. Its one message is an assistant's: the client's type has room for no other."""
    made = _client().chat.completions.create(model=MODEL, messages=[{"role": "assistant", "content": "Hi"}], store=True)
    return str(made.id)


def answered() -> str:
    """The id of a stored response that can be gone on from."""
    return str(_client().responses.create(model=MODEL, input="Hi").id)


def response() -> str:
    """The id of a stored response that can be cancelled."""
    return str(_client().responses.create(model=MODEL, input="Hi", background=True).id)


def file() -> str:
    """The id of a file that was uploaded."""
    return str(_client().files.create(file=PICTURE, purpose="vision").id)


def anthropic_file() -> str:
    """The id of a file that was uploaded."""
    import anthropic

    client = anthropic.Anthropic(base_url=os.environ["TEST_API_BASE_URL"], api_key="my-anthropic-api-key")
    return str(client.beta.files.upload(file=("pixel.png", PICTURE, "image/png")).id)
