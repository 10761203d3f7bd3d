"""Anthropic's Messages API: `/v1/messages`, `count_tokens`, and its model list by the header `anthropic-version`."""

from __future__ import annotations

from gateway.hookspecs import Dialects, hookimpl
from gateway.wire.anthropic import Anthropic


class Plugin:
    @hookimpl
    def register_dialects(self, dialects: Dialects) -> None:
        dialects.add(Anthropic())
