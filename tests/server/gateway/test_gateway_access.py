"""Keys, budgets and agents without an endpoint."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import pytest

from sale import config
from sale.agents.adapters.function import FunctionAgent
from sale.agents.adapters.plans import Work
from sale.market import Market
from sale.memory.open import open_memory
from sale.types import Price, Task, Usage
from tests.server.gateway.conftest import Gateway, Opening
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]
TOOL: Any = {"type": "function", "function": {"name": "add", "parameters": {"properties": {}}}}


def ask(gateway: Gateway, model: str, key: str | None = None, **more: Any) -> httpx2.Response:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    body = {"model": model, "messages": HELLO, **more}
    return httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=HANG)


def make_key(gateway: Gateway, **limits: Any) -> str:
    assert gateway.store is not None
    secret: str = gateway.do(gateway.store.create_key("test", **limits))[0]
    return secret


def code(answer: httpx2.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_who_has_no_key_or_a_wrong_one(opening: Opening) -> None:
    with opening(only="good") as gateway:
        assert ask(gateway, "only").status_code == 200, "until there is a key, none is needed"
        key = make_key(gateway)
        assert code(ask(gateway, "only")) == (401, "invalid_api_key")
        wrong = ask(gateway, "only", "sk-sale-wrong-secret")
        assert code(wrong) == (401, "invalid_api_key")
        assert "wrong-secret" not in wrong.text
        assert ask(gateway, "only", key).status_code == 200
        for path in ("models", "models/only"):
            assert httpx2.get(f"{gateway.url}/{path}").status_code == 401
        for path in ("responses", "embeddings", "feedback"):
            assert httpx2.post(f"{gateway.url}/{path}", json={}).status_code == 401


def test_a_key_for_some_agents(opening: Opening, endpoint: Endpoint) -> None:
    with opening(small="good", large="good") as gateway:
        key = make_key(gateway, agents=["large"])
        assert code(ask(gateway, "small", key)) == (403, "agent_not_allowed")
        answer = ask(gateway, "sale", key)
        assert answer.headers["x-sale-agent"] == "large"
        listed = httpx2.get(f"{gateway.url}/models", headers={"authorization": f"Bearer {key}"}).json()["data"]
        assert [model["id"] for model in listed] == ["sale", "large"]


def test_a_budget_is_never_overspent_however_many_ask_at_once(opening: Opening) -> None:
    price = {"price": {"input": 100.0, "output": 1000.0}}
    with opening(options={"only": price}, only="good") as gateway:
        one = ask(gateway, "only", max_tokens=20)
        cost = float(one.headers["x-sale-cost"])
        key = make_key(gateway, budget=5 * cost)
        with ThreadPoolExecutor(20) as pool:
            waiting = [pool.submit(ask, gateway, "only", key, max_tokens=20) for _ in range(20)]
            answers = [one.result() for one in waiting]
        assert {answer.status_code for answer in answers} == {200, 429}
        done = [answer for answer in answers if answer.status_code == 200]
        assert sum(float(answer.headers["x-sale-cost"]) for answer in done) <= 5 * cost * (1 + 1e-9)
        assert {code(answer)[1] for answer in answers if answer.status_code == 429} == {"insufficient_quota"}


def test_requests_per_minute(opening: Opening) -> None:
    with opening(only="good") as gateway:
        key = make_key(gateway, rpm=1)
        assert ask(gateway, "only", key).status_code == 200
        second = ask(gateway, "only", key)
        assert code(second) == (429, "rate_limit_exceeded")
        assert 1 <= int(second.headers["retry-after"]) <= 60


class TestWithoutAnEndpoint:
    """A function as an agent."""

    @pytest.fixture
    def gateway(self, opening: Opening) -> Gateway:
        running = opening(small="good")

        async def plan(task: Task) -> Work:
            return Work(text="1. Do it.", usage=Usage(input_tokens=1, output_tokens=1))

        async def execute(task: Task, strategy: str | None) -> Work:
            return Work(text=f"Done: {task.text}", usage=Usage(input_tokens=1000, output_tokens=500))

        def market(settings: config.Settings) -> Market:
            price = Price(input=100.0, output=300.0, blended=200.0)
            agent = FunctionAgent("function", price=price, bid=plan, execute=execute)
            return Market((*Market.from_config(settings=settings).agents, agent), memory=open_memory(settings))

        running.market = market
        return running

    def test_it_answers_whole_and_in_a_stream(self, gateway: Gateway) -> None:
        with gateway:
            whole = ask(gateway, "function")
            assert whole.json()["choices"][0]["message"]["content"] == "Done: What is 6 × 7?"
            assert float(whole.headers["x-sale-cost"]) == 0.25
            stream = ask(gateway, "function", stream=True)
            assert "Done: " in stream.text
            assert stream.text.endswith("data: [DONE]\n\n")
            assert [line.work_dollars for line in gateway.lines()] == [0.25, 0.25]

    def test_it_takes_no_tools_and_does_not_bid_for_such_tasks(self, gateway: Gateway, endpoint: Endpoint) -> None:
        with gateway:
            assert code(ask(gateway, "function", tools=[TOOL])) == (400, "unsupported")
            assert code(ask(gateway, "function", n=2)) == (400, "unsupported")
            answer = ask(gateway, "sale", tools=[TOOL])
            assert answer.headers["x-sale-agent"] == "small"
            assert gateway.state is not None
            opened = [event for _, event in gateway.state.hub.recent if type(event).__name__ == "AuctionOpened"]
            assert getattr(opened[-1], "agents", None) == ("small",)


def test_answers_at_the_same_time(opening: Opening) -> None:
    with opening(only="slow-200") as gateway:
        start = threading.Barrier(8)

        def one(_: int) -> int:
            start.wait()
            return ask(gateway, "only", stream=True).text.count("[DONE]")

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(one, range(8))) == 8
