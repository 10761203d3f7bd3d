"""OpenAI's wire formats: chat completions, responses, legacy completions, pictures and models, and the simple
`/v1/generate`."""

from __future__ import annotations

from gateway.hookspecs import Dialects, hookimpl
from gateway.wire.openai_chat import OpenAIChat
from gateway.wire.openai_completions import OpenAICompletions
from gateway.wire.openai_images import OpenAIImages
from gateway.wire.openai_responses import OpenAIResponses
from gateway.wire.simple import Simple


class Plugin:
    @hookimpl
    def register_dialects(self, dialects: Dialects) -> None:
        dialects.add(OpenAIChat())
        dialects.add(OpenAIResponses())
        dialects.add(OpenAICompletions())
        dialects.add(OpenAIImages())
        dialects.add(Simple())
