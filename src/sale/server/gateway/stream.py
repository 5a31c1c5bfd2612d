"""A stream of chunks on its way through: framed, counted, and handed on as it came.

Events are passed on byte for byte; only usage that the client did not ask for is taken out. Every chunk is read on the
way, so that the ledger has the usage, a broken stream is never taken for a whole one, and the record has the answer.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import orjson

from sale.models.usage import tokens_beside
from sale.server.gateway.completion import chunks_of
from sale.server.gateway.errors import ApiError
from sale.server.gateway.token_estimate import estimate_output
from sale.server.gateway.tool_calls import ToolCallIndex
from sale.server.gateway.upstream_json import (
    SurrogateJoiner,
    check_choices,
    error_in,
    protocol_error,
    read_complaint,
    read_completion,
    read_json,
    reported_error,
)
from sale.types import Usage
from sale.types.calls import byte_length

ANSWER_CHARACTERS = 100_000
"""Characters of an answer that are kept for the record."""
MAX_EVENT_BYTES = 16 * 1024 * 1024
MAX_TOKENS = 2**40
SPOKEN = frozenset({"role", "content"})
"""Fields of a delta that says nothing but words; some endpoints send others without a value."""
Json = dict[str, Any]


@dataclass(slots=True)
class StreamUsage:
    """The usage and text of an answer so far."""

    usage: Usage | None = None
    """As the endpoint counts; `None` where it has not said."""
    cached: int = 0
    """Input tokens it read from its cache."""
    thoughts: int = 0
    """Output tokens that were reasoning."""
    later: int = 0
    """Tokens written since, as an estimate: a stream that is left may have been counted at its beginning."""
    id: str = ""
    """Of the response, as the endpoint calls it."""
    size: int = 0
    """Bytes written, thoughts and tool calls included."""
    pieces: int = 0
    """Chunks that held some of it."""
    finished: set[int] = field(default_factory=set[int])
    """Choices that have come to their end."""
    begun: set[int] = field(default_factory=set[int])
    _answer: list[str] = field(default_factory=list[str])
    _kept: int = 0
    _calls: ToolCallIndex = field(default_factory=ToolCallIndex)

    @property
    def answer(self) -> str:
        """The text of the first choice, as far as it is kept."""
        return "".join(self._answer)

    @property
    def message(self) -> Json:
        """The assistant's message in the first choice, as far as it is kept."""
        return {"role": "assistant", "content": self.answer, "tool_calls": self._calls.value}

    @property
    def counted(self) -> bool:
        """True where the endpoint has counted all there is."""
        return self.usage is not None and not self.later

    def estimate_usage(self, asked: int) -> Usage:
        """The usage as counted, else as estimated from what was sent (`asked` tokens) and what came."""
        if self.usage is not None:
            return self.usage + Usage(output_tokens=self.later) if self.later else self.usage
        return Usage(input_tokens=asked, output_tokens=estimate_output(self.pieces, self.size))

    def count_whole(self, value: Json) -> None:
        """Count a response that came in one piece."""
        self.id = str(value.get("id") or "")
        for choice in cast("list[Any]", value.get("choices") or []):
            if isinstance(choice, dict):
                self._spoken(cast("Json", choice), "message")
        self._counted(value.get("usage"))

    def count_chunk(self, value: Json) -> None:
        """Count one chunk of a stream."""
        if not self.id:
            self.id = str(value.get("id") or "")
        choices: object = value.get("choices")
        for choice in cast("list[Any]", choices) if isinstance(choices, list) else []:
            if isinstance(choice, dict):
                self._spoken(cast("Json", choice), "delta")
        usage = value.get("usage")
        if usage is not None:
            self._counted(usage)

    def count_texts(self, texts: Sequence[str]) -> None:
        """Count words of the first choice, each of a chunk that holds nothing else."""
        self.begun.add(0)
        whole = "".join(texts)
        self.size += byte_length(whole)
        self.pieces += len(texts)
        if self.usage is not None:
            self.later += sum(estimate_output(1, byte_length(text)) for text in texts)
        if self._kept + len(whole) <= ANSWER_CHARACTERS:
            self._answer += texts
            self._kept += len(whole)
        else:
            for text in texts:
                self._keep(text)

    def _spoken(self, choice: Json, where: str) -> None:
        index = choice.get("index", 0)
        said: object = choice.get(where)
        if isinstance(index, int):
            self.begun.add(index)
            if choice.get("finish_reason") is not None:
                self.finished.add(index)
        if not isinstance(said, dict):  # `/v1/completions` has no messages, and its choices a text
            said = {"content": choice.get("text")}
        fields = cast("Json", said)
        content: object = fields.get("content")
        size = byte_length(content) if isinstance(content, str) else 0
        thought: object = fields.get("reasoning_content") or fields.get("reasoning")
        size += byte_length(thought) if isinstance(thought, str) else 0
        calls: object = fields.get("tool_calls")
        for call in cast("list[Any]", calls) if isinstance(calls, list) else []:
            size += byte_length(str(call.get("function"))) if isinstance(call, dict) else 0  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        if isinstance(calls, list) and index == 0:
            self._calls.add(cast("list[object]", calls), whole=where == "message")
        if size:
            self._count_size(size)
        if isinstance(content, str) and index == 0:
            self._keep(content)

    def _count_size(self, size: int) -> None:
        self.size += size
        self.pieces += 1
        if self.usage is not None:
            self.later += estimate_output(1, size)

    def _keep(self, text: str) -> None:
        if self._kept < ANSWER_CHARACTERS:
            self._answer.append(text)
            self._kept += len(text)

    def _counted(self, usage: object) -> None:
        """Usage as it is reported, where it can be right."""
        if not isinstance(usage, dict):
            return
        fields = cast("Json", usage)
        given, spoken = _count(fields.get("prompt_tokens")), _count(fields.get("completion_tokens"))
        if given is None or spoken is None or given + spoken == 0:
            return
        more_read, more_spoken = tokens_beside(fields, given, spoken)
        self.usage = Usage(input_tokens=given + more_read, output_tokens=spoken + more_spoken)
        self.later = 0
        details: object = fields.get("prompt_tokens_details")
        cached = _count(cast("Json", details).get("cached_tokens")) if isinstance(details, dict) else None
        self.cached = min(cached or 0, given)
        details = fields.get("completion_tokens_details")
        thoughts = _count(cast("Json", details).get("reasoning_tokens")) if isinstance(details, dict) else None
        self.thoughts = min(thoughts or 0, self.usage.output_tokens)


