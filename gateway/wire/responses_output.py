"""The output items of a response while it grows, and the events of OpenAI's stream that tell of it. Pure.

Whole replies and records are made by the same: what a stream ends with is what a caller who does not stream gets."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from gateway.model import Citation, Event, Finished, FinishReason, Image, ImageReady, TextDelta, ThoughtDelta, ToolCall
from gateway.wire import media, sse
from gateway.wire.responses_input import Target

Value = dict[str, Any]


class Output:
    """Feed it the events of an answer; it yields stream events, without their sequence numbers. `seed` makes the ids of
    items, from which the response can be told that an item belongs to. Thoughts are told as summaries where they are
    `shown`; `sealed` asks for the opaque string that stands for them in later requests."""

    def __init__(self, seed: str, targets: Mapping[str, Target], *, shown: bool, sealed: bool) -> None:
        self._seed = seed
        self._targets = targets
        self._shown = shown
        self._sealed = sealed
        self._pieces: list[str] = []
        self._open: Value | None = None
        self.items: list[Value] = []

    def add(self, event: Event) -> Iterator[Value]:
        """What one event of the answer brings."""
        match event:
            case TextDelta(text=text):
                yield from self._text(text)
            case ThoughtDelta(text=text):
                yield from self._thought(text)
            case ToolCall():
                yield from self._call(event)
            case ImageReady(image=image):
                yield from self._picture(image)
            case Citation():
                yield from self._cite(event)
            case Finished(reason=reason):
                yield from self.close("incomplete" if reason is FinishReason.LENGTH else "completed")

    # --- items ----------------------------------------------------------------------------------------------------

    def _begin(self, prefix: str, item: Value) -> Iterator[Value]:
        yield from self.close()
        item["id"] = f"{prefix}_{self._seed}{len(self.items):04d}"
        self.items.append(item)
        self._open = item
        yield {"type": "response.output_item.added", "output_index": len(self.items) - 1, "item": item}

    def _of(self, kind: str, **values: Any) -> Value:
        """An event about the item that is open."""
        return {"type": f"response.{kind}", "item_id": self.items[-1]["id"], "output_index": len(self.items) - 1, **values}

    def close(self, status: str = "completed") -> Iterator[Value]:
        """End the open item."""
        item, self._open = self._open, None
        if item is None:
            return
        match item["type"]:
            case "message":
                yield from self._end_text(item)
            case "reasoning":
                yield from self._end_thought(item)
        if "status" in item:
            item["status"] = status
        self._pieces.clear()
        yield {"type": "response.output_item.done", "output_index": len(self.items) - 1, "item": item}

    # --- text -----------------------------------------------------------------------------------------------------

    def _text(self, text: str) -> Iterator[Value]:
        if self._open is None or self._open["type"] != "message":
            message: Value = {"type": "message", "status": "in_progress", "role": "assistant", "content": []}
            yield from self._begin("msg", message)
            part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
            message["content"] = [part]
            yield self._of("content_part.added", content_index=0, part=part)
        self._pieces.append(text)
        for piece in sse.pieces(text):
            yield self._of("output_text.delta", content_index=0, delta=piece, logprobs=[])

    def _end_text(self, item: Value) -> Iterator[Value]:
        (part,) = item["content"]
        part["text"] = "".join(self._pieces)
        yield self._of("output_text.done", content_index=0, text=part["text"], logprobs=[])
        yield self._of("content_part.done", content_index=0, part=part)

    def _cite(self, citation: Citation) -> Iterator[Value]:
        if self._open is None or self._open["type"] != "message":
            return
        at = sum(map(len, self._pieces))
        annotation: Value = {"type": "url_citation", "url": citation.url, "title": citation.title}
        annotation |= {"start_index": at, "end_index": at}
        annotations = self._open["content"][0]["annotations"]
        annotations.append(annotation)
        number = len(annotations) - 1
        yield self._of("output_text.annotation.added", content_index=0, annotation_index=number, annotation=annotation)

    # --- thoughts -------------------------------------------------------------------------------------------------

    def _thought(self, text: str) -> Iterator[Value]:
        if self._open is None or self._open["type"] != "reasoning":
            yield from self._begin("rs", {"type": "reasoning", "summary": []})
            if self._shown:
                yield self._of("reasoning_summary_part.added", summary_index=0, part=_summary(""))
        self._pieces.append(text)
        if self._shown:
            for piece in sse.pieces(text):
                yield self._of("reasoning_summary_text.delta", summary_index=0, delta=piece)

    def _end_thought(self, item: Value) -> Iterator[Value]:
        text = "".join(self._pieces)
        if self._sealed:
            # The original's is encrypted reasoning for its own use. Here thoughts never go to the model again, so that
            # a digest is all that has to come back.
            digest = hashlib.sha256(text.encode("utf-8", "replace")).digest()
            item["encrypted_content"] = base64.b64encode(digest).decode("ascii")
        if self._shown:
            yield self._of("reasoning_summary_text.done", summary_index=0, text=text)
            yield self._of("reasoning_summary_part.done", summary_index=0, part=_summary(text))
            item["summary"] = [_summary(text)]

    # --- calls and pictures ---------------------------------------------------------------------------------------

    def _call(self, call: ToolCall) -> Iterator[Value]:
        target = self._targets.get(call.name) or Target("function", call.name)
        named = {"call_id": call.id, "name": target.name}
        if target.namespace:
            named["namespace"] = target.namespace
        if target.kind == "custom":
            yield from self._free_form(named, str(orjson.loads(call.arguments or "{}").get("input", "")))
            return
        item: Value = {"type": "function_call", "status": "in_progress", **named, "arguments": ""}
        yield from self._begin("fc", item)
        for piece in sse.pieces(call.arguments):
            yield self._of("function_call_arguments.delta", delta=piece)
        item["arguments"] = call.arguments
        yield self._of("function_call_arguments.done", name=target.name, arguments=call.arguments)
        yield from self.close()

    def _free_form(self, named: Value, text: str) -> Iterator[Value]:
        item: Value = {"type": "custom_tool_call", "status": "in_progress", **named, "input": ""}
        yield from self._begin("ctc", item)
        for piece in sse.pieces(text):
            yield self._of("custom_tool_call_input.delta", delta=piece)
        item["input"] = text
        yield self._of("custom_tool_call_input.done", input=text)
        yield from self.close()

    def _picture(self, image: Image) -> Iterator[Value]:
        item: Value = {"type": "image_generation_call", "status": "in_progress", "result": None}
        yield from self._begin("ig", item)
        yield self._of("image_generation_call.in_progress")
        yield self._of("image_generation_call.generating")
        yield self._of("image_generation_call.completed")
        item["result"] = media.encode(image.data)
        yield from self.close()


def _summary(text: str) -> Value:
    return {"type": "summary_text", "text": text}
