"""Who takes over when an endpoint fails: with several turns at the same time, and when one that failed is back."""

from __future__ import annotations

import asyncio
import math

import httpx2

from tests.server.gateway.conftest import Gateway, Serving
from tests.support.hang import HANG
from tests.support.replies import Json
from tests.support.wire import Out, Play, Request, Wire, whole

ALWAYS = {"allowance": math.inf}
"""Every conversation is auctioned, and the cheap agent wins."""
SESSION = {"x-sale-session": "one"}


def question(text: str) -> Json:
    return {"model": "sale", "messages": [{"role": "user", "content": text}]}


def failing(down: set[str], name: str) -> Play:
    """An endpoint that fails while its name is in `down`."""

    async def play(_: Request, out: Out) -> None:
        if name in down:
            await asyncio.sleep(0.3)
            await out.body({"error": {"message": "down"}}, 500)
        else:
            await out.body(whole())

    return play


def ask(gateway: Gateway, text: str = "What is 6 × 7?") -> httpx2.Response:
    return httpx2.post(f"{gateway.url}/chat/completions", json=question(text), headers=SESSION, timeout=HANG)


async def test_turns_that_fail_together_go_to_the_same_agent(serving: Serving) -> None:
    """Coding agents ask several things of one session at once."""
    down = set[str]()
    with (
        Wire(small=failing(down, "small")) as wire,
        serving(wire.agent("small"), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        assert ask(gateway).headers["x-sale-agent"] == "small"
        down.add("small")
        async with httpx2.AsyncClient(timeout=HANG) as client:
            url = f"{gateway.url}/chat/completions"
            sent = (client.post(url, json=question(f"And {number}?"), headers=SESSION) for number in range(3))
            found = await asyncio.gather(*sent)
        assert [(one.status_code, one.headers["x-sale-agent"]) for one in found] == [(200, "large")] * 3
        assert len(wire.work("small")) == 4
        assert len(wire.work("large")) == 3
        session = found[0].headers["x-sale-session"]
        judged = httpx2.post(f"{gateway.url}/feedback", json={"session_id": session, "verdict": "success"})
        assert judged.status_code == 200
        assert _record(gateway, found[0].headers["x-sale-auction"]) == (["small"], "large", "success")


def test_one_that_failed_before_is_asked_again_when_no_other_is_left(serving: Serving) -> None:
    down = {"small"}
    with (
        Wire(small=failing(down, "small"), large=failing(down, "large")) as wire,
        serving(wire.agent("small"), wire.agent("large", price=3.0), auction=ALWAYS) as gateway,
    ):
        first = ask(gateway)
        assert first.headers["x-sale-agent"] == "large"
        down.symmetric_difference_update({"small", "large"})
        assert (found := ask(gateway)).status_code == 200, found.text
        assert found.headers["x-sale-agent"] == "small"
        down.add("small")
        assert ask(gateway).status_code == 502
        assert len(wire.work("small")) == 3, "asked once in each turn"
        assert len(wire.work("large")) == 3
        down.clear()
        assert ask(gateway).status_code == 200
        httpx2.post(f"{gateway.url}/feedback", json={"session_id": "one", "verdict": "success"}).raise_for_status()
        failed, last, verdict = _record(gateway, first.headers["x-sale-auction"])
        assert (failed[:2], last in failed, verdict) == (["small", "large"], True, "success")


def _record(gateway: Gateway, auction_id: str) -> tuple[list[str], str, str]:
    """Of an auction: the agents that failed, the last one, and how its work came out."""
    state = gateway.state
    assert state is not None
    record = gateway.do(gateway.do(state.handle.market.memory()).load(auction_id))
    assert {one.outcome.verdict for one in record.attempts} == {"failure"}
    return [one.agent for one in record.earlier], record.execution.agent, record.outcome.verdict
