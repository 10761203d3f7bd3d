"""What the API's own description allows and forbids, sent to a gateway that serves: schemathesis makes requests from
/openapi.json, right ones and wrong ones, for every address. Whatever comes, the answer is one to act on."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import APIOperation, Case, GenerationMode

from config.settings import Settings
from gateway.app import running
from gateway.model import Image, ImageReady
from gateway.openapi import _ORDER as TAGS
from gateway.testing import Script, ScriptedUpstream

KEY, ADMIN_KEY = "sk-fuzz", "adm-fuzz"
# The first never ends (tests/console looks at it); the others lead where those under /v1beta lead.
LEFT_OUT = ("/api/events", "/gemini/", "/upload/v1/", "/v1/models/{model}:")
PICTURE = ImageReady(Image(base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
), "image/png", 1, 1))  # fmt: skip
EXAMPLES = settings(
    max_examples=6, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


class Served(threading.Thread):
    """A gateway with every plugin and two scripted accounts, on a loop and a thread of its own."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.url = ""
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._begun, self._over = threading.Event(), asyncio.Event()

    def run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        table = {
            "server": {"port": 0},
            "admin": {"key": ADMIN_KEY},
            "accounts": [{"name": name, "secure_1psid": f"scripted-{name}"} for name in "ab"],
            "plugins": {
                "api_key": {"keys": [{"name": "fuzz", "key": KEY}]},
                "rate_limit": {"global_per_hour": 0, "model_interval_s": 0},
            },
        }
        made = Settings.model_validate(table)
        upstream = ScriptedUpstream([Script("Hello", PICTURE)])
        async with running(made, self._folder, upstream=lambda settings, folder: upstream) as gateway:
            self.url = gateway.url
            self._begun.set()
            await self._over.wait()

    def wait(self) -> None:
        """Until it serves."""
        assert self._begun.wait(30)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self.join(30)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    thread = Served(tmp_path_factory.mktemp("fuzz"))
    thread.start()
    thread.wait()
    yield thread.url
    thread.stop()


@pytest.fixture(scope="module")
def operations(served: str) -> list[APIOperation[Any, Any]]:
    description = requests.get(f"{served}/openapi.json", timeout=10).json()
    return [found.ok() for found in schemathesis.openapi.from_dict(description).get_all_operations()]


@pytest.mark.parametrize("mode", list(GenerationMode), ids=["as described", "as forbidden"])
@pytest.mark.parametrize("tag", TAGS)
def test_every_address_answers_whatever_is_asked(
    served: str, operations: list[APIOperation[Any, Any]], tag: str, mode: GenerationMode
) -> None:
    found = [operation for operation in operations if tag in operation.tags and not operation.path.startswith(LEFT_OUT)]
    assert found
    with requests.Session() as session:
        for operation in found:
            asked(operation.as_strategy(mode), served, session)


def asked(cases: st.SearchStrategy[Case], url: str, session: requests.Session) -> None:
    """Send some of `cases` and look at the answers."""

    @EXAMPLES
    @given(case=cases)
    def ask(case: Case) -> None:
        key = ADMIN_KEY if case.path.startswith("/api/") else KEY
        response = case.call(base_url=url, session=session, headers={"Authorization": f"Bearer {key}"}, timeout=20)
        sound(response)

    ask()


def sound(response: Any) -> None:
    """A documented answer: no failure of ours, and an error says what is wrong, in JSON."""
    assert response.status_code < 500 or response.status_code == 501, response.text
    if response.status_code >= 400 and response.request.method != "HEAD":
        error = orjson.loads(response.content)["error"]
        assert error["message"] and len(error["message"]) < 500
        assert "Traceback" not in error["message"]
