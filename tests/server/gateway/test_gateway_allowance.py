"""What adopting the gateway costs: auctions have an allowance, small requests get none, the ledger says so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from sale.config.settings import SERVED_ALLOWANCE
from sale.market import Market
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
    assert served.desk is not None
    allowance = served.desk.floor.market.allowance
    assert allowance is not None
    assert allowance.share == SERVED_ALLOWANCE
    ask(served, "hi")
    earned = allowance.earned
    assert earned == pytest.approx(SERVED_ALLOWANCE * money(served)[1])  # the incumbent did it, at its price
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