def _count(value: object) -> int | None:
    """A number of tokens; `None` where it cannot be one."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_TOKENS else None


Piece = tuple[bytes, Json | None, str | None]
"""An event as it goes on, the chunk in it, and the words of a chunk that holds nothing else; each `None` without."""


def says_something(pieces: Sequence[Piece]) -> bool:
    """Return whether the client has some of the answer with these, or its end."""
    for _, chunk, text in pieces:
        if text is not None:
            return True
        choices: object = chunk.get("choices") if chunk else None
        for choice in cast("list[Json]", choices or []):
            delta = cast("Json", choice.get("delta") or {})
            if choice.get("finish_reason") is not None or any(delta[name] for name in delta if name != "role"):
                return True
    return False


def text_alone(chunk: Json) -> str | None:
    """The words of a chunk that holds nothing else that is looked at, as nearly all do; `None` for any other."""
    try:
        (choice,) = chunk["choices"]
        said: Json = choice["delta"]
        text: object = said["content"]
        if choice["index"] != 0 or choice.get("finish_reason") is not None or choice.get("logprobs"):
            return None
    except (LookupError, TypeError, ValueError):  # it is made otherwise
        return None
    if "error" in chunk or "error" in choice or chunk.get("usage") is not None or not isinstance(text, str):
        return None
    if len(said) != 1 and any(value is not None and name not in SPOKEN for name, value in said.items()):
        return None
    return text or None


class StreamRelay:
    """Takes the bytes of an upstream's stream and gives the events to send on."""

    def __init__(self, tally: StreamUsage, *, show_usage: bool, hide: Sequence[str] = ()) -> None:
        """Nothing has come.

        Args:
            tally: Counts.
            show_usage: Whether the client asked for usage.
            hide: What is never said of the upstream: its key, its address.
        """
        self._tally = tally
        self._show = show_usage
        self._hide = hide
        self._waiting = b""
        self._framed = False
        """True once its beginning has come."""
        self._bare = b""
        self._words: list[str] = []
        """Of chunks that hold nothing else; not counted yet."""
        self._halves = SurrogateJoiner()
        self.done = False
        """The upstream has said `[DONE]`."""

    def feed(self, data: bytes) -> list[Piece]:
        """The events that are whole by now.

        Raises:
            ApiError: The data is not a stream of chunks, or the upstream reports an error in it.
        """
        if self._waiting:
            data = self._waiting + data
        if not self._framed:
            data = self._past_mark(data)
        if b"\r" in data:
            held = b"\r" if data.endswith(b"\r") else b""  # perhaps half a line break
            data = data.removesuffix(held).replace(b"\r\n", b"\n").replace(b"\r", b"\n") + held
        *events, self._waiting = data.split(b"\n\n")
        if len(self._waiting) + len(self._bare) > MAX_EVENT_BYTES:
            raise protocol_error("sent an event without end")
        try:
            return [piece for event in events if (piece := self._event(event)) is not None]
        finally:
            self._count_words()

    def _past_mark(self, data: bytes) -> bytes:
        """The beginning of a stream without the mark of its byte order, which belongs to no event."""
        self._framed = len(data) >= len(BOM_UTF8)
        return data.removeprefix(BOM_UTF8)

    def _count_words(self) -> None:
        """Count the words that have come, all at once, before anything is asked of the tally."""
        if self._words:
            self._tally.count_texts(self._words)
            self._words = []

    def close(self) -> list[Piece]:
        """The upstream has closed the stream: the events that had no end of their own.

        Raises:
            ApiError: In the middle of the answer, or before it began.
        """
        rest, self._waiting = self._waiting.strip(), b""
        pieces: list[Piece] = []
        if self._bare or rest.startswith(b"{"):
            pieces = self._whole(self._bare + rest)
        elif rest and not self.done:
            pieces = self._last(rest)
        whole = bool(self._tally.begun) and self._tally.finished >= self._tally.begun
        if not self.done and not whole:
            raise protocol_error("broke off in the middle of its answer")
        if not self._tally.pieces and not self._tally.finished:
            raise protocol_error("ended its answer before it had begun")
        return pieces

    def _last(self, event: bytes) -> list[Piece]:
        """An event without the empty line that ends one. Half of one does not count."""
        try:
            piece = self._event(event)
        except ApiError as error:
            raise protocol_error("broke off in the middle of its answer") from error
        self._count_words()
        return [] if piece is None else [piece]

    def _whole(self, body: bytes) -> list[Piece]:
        """A body that is not a stream of events: an error, or the answer in one piece."""
        if self._tally.begun:
            raise protocol_error("broke off in the middle of its answer")
        _, value = read_completion(body, self._hide)
        pieces = self.feed(chunks_of(value))
        self.done = True
        return pieces

    def _event(self, event: bytes) -> Piece | None:
        """One event as it goes on; `None` where there is nothing to send."""
        if self.done:
            return None
        # Nearly all are one line, `data: {…}`.
        if event.startswith(b"data:") and b"\n" not in event:
            data, failed = event[5:].strip(), False
        else:
            lines = event.split(b"\n")
            data = b"\n".join(line[5:].strip() for line in lines if line.startswith(b"data:"))
            failed = any(line.startswith(b"event:") and line[6:].strip() == b"error" for line in lines)
            if not data:
                return self._odd(event)
        if data == b"[DONE]":
            self.done = True
            return None
        if failed:
            self._count_words()
            raise self._failure(data)
        return self._chunk(event, data)

    def _odd(self, event: bytes) -> Piece | None:
        """An event without data: a comment goes on; what looks like a body is kept for the end."""
        if self._bare or event.lstrip().startswith(b"{"):
            self._bare += event + b"\n\n"
            return None
        return (event + b"\n\n", None, None) if event.startswith(b":") else None

    def _failure(self, data: bytes) -> ApiError:
        """Return the error of an event of the kind `error`."""
        try:
            value, _ = read_json(data)
        except ApiError:
            value = data.decode(errors="replace")
        return reported_error(read_complaint(value), self._hide, amid=bool(self._tally.pieces))

    def _chunk(self, event: bytes, data: bytes) -> Piece | None:
        value, damage = read_json(data)
        if not isinstance(value, dict):
            raise protocol_error("sent a chunk that is no object")
        chunk = cast("Json", value)
        plain = self._tally.id and not damage and not self._halves.are_there  # the first tells the answer's id
        if plain and (text := text_alone(chunk)) is not None:
            self._words.append(text)
            return event + b"\n\n", chunk, text
        self._count_words()
        if (error := error_in(chunk)) is not None:
            raise reported_error(error, self._hide, amid=bool(self._tally.pieces))
        check_choices(chunk, "delta")
        if damage or self._halves.are_there:
            chunk = self._halves.join(chunk, damage)
            event = b"data: " + orjson.dumps(chunk)
        self._tally.count_chunk(chunk)
        if not self._show and chunk.get("usage") is not None:
            if not chunk.get("choices"):
                return None
            del chunk["usage"]
            event = b"data: " + orjson.dumps(chunk)
        return event + b"\n\n", chunk, None
