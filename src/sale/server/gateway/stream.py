"""A stream of chunks on its way through: framed, counted, and handed on as it came.

Events are passed on byte for byte; only usage that the client did not ask for is taken out. Every chunk is read on the
way, so that the ledger has the usage, a broken stream is never taken for a whole one, and the record has the answer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from sale.server.gateway.errors import ApiError
from sale.types import Usage

BYTES_PER_TOKEN = 4
"""Of prose, for estimates where nobody counted."""
ANSWER_CHARACTERS = 100_000
"""How much of an answer is kept for the record."""
LONGEST_EVENT = 16 * 1024 * 1024
MOST_TOKENS = 2**40
Json = dict[str, Any]


@dataclass(slots=True)
class Tally:
    """What an answer came to so far."""

    usage: Usage | None = None
    """As the endpoint counts; `None` where it has not said."""
    cached: int = 0
    """Input tokens it read from its cache."""
    id: str = ""
    """Of the response, as the endpoint calls it."""
    characters: int = 0
    """Written, thoughts and tool calls included."""
    pieces: int = 0
    """Chunks that held some of it."""
    finished: set[int] = field(default_factory=set[int])
    """Choices that have come to their end."""
    begun: set[int] = field(default_factory=set[int])
    _answer: list[str] = field(default_factory=list[str])
    _kept: int = 0

    @property
    def answer(self) -> str:
        """The text of the first choice, as far as it is kept."""
        return "".join(self._answer)

    def used(self, asked_bytes: int) -> Usage:
        """The usage as counted, else as estimated from what was sent and what came."""
        if self.usage is not None:
            return self.usage
        written = max(self.pieces, -(-self.characters // BYTES_PER_TOKEN))
        return Usage(input_tokens=-(-asked_bytes // BYTES_PER_TOKEN), output_tokens=written)

    def whole(self, value: Json) -> None:
        """Count a response that came in one piece."""
        self.id = str(value.get("id") or "")
        self._counted(value.get("usage"))
        for choice in cast("list[Any]", value.get("choices") or []):
            if isinstance(choice, dict):
                self._spoken(cast("Json", choice), "message")

    def chunk(self, value: Json) -> None:
        """Count one chunk of a stream."""
        if not self.id:
            self.id = str(value.get("id") or "")
        usage = value.get("usage")
        if usage is not None:
            self._counted(usage)
        choices: object = value.get("choices")
        for choice in cast("list[Any]", choices) if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                self._spoken(cast("Json", choice), "delta")

    def _spoken(self, choice: Json, where: str) -> None:
        index = choice.get("index", 0)
        said: object = choice.get(where)
        if isinstance(index, int):
            self.begun.add(index)
            if choice.get("finish_reason") is not None:
                self.finished.add(index)
        if not isinstance(said, dict):
            return
        fields = cast("Json", said)
        content: object = fields.get("content")
        size = len(content) if isinstance(content, str) else 0
        thought: object = fields.get("reasoning_content") or fields.get("reasoning")
        size += len(thought) if isinstance(thought, str) else 0
        calls: object = fields.get("tool_calls")
        for call in cast("list[Any]", calls) if isinstance(calls, list) else []:
            size += len(str(call.get("function"))) if isinstance(call, dict) else 0  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        if size:
            self.characters += size
            self.pieces += 1
        if isinstance(content, str) and index == 0 and self._kept < ANSWER_CHARACTERS:
            self._answer.append(content)
            self._kept += len(content)

    def _counted(self, usage: object) -> None:
        """Usage as it is reported, where it can be right."""
        if not isinstance(usage, dict):
            return
        fields = cast("Json", usage)
        given, written = _count(fields.get("prompt_tokens")), _count(fields.get("completion_tokens"))
        if given is None or written is None or given + written == 0:
            return
        self.usage = Usage(input_tokens=given, output_tokens=written)
        details: object = fields.get("prompt_tokens_details")
        cached = _count(cast("Json", details).get("cached_tokens")) if isinstance(details, dict) else None
        self.cached = min(cached or 0, given)


def _count(value: object) -> int | None:
    """A number of tokens; `None` where it cannot be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST_TOKENS else None


Piece = tuple[bytes, Json | None]
"""An event as it goes on, and the chunk in it; `None` where it holds none."""


class Relay:
    """Takes the bytes of an upstream's stream and gives the events to send on."""

    def __init__(self, tally: Tally, *, show_usage: bool) -> None:
        """Nothing has come.

        Args:
            tally: Counts.
            show_usage: Whether the client asked for usage.
        """
        self._tally = tally
        self._show = show_usage
        self._waiting = b""
        self.done = False
        """The upstream has said `[DONE]`."""

    def feed(self, data: bytes) -> list[Piece]:
        """The events that are whole by now.

        Raises:
            ApiError: What came is no stream of chunks, or the upstream reports an error in it.
        """
        if self._waiting:
            data = self._waiting + data
        if b"\r" in data:
            held = b"\r" if data.endswith(b"\r") else b""  # perhaps half a line break
            data = data.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        *events, self._waiting = data.split(b"\n\n")
        if len(self._waiting) > LONGEST_EVENT:
            raise broken("sent an event without end")
        pieces: list[Piece] = []
        for event in events:
            piece = self._event(event)
            if piece is not None:
                pieces.append(piece)
        return pieces

    def close(self) -> None:
        """The upstream has closed the stream.

        Raises:
            ApiError: In the middle of the answer.
        """
        whole = bool(self._tally.begun) and self._tally.finished >= self._tally.begun
        if not self.done and not whole:
            raise broken("broke off in the middle of its answer")

    def _event(self, event: bytes) -> Piece | None:
        """One event as it goes on; `None` where there is nothing to send."""
        if self.done:
            return None
        # Nearly all are one line, `data: {…}`.
        if event.startswith(b"data:") and b"\n" not in event:
            data = event[5:].strip()
        else:
            lines = event.split(b"\n")
            data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
            if not data:
                return (event + b"\n\n", None) if event.startswith(b":") else None
        if data == b"[DONE]":
            self.done = True
            return None
        return self._chunk(event, data)

    def _chunk(self, event: bytes, data: bytes) -> Piece | None:
        try:
            value: object = orjson.loads(data)
        except orjson.JSONDecodeError:
            raise broken("sent what is no JSON") from None
        if not isinstance(value, dict):
            raise broken("sent a chunk that is no object")
        chunk = cast("Json", value)
        if chunk.get("error") is not None:
            raise broken("reported an error in the middle of its answer")
        self._tally.chunk(chunk)
        if not self._show and chunk.get("usage") is not None:
            if not chunk.get("choices"):
                return None
            del chunk["usage"]
            event = b"data: " + orjson.dumps(chunk)
        return event + b"\n\n", chunk


def broken(what: str) -> ApiError:
    """An upstream that does not keep to the protocol."""
    return ApiError(f"the agent's endpoint {what}", status=502, name="upstream_broken", elsewhere=True, spent=True)
