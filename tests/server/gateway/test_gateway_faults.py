"""What goes wrong upstream, or with the client: the right error, the next best agent, and the money on the ledger."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from sale.auction.events import AwardedAgain
from tests.server.gateway.conftest import Gateway, Opening
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.pool import KEY

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]


def ask(gateway: Gateway, model: str, *, stream: bool = False, **more: Any) -> httpx2.Response:
    body = {"model": model, "messages": HELLO, "stream": stream, **more}
    return httpx2.post(f"{gateway.url}/chat/completions", json=body, timeout=HANG)


BEFORE = [
    ("500-always", 502, "upstream_failed"),
    ("503-always", 502, "upstream_failed"),
    ("429-always", 429, "upstream_rate_limited"),
    ("401", 502, "upstream_refused"),
    ("404-model", 502, "upstream_refused"),
    ("redirect", 502, "upstream_refused"),
    ("context-too-long", 400, "context_length_exceeded"),
]
MALFORMED = ["malformed-json", "garbage", "html", "not-openai", "error-in-200", "null-choices", "empty-choices", "cut"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("trait", "status", "code"), BEFORE)
def test_a_failing_endpoint_of_one_agent(opening: Opening, trait: str, status: int, code: str, stream: bool) -> None:
    with opening(only=trait) as gateway:
        answer = ask(gateway, "only", stream=stream)
        assert answer.status_code == status
        error = answer.json()["error"]
        assert error["code"] == code
        assert set(error) == {"message", "type", "param", "code"}
        if status == 429:
            assert answer.headers["retry-after"] == "1"
        (line,) = gateway.lines()
        assert (line.status, line.error, line.work_dollars) == (status, code, 0.0)


@pytest.mark.parametrize(("trait", "waits"), [("429-nan", None), ("429-inf", None), ("429-past", "1")])
def test_a_wait_that_is_none_is_no_fault_of_the_gateway(opening: Opening, trait: str, waits: str | None) -> None:
    with opening(only=trait) as gateway:
        answer = ask(gateway, "only")
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "upstream_rate_limited")
        assert answer.headers.get("retry-after") == waits


@pytest.mark.parametrize("trait", MALFORMED)
def test_an_answer_that_is_none_is_no_success(opening: Opening, trait: str) -> None:
    with opening(only=trait) as gateway:
        answer = ask(gateway, "only")
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] in {"upstream_broken", "upstream_unreachable"}


def test_no_connection(opening: Opening) -> None:
    with opening(options={"only": {"endpoint": "http://127.0.0.1:9/v1"}}, only="good") as gateway:
        answer = ask(gateway, "only")
        assert answer.status_code == 502
        assert answer.json()["error"]["code"] == "upstream_unreachable"
        assert "127.0.0.1" not in answer.text


def test_silence_has_its_limit(opening: Opening) -> None:
    with opening({"silence_seconds": 0.3}, only="hang") as gateway:
        answer = ask(gateway, "only", stream=True)
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "upstream_timeout"


def test_the_endpoints_key_and_address_stay_here(
    opening: Opening, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UPSTREAM_KEY", KEY)
    with opening(options={"only": {"api_key_env": "UPSTREAM_KEY"}}, only="echo-key") as gateway:
        answer = ask(gateway, "only")
    assert endpoint.requests()[0].headers["authorization"] == f"Bearer {KEY}"
    assert answer.status_code == 400
    assert KEY not in answer.text
    assert "‹hidden›" in answer.json()["error"]["message"]


@pytest.mark.parametrize("trait", ["cut", "stall"])
def test_a_stream_that_breaks_off_ends_with_an_error_and_no_done(opening: Opening, trait: str) -> None:
    with opening({"silence_seconds": 0.5}, only=trait) as gateway:
        answer = ask(gateway, "only", stream=True)
        assert answer.status_code == 200
        *_, last = [line for line in answer.text.split("\n\n") if line]
        assert json.loads(last.removeprefix("data: "))["error"]["type"] == "api_error"
        assert "[DONE]" not in answer.text
        with OpenAI(base_url=gateway.url, api_key="x", max_retries=0) as client, pytest.raises(openai.APIError):
            list(client.chat.completions.create(model="only", messages=HELLO, stream=True))
        line = gateway.lines()[0]
        assert line.status >= 500
        assert line.input_tokens > 0, "what was streamed has been paid for"
        assert line.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_when_all_fail_each_was_asked_once(opening: Opening, endpoint: Endpoint, stream: bool) -> None:
    # Two good answers: the bid and the ballot. Then the work fails.
    with opening(small="500-after-2", large="500-after-2") as gateway:
        state = gateway.state
        assert state is not None
        answer = ask(gateway, "sale", stream=stream)
        assert "upstream_failed" in answer.text
        assert "[DONE]" not in answer.text
        assert len([event for _, event in state.hub.recent if isinstance(event, AwardedAgain)]) == 1
    assert len(endpoint.requests()) == 6


def test_who_takes_over_has_its_own_plan_and_keeps_the_session(opening: Opening, endpoint: Endpoint) -> None:
    with opening(small="500-after-2+score-5", large="good+score-5") as gateway:
        first = ask(gateway, "sale")
        assert first.status_code == 200
        assert first.headers["x-sale-agent"] == "large"
        work = endpoint.requests("good+score-5@large")[-1]
        assert "(good+score-5@large)" in work.body["messages"][0]["content"]
        more = [*HELLO, {"role": "assistant", "content": "42"}, {"role": "user", "content": "Sure?"}]
        second = httpx2.post(f"{gateway.url}/chat/completions", json={"model": "sale", "messages": more})
        assert second.headers["x-sale-agent"] == "large"
        feedback = {"session_id": first.headers["x-sale-session"], "verdict": "success"}
        assert httpx2.post(f"{gateway.url}/feedback", json=feedback).status_code == 200
        state = gateway.state
        assert state is not None

        async def record() -> Any:
            memory = await state.handle.market.memory()
            assert memory is not None
            return await memory.load(first.headers["x-sale-auction"])

        kept = gateway.do(record())
    assert kept.status == "settled"
    assert [one.agent for one in kept.executions] == ["small", "large"]
    assert kept.executions[0].calls[0].error == "upstream_failed"
    assert len(kept.executions[1].calls) == 2


async def test_a_client_that_leaves_stops_the_upstream_and_is_billed_for_what_came(
    opening: Opening, endpoint: Endpoint
) -> None:
    with opening(only="stall") as gateway:
        async with AsyncOpenAI(base_url=gateway.url, api_key="x", max_retries=0) as client:
            stream = await client.chat.completions.create(model="only", messages=HELLO, stream=True)
            await anext(aiter(stream))
            await stream.close()
        assert await asyncio.to_thread(endpoint.wait, lambda: endpoint.requests()[0].cancelled)
        (line,) = await asyncio.to_thread(gateway.lines)
        assert (line.status, line.error) == (499, "client_left")
        assert line.output_tokens > 0
        assert line.work_dollars > 0


async def test_a_client_that_leaves_before_the_first_byte_stops_the_upstream(
    opening: Opening, endpoint: Endpoint
) -> None:
    with opening(only="hang") as gateway:
        async with AsyncOpenAI(base_url=gateway.url, api_key="x", max_retries=0, timeout=0.3) as client:
            with pytest.raises(openai.APITimeoutError):
                await client.chat.completions.create(model="only", messages=HELLO)
        assert await asyncio.to_thread(endpoint.wait, lambda: endpoint.requests()[0].cancelled)
        (line,) = await asyncio.to_thread(gateway.lines)
        assert line.error == "client_left"


def test_a_client_that_gave_up_waiting_is_not_auctioned_again(opening: Opening, endpoint: Endpoint) -> None:
    with opening(only="500-after-2") as gateway:
        assert ask(gateway, "sale").status_code == 502
        before = len(endpoint.requests())
        assert ask(gateway, "sale").status_code == 502
        assert len(endpoint.requests()) == before + 1


async def test_a_client_that_leaves_during_the_auction_ends_it_and_what_it_cost_is_noted(
    opening: Opening, endpoint: Endpoint
) -> None:
    with opening(quick="good", slow="hang") as gateway:
        async with AsyncOpenAI(base_url=gateway.url, api_key="x", max_retries=0) as client:
            asking = asyncio.create_task(client.chat.completions.create(model="sale", messages=HELLO))
            assert await asyncio.to_thread(endpoint.wait, lambda: len(endpoint.requests()) == 2, 20)
            # The quick one's bid is settled by then.
            await asyncio.sleep(0.5)
            asking.cancel()
            await asyncio.wait({asking})
        assert await asyncio.to_thread(endpoint.wait, lambda: endpoint.requests("hang@slow")[0].cancelled)
        (line,) = await asyncio.to_thread(gateway.lines)
        assert line.error == "client_left"
        assert line.auction_dollars > 0
        assert gateway.state is not None
        assert len(gateway.state.sessions) == 0
        memory = await asyncio.to_thread(gateway.do, gateway.state.handle.market.memory())
        (left,) = await asyncio.to_thread(gateway.do, memory.list())
        assert left.status == "abandoned"


def test_an_auction_that_takes_long_keeps_a_stream_alive_and_tells_what_happens(opening: Opening) -> None:
    with opening(quick="good", slow="slow-3000") as gateway:
        answer = ask(gateway, "sale", stream=True)
    assert answer.headers["x-sale-auction"]
    assert ": sale bidding has begun among 2 agents" in answer.text
    assert ": sale the task goes to " in answer.text or " agent=" in answer.text
    assert answer.text.endswith("data: [DONE]\n\n")
