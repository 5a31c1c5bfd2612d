"""Why an agent answers, as the header says it; and conversations for which no agent makes a bid."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from openai import OpenAI

from sale.market import Market
from sale.types import AuctionRules
from tests.server.gateway.conftest import Gateway, Opening
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG

HELLO: list[Any] = [{"role": "user", "content": "What is 6 × 7?"}]


def ask(gateway: Gateway, model: str = "sale", **more: Any) -> httpx2.Response:
    headers = {"x-sale-session": "one"} if model == "sale" else {}
    body = {"model": model, "messages": HELLO, **more}
    return httpx2.post(f"{gateway.url}/chat/completions", json=body, headers=headers, timeout=HANG)


def reason(answer: httpx2.Response) -> str:
    assert answer.status_code == 200, answer.text
    return answer.headers["x-sale-reason"]


def auctions(endpoint: Endpoint) -> int:
    """Requests for bids."""
    return sum("numbered steps" in str(one.body) for one in endpoint.requests())


@pytest.fixture
def planless(opening: Opening, endpoint: Endpoint) -> Gateway:
    """Its agents answer "42" to everything, which is a good answer and no plan."""
    endpoint.say = lambda _: "42"
    return opening(small="good", large="good")


def test_without_a_bid_the_incumbent_answers_and_the_session_is_not_auctioned_again(
    planless: Gateway, endpoint: Endpoint
) -> None:
    with planless as gateway:
        first = ask(gateway)
        assert (reason(first), first.headers["x-sale-agent"]) == ("no-bids", "large")
        assert first.json()["choices"][0]["message"]["content"] == "42"
        asked = auctions(endpoint)
        assert asked == 2
        again = ask(gateway)
        assert (reason(again), again.headers["x-sale-agent"]) == ("session", "large")
        assert auctions(endpoint) == asked
        first_line, second_line = gateway.lines()
        assert gateway.state is not None
        memory = gateway.do(gateway.state.handle.market.memory())
        record = gateway.do(memory.load(first.headers["x-sale-auction"]))
    assert first_line.auction_dollars > 0.0
    assert float(first.headers["x-sale-cost"]) == pytest.approx(first_line.auction_dollars + first_line.work_dollars)
    assert second_line.auction_dollars == 0.0
    assert record.auction is not None
    assert {one.agent for one in record.auction.dropouts} == {"small", "large"}
    assert record.auction.settlement.dollars == pytest.approx(first_line.auction_dollars)


def test_a_client_that_retries_pays_for_one_auction(planless: Gateway, endpoint: Endpoint) -> None:
    with planless as gateway:
        client = OpenAI(base_url=gateway.url, api_key="any")
        assert client.chat.completions.create(model="sale", messages=HELLO).choices[0].message.content == "42"
        assert len([line for line in gateway.lines() if line.auction_dollars]) == 1


def test_the_header_says_why(opening: Opening) -> None:
    with opening(small="good", large="good") as gateway:
        assert reason(ask(gateway, "small")) == "named"
        assert reason(ask(gateway)) == "auction"
        assert reason(ask(gateway)) == "session"


def test_the_header_names_the_allowance_that_covers_no_auction(opening: Opening) -> None:
    made = opening(small="good", large="good")
    made.market = lambda settings: Market.from_config(settings=settings.served)
    with made as gateway:
        assert reason(ask(gateway)) == "allowance"


def test_the_header_says_that_another_agent_failed(opening: Opening) -> None:
    with opening(small="500-at-work", large="good") as gateway:
        answer = ask(gateway)
        assert (reason(answer), answer.headers["x-sale-agent"]) == ("failover", "large")


def test_an_auction_that_would_not_pay_says_so(opening: Opening) -> None:
    made = opening(only="good")
    rules = AuctionRules(allowance=0.05)

    def market(settings: Any) -> Market:
        found = Market.from_config(settings=settings.model_copy(update={"auction": rules}))
        assert found.allowance is not None
        found.allowance.count(100.0, 100.0)
        return found

    made.market = market
    with made as gateway:
        assert reason(ask(gateway)) == "not-worth-it"
