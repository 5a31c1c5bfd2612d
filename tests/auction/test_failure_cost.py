"""The quality that a task demands by what a failure costs: the choice is the one of expected worth, written out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.auction import scoring
from sale.auction.failure_cost import with_failure_cost
from sale.auction.shortlist import make_unplanned
from sale.auction.value_of_information import standing_bids, worth_of_bids
from sale.market import Market
from sale.types import AuctionRules, Price, SuccessModel, TrackRecord, Weights
from tests.support.scripted import acts, contractor

MICRO = 1e6
ODDS = {"small": 0.9, "large": 3.0}
WORK = {"small": 100.0, "large": 5_000.0}
MODEL = SuccessModel(
    worth=10_000.0,
    intercepts=ODDS,
    newcomer=0.0,
    rates={"small": 0.7, "large": 0.95},
    newcomer_rate=0.5,
    coefficients={},
    means={},
    work=WORK,
    newcomer_tokens=1.0,
)
FITTED = Weights(cost=1.0, entropy=0.0, jurors={}, model=MODEL)


def chance(agent: str) -> float:
    return 1.0 / (1.0 + math.exp(-ODDS[agent]))


def bids(weights: Weights) -> dict[str, float]:
    return {name: scoring.weigh(make_unplanned(name), 1.0, (), weights).net_cost for name in ODDS}


@given(st.floats(0.0, 0.1))
def test_bids_are_ranked_by_expected_worth_less_what_a_failure_costs(dollars: float) -> None:
    found = bids(with_failure_cost(FITTED, dollars))
    wanted = {name: chance(name) * MODEL.worth - (1.0 - chance(name)) * dollars * MICRO - WORK[name] for name in ODDS}
    difference = (found["small"] - found["large"]) - (wanted["large"] - wanted["small"])
    assert difference == pytest.approx(0.0, abs=1e-6)


def test_a_costly_failure_moves_the_task_to_the_agent_that_fails_less() -> None:
    assert bids(FITTED)["small"] < bids(FITTED)["large"]
    # 24 points more of success for 4,900 micro-dollars more: worth it from some 20,000 micro-dollars a failure.
    even = (WORK["large"] - WORK["small"]) / (chance("large") - chance("small")) - MODEL.worth
    below, above = (with_failure_cost(FITTED, (even + more) / MICRO) for more in (-1.0, 1.0))
    assert bids(below)["small"] < bids(below)["large"]
    assert bids(above)["small"] > bids(above)["large"]


def test_what_an_auction_is_worth_grows_with_it() -> None:
    agents = [contractor(name, price=1.0) for name in ODDS]
    spread = replace(FITTED, model=replace(MODEL, spread=dict.fromkeys(ODDS, 0.5)))
    dearer = with_failure_cost(spread, 0.01)
    assert spread.model is not None
    assert dearer.model is not None
    plain = worth_of_bids(standing_bids(agents, {}, spread), spread.model)
    assert worth_of_bids(standing_bids(agents, {}, dearer), dearer.model) > plain


def test_before_weights_are_fitted_track_records_count_more_by_it() -> None:
    prior = scoring.default_weights({"a": Price(input=1, output=1, blended=1)}, ["a"])
    dearer = with_failure_cost(prior, 0.002)
    good = TrackRecord(agent="a", successes=9.0, failures=1.0, spent=0.0, costed=0.0)
    poor = TrackRecord(agent="a", successes=1.0, failures=9.0, spent=0.0, costed=0.0)
    gaps = [
        scoring.weigh(make_unplanned("a"), 1.0, (), weights, poor).net_cost
        - scoring.weigh(make_unplanned("a"), 1.0, (), weights, good).net_cost
        for weights in (prior, dearer)
    ]
    rates = scoring.success_rate(good) - scoring.success_rate(poor)
    assert gaps[1] - gaps[0] == pytest.approx(0.002 * MICRO * rates)


def test_without_it_nothing_changes() -> None:
    assert with_failure_cost(FITTED, 0.0) is FITTED
    assert AuctionRules().failure_dollars == 0.0


@pytest.mark.parametrize("dollars", [-1.0, math.inf, math.nan])
def test_it_must_be_a_number_of_dollars(dollars: float) -> None:
    with pytest.raises(ValueError, match="failure_dollars must be a finite number"):
        AuctionRules(failure_dollars=dollars)


@pytest.mark.parametrize(("dollars", "winner"), [(0.0, "small"), (0.05, "large")])
async def test_the_market_awards_by_it_and_the_record_says_so(dollars: float, winner: str) -> None:
    pool = [contractor(name, acts(bid="1. Do it.\n2. Check it."), price=1.0) for name in ODDS]
    rules = AuctionRules(failure_dollars=dollars)
    async with Market(pool, weights=FITTED, rules=rules) as market:
        auction = await market.auction("Say it.")
    assert auction.winner.agent == winner
    assert auction.weights.model is not None
    assert auction.weights.model.worth == pytest.approx(MODEL.worth + dollars * MICRO)
