"""`POST /v1/completions` and `/v1/rerank`, passed through to the agent that `model` names, within its key's limits.

They are not auctioned: an auction needs a conversation. Both are counted at the agent's price; a reranker that counts
no tokens at an estimate of its input.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

import orjson
from starlette.types import Receive, Scope, Send

from sale.agents.protocol import Agent, DirectEndpoint
from sale.errors import CallError, SaleError
from sale.models.address import Address
from sale.server.gateway.chat import MEGABYTE, RequestRecord, commit_line, required_by_header, say_last_word
from sale.server.gateway.chat_request import (
    check_choices_asked,
    read_model,
    refuse_other_models,
    remove_own_fields,
    required_by_body,
)
from sale.server.gateway.dialect import USAGE_IN_STREAMS, refused_fields
from sale.server.gateway.direct_estimate import count_prompts, weigh_prompts, weigh_ranking
from sale.server.gateway.errors import CLIENT_LEFT, ApiError, as_api_error, stopping_error
from sale.server.gateway.exchange import Exchange, Headers, document
from sale.server.gateway.market_handle import MARKET, MarketHandle
from sale.server.gateway.sink import ChatSink
from sale.server.gateway.state import GatewayState
from sale.server.gateway.stream import Piece, StreamRelay, StreamUsage
from sale.server.gateway.token_estimate import TokenEstimate, max_output_tokens
from sale.server.gateway.upstream import UpstreamResponse
from sale.server.gateway.upstream_json import error_in, protocol_error, read_json, reported_error
from sale.server.store.types import Holder
from sale.types import Usage
from sale.types.labels import Requirements

Json = dict[str, Any]
Kind = Literal["completions", "rerank"]

ANSWERS: Final[dict[Kind, tuple[str, ...]]] = {"completions": ("choices",), "rerank": ("results", "data")}
"""Fields of an answer, of which one holds a list."""
MAX_TOKENS: Final = 2**40


@dataclass(kw_only=True, slots=True)
class _Passing:
    """A request under way."""

    body: Json
    estimate: TokenEstimate
    """Its tokens, before any are counted."""
    agent: Agent
    reach: DirectEndpoint
    holder: Holder
    noted: RequestRecord
    tally: StreamUsage = field(default_factory=StreamUsage)
    sent: bool = False
    """The endpoint may have worked on it."""

    @property
    def stream(self) -> bool:
        return self.body.get("stream") is True

    @property
    def optional(self) -> frozenset[str]:
        """Fields that the gateway adds, and that are left out where an endpoint refuses them."""
        return frozenset({USAGE_IN_STREAMS} if self.stream and self.body.get(USAGE_IN_STREAMS) is None else ())

    def upstream_body(self, model: str, refused: Collection[str]) -> bytes:
        """The body for the agent's endpoint, with usage at the end of a stream.

        Args:
            model: The name at the endpoint.
            refused: Optional fields that the endpoint refuses.
        """
        body: Json = self.body | {"model": model}
        remove_own_fields(body)
        if self.stream and USAGE_IN_STREAMS not in refused:
            options: object = self.body.get(USAGE_IN_STREAMS)
            body[USAGE_IN_STREAMS] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
        return orjson.dumps(body)

    @property
    def usage(self) -> Usage:
        """The tokens it has consumed, as counted or else estimated."""
        return self.tally.estimate_usage(self.estimate.as_a_rule) if self.sent else Usage()

    @property
    def dollars(self) -> float:
        return self.agent.price.dollars(self.usage, cached=self.tally.cached)

    def note_usage(self) -> None:
        """Put what it has come to on its line."""
        self.noted.usage, self.noted.dollars = self.usage, self.dollars
        self.noted.cached = self.tally.cached

    def headers(self) -> Headers:
        """Headers about the agent and the price."""
        basis = b"counted" if self.tally.counted else b"estimate"
        cost = f"{self.dollars:.9f}".encode()
        name = self.agent.name.encode("latin-1", errors="replace")
        named = (b"x-sale-reason", b"named")
        return [(b"x-sale-agent", name), named, (b"x-sale-cost", cost), (b"x-sale-cost-basis", basis)]


class PassThroughEndpoint:
    """An ASGI application for one of the two addresses."""

    def __init__(self, state: GatewayState, kind: Kind) -> None:
        """Nothing is opened.

        Args:
            state: The gateway's state.
            kind: The address.
        """
        self._state = state
        self._kind: Kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        with self._state.track_request():
            await self._take(Exchange(scope, receive, send))

    async def _take(self, exchange: Exchange) -> None:
        noted = RequestRecord(path=exchange.path, began=time.monotonic())
        try:
            holder = await self._state.store.admit(exchange.secret)
            raw = await exchange.body(self._state.settings.body_mb * MEGABYTE)
        except SaleError as error:
            await _tell(exchange, None, as_api_error(error))
            return
        handle = self._state.handle
        handle.enter()
        sink = ChatSink(exchange, stream=True)
        try:
            require = holder.require | required_by_header(exchange)
            agent, reach, body = self._read(document(raw), handle, holder, require)
            noted.model = noted.agent = agent.name
            weight = (weigh_prompts if self._kind == "completions" else weigh_ranking)(body, len(raw))
            passing = _Passing(body=body, estimate=weight, agent=agent, reach=reach, holder=holder, noted=noted)
            noted.streamed = passing.stream
            async with exchange.watch_connection():
                await self._paid(passing, exchange, sink)
            noted.status, noted.error = 200, None
        except SaleError as error:
            told = as_api_error(error)
            noted.status, noted.error = told.status, told.name or told.code
            await _tell(exchange, sink, told)
        except asyncio.CancelledError:
            if not self._state.draining:
                raise
            told = stopping_error()
            noted.status, noted.error = told.status, told.name
            await say_last_word(_tell(exchange, sink, told))
        finally:
            await handle.leave()
            await self._state.store.note(noted.line(holder, lambda _: 0.0))

    def _read(
        self, body: Json, handle: MarketHandle, holder: Holder, require: Requirements
    ) -> tuple[Agent, DirectEndpoint, Json]:
        """The agent that a request is for, its endpoint, and the body.

        Raises:
            ApiError: It names none that can be asked.
        """
        model = read_model(body)
        refuse_other_models(body)
        check_choices_asked(body)
        if body.get("stream") is not None and not (isinstance(body["stream"], bool) and self._kind == "completions"):
            raise ApiError("stream must be true or false", name="invalid_value", param="stream")
        if model == MARKET:
            raise ApiError(
                f"{MARKET!r} is not asked here, as nothing is auctioned: name an agent in model",
                name="unsupported",
                param="model",
            )
        agent = handle.find_agent(model, holder.agents, required_by_body(body) | require)
        reach = handle.reach(agent.name)
        if reach is None:
            raise ApiError(f"agent {agent.name!r} has no endpoint", name="unsupported", param="model")
        return agent, reach, body

    async def _paid(self, passing: _Passing, exchange: Exchange, sink: ChatSink) -> None:
        """The answer, with money and tokens set aside before and settled after, however it ends."""
        written = max_output_tokens(passing.body, passing.reach.answer_tokens) * count_prompts(passing.body)
        most = Usage(
            input_tokens=passing.estimate.max_tokens(), output_tokens=written if self._kind == "completions" else 0
        )
        reservation = await self._state.store.reserve(passing.holder, passing.agent.price.dollars(most), most.total)
        share = None
        try:
            share = self._state.minutes.reserve(passing.agent.name, passing.reach, lambda: most.total)
            await self._forwarded(passing, exchange, sink)
        finally:
            if share is not None:
                share.settle(passing.usage.total)
            passing.note_usage()
            await self._state.store.settle(reservation, dollars=passing.dollars, tokens=passing.usage.total)

    async def _forwarded(self, passing: _Passing, exchange: Exchange, sink: ChatSink) -> None:
        try:
            address = await passing.reach.address()
        except CallError as error:
            raise ApiError("the agent's model is not ready", status=502, name=error.code.replace(".", "_")) from error
        dialects, optional = self._state.dialects, passing.optional
        refused = dialects.refused_by(address) & optional
        while True:
            try:
                await self._sent(passing, address, refused, exchange, sink)
            except ApiError as error:
                passing.sent = error.spent or bool(passing.tally.pieces)
                more = refused_fields(error, optional - refused)
                if not more or sink.answering:
                    raise
                refused |= more
            else:
                dialects.learn(address, refused, optional - refused)
                return

    async def _sent(
        self, passing: _Passing, address: Address, refused: frozenset[str], exchange: Exchange, sink: ChatSink
    ) -> None:
        """Ask the endpoint, once."""
        silence, seconds = self._state.settings.silence_seconds, None if passing.stream else passing.reach.seconds
        body = passing.upstream_body(address.model, refused)
        passing.sent = True
        async with self._state.upstream.post(
            address, f"/{self._kind}", body, silence=silence, seconds=seconds
        ) as answer:
            if passing.stream:
                await self._relay(passing, answer, sink)
            else:
                raw = self._checked(await answer.read_body(), answer, passing)
                await self._commit(passing)
                await exchange.reply(200, raw, passing.headers())

    def _checked(self, raw: bytes, answer: UpstreamResponse, passing: _Passing) -> bytes:
        """The body of an answer, read for its usage.

        Raises:
            ApiError: It is an error, or no answer.
        """
        value, damage = read_json(raw)
        if (error := error_in(value)) is not None:
            raise reported_error(error, answer.hide)
        fields = cast("Json", value) if isinstance(value, dict) else {}
        if damage or not any(isinstance(fields.get(name), list) for name in ANSWERS[self._kind]):
            raise protocol_error(f"sent what is no answer of {self._kind}")
        if self._kind == "completions":
            passing.tally.count_whole(fields)
        else:
            usage: object = fields.get("usage")
            tokens: object = cast("Json", usage).get("total_tokens") if isinstance(usage, dict) else None
            if isinstance(tokens, int) and not isinstance(tokens, bool) and 0 < tokens < MAX_TOKENS:
                passing.tally.usage = Usage(input_tokens=tokens)
        return raw

    async def _relay(self, passing: _Passing, answer: UpstreamResponse, sink: ChatSink) -> None:
        """A stream on its way through, byte for byte."""
        options: object = passing.body.get("stream_options")
        wanted = isinstance(options, dict) and cast("Json", options).get("include_usage") is True
        relay = StreamRelay(passing.tally, show_usage=wanted, hide=answer.hide)

        async def send(pieces: list[Piece]) -> None:
            if pieces:
                if not sink.answering:
                    await sink.begin(passing.headers())
                await sink.send_pieces(pieces)

        async for data in answer.read_pieces():
            await send(relay.feed(data))
            if relay.done:
                break
        await send(relay.close())
        await self._commit(passing)
        await sink.finish(passing.tally)
        await answer.drain()

    async def _commit(self, passing: _Passing) -> None:
        """The answer is whole: its line comes before its end, where the settings say so."""
        passing.note_usage()
        await commit_line(self._state, passing.noted, passing.holder)


async def _tell(exchange: Exchange, sink: ChatSink | None, error: ApiError) -> None:
    if error.status == CLIENT_LEFT or exchange.left:
        return
    if sink is not None:
        await sink.send_error(error, [])
    else:
        await exchange.reply(error.status, error.document(), error.headers)
