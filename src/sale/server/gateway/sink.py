"""The client's side of a turn: how an answer, or the lack of one, reaches it over chat completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import orjson

from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange, Headers
from sale.server.gateway.stream import Piece, StreamUsage

Json = dict[str, Any]
DONE = b"data: [DONE]\n\n"


class Sink(Protocol):
    """Takes what a turn comes to."""

    answering: bool
    """The client has some of the answer: from now on no other agent can give it."""
    response_id: str | None
    """The answer's id at the client; `None` where that is the endpoint's own id."""

    async def send_progress(self, lines: Sequence[str], headers: Headers) -> None:
        """The auction takes a while, and this is what happens in it."""
        ...

    async def begin(self, headers: Headers) -> None:
        """A stream begins."""
        ...

    async def send_pieces(self, pieces: Sequence[Piece]) -> None:
        """Some of the stream."""
        ...

    async def finish(self, tally: StreamUsage) -> None:
        """The stream is whole."""
        ...

    async def send_whole(self, raw: bytes, value: Json, headers: Headers) -> None:
        """The answer in one piece."""
        ...

    async def send_error(self, error: ApiError, headers: Headers) -> None:
        """There is no answer, or it ends here."""
        ...


def comment(text: str) -> bytes:
    """A line of a stream of events that clients do not see."""
    return f": sale {' '.join(text.split())}\n\n".encode()


def format_headers(headers: Headers) -> str:
    """Headers as a comment, where it is too late for headers."""
    return " ".join(f"{name.decode().removeprefix('x-sale-')}={value.decode()}" for name, value in headers)


async def tell(exchange: Exchange, lines: Sequence[str], headers: Headers) -> None:
    """Write the events of an auction as comments of a stream, which begins with them if it has not yet."""
    if not exchange.started:
        await exchange.begin(headers)
    await exchange.write(b"".join(comment(line) for line in lines or ("bidding…",)))


async def open_stream(exchange: Exchange, headers: Headers) -> None:
    """The head of a stream, unless it is out; then the headers follow as a comment."""
    if exchange.started:
        await exchange.write(comment(format_headers(headers)))
    else:
        await exchange.begin(headers)


class ChatSink:
    """Chat completions: chunks as they come from upstream, `[DONE]` only at the end of a whole answer."""

    def __init__(self, exchange: Exchange, *, stream: bool) -> None:
        """Nothing is sent.

        Args:
            exchange: With the client.
            stream: Whether it wants a stream.
        """
        self._exchange = exchange
        self._stream = stream
        self.answering = False
        self.response_id: str | None = None

    async def send_progress(self, lines: Sequence[str], headers: Headers) -> None:
        """Comments keep a stream alive; who waits for a whole answer is told nothing."""
        if self._stream:
            await tell(self._exchange, lines, headers)

    async def begin(self, headers: Headers) -> None:
        """The head, unless it is out; then the headers follow as a comment."""
        await open_stream(self._exchange, headers)

    async def send_pieces(self, pieces: Sequence[Piece]) -> None:
        """All that has come, in one go."""
        self.answering = True
        data = pieces[0][0] if len(pieces) == 1 else b"".join([piece[0] for piece in pieces])
        await self._exchange.write(data)

    async def finish(self, tally: StreamUsage) -> None:  # noqa: ARG002  as the protocol says
        """The protocol's own end."""
        await self._exchange.write(DONE)
        await self._exchange.end()

    async def send_whole(self, raw: bytes, value: Json, headers: Headers) -> None:  # noqa: ARG002
        """The body as it came."""
        self.answering = True
        await self._exchange.reply(200, raw, headers)

    async def send_error(self, error: ApiError, headers: Headers) -> None:
        """A status, or in a stream an error event and no `[DONE]`."""
        if self._exchange.started:
            await self._exchange.write(b"data: " + orjson.dumps({"error": error.value}) + b"\n\n")
            await self._exchange.end()
        else:
            await self._exchange.reply(error.status, error.document(), [*error.headers, *headers])
