"""Names that tools ask for of themselves."""

from __future__ import annotations

import pytest

from gateway.model import Image, ImageReady
from gateway.testing import Script, make_client
from plugins import model_aliases

PICTURE = ImageReady(Image(b"\x89PNG\r\n\x1a\n", "image/png", 1024, 1024))


@pytest.mark.parametrize("name", ["gpt-image-1", "gpt-image-1-mini", "dall-e-3", "imagen-4.0-generate-001", "openai/none"])
async def test_a_picture_tool_that_asks_for_a_model_of_others_gets_one_that_draws_and_is_told_which(name: str) -> None:
    plugin = model_aliases.Plugin(model_aliases.Settings())
    async with make_client(plugins=[("model_aliases", plugin)], script=[Script(PICTURE)]) as client:
        body = {"prompt": "a boat", "model": name}
        async with client.http.post("/v1/images/generations", json=body) as response:
            if name == "openai/none":
                assert (response.status, (await response.json())["error"]["param"]) == (404, "model")
                return
            assert response.status == 200
            assert response.headers["x-gateway-model"] == "gemini-3.8-flash"  # what answered, whatever was asked for
        assert client.upstream.asked[0][1].model == "gemini-2.5-flash-image"


@pytest.mark.parametrize(
    ("name", "served"),
    [
        ("gemini-3.1-pro-preview-customtools", "gemini-3.0-pro"),
        ("models/gemini-3.1-flash-lite-preview", "gemini-2.5-flash-lite"),
        ("gemini-3.5-flash", "gemini-2.5-flash"),
    ],
)
async def test_a_name_from_the_lists_of_gemini_cli_is_one_that_there_is(name: str, served: str) -> None:
    plugin = model_aliases.Plugin(model_aliases.Settings())
    async with make_client(plugins=[("model_aliases", plugin)]) as client:
        assert (await client.chat("hi", model=name)).status == 200
        assert client.upstream.asked[0][1].model == served


async def test_an_alias_of_ones_own_goes_before_the_usual_one() -> None:
    settings = model_aliases.Settings(aliases={"dall-e-3": "gemini-3-pro-image-preview"})
    async with make_client(plugins=[("model_aliases", model_aliases.Plugin(settings))], script=[Script(PICTURE)]) as client:
        async with client.http.post("/v1/images/generations", json={"prompt": "a boat", "model": "dall-e-3"}) as response:
            assert response.status == 200
        assert client.upstream.asked[0][1].model == "gemini-3-pro-image-preview"
