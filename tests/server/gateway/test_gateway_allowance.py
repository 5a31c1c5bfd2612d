"""What adopting the gateway costs: auctions have an allowance, small requests get none, the ledger says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from sale.auction.terms import AuctionTerms
from sale.config.settings import SERVED_ALLOWANCE
from sale.market import Market
from sale.types import Caps
from tests.server.gateway.conftest import Gateway, Opening

TOOL = {"type": "function", "function": {"name": "read", "description": "Reads a file.", "parameters": {}}}


@pytest.fixture
def served(opening: Opening) -> Iterator[Gateway]:
    """As `sale serve` opens it."""
    made = opening(small="good", large="good")
    made.market = lambda settings: Market.from_config(settings=settings.served)
    with made as running:
        yield running


def ask(gateway: Gateway, text: str, **more: Any) -> httpx2.Response:
    body = {"model": "sale", "messages": [{"role": "user", "content": text}], **more}
    return httpx2.post(f"{gateway.url}/chat/completions", json=body, timeout=60)


def money(gateway: Gateway) -> tuple[float, float]:
    """Spent on auctions, and on work."""
    lines = gateway.lines()
    return sum(line.auction_dollars for line in lines), sum(line.work_dollars for line in lines)


def test_a_greeting_goes_to_the_incumbent_and_costs_no_auction(served: Gateway) -> None:
    for number in range(8):
        answer = ask(served, f"hi {number}")
        assert answer.status_code == 200
        assert answer.headers["x-sale-agent"] == "large"
    auctions, work = money(served)
    assert auctions == 0.0
    assert work > 0.0


def test_what_work_has_earned_is_spent_on_long_work(served: Gateway) -> None:
    assert served.state is not None
    allowance = served.state.handle.market.allowance
    assert allowance is not None
    assert allowance.share == SERVED_ALLOWANCE
    ask(served, "hi")
    _, work = money(served)  # waits until it is on the ledger
    assert allowance.earned == pytest.approx(SERVED_ALLOWANCE * work)  # the incumbent did it, at its price
    allowance.count(100.0, 100.0)  # long ago
    ask(served, "Mend the build. " * 400, tools=[TOOL])
    auctions, _ = money(served)
    assert 0.0 < auctions <= allowance.earned
    assert allowance.spent == pytest.approx(auctions)
    ask(served, "hi again")
    assert money(served)[0] == auctions


def test_who_was_the_incumbent_can_be_said(opening: Opening) -> None:
    made = opening(small="good", middle="good", large="good")
    made.market = lambda settings: Market.from_config(
        settings=settings.model_copy(update={"auction": replace(settings.auction, incumbent="middle")}).served
    )
    with made as running:
        assert ask(running, "hi").headers["x-sale-agent"] == "middle"


def test_where_the_incumbent_fails_the_next_one_answers(opening: Opening) -> None:
    made = opening(small="good", large="500-always")
    made.market = lambda settings: Market.from_config(settings=settings.served)
    with made as running:
        answer = ask(running, "hi")
        assert answer.status_code == 200
        assert answer.headers["x-sale-agent"] == "small"
        assert running.state is not None
        allowance = running.state.handle.market.allowance
        assert allowance is not None
        assert allowance.spent == 0.0  # what failed was the incumbent's own, and cost nothing
        _, work = money(running)
        assert allowance.earned >= SERVED_ALLOWANCE * work > 0.0


def test_a_key_that_may_not_use_the_incumbent_earns_by_its_own(served: Gateway) -> None:
    assert served.store is not None
    assert served.state is not None
    secret = str(served.do(served.store.create_key("test", agents=["small"]))[0])
    body = {"model": "sale", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"authorization": f"Bearer {secret}"}
    answer = httpx2.post(f"{served.url}/chat/completions", json=body, headers=headers, timeout=60)
    assert answer.headers["x-sale-agent"] == "small"
    allowance = served.state.handle.market.allowance
    assert allowance is not None
    auctions, work = money(served)
    assert auctions == 0.0
    assert allowance.earned == pytest.approx(SERVED_ALLOWANCE * work)


def test_settings_that_are_read_again_go_on_with_the_balance(served: Gateway) -> None:
    assert served.state is not None
    before = served.state.handle.market.allowance
    assert before is not None
    before.spent = 7.0
    rules = replace(served.settings.auction, allowance=0.2)
    market = Market.from_config(settings=served.settings.model_copy(update={"auction": rules}))
    served.do(served.state.reload(market, served.settings.server))
    after = served.state.handle.market.allowance
    assert after is not None
    assert (after.spent, after.share) == (7.0, 0.2)
    assert ask(served, "hi").status_code == 200


def test_a_key_that_can_pay_for_the_work_alone_gets_an_answer(served: Gateway) -> None:
    """Its budget does not cover the worst auction: the award is made without one, and the budget still holds."""
    assert served.store is not None
    assert served.state is not None
    allowance = served.state.handle.market.allowance
    assert allowance is not None
    allowance.count(100.0, 100.0)  # auctions are covered by far
    long = "Mend the build. " * 400
    worst = served.state.handle.market.worst_auction(long, AuctionTerms())
    keys = [str(served.do(served.store.create_key(str(part), budget=part * worst))[0]) for part in (9.0, 0.7)]
    body = {"model": "sale", "messages": [{"role": "user", "content": long}], "tools": [TOOL], "max_tokens": 100}
    spent: list[float] = []
    for secret in keys:
        headers = {"authorization": f"Bearer {secret}"}
        answer = httpx2.post(f"{served.url}/chat/completions", json=body, headers=headers, timeout=60)
        assert answer.status_code == 200, answer.text
        spent.append(money(served)[0])
    assert spent[1] == spent[0] > 0.0, "only the first had an auction"


def test_a_task_over_the_caps_goes_to_the_incumbent(opening: Opening) -> None:
    made = opening(small="good", large="good")
    caps = Caps(tokens=1000)
    made.market = lambda settings: Market.from_config(
        settings=settings.model_copy(update={"auction": replace(settings.auction, caps=caps)}).served
    )
    with made as running:
        assert running.state is not None
        allowance = running.state.handle.market.allowance
        assert allowance is not None
        allowance.count(100.0, 100.0)
        answer = ask(running, "Mend the build. " * 400, tools=[TOOL])
        assert (answer.status_code, answer.headers["x-sale-agent"]) == (200, "large")
        assert money(running)[0] == 0.0
