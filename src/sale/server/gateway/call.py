"""One call of one agent for a turn: through its endpoint as it is, or through the agent itself where it has none."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from sale.agents.account import keep_calls
from sale.agents.protocol import Agent, DirectEndpoint
from sale.auction.foreign import await_foreign
from sale.errors import CallError
from sale.models.address import EFFORT, Address
from sale.server.gateway.agent_minutes import most_tokens
from sale.server.gateway.chat_request import ChatRequest
from sale.server.gateway.completion import as_chunks, as_completion
from sale.server.gateway.dialect import RENAMED, USAGE_IN_STREAMS, refused_fields
from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Headers
from sale.server.gateway.sink import Sink
from sale.server.gateway.state import GatewayState
from sale.server.gateway.stream import Piece, StreamRelay, StreamUsage, says_something
from sale.server.gateway.token_estimate import choices, max_output_tokens
from sale.server.gateway.upstream import UpstreamResponse
from sale.server.gateway.upstream_json import read_completion
from sale.types import Call, Task, Usage

PATH = "/chat/completions"
UNKNOWN_ANSWER_TOKENS = 4096
"""Tokens assumed beforehand of an answer without a limit."""
QUIET_SECONDS = 10.0
"""A client that waits for a stream is never longer without a sign of life, where the endpoint gives one."""
Json = dict[str, Any]
Commit = Callable[[Usage, int, float], Awaitable[None]]
"""Takes what the call under way has come to: usage, input tokens read from a cache, dollars."""


@dataclass(kw_only=True, slots=True)
class UpstreamCall:
    """A call, and what it comes to."""

    agent: Agent
    reach: DirectEndpoint | None
    plan: str
    asked: ChatRequest
    sink: Sink
    whole: Callable[[UpstreamCall], Awaitable[None]]
    """Awaited once the answer is whole and its usage known, before the client sees its end."""
    tally: StreamUsage = field(default_factory=StreamUsage)
    refused: frozenset[str] = frozenset()
    """Fields that its endpoint refuses, and that were left out."""
    sent: bool = False
    """The endpoint may have worked on it, and charge for it."""
    seconds: float = 0.0
    parts: tuple[Call, ...] = ()
    """The calls that an agent without an endpoint made for it."""
    _replaced: frozenset[str] = frozenset()

    @property
    def followed(self) -> bool:
        """True where the agent was shown its plan."""
        return bool(self.plan) and (self.reach is None or self.reach.follow_strategy)

    @property
    def left_out(self) -> frozenset[str]:
        """Fields that its endpoint refuses, or its agent's effort replaces, and that nothing says in their place."""
        return (self.refused - RENAMED.keys() - {USAGE_IN_STREAMS}) | self._replaced

    @property
    def usage(self) -> Usage:
        """The tokens it has consumed, as counted or else estimated."""
        if not self.sent:
            return Usage()
        return self.tally.estimate_usage(self.asked.weight.as_a_rule)

    @property
    def counted(self) -> bool:
        """True where the usage is known, and not estimated."""
        return self.tally.counted or not self.sent

    @property
    def dollars(self) -> float:
        """Its cost in dollars."""
        return self._cost(self.usage)

    def _cost(self, usage: Usage) -> float:
        if self.parts:
            return sum(call.dollars for call in self.parts)
        return self.agent.price.dollars(usage, cached=self.tally.cached)

    def worst_case(self, dearest: float | None, most: int) -> tuple[float, int]:
        """Dollars and tokens it can take at most.

        An agent without an endpoint knows no limit of the client's, and what it costs need not depend on its tokens.

        Args:
            dearest: What the work of an agent without an endpoint costs, where that is known.
            most: The tokens it has taken so far.
        """
        told = self.plan if self.followed else ""
        body = self.asked.body if self.reach is not None else {}
        written = max_output_tokens(body, self.reach.answer_tokens if self.reach is not None else UNKNOWN_ANSWER_TOKENS)
        usage = Usage(input_tokens=self.asked.weight.max_tokens(told), output_tokens=written)
        if self.reach is not None:
            return self.agent.price.dollars(usage), usage.total
        return (self.agent.price.dollars(usage) if dearest is None else dearest), max(usage.total, most)

    def as_call(self, error: str | None) -> Call:
        """The line of the settlement."""
        usage = self.usage
        return Call(
            stage="execute",
            agent=self.agent.name,
            usage=usage,
            dollars=self._cost(usage),
            seconds=self.seconds,
            error=error,
        )

    async def make(self, state: GatewayState, headers: Callable[[UpstreamCall], Headers]) -> None:
        """Have it answered, to the client.

        Args:
            state: Where the connections are.
            headers: What the client is told once the answer has begun.

        Raises:
            ApiError: There is no answer, or it broke off; `elsewhere` where another agent may do better.
        """
        began, share, reach = time.monotonic(), None, self.reach
        try:
            if reach is None:
                await self._execute(headers)
            else:
                share = state.minutes.reserve(self.agent.name, reach, lambda: most_tokens(self.asked, reach))
                await self._forward(reach, state, headers)
        except ApiError as error:
            self.sent = self.sent and (error.spent or bool(self.tally.pieces))
            raise
        finally:
            self.seconds = time.monotonic() - began
            if share is not None:
                share.settle(self.usage.total)

    async def _forward(
        self, reach: DirectEndpoint, state: GatewayState, headers: Callable[[UpstreamCall], Headers]
    ) -> None:
        try:
            address = await reach.address()
        except CallError as error:
            raise ApiError(
                "the agent's model is not ready", status=502, name=error.code.replace(".", "_"), elsewhere=True
            ) from error
        optional = self.asked.optional | ({USAGE_IN_STREAMS} if self.asked.adds_usage else frozenset[str]())
        self.refused = state.dialects.refused_by(address) & optional
        while True:
            try:
                await self._send(reach, address, state, headers)
            except ApiError as error:
                more = refused_fields(error, optional - self.refused)
                if not more or self.sink.answering:
                    raise
                self.refused |= more
            else:
                state.dialects.learn(address, self.refused, optional - self.refused)
                return

    async def _send(
        self, reach: DirectEndpoint, address: Address, state: GatewayState, headers: Callable[[UpstreamCall], Headers]
    ) -> None:
        """Ask the endpoint, once."""
        effort = self._effort(reach, respected=state.settings.effort == "request")
        plan = self.plan if self.followed else ""
        body = self.asked.upstream_body(address.model, plan, self.refused, effort=effort)
        silence = state.settings.silence_seconds
        self.sent = True
        # A stream may last as long as it says something; a whole answer has the agent's time.
        seconds = None if self.asked.stream else reach.seconds
        async with state.upstream.post(address, PATH, body, silence=silence, seconds=seconds) as answer:
            if self.asked.stream:
                await self._relay(answer, headers)
            else:
                raw, value = read_completion(await answer.read_body(), answer.hide)
                self.tally.count_whole(value)
                await self.whole(self)
                await self.sink.send_whole(raw, value, headers(self))

    def _effort(self, reach: DirectEndpoint, *, respected: bool) -> str | None:
        """The effort to send in place of the request's own; `None` where that is sent as it is."""
        asked = self.asked.effort
        if reach.effort is None or (respected and asked is not None):
            return None
        if asked not in (None, reach.effort):
            self._replaced = frozenset({EFFORT})
        return reach.effort

    async def _relay(self, answer: UpstreamResponse, headers: Callable[[UpstreamCall], Headers]) -> None:
        """A stream on its way through. Until it says something, another agent can still take over."""
        relay = StreamRelay(self.tally, show_usage=self.asked.wants_usage, hide=answer.hide)
        held: list[Piece] = []
        spoken = time.monotonic()
        async for data in answer.read_pieces():
            held += relay.feed(data)
            if held and (self.sink.answering or says_something(held)):
                await self._pass_on(held, headers)
                held = []
            elif held and time.monotonic() - spoken >= QUIET_SECONDS:
                await self.sink.send_progress((f"{self.agent.name} is at work",), headers(self))
                spoken = time.monotonic()
            if relay.done:
                break
        held += relay.close()
        if held:
            await self._pass_on(held, headers)
        await self.whole(self)
        await self.sink.finish(self.tally)
        await answer.drain()

    async def _pass_on(self, pieces: list[Piece], headers: Callable[[UpstreamCall], Headers]) -> None:
        if not self.sink.answering:
            await self.sink.begin(headers(self))
        await self.sink.send_pieces(pieces)

    def _take(self, calls: Sequence[Call]) -> Usage:
        """Charge what an agent without an endpoint has called, and return its tokens."""
        self.parts = tuple(calls)
        self.tally.usage = usage = sum((call.usage for call in calls), Usage())
        return usage

    async def _execute(self, headers: Callable[[UpstreamCall], Headers]) -> None:
        """The agent does the conversation as one task."""
        if self.asked.tools or choices(self.asked.body) > 1:
            what = "tools" if self.asked.tools else "n"
            raise ApiError(
                f"agent {self.agent.name!r} has no endpoint: it takes no {what}", name="unsupported", param=what
            )
        self.sent = True
        with keep_calls() as calls:
            try:
                done = await await_foreign(self.agent.execute(Task(text=self.asked.text()), self.plan or None))
            except BaseException as error:
                if any(call.usage.total or call.dollars for call in calls):
                    self._take(calls)
                if not isinstance(error, CallError):
                    raise
                said, paid = f"the agent failed: {error.message}", bool(self.parts)
                raise ApiError(said, status=502, name="agent_failed", elsewhere=True, spent=paid) from error
        usage = self._take(done.calls)
        if not done.answer.strip():
            raise ApiError(
                "the agent has no answer", status=502, name="agent_failed", elsewhere=True, spent=bool(done.calls)
            )
        value = as_completion(done.answer, self.agent.name, usage)
        if not self.asked.stream:
            self.tally.count_whole(value)
            await self.whole(self)
            await self.sink.send_whole(orjson.dumps(value), value, headers(self))
            return
        relay = StreamRelay(self.tally, show_usage=self.asked.wants_usage)
        await self.sink.begin(headers(self))
        await self.sink.send_pieces(relay.feed(as_chunks(value)))
        await self.whole(self)
        await self.sink.finish(self.tally)
