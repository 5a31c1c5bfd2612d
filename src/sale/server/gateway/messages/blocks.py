"""An answer of chat completions as the content blocks of a message, whole or as the events of a stream.

Blocks come one after another, except calls of tools whose inputs an endpoint sends by turns. Reasoning is shown to
clients that ask for it. From others it is hidden in a `redacted_thinking` block, and only where tools are called, since
only then an endpoint may want it back.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, cast

import orjson

from sale.server.gateway.reasoning import Reasoning
from sale.server.gateway.tool_calls import ToolCallIndex, arguments_text
from sale.server.store.types import new_id

Json = dict[str, Any]
Event = Json
"""One event of the stream; its `type` is the event's name."""
Display = Literal["shown", "omitted", "hidden"]
"""Form in which the client gets the reasoning: its text, an empty block with a signature, or nothing to look at."""
STOPS: Final = {
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
}
"""Why an answer ended, in the terms of both protocols; all else is `end_turn`."""
RAW_INPUT: Final = "raw_arguments"
"""Only field of a tool's input where the model wrote something other than a JSON object: the text as written."""


class _Call:
    """A tool call under way."""

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments = ""
        self.block: Json | None = None
        """Its block, once its name is known."""
        self.open = False

    def input(self) -> Json:
        """The arguments as the input of a tool."""
        if not self.arguments.strip():
            return {}
        try:
            value: object = orjson.loads(self.arguments)
        except orjson.JSONDecodeError:
            value = None
        return cast("Json", value) if isinstance(value, dict) else {RAW_INPUT: self.arguments}

    @property
    def is_whole(self) -> bool:
        """True where the arguments are valid JSON, so that no more can follow."""
        try:
            orjson.loads(self.arguments)
        except orjson.JSONDecodeError:
            return False
        return True


class ContentBlocks:
    """Takes an answer, or its deltas, and keeps its blocks."""

    def __init__(self, display: Display) -> None:
        """Nothing has come.

        Args:
            display: What of the reasoning the client gets.
        """
        self.content: list[Json] = []
        self.refused = False
        """True where the model said that it will not answer."""
        self._display = display
        self._reasoning = Reasoning()
        self._places = ToolCallIndex()
        self._calls: list[_Call] = []
        self._open: Json | None = None
        """The thinking or text block that goes on."""
        self._place = 0
        """Its number."""
        self._words: list[str] = []
        """The words of the text block that goes on: joined once, as a long answer has thousands."""

    def go_on(self, text: str) -> int | None:
        """Take words for the text block that goes on; returns its number, `None` where no text goes on."""
        if self._open is None or self._open["type"] != "text":
            return None
        self._words.append(text)
        return self._place

    def add(self, said: Json, *, whole: bool = False) -> list[Event]:
        """Take a delta, or the whole message; returns the events that say it."""
        events: list[Event] = []
        thought = self._reasoning.add(said)
        if thought and self._display != "hidden":
            events += self._opened("thinking")
            if self._display == "shown":
                block = cast("Json", self._open)
                block["thinking"] += thought
                events.append(self._delta(block, {"type": "thinking_delta", "thinking": thought}))
        for name in ("content", "refusal"):
            text: object = said.get(name)
            if isinstance(text, str) and text:
                self.refused = self.refused or name == "refusal"
                events += self._opened("text")
                self._words.append(text)
                events.append(self._delta(cast("Json", self._open), {"type": "text_delta", "text": text}))
        calls = cast("Sequence[Json]", said.get("tool_calls") or ())
        for place, call in zip(self._places.add(calls, whole=whole), calls, strict=True):
            events += self._called(place, call)
        return events

    def close(self) -> list[Event]:
        """Take the end of the answer; returns the last events of the blocks."""
        events = self._shut()
        for call in self._calls:
            if call.block is None:
                events += self._begun(call)
            if call.open:
                events += self._ended(call)
            cast("Json", call.block)["input"] = call.input()
        return events + (self._sealed() if self._calls else [])

    def stop_reason(self, finish: object) -> str:
        """Why the answer ended.

        Args:
            finish: The `finish_reason` of the choice.
        """
        if self.refused:
            return "refusal"
        reason = STOPS.get(str(finish), "end_turn")
        if self._calls and reason == "end_turn":
            return "tool_use"
        return "end_turn" if reason == "tool_use" and not self._calls else reason

    def _called(self, place: int, part: Json) -> list[Event]:
        events: list[Event] = []
        if place == len(self._calls):
            events += self._shut()
            for earlier in self._calls:
                if earlier.open and earlier.is_whole:
                    events += self._ended(earlier)
            self._calls.append(_Call())
        call = self._calls[place]
        function = cast("Json", part.get("function") or {})
        call.id = call.id or str(part.get("id") or f"toolu_{new_id()}")
        call.name = call.name or str(function.get("name") or "")
        self._reasoning.add_call(call.id, part)
        more = arguments_text(function.get("arguments"))
        call.arguments += more
        if call.block is None and call.name:
            return events + self._begun(call)
        if call.block is not None and more:
            events.append(self._delta(call.block, {"type": "input_json_delta", "partial_json": more}))
        return events

    def _begun(self, call: _Call) -> list[Event]:
        """The block of a call, with what has come of its input."""
        events = self._sealed()
        call.block, call.open = {"type": "tool_use", "id": call.id, "name": call.name, "input": {}}, True
        events.append(self._start(call.block))
        if call.arguments:
            events.append(self._delta(call.block, {"type": "input_json_delta", "partial_json": call.arguments}))
        return events

    def _ended(self, call: _Call) -> list[Event]:
        call.open = False
        return [self._stop(cast("Json", call.block))]

    def _sealed(self) -> list[Event]:
        """Return events of a block with the state that the endpoint may want back and the client does not have yet."""
        state = self._reasoning.take(text=True)
        if state is None:
            return []
        block = {"type": "redacted_thinking", "data": state}
        return [self._start(block), self._stop(block)]

    def _opened(self, kind: Literal["thinking", "text"]) -> list[Event]:
        """The block that goes on, begun if need be."""
        if self._open is not None and self._open["type"] == kind:
            return []
        events = self._shut()
        self._open = {"type": kind, kind: ""} | ({"signature": ""} if kind == "thinking" else {})
        self._place = len(self.content)
        events.append(self._start(self._open))
        return events

    def _shut(self) -> list[Event]:
        """The end of the thinking or text block that goes on."""
        block, self._open = self._open, None
        if block is None:
            return []
        events: list[Event] = []
        if block["type"] == "text":
            block["text"], self._words = "".join(self._words), []
        if block["type"] == "thinking":
            block["signature"] = self._reasoning.take(text=self._display == "omitted") or ""
            events.append(self._delta(block, {"type": "signature_delta", "signature": block["signature"]}))
        events.append(self._stop(block))
        return events

    def _start(self, block: Json) -> Event:
        self.content.append(block)
        return {"type": "content_block_start", "index": len(self.content) - 1, "content_block": dict(block)}

    def _delta(self, block: Json, delta: Json) -> Event:
        return {"type": "content_block_delta", "index": self._index(block), "delta": delta}

    def _stop(self, block: Json) -> Event:
        return {"type": "content_block_stop", "index": self._index(block)}

    def _index(self, block: Json) -> int:
        return next(place for place, one in enumerate(self.content) if one is block)
