"""`POST /v1/chat/completions`, and what every kind of turn has in common: who asks, the answer, the ledger's line."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from starlette.types import Receive, Scope, Send

from sale.errors import SaleError, StoreError
from sale.server.gateway.call import Commit
from sale.server.gateway.chat_request import ChatRequest, read_request, read_requirements
from sale.server.gateway.error_forms import error_response
from sale.server.gateway.errors import CLIENT_LEFT, ApiError, as_api_error, internal_error, stopping_error
from sale.server.gateway.exchange import Exchange, document
from sale.server.gateway.identity import NO_CONVERSATION, ConversationThread, read_thread
from sale.server.gateway.market_handle import MARKET
from sale.server.gateway.opencode import note_session
from sale.server.gateway.replays import send_again
from sale.server.gateway.sink import ChatSink, Sink
from sale.server.gateway.state import GatewayState
from sale.server.gateway.turn import Turn
from sale.server.store.types import Holder, LedgerEntry, new_id
from sale.types import Price, Usage
from sale.types.labels import NOTHING_REQUIRED, Requirements

MEGABYTE = 1024 * 1024
LAST_WORD_SECONDS = 1.0
"""Seconds a client may take to be told that the server stops."""
SESSION_HEADER = b"x-sale-session"
REQUIRE_HEADER = b"x-sale-require"
SESSION_CHARACTERS = 128
Json = dict[str, Any]
Reading = Callable[[Exchange, Json, int, Holder], Awaitable[tuple[ChatRequest, Sink]]]
"""Reads a body: returns the request and the sink of its answer, from the exchange, the body, its size in bytes, and the
holder of the key."""


@dataclass(kw_only=True, slots=True)
class RequestRecord:
    """The data of a request for the ledger."""

    path: str
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    began: float = field(default_factory=time.monotonic)
    status: int = 500
    error: str | None = "internal"
    turn: Turn | None = None
    line_id: str = field(default_factory=new_id)
    """Of its line on the ledger, where there is no turn."""
    model: str = ""
    """Where there is no turn: the model, who answers, whether in a stream, and what it took."""
    agent: str | None = None
    streamed: bool = False
    usage: Usage = field(default_factory=Usage)
    dollars: float = 0.0

    def line(self, holder: Holder, largest: Callable[[Turn], float]) -> LedgerEntry:
        """The line."""
        turn = self.turn
        return LedgerEntry(
            id=(turn or self).line_id,
            at=self.at,
            key_id=holder.key_id,
            session_id=turn.session_id if turn else None,
            auction_id=turn.auction_id if turn else None,
            path=self.path,
            model=(turn.asked.model if turn else self.model)[:SESSION_CHARACTERS],
            agent=(turn or self).agent,
            status=self.status,
            error=self.error,
            streamed=turn.asked.stream if turn else self.streamed,
            input_tokens=(turn or self).usage.input_tokens,
            output_tokens=(turn or self).usage.output_tokens,
            cached_tokens=turn.cached if turn else 0,
            work_dollars=turn.work_dollars if turn else self.dollars,
            auction_dollars=turn.auction_dollars if turn else 0.0,
            largest_dollars=largest(turn) if turn else self.dollars,
            seconds=time.monotonic() - self.began,
            first_token_seconds=turn.first_seconds if turn else None,
            wait_seconds=turn.wait_seconds if turn else 0.0,
        )


async def commit_line(state: GatewayState, noted: RequestRecord, holder: Holder) -> None:
    """Put a request without a turn on the ledger, whose answer is whole, before the client sees its end.

    Only where the settings want it so; it is noted once more when the request has ended.
    """
    if state.settings.ledger == "before":
        line = replace(noted.line(holder, lambda _: 0.0), status=200, error=None)
        with contextlib.suppress(StoreError):
            await state.store.note(line, committed=True)


async def say_last_word(saying: Awaitable[None]) -> None:
    """Tell a client that its time is up, as far as it can be told at once: one that does not read holds nothing up."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LAST_WORD_SECONDS):
            await saying


