"""Google's own Gemini API, as `v1` and `v1beta`, under `/gemini` and at the root."""

from __future__ import annotations

from gateway.hookspecs import Dialects, hookimpl
from gateway.wire.gemini import Gemini
from gateway.wire.gemini_predict import GeminiPredict


class Plugin:
    @hookimpl
    def register_dialects(self, dialects: Dialects) -> None:
        dialects.add(Gemini())
        dialects.add(GeminiPredict())
