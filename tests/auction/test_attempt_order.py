"""Who tries first where failures are found out: against going through every plan, and what it must never do."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.auction import scoring
from sale.auction.attempt_order import MAX_AGENTS, best_plans, check_pays, first_to_try, next_to_try, update_bid
from sale.auction.difficulty import PLACES, SHARES, spread_by_difficulty, update_by_failures
from sale.types import Bid, CheckErrors, Score, Strategy, SuccessModel, Weights


def model(worth: float = 100.0, difficulty: float = 0.0) -> SuccessModel:
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
        difficulty=difficulty,
    )


def bid(agent: str, chance: float, cost: float, worth: float = 100.0) -> Bid:
    plan = Strategy(agent=agent, text="", tokens=0, entropy=None)
    return Bid(strategy=plan, price=1.0, cost=cost, value=worth * chance, scores=(), chance=chance)


def worth_of(order: Sequence[Bid], found: SuccessModel) -> float:
    """Of having these agents try one after the other until one succeeds, stopping where going on does not pay."""
    total = 0.0
    for failures, one in reversed(list(enumerate(order))):
        now = update_bid(one, update_by_failures([_chance(bid) for bid in order[:failures]], found.difficulty), found)
        total = now.value - now.cost + (1.0 - _chance(now)) * max(0.0, total)
    return total


def _chance(given: Bid) -> float:
    assert given.chance is not None
    return given.chance


bids = st.lists(st.tuples(st.floats(0.01, 0.99), st.floats(0.0, 120.0)), min_size=1, max_size=MAX_AGENTS - 1).map(
    lambda given: [bid(f"agent {number}", *one) for number, one in enumerate(given)]
)


@given(bids, st.floats(0.0, 3.0), st.integers(1, 5))
def test_it_begins_a_plan_that_is_worth_most(given_bids: list[Bid], spread: float, attempts: int) -> None:
    found = model(difficulty=spread)
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
    # Where what one cannot do the other hardly can, who follows is of no use.
    even, better = bid("even", 0.5, 20.0), bid("better", 0.6, 26.0)
    assert first_to_try([even, better], model(), 2) is even
    assert first_to_try([even, better], model(difficulty=4.0), 2) is better


def test_where_all_may_try_and_success_is_all_that_counts_the_cheap_one_begins() -> None:
    """What both achieve together is the same in either order: only the money differs."""
    small, large = bid("small", 0.36, 11.0, worth=1e6), bid("large", 0.54, 30.0, worth=1e6)
    for spread in (0.0, 0.5, 1.0, 2.0, 4.0):
        assert first_to_try([small, large], model(1e6, spread), 2) is small


@given(st.permutations(range(4)), st.lists(st.floats(0.02, 0.98), min_size=4, max_size=4), st.floats(0.0, 5.0))
def test_what_all_achieve_together_does_not_depend_on_the_order(
    order: list[int], chances: list[float], spread: float
) -> None:
    found = model(1.0, spread)
    given_bids = [bid(str(place), chance, 0.0, worth=1.0) for place, chance in enumerate(chances)]
    assert worth_of([given_bids[place] for place in order], found) == pytest.approx(
        worth_of(given_bids, found), abs=1e-6
    )


@given(st.floats(0.02, 0.98), st.lists(st.floats(0.02, 0.98), max_size=3), st.floats(0.0, 4.0))
def test_chances_are_what_they_were_until_somebody_fails_and_fall_then(
    chance: float, failed: list[float], spread: float
) -> None:
    each = spread_by_difficulty(np.array(chance), np.array(spread))
    assert float(each @ SHARES) == pytest.approx(chance, abs=1e-5)
    left = [float(each @ update_by_failures(failed[:count], spread)) for count in range(len(failed) + 1)]
    assert all(later <= before + 1e-9 for before, later in itertools.pairwise(left))


def test_failures_of_others_are_weighed_as_a_simulation_says() -> None:
    random = np.random.default_rng(0)
    each = spread_by_difficulty(np.array([0.7, 0.4]), np.array(1.5))
    middle = len(PLACES) // 2  # a task that is as hard as it looks
    at = np.log(each / (1 - each))[:, middle, None]
    good = random.random((2, 200_000)) < 1 / (1 + np.exp(1.5 * random.normal(size=200_000) - at))
    expected = float(each[1] @ update_by_failures([0.7], 1.5))
    assert good[0].mean() == pytest.approx(0.7, abs=0.01)
    assert good[1][~good[0]].mean() == pytest.approx(expected, abs=0.01)


def test_an_agent_that_bid_twice_tries_once_with_its_better_bid() -> None:
    worse, better, other = bid("a", 0.2, 10.0), bid("a", 0.9, 10.0), bid("b", 0.5, 49.0)
    assert first_to_try([worse, better, other], model(), 3) is better


@pytest.mark.parametrize("found", [model(), None])
def test_a_bid_that_no_juror_scored_is_not_the_next_to_try(found: SuccessModel | None) -> None:
    weights = Weights(cost=1.0, entropy=0.0, jurors={"j": 1.0}, model=found)
    guessed = Score(juror="j", bidder="a", value=2.5, imputed=True, note="call.timeout: no answer")
    failed, unread, read = bid("first", 0.5, 10.0), bid("a", 0.9, 1.0), bid("b", 0.6, 10.0)
    unread = replace(unread, scores=(guessed,))
    following = next_to_try([failed, unread, read], ["first"], weights, 2)
    assert following is not None
    assert following.agent == "b"
    assert next_to_try([failed, unread], ["first"], weights, 2) is None


def test_nobody_is_no_plan() -> None:
    with pytest.raises(ValueError, match="nobody bids"):
        first_to_try([], model(), 2)


def test_a_check_that_is_never_wrong_is_the_plain_plan() -> None:
    given_bids = [bid("small", 0.4, 10.0), bid("large", 0.8, 40.0)]
    assert first_to_try(given_bids, model(), 2, CheckErrors()) is first_to_try(given_bids, model(), 2)
    assert check_pays(given_bids, model(), 2, CheckErrors())
    assert not check_pays(given_bids, model(), 1, CheckErrors()), "nobody may follow"
    assert not check_pays([], model(), 2, CheckErrors())


def test_a_weak_check_makes_the_best_agent_try_first_and_nobody_follow() -> None:
    """Cheap first pays by the failures that are found out; with half of them passed on it does not."""
    small, large = bid("small", 0.4, 8.0), bid("large", 0.8, 30.0)
    found = model(difficulty=3.0)
    assert first_to_try([small, large], found, 2) is small
    weak = CheckErrors(false_pass=0.5)
    assert first_to_try([small, large], found, 2, weak) is large
    assert check_pays([small, large], found, 2, CheckErrors())
    assert not check_pays([small, large], found, 2, weak)


def test_what_a_check_costs_must_come_back() -> None:
    small, large = bid("small", 0.4, 10.0), bid("large", 0.8, 40.0)
    assert check_pays([small, large], model(), 2, CheckErrors(dollars=1e-6))
    assert not check_pays([small, large], model(), 2, CheckErrors(dollars=60e-6))


@given(
    st.lists(st.tuples(st.floats(0.05, 0.95), st.floats(1.0, 90.0)), min_size=2, max_size=3),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.0, 3.0),
)
def test_the_plan_is_the_best_of_all_there_are(
    agents: list[tuple[float, float]], false_pass: float, false_fail: float, spread: float
) -> None:
    """Every order, and every point at which one may stop: none is worth more than what the plan says."""
    check = CheckErrors(false_pass=false_pass, false_fail=false_fail)
    chance, works = (np.array([[one[place] for one in agents]]) for place in (0, 1))
    plans = best_plans(chance, works, np.array([spread]), 100.0, len(agents), check=check)
    good = spread_by_difficulty(chance[0], np.array(spread))
    worths: list[float] = []
    for count in range(1, len(agents) + 1):
        for order in itertools.permutations(range(len(agents)), count):
            reached, total = SHARES.copy(), 0.0
            for place, one in enumerate(order):
                total -= float(reached.sum()) * works[0, one]
                final = place == count - 1
                total += 100.0 * float(reached @ good[one]) * (1.0 if final else 1.0 - false_fail)
                reached *= good[one] * false_fail + (1.0 - good[one]) * (1.0 - false_pass)
            worths.append(total)
    assert plans.value[0, 0] == pytest.approx(max(worths), abs=1e-6)


def test_refused_work_that_may_be_right_is_kept_unless_another_attempt_is_worth_more() -> None:
    found = model(difficulty=0.0)
    weights = Weights(cost=1.0, entropy=0.0, jurors={}, model=found)
    tried, other = bid("tried", 0.9, 10.0), bid("other", 0.6, 40.0)
    strict = CheckErrors(false_fail=0.5)
    assert next_to_try([tried, other], ["tried"], weights, 1) is not None
    kept = next_to_try([tried, other], ["tried"], weights, 1, strict, "tried")
    assert kept is None, "refused work is right in 0.45 of 0.55"
    assert next_to_try([tried, other], ["tried"], weights, 1, strict, None) is not None, "there is no answer to keep"
