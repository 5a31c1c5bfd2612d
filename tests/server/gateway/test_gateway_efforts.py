"""Agents of one model at several efforts: which of them are asked where a client asks for an effort itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.server.gateway.conftest import Gateway, Serving
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG

HI: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]


def ask(gateway: Gateway, path: str = "chat/completions", **more: Any) -> httpx2.Response:
    given = {"input": "What is 6 × 7?"} if path == "responses" else {"messages": HI}
    answer = httpx2.post(f"{gateway.url}/{path}", json={"model": "sale", **given, **more}, timeout=HANG)
    assert answer.status_code == 200, answer.text
    return answer


def made(serving: Serving, endpoint: Endpoint, **server: Any) -> Gateway:
    shared = {"endpoint": endpoint.base_url, "price": 1.0}
    # The lower ones are liked best, so that an auction among all goes to them.
    thinker = shared | {
        "name": "thinker",
        "modes": {"low": {"model": "good@low", "effort": "low"}, "high": {"model": "good@high", "effort": "high"}},
    }
    return serving(thinker, shared | {"name": "plain", "model": "good@plain", "price": 2.0}, server=server)


@pytest.fixture
def gateway(serving: Serving, endpoint: Endpoint) -> Iterator[Gateway]:
    with made(serving, endpoint) as running:
        yield running


def bidders(endpoint: Endpoint) -> set[str]:
    """The agents that were asked for a plan."""
    return {sent.body["model"].partition("@")[2] for sent in endpoint.requests() if "numbered steps" in str(sent.body)}


def test_without_a_wish_all_bid_and_the_winner_works_at_its_effort(gateway: Gateway, endpoint: Endpoint) -> None:
    won = ask(gateway).headers["x-sale-agent"]
    assert bidders(endpoint) == {"low", "high", "plain"}
    assert (
        endpoint.requests()[-1].body.get("reasoning_effort")
        == {"thinker-low": "low", "thinker-high": "high", "plain": None}[won]
    )


@pytest.mark.parametrize(
    ("path", "wish"),
    [("chat/completions", {"reasoning_effort": "high"}), ("responses", {"reasoning": {"effort": "high"}})],
)
def test_a_wish_is_for_the_agents_that_work_so(
    gateway: Gateway, endpoint: Endpoint, path: str, wish: dict[str, Any]
) -> None:
    answer = ask(gateway, path, **wish)
    assert bidders(endpoint) == {"high", "plain"}
    assert endpoint.requests()[-1].body["reasoning_effort"] == "high"
    assert "x-sale-lost" not in answer.headers


def test_an_effort_that_no_agent_is_set_to_is_sent_to_those_without_one(gateway: Gateway, endpoint: Endpoint) -> None:
    assert ask(gateway, reasoning_effort="medium").headers["x-sale-agent"] == "plain"
    assert bidders(endpoint) == {"plain"}
    assert endpoint.requests()[-1].body["reasoning_effort"] == "medium"


def test_later_turns_stay_with_the_agent_and_are_sent_as_they_are(gateway: Gateway, endpoint: Endpoint) -> None:
    first = ask(gateway, reasoning_effort="low")
    turns: Any = [*HI, first.json()["choices"][0]["message"], {"role": "user", "content": "Sure?"}]
    second = ask(gateway, messages=turns, reasoning_effort="high")
    assert second.headers["x-sale-agent"] == first.headers["x-sale-agent"]
    assert endpoint.requests()[-1].body["reasoning_effort"] == "high"


def test_an_agent_asked_by_name_works_at_its_effort_unless_told(gateway: Gateway, endpoint: Endpoint) -> None:
    ask(gateway, model="thinker-low")
    ask(gateway, model="thinker-low", reasoning_effort="high")
    assert [sent.body["reasoning_effort"] for sent in endpoint.requests()] == ["low", "high"]


def test_where_all_are_set_to_others_all_bid(serving: Serving, endpoint: Endpoint) -> None:
    pool = {"name": "a", "endpoint": endpoint.base_url, "model": "good@a", "price": 1.0, "efforts": ["low", "high"]}
    with serving(pool) as running:
        ask(running, reasoning_effort="medium")
    assert sum("numbered steps" in str(sent.body) for sent in endpoint.requests()) == 2
    assert endpoint.requests()[-1].body["reasoning_effort"] == "medium"


@pytest.mark.parametrize("wish", [{"reasoning_effort": "max"}, {"reasoning": {"effort": "max", "summary": "auto"}}])
def test_the_market_may_choose_the_effort(serving: Serving, endpoint: Endpoint, wish: dict[str, Any]) -> None:
    with made(serving, endpoint, effort="agent") as running:
        ask(running, **wish)
        assert bidders(endpoint) == {"low", "high", "plain"}
        answer = ask(running, model="thinker-low", **wish)
        plain = ask(running, model="plain", **wish)
    low, untouched = (sent.body for sent in endpoint.requests()[-2:])
    assert (low["reasoning_effort"], "reasoning" in low) == ("low", False)
    assert answer.headers["x-sale-lost"] == "reasoning_effort"
    assert untouched.items() >= wish.items()
    assert "x-sale-lost" not in plain.headers
