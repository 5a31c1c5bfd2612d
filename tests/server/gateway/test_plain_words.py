"""Words that hold nothing else take a shorter way through the sinks: what a client reads is the same, byte for byte."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message

from sale.server.gateway.errors import ApiError
from sale.server.gateway.exchange import Exchange
from sale.server.gateway.messages.sink import MessageSink
from sale.server.gateway.messages.wire import read_messages_request
from sale.server.gateway.response_sink import ResponseSink
from sale.server.gateway.response_tools import ResponseTools
from sale.server.gateway.sink import Sink
from sale.server.gateway.stream import Piece, StreamUsage, text_alone

Json = dict[str, Any]
CALL = {"index": 0, "id": "c", "function": {"name": "look", "arguments": "{}"}}
NAMELESS = {"index": 1, "id": "d", "function": {"arguments": "{}"}}
NAME = {"index": 1, "function": {"name": "find"}}
MADE = re.compile(rb"_[0-9a-f]{32}|\"created_at\":\d+")
"""What no two answers have alike."""

words = st.sampled_from(["a", " word", "Grüß 😀", '"quoted"\n', "\u2028"])
deltas = st.one_of(
    words.map(lambda text: {"content": text}),
    words.map(lambda text: {"role": "assistant", "content": text, "reasoning": None}),
    words.map(lambda text: {"reasoning_content": text}),
    words.map(lambda text: {"refusal": text}),
    st.sampled_from([{"tool_calls": [one]} for one in (CALL, NAMELESS, NAME)]),
    st.just({}),
)
choices = st.fixed_dictionaries(
    {"index": st.just(0), "delta": deltas},
    optional={
        "logprobs": st.sampled_from([None, {"content": [{"token": "a", "logprob": -0.5}]}]),
        "stop_reason": st.sampled_from([None, "END"]),
    },
)
chunks = st.lists(choices.map(lambda choice: {"id": "x", "choices": [choice]}), min_size=1, max_size=12)


class Client:
    """Keeps what it is sent."""

    def __init__(self) -> None:
        self.body = b""
        self.exchange = Exchange({"type": "http", "path": "/v1/x", "headers": []}, self._never, self._take)

    async def _never(self) -> Message:
        raise AssertionError("nothing is read")

    async def _take(self, message: Message) -> None:
        self.body += message.get("body", b"")


def responses(client: Client) -> Sink:
    async def keep(_: Json, __: Json) -> None: ...

    return ResponseSink(client.exchange, {"model": "m"}, stream=True, keep=keep, tools=ResponseTools())


def messages(client: Client) -> Sink:
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "?"}]}
    return MessageSink(client.exchange, read_messages_request(body), 7)


def messages_with_stops(client: Client) -> Sink:
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "?"}]}
    return MessageSink(client.exchange, read_messages_request(body | {"stop_sequences": ["END"]}), 7)


def thinking(client: Client) -> Sink:
    body = {"model": "m", "max_tokens": 9, "stream": True, "messages": [{"role": "user", "content": "?"}]}
    return MessageSink(client.exchange, read_messages_request(body | {"thinking": {"type": "adaptive"}}), 7)


async def read(made: Any, said: list[Json], *, short: bool, error: bool) -> bytes:
    client, tally = Client(), StreamUsage()
    sink = made(client)
    await sink.begin([])
    for chunk in said:
        tally.count_chunk(chunk)
        piece: Piece = (b"", chunk, text_alone(chunk) if short else None)
        await sink.send_pieces([piece])
    if error:
        await sink.send_error(ApiError("it broke off", status=502, name="upstream_broken"), [])
    else:
        await sink.finish(tally)
    return MADE.sub(b"", client.body)


@pytest.mark.parametrize("made", [responses, messages, messages_with_stops, thinking])
@given(said=chunks, error=st.booleans())
def test_the_client_reads_the_same(made: Any, said: list[Json], error: bool) -> None:
    short, whole = (asyncio.run(read(made, said, short=one, error=error)) for one in (True, False))
    assert short == whole
