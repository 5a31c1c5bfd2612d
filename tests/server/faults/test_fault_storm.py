"""Many streams at once; every tenth call of their endpoint fails. Each ends rightly, and is billed once.

In each of the three protocols: a stream is whole where it has its protocol's end, and says its fault where it has not.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.faulty_server import FaultWall
from tests.support.gateway_process import gateway
from tests.support.replies import ANSWER, Json
from tests.support.sse_client import Heard, chat, hear

FAULTS = ["429", "500", "reset-3", "stall-3", "cut-3", "close", "hang", "error-frame-3"]
SILENCE = 40.0
"""Seconds. The endpoint, these clients and the gateway share a machine: it is slow long before it is silent."""


def told(number: int) -> str:
    """What the request of this number says: every tenth names a fault."""
    fault = FAULTS[number // 10 % len(FAULTS)] if number % 10 == 0 else "good"
    return f"Request {number}. fault:{fault}"


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One of the three, as far as a storm speaks it."""

    path: str
    body: Callable[[str], Json]
    """The request that says this."""
    text: Callable[[Json], str]
    """What an event adds to the answer."""
    end: Callable[[Heard], bool]
    """Whether a stream came to its protocol's own end."""


def ends_with(kind: str) -> Callable[[Heard], bool]:
    return lambda heard: bool(heard.events) and heard.events[-1]["type"] == kind


CHAT = Protocol(
    path="/chat/completions",
    body=lambda words: chat("only", words, stream=True),
    text=lambda event: "".join(choice["delta"].get("content") or "" for choice in event.get("choices", [])),
    end=lambda heard: heard.done,
)
RESPONSES = Protocol(
    path="/responses",
    body=lambda words: {"model": "only", "input": words, "stream": True},
    text=lambda event: str(event["delta"]) if event["type"] == "response.output_text.delta" else "",
    end=ends_with("response.completed"),
)
MESSAGES = Protocol(
    path="/messages",
    body=lambda words: {**chat("only", words, stream=True), "max_tokens": 1000},
    text=lambda event: str(event["delta"].get("text") or "") if event["type"] == "content_block_delta" else "",
    end=ends_with("message_stop"),
)
PROTOCOLS = [pytest.param(one, id=one.path[1:]) for one in (CHAT, RESPONSES, MESSAGES)]


def right(heard: Heard, number: int, protocol: Protocol) -> bool:
    """Whether this is how the answer should have ended."""
    text = "".join(map(protocol.text, heard.events))
    if number % 10:
        return heard.status == 200 and text == ANSWER and protocol.end(heard) and not failed(heard)
    return failed(heard) and not protocol.end(heard) and ANSWER.startswith(text)


def failed(heard: Heard) -> bool:
    """Whether an error was said, as a body or as an event."""
    said = [heard.body] if heard.body is not None else heard.events
    return any(one.get("error") or one.get("type") in {"error", "response.failed"} for one in said)


@pytest.mark.parametrize(("protocol", "streams"), [(CHAT, 400), (RESPONSES, 100), (MESSAGES, 100)])
async def test_every_stream_of_a_storm_ends_rightly_and_is_billed_once(
    tmp_path: Path, protocol: Protocol, streams: int
) -> None:
    await weather(tmp_path, streams, protocol)


@pytest.mark.release
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_storm_of_two_thousand_streams(tmp_path: Path, protocol: Protocol) -> None:
    await weather(tmp_path, 2000, protocol)


async def weather(tmp_path: Path, streams: int, protocol: Protocol) -> None:
    """Have so many, and check every one."""
    with FaultWall() as wall:
        agent = {"name": "only", "endpoint": wall.base_url, "model": "as-told", "price": 1.0, "logprobs": 0}
        with gateway(tmp_path, [agent], server={"silence_seconds": SILENCE}) as served:
            key = served.new_key("--budget", "1000", "--period", "month")
            heard = await storm(served.base_url, key, streams, protocol)
            wrong = {number: one for number, one in enumerate(heard) if not right(one, number, protocol)}
            assert not wrong, f"{len(wrong)} ended wrongly: {dict(list(wrong.items())[:3])}"
            assert await asyncio.to_thread(served.wait, lambda: len(served.lines()) >= streams)
            lines = served.lines()
            assert len(lines) == streams, "a request was noted twice, or not at all"
            assert len(wall.seen()) < streams * 1.05, "requests were sent again"
            failed = Counter(line["error"] is None for line in lines)
            assert failed == {True: streams * 9 // 10, False: streams // 10}
            dollars = sum(line["work_dollars"] + line["auction_dollars"] for line in lines)
            assert await asyncio.to_thread(served.wait, lambda: not _standing(served.command)["reserved"])
            assert _standing(served.command)["spent"] == pytest.approx(dollars, abs=streams * 1e-9)
            assert "Traceback" not in served.said


async def storm(base_url: str, key: str, streams: int, protocol: Protocol) -> list[Heard]:
    """All at once; what each heard, by its number."""
    heard: dict[int, Heard] = {}
    limits = httpx.Limits(max_connections=streams, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits) as client:

        async def one(number: int) -> None:
            body, url = protocol.body(told(number)), f"{base_url}{protocol.path}"
            heard[number] = await hear(client, url, body, authorization=f"Bearer {key}")

        async with asyncio.TaskGroup() as group:
            for number in range(streams):
                group.create_task(one(number))
    return [heard[number] for number in range(streams)]


def _standing(command: Callable[..., str]) -> dict[str, float]:
    (key,) = json.loads(command("keys", "list", "--json"))["keys"]
    return key
