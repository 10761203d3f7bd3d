"""The description of the API: of everything that is served, from the code, with examples that work."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from config.settings import Settings
from gateway import plugin_loader, reference
from gateway.openapi import _call, _served, document, routes_of
from gateway.openapi_requests import REQUESTS
from gateway.testing import make_client
from gateway.wire.dialect import Dialect


def dialects() -> list[Dialect]:
    settings = Settings.model_validate({"gateway": {"plugins": list(reference.PLUGINS)}})
    return plugin_loader.bind(plugin_loader.load(settings, reference.ROOT)).dialects().found


@pytest.fixture(scope="module")
def described() -> dict[str, Any]:
    return document(dialects(), [], {})


def test_every_address_of_every_wire_format_is_described(described: dict[str, Any]) -> None:
    there = set(routes_of(described))
    for dialect in dialects():
        for route in dialect.routes:
            assert all((route.method, path) in there for path, _ in _served(dialect, route)), route.path
    assert ("POST", "/v1/chat/completions") in there and ("POST", "/gemini/v1beta/models/{model}:generateContent") in there


def test_every_address_that_takes_a_body_shows_one_that_its_decoder_takes() -> None:
    for dialect in dialects():
        for route in dialect.routes:
            for path, asked in _served(dialect, route):
                if route.operation != "generate":
                    continue
                assert asked is not None, f"{dialect.name} {path} has no example in openapi_requests"
                assert _call(dialect, route, path, asked) is not None, f"the example of {path} is refused"


@pytest.mark.parametrize("where", sorted(REQUESTS), ids=lambda where: " ".join(where))
def test_examples_fit_their_schemas(where: tuple[str, str]) -> None:
    asked = REQUESTS[where]
    Draft202012Validator.check_schema(dict(asked.schema))
    for example in asked.examples.values():
        Draft202012Validator(dict(asked.schema)).validate(example)


def test_operations_have_names_of_their_own(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for item in described["paths"].values() for operation in item.values()]
    assert len(names) == len(set(names))


async def test_it_is_served_and_knows_the_plain_addresses_too() -> None:
    async with make_client() as client, client.http.get("/openapi.json") as response:
        assert response.status == 200
        served = await response.json()
    there = set(routes_of(served))
    assert served["openapi"] == "3.1.0"
    for route in (
        ("GET", "/health"), ("GET", "/api/accounts"), ("POST", "/api/cookies"), ("POST", "/api/keys"),
        ("DELETE", "/api/keys/{id}"), ("GET", "/api/events"), ("POST", "/api/session"),
    ):
        assert route in there
    answer = served["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"]
    assert answer["application/json"]["example"]["object"] == "chat.completion"
    assert answer["text/event-stream"]["example"].endswith("data: [DONE]\n\n")
