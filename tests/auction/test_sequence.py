"""Who tries first where failures are found out: against going through every plan, and what it must never do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.auction import scoring
from sale.auction.sequence import MOST, after_failures, first_to_try
from sale.types import Bid, Strategy, SuccessModel


def model(worth: float = 100.0, after_failure: float = 0.0) -> SuccessModel:
    return SuccessModel(
        worth=worth,
        intercepts={},
        newcomer=0.0,
        rates={},
        newcomer_rate=0.5,
        coefficients={},
        means={},
        work={},
        newcomer_tokens=1.0,
        after_failure=after_failure,
    )


def bid(agent: str, chance: float, cost: float, worth: float = 100.0) -> Bid:
    plan = Strategy(agent=agent, text="", tokens=0, entropy=None)
    return Bid(strategy=plan, price=1.0, cost=cost, value=worth * chance, scores=(), chance=chance)


def worth_of(order: Sequence[Bid], found: SuccessModel) -> float:
    """Of having these agents try one after the other until one succeeds, stopping where going on does not pay."""
    total = 0.0
    for failures, one in reversed(list(enumerate(order))):
        now = after_failures(one, failures, found)
        assert now.chance is not None
        total = now.value - now.cost + (1.0 - now.chance) * max(0.0, total)
    return total


bids = st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0.0, 120.0)), min_size=1, max_size=MOST - 1).map(
    lambda given: [bid(f"agent {number}", *one) for number, one in enumerate(given)]
)


@given(bids, st.floats(-3.0, 0.0), st.integers(1, 5))
def test_it_begins_a_plan_that_is_worth_most(given_bids: list[Bid], shift: float, attempts: int) -> None:
    found = model(after_failure=shift)
    lengths = range(1, min(attempts, len(given_bids)) + 1)
    plans = [plan for length in lengths for plan in itertools.permutations(given_bids, length)]
    best = max(worth_of(plan, found) for plan in plans)
    first = first_to_try(given_bids, found, attempts)
    assert max(worth_of(plan, found) for plan in plans if plan[0] is first) == pytest.approx(best)


@given(bids)
def test_with_one_attempt_it_is_the_best_by_itself(given_bids: list[Bid]) -> None:
    first = first_to_try(given_bids, model(), 1)
    assert first.net_cost == scoring.rank(given_bids)[0].net_cost


def test_a_cheap_agent_tries_first_where_its_failures_are_found_out() -> None:
    small, large = bid("small", 0.5, 10.0), bid("large", 0.7, 25.0)
    assert scoring.rank([small, large])[0] is large
    assert first_to_try([small, large], model(), 2) is small
    # Where what one cannot do nobody can, a failure is the end of it.
    assert first_to_try([small, large], model(after_failure=-10.0), 2) is large


def test_an_agent_that_bid_twice_tries_once_with_its_better_bid() -> None:
    worse, better, other = bid("a", 0.2, 10.0), bid("a", 0.9, 10.0), bid("b", 0.5, 49.0)
    assert first_to_try([worse, better, other], model(), 3) is better


def test_nobody_is_no_plan() -> None:
    with pytest.raises(ValueError, match="nobody bids"):
        first_to_try([], model(), 2)
