"""Many streams at once; every tenth call of their endpoint fails. Each ends rightly, and is billed once."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.faulty_server import FaultWall
from tests.support.gateway_process import gateway
from tests.support.replies import ANSWER
from tests.support.sse_client import Heard, chat, listen

FAULTS = ["429", "500", "reset-3", "stall-3", "cut-3", "close", "hang", "error-frame-3"]
SILENCE = 40.0
"""Seconds. The endpoint, these clients and the gateway share a machine: it is slow long before it is silent."""


def told(number: int) -> str:
    """What the request of this number says: every tenth names a fault."""
    fault = FAULTS[number // 10 % len(FAULTS)] if number % 10 == 0 else "good"
    return f"Request {number}. fault:{fault}"


def right(heard: Heard, number: int) -> bool:
    """Whether this is how the answer should have ended."""
    if number % 10:
        return heard.status == 200 and heard.text == ANSWER and heard.done and heard.error is None
    return heard.error is not None and not heard.done and ANSWER.startswith(heard.text if heard.events else "")


async def test_every_stream_of_a_storm_ends_rightly_and_is_billed_once(tmp_path: Path) -> None:
    await weather(tmp_path, 400)


@pytest.mark.release
async def test_a_storm_of_two_thousand_streams(tmp_path: Path) -> None:
    await weather(tmp_path, 2000)


async def weather(tmp_path: Path, streams: int) -> None:
    """Have so many, and check every one."""
    with FaultWall() as wall:
        agent = {"name": "only", "endpoint": wall.base_url, "model": "as-told", "price": 1.0, "logprobs": 0}
        with gateway(tmp_path, [agent], server={"silence_seconds": SILENCE}) as served:
            key = served.new_key("--budget", "1000", "--period", "month")
            heard = await storm(served.base_url, key, streams)
            wrong = {number: one for number, one in enumerate(heard) if not right(one, number)}
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


async def storm(base_url: str, key: str, streams: int) -> list[Heard]:
    """All at once; what each heard, by its number."""
    heard: dict[int, Heard] = {}
    limits = httpx.Limits(max_connections=streams, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits) as client:

        async def one(number: int) -> None:
            body = chat("only", told(number), stream=True)
            heard[number] = await listen(client, base_url, body, authorization=f"Bearer {key}")

        async with asyncio.TaskGroup() as group:
            for number in range(streams):
                group.create_task(one(number))
    return [heard[number] for number in range(streams)]


def _standing(command: Callable[..., str]) -> dict[str, float]:
    (key,) = json.loads(command("keys", "list", "--json"))["keys"]
    return key
