"""The client's side of a turn over the Messages API: one message, or its events as they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, cast

import orjson

from sale.server.gateway.error_forms import error_response, message_error, new_request_id
from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange, Headers
from sale.server.gateway.messages.blocks import ContentBlocks, Display, Event
from sale.server.gateway.messages.wire import MessagesRequest
from sale.server.gateway.sink import open_stream, tell
from sale.server.gateway.stream import Piece, StreamUsage
from sale.server.store.types import new_id
from sale.types import Usage

Json = dict[str, Any]
MATCHED: Final = ("stop_reason", "matched_stop")
"""Fields of a choice by which some endpoints name the stop sequence that ended it."""
NO_USAGE: Final = Usage()
TEXT_DELTA: Final = (
    b"event: content_block_delta\n"
    b'data: {"type":"content_block_delta","index":%d,"delta":{"type":"text_delta","text":%b}}\n\n'
)
"""The event that goes on with a text: nearly all of a stream, so it is not made as an object first."""


class MessageSink:
    """Takes chat completions and gives a message."""

    def __init__(self, exchange: Exchange, request: MessagesRequest, input_tokens: int) -> None:
        """Nothing is sent.

        Args:
            exchange: With the client.
            request: What it asked for.
            input_tokens: An estimate of its length, for the beginning of a stream, before any count is known.
        """
        self._exchange = exchange
        self._stream = request.stream is True
        self._stops = frozenset(request.stop_sequences or ())
        self._estimate = input_tokens
        self._model = request.model
        self._blocks = ContentBlocks(_display(request))
        self._finish: object = None
        self._matched: str | None = None
        self._request_id = new_request_id()
        self.answering = False
        self.response_id: str | None = f"msg_{new_id()}"

    async def send_progress(self, lines: Sequence[str], headers: Headers) -> None:
        """Comments and a ping; who waits for a whole answer is told nothing."""
        if self._stream:
            await tell(self._exchange, lines, self._named(headers))
            await self._send([{"type": "ping"}])

    async def begin(self, headers: Headers) -> None:
        """The message starts."""
        await open_stream(self._exchange, self._named(headers))
        message: Json = self._message(None) | {"content": [], "stop_reason": None, "stop_sequence": None}
        await self._send([{"type": "message_start", "message": message}])

    async def send_pieces(self, pieces: Sequence[Piece]) -> None:
        """Chunks as events; what says nothing keeps the stream alive."""
        self.answering = True
        events: list[bytes] = []
        for _, chunk, text in pieces:
            # Where the client named stop sequences, the choice may tell which it was.
            if text is not None and not self._stops and (place := self._blocks.go_on(text)) is not None:
                events.append(TEXT_DELTA % (place, orjson.dumps(text)))
                continue
            for choice in cast("list[Json]", chunk.get("choices") or [])[:1] if chunk else ():
                events += map(_written, self._blocks.add(cast("Json", choice.get("delta") or {})))
                self._ended(choice)
        await self._exchange.write(b"".join(events) or _written({"type": "ping"}))

    async def finish(self, tally: StreamUsage) -> None:
        """The message is whole."""
        events = self._blocks.close()
        events.append({"type": "message_delta", "delta": self._stop(), "usage": self._usage(tally)})
        events.append({"type": "message_stop"})
        await self._send(events)
        await self._exchange.end()

    async def send_whole(self, raw: bytes, value: Json, headers: Headers) -> None:  # noqa: ARG002  as the protocol says
        """The message in one piece."""
        self.answering = True
        choice = cast("Json", value["choices"][0])
        said = cast("Json", choice.get("message") or {})
        self._blocks.add(said, whole=True)
        self._blocks.close()
        self._ended(choice)
        tally = StreamUsage()
        tally.count_whole(value)
        await self._exchange.reply(200, orjson.dumps(self._message(tally)), self._named(headers))

    async def send_error(self, error: ApiError, headers: Headers) -> None:
        """A status, or in a stream the event that says so."""
        if self._exchange.started:
            await self._send([message_error(error, self._request_id)])
            await self._exchange.end()
            return
        document, own = error_response(self._exchange.path, error)
        await self._exchange.reply(error.status, document, [*own, *headers])

    def _ended(self, choice: Json) -> None:
        """Why the choice ended, if it did."""
        self._finish = choice.get("finish_reason") or self._finish
        told = [choice[name] for name in MATCHED if isinstance(choice.get(name), str)]
        self._matched = next((one for one in told if one in self._stops), self._matched)

    def _stop(self) -> Json:
        reason = self._blocks.stop_reason(self._finish)
        if self._matched is not None and reason == "end_turn":
            return {"stop_reason": "stop_sequence", "stop_sequence": self._matched}
        return {"stop_reason": reason, "stop_sequence": None}

    def _message(self, tally: StreamUsage | None) -> Json:
        return {
            "id": self.response_id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": self._blocks.content,
            **self._stop(),
            "usage": self._usage(tally),
        }

    def _usage(self, tally: StreamUsage | None) -> Json:
        """Return usage in the terms of the Messages API, where input tokens exclude those read from the cache."""
        usage, cached = (tally.estimate_usage(self._estimate), tally.cached) if tally else (NO_USAGE, 0)
        return {
            "input_tokens": (usage.input_tokens if tally else self._estimate) - cached,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": cached,
            "output_tokens": usage.output_tokens,
            "output_tokens_details": {"thinking_tokens": tally.thoughts if tally else 0},
        }

    def _named(self, headers: Headers) -> Headers:
        return [*headers, (b"request-id", self._request_id.encode())]

    async def _send(self, events: Sequence[Event]) -> None:
        await self._exchange.write(b"".join(map(_written, events)))


def _written(event: Event) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), orjson.dumps(event))


def _display(request: MessagesRequest) -> Display:
    """Return the form in which the client asks for the reasoning; `hidden` where it does not ask for it."""
    thinking = request.thinking
    if thinking is None or thinking.type == "disabled":
        return "hidden"
    return "omitted" if thinking.display == "omitted" else "shown"