class TurnEndpoint:
    """An ASGI application that answers one kind of turn."""

    def __init__(self, state: GatewayState, reading: Reading) -> None:
        """Nothing is opened.

        Args:
            state: The gateway's state.
            reading: How a body is read, and the answer written.
        """
        self._state = state
        self._reading = reading

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        exchange = Exchange(scope, receive, send)
        with self._state.track_request():
            try:
                await self._take(exchange)
            except Exception:
                if not exchange.started:
                    await _refuse(exchange, internal_error())
                raise  # to the log

    async def _take(self, exchange: Exchange) -> None:
        noted = RequestRecord(path=exchange.path)
        try:
            holder = await self._state.store.admit(exchange.secret)
            body = await exchange.body(self._state.settings.body_mb * MEGABYTE)
            claim = await self._state.replays.claim(exchange, holder, body)
        except SaleError as error:
            await _refuse(exchange, as_api_error(error))
            return
        if claim is not None and claim.replay is not None:
            await send_again(exchange, claim.replay)
            noted.status, noted.error, noted.model = 200, None, claim.model
            await self._state.store.note(noted.line(holder, lambda _: 0.0))
            return
        handle = self._state.handle
        handle.enter()
        try:
            # Work under a key goes on where its client has left: the client will ask for it again.
            await self._answer(exchange, body, holder, noted, watched=claim is None)
        finally:
            if claim is not None:
                model = noted.turn.asked.model if noted.turn else ""
                self._state.replays.settle(claim, model, whole=noted.error is None)
            await handle.leave()
            # Of the market it began on: a new one may know other agents.
            price = handle.incumbent.price
            await self._state.store.note(noted.line(holder, lambda turn: _largest_dollars(turn, price)))

    def _committing(self, noted: RequestRecord, holder: Holder) -> Commit:
        """A function that puts a request on the ledger whose answer is whole, before the client sees its end."""
        price = self._state.handle.incumbent.price

        async def commit(usage: Usage, cached: int, dollars: float) -> None:
            line = noted.line(holder, lambda turn: _largest_dollars(turn, price))
            largest = dollars if noted.turn is None or not noted.turn.awarded else price.dollars(usage, cached=cached)
            more = Usage(input_tokens=line.input_tokens, output_tokens=line.output_tokens) + usage
            whole = replace(
                line,
                status=200,
                error=None,
                input_tokens=more.input_tokens,
                output_tokens=more.output_tokens,
                cached_tokens=line.cached_tokens + cached,
                work_dollars=line.work_dollars + dollars,
                largest_dollars=line.largest_dollars + largest,
            )
            with contextlib.suppress(StoreError):  # it is noted once more when the request has ended
                await self._state.store.note(whole, committed=True)

        return commit

    async def _answer(
        self, exchange: Exchange, body: bytes, holder: Holder, noted: RequestRecord, *, watched: bool
    ) -> None:
        sink: Sink | None = None
        try:
            asked, sink = await self._reading(exchange, document(body), len(body), holder)
            turn = noted.turn = Turn(
                state=self._state,
                handle=self._state.handle,
                asked=asked,
                holder=holder,
                sink=sink,
                thread=_thread(asked, holder),
                session_id=_session_id(exchange, asked),
                require=holder.require | asked.require | required_by_header(exchange),
            )
            turn.commit = self._committing(noted, holder)
            async with exchange.watch_connection() if watched else contextlib.nullcontext():
                await turn.run()
            noted.status, noted.error = 200, None
        except SaleError as error:
            await _tell(exchange, sink, as_api_error(error), noted)
        except asyncio.CancelledError:
            if not self._state.draining:
                raise
            await say_last_word(_tell(exchange, sink, stopping_error(), noted))


def _largest_dollars(turn: Turn, price: Price) -> float:
    """Return what a turn's tokens cost at the incumbent's price; its own cost where the market had no say in it."""
    return price.dollars(turn.usage, cached=turn.cached) if turn.awarded else turn.work_dollars


async def _tell(exchange: Exchange, sink: Sink | None, error: ApiError, noted: RequestRecord) -> None:
    """Say and note how a request failed."""
    noted.status, noted.error = error.status, error.name or error.code
    if error.status == CLIENT_LEFT:
        return
    if sink is None:
        await _refuse(exchange, error)
    else:
        await sink.send_error(error, noted.turn.headers() if noted.turn else [])


async def _refuse(exchange: Exchange, error: ApiError) -> None:
    if not exchange.left:
        await exchange.reply(error.status, *error_response(exchange.path, error))


def _thread(asked: ChatRequest, holder: Holder) -> ConversationThread:
    """Return the place of a request in its conversation; one that names its agent is in none."""
    if asked.model != MARKET:
        return NO_CONVERSATION
    return read_thread(asked.messages, holder.key_id or "", asked.cache_key)


def _session_id(exchange: Exchange, asked: ChatRequest) -> str | None:
    """The session as the client names it.

    Raises:
        ApiError: The name is invalid.
    """
    named = exchange.header(SESSION_HEADER) or asked.session
    if named is None:
        return None
    if not (0 < len(named) <= SESSION_CHARACTERS and named.isascii() and named.isprintable()):
        raise ApiError(
            f"a session's id has 1 to {SESSION_CHARACTERS} printable ASCII characters",
            name="invalid_value",
            param="x-sale-session",
        )
    return named


def required_by_header(exchange: Exchange) -> Requirements:
    """The labels that a request's header requires of agents.

    Raises:
        ApiError: It cannot be read.
    """
    found = NOTHING_REQUIRED
    for value in exchange.all_of(REQUIRE_HEADER):
        found |= read_requirements(value, REQUIRE_HEADER.decode())
    return found


async def read_chat(exchange: Exchange, body: Json, size: int, _: Holder) -> tuple[ChatRequest, Sink]:
    """A chat completion request, answered as it is."""
    asked = note_session(exchange, read_request(body, size))
    return asked, ChatSink(exchange, stream=asked.stream)
