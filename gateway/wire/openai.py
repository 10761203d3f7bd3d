"""What all OpenAI-shaped formats share: error bodies, model lists, usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import GatewayError
from gateway.model import Call, Citation, Usage
from gateway.wire import sse
from gateway.wire.dialect import ModelCard

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class OpenAIShaped:
    """What OpenAI-shaped formats do alike: server-sent events with comments for silence, error bodies, model lists."""

    def stream_content_type(self, call: Call) -> str:
        return sse.CONTENT_TYPE

    def encode_start(self, call: Call) -> bytes:
        return b""

    def encode_keep_alive(self, call: Call) -> bytes:
        return sse.COMMENT

    def encode_late_error(self, error: GatewayError, call: Call) -> bytes:
        return b"data: " + self.encode_error(error) + b"\n\n" + sse.DONE

    def encode_error(self, error: GatewayError) -> bytes:
        return _error_json(error)

    def encode_models(self, cards: Sequence[ModelCard], query: Mapping[str, str]) -> bytes:
        return models(cards)

    def encode_model(self, card: ModelCard) -> bytes:
        return model(card)


def error(exc: GatewayError) -> dict[str, Any]:
    """OpenAI's error object, with all four fields: clients read each of them."""
    kind = _TYPES.get(exc.status) or ("invalid_request_error" if exc.status < 500 else "server_error")
    return {"error": {"message": exc.message, "type": kind, "param": exc.param, "code": exc.code}}


def usage(counts: Usage) -> dict[str, Any]:
    """OpenAI's usage object; thinking counts as completion, as in the original."""
    return {
        "prompt_tokens": counts.prompt,
        "completion_tokens": counts.output + counts.thoughts,
        "total_tokens": counts.total,
        "completion_tokens_details": {"reasoning_tokens": counts.thoughts},
    }


def _error_json(exc: GatewayError) -> bytes:
    return sse.dumps(error(exc))


def annotation(citation: Citation) -> dict[str, Any]:
    """A source that the answer names. The web does not say to which words it belongs: the indexes are 0."""
    source = {"url": citation.url, "title": citation.title, "start_index": 0, "end_index": 0}
    return {"type": "url_citation", "url_citation": source}


def models(cards: Sequence[ModelCard]) -> bytes:
    """`GET /v1/models`."""
    return sse.dumps({"object": "list", "data": [_card(card) for card in cards]})


def model(card: ModelCard) -> bytes:
    """`GET /v1/models/{id}`."""
    return sse.dumps(_card(card))


def _card(card: ModelCard) -> dict[str, Any]:
    return {"id": card.name, "object": "model", "created": 0, "owned_by": "google"}
