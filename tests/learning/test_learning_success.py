"""The success model: the regression under it, what it learns of a known truth, and whether P̂ is calibrated."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from sale.auction.success_model import chance, shrinkage
from sale.learning import calibration
from sale.learning.dataset import tabulate
from sale.learning.decision import chances, choose_bids, expected_works
from sale.learning.intervals import mean_interval
from sale.learning.logistic import fit_logistic
from sale.learning.samples import PRIOR_TASKS
from sale.learning.utility import success_models, with_worth
from sale.types import Example, TrackRecord, Weights, Worked
from tests.learning.pools import PRICES, Pool, auctions, bid, seen_by_market


def rows(seed: int, count: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.column_stack([np.ones(count), rng.normal(size=(count, 3))])
    return x, (rng.random(count) < 1 / (1 + np.exp(-x @ np.array([0.3, 1.5, 0.0, -1.0])))).astype(float)


@pytest.mark.parametrize("seed", range(3))
def test_the_regression_is_the_librarys(seed: int) -> None:
    x, y = rows(seed)
    ours = fit_logistic(x, y, np.array([0.0, 2.0, 2.0, 2.0]), start=np.zeros(4))
    theirs = LogisticRegression(C=0.5, tol=1e-10, max_iter=1000).fit(x[:, 1:], y)
    assert ours[1:] == pytest.approx(theirs.coef_[0], abs=1e-4)
    assert ours[0] == pytest.approx(theirs.intercept_[0], abs=1e-4)
    lasso = fit_logistic(x, y, np.full(4, 1e-9), lasso=np.array([0.0, 4.0, 4.0, 4.0]), start=np.zeros(4))
    sparse = LogisticRegression(l1_ratio=1.0, C=0.25, solver="saga", tol=1e-8, max_iter=20_000).fit(x[:, 1:], y)
    assert lasso[1:] == pytest.approx(sparse.coef_[0], abs=1e-3)


def test_all_successes_make_no_infinite_odds() -> None:
    x = np.ones((10, 1))
    found = fit_logistic(x, np.ones(10), np.ones(1), centre=np.array([3.0]), start=np.zeros(1))
    assert 3.0 < found[0] < 6.0


def model_of(examples: list[Example], strength: float = 0.06):
    return success_models(tabulate(examples), (strength,))[0]


def test_a_useful_juror_counts_and_a_random_one_does_not() -> None:
    model = model_of(auctions(400), strength=0.25)
    assert model.coefficients["juror:good"] > 0.3
    assert "juror:random" not in model.coefficients
    assert "juror:constant" not in model.coefficients
    assert model.intercepts["small"] < model.intercepts["middle"] < model.intercepts["large"]


def test_at_the_strongest_lasso_nothing_enters_whatever_the_rounding() -> None:
    """It is the least under which nothing does: whether the first feature enters there must not be left to rounding."""
    for seed in range(12):
        (model,) = success_models(tabulate(auctions(60, seed=seed)), (1.0,))
        assert not model.coefficients


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_sign_of_entropy_is_learnt(sign: float) -> None:
    model = model_of(auctions(300, Pool(entropy=sign, noise=3.0)))
    assert np.sign(model.coefficients["entropy"]) == sign


def test_chances_are_calibrated_on_tasks_not_seen() -> None:
    model = model_of(auctions(1500))
    table = tabulate(auctions(600, seed=9))
    seen = calibration.judged_predictions(table, chances(table, model))
    slope, low, high = calibration.slope(*seen)
    assert 0.85 < slope < 1.15
    assert 0.05 < high - low < 0.5
    assert abs(calibration.bias(*seen)[0]) < 0.05
    sure = np.clip(3 * (seen[0] - 0.5) + 0.5, 0.01, 0.99)
    assert calibration.slope(sure, *seen[1:])[2] < 1.0


def test_the_order_of_agents_changes_nothing() -> None:
    held = auctions(60)
    turned = [
        Example(auction_id=one.auction_id, task=one.task, bids=one.bids[::-1], winner=one.winner, work=one.work)
        for one in held
    ]
    ours, theirs = model_of(held), model_of(turned)
    assert ours.intercepts == pytest.approx(theirs.intercepts)
    assert ours.coefficients == pytest.approx(theirs.coefficients)


def test_what_is_not_known_of_a_bid_takes_its_mean_and_a_newcomer_the_pools_prior() -> None:
    model = model_of(auctions(200), strength=0.0)
    assert set(model.rates) == set(PRICES)
    low, high = min(model.intercepts.values()), max(model.intercepts.values())
    assert low < model.newcomer < high
    bare = 1 / (1 + np.exp(-model.intercepts["middle"]))
    before = 1 / (1 + np.exp(-model.intercepts["middle"] / shrinkage(model.spread["middle"])))
    assert chance(model, "middle") == pytest.approx(before)
    usual = bid("middle", tokens=round(np.exp(model.means["length"])), entropy=None).strategy
    assert chance(model, "middle", strategy=usual) == pytest.approx(bare, abs=0.01)
    assert 0.3 < chance(model, "nobody knows me") < 0.9


def test_an_agent_seen_once_is_drawn_to_the_pool() -> None:
    rare = Example(
        auction_id="r",
        task="rare",
        bids=(bid("rare", 0.2),),
        winner="rare",
        work={"rare": Worked(success=True, dollars=0.01)},
    )
    model = model_of([*auctions(100), rare])
    assert abs(model.intercepts["rare"] - model.newcomer) < 0.6
    assert model.rates["rare"] == pytest.approx((1 + PRIOR_TASKS * model.newcomer_rate) / (1 + PRIOR_TASKS))
    # One dear execution against the pool's price times tokens, which counts for four.
    expected = (0.01e6 + PRIOR_TASKS * 0.2 * model.newcomer_tokens) / (1 + PRIOR_TASKS)
    assert model.work["rare"] == pytest.approx(expected)


def test_track_records_count_where_they_tell_something() -> None:
    rng = np.random.default_rng(0)
    held: list[Example] = []
    for number in range(300):
        rate = rng.random()
        track = TrackRecord(agent="a", successes=10 * rate, failures=10 * (1 - rate))
        worked = Worked(success=bool(rng.random() < rate), dollars=0.001)
        held.append(
            Example(
                auction_id=str(number), task=str(number), bids=(bid("a", track=track),), winner="a", work={"a": worked}
            )
        )
    model = model_of(held)
    assert model.coefficients["track"] > 0.5
    good, bad = (TrackRecord(agent="a", successes=s, failures=10 - s) for s in (9.0, 1.0))
    assert chance(model, "a", track=good) > 0.7 > 0.4 > chance(model, "a", track=bad)


@given(st.integers(0, 3))
@settings(max_examples=4, deadline=None)
def test_more_worth_buys_more_success_for_more_money(seed: int) -> None:
    table = tabulate(auctions(60, seed=seed))
    model = success_models(table, (0.1,))[0]
    lines = np.arange(len(table))
    hoped, spent = [], []
    for worth in (0.0, 1e-4, 1e-3, 1e-2, 1.0):
        at = with_worth(model, worth)
        columns = choose_bids(table, Weights(cost=1.0, entropy=0.0, jurors={}, model=at))
        hoped.append(float(chances(table, at)[lines, columns].mean()))
        spent.append(float(expected_works(table, at)[lines, columns].mean()))
    assert hoped == sorted(hoped)
    assert spent == sorted(spent)
    assert hoped[-1] > hoped[0]


def test_the_winners_outcomes_alone_give_about_the_same_model() -> None:
    full, seen = model_of(auctions(900)), model_of(seen_by_market(auctions(900)))
    assert seen.coefficients["juror:good"] == pytest.approx(full.coefficients["juror:good"], abs=0.25)
    for agent in PRICES:
        assert seen.intercepts[agent] == pytest.approx(full.intercepts[agent], abs=0.4)


def test_the_spread_of_what_bids_tell_and_the_price_of_asking() -> None:
    model = model_of(auctions(300))
    assert model.auction == pytest.approx(1.0)
    assert set(model.spread) == set(PRICES)
    assert min(model.spread.values()) > 0.5
    mute = [
        Example(
            auction_id=one.auction_id,
            task=one.task,
            bids=tuple(bid(own.agent, own.price, entropy=None) for own in one.bids),
            winner=one.winner,
            work=one.work,
        )
        for one in auctions(50)
    ]
    assert set(model_of(mute).spread.values()) == {0.0}


def test_a_part_of_the_tasks_is_enough_for_about_the_same_model() -> None:
    table = tabulate(auctions(600))
    (part,) = success_models(table, (0.1,), most=600)
    (whole,) = success_models(table, (0.1,))
    assert part.coefficients != whole.coefficients
    assert part.coefficients["juror:good"] == pytest.approx(whole.coefficients["juror:good"], abs=0.4)
    assert part.work == whole.work
    assert part == success_models(table, (0.1,), most=600)[0]


def test_intervals_count_tasks_and_doubt_five_out_of_five() -> None:
    values, groups = np.ones(5), np.arange(5)
    assert mean_interval(values, groups, proportion=True) == (1.0, pytest.approx(0.566, abs=1e-3), 1.0)
    rng = np.random.default_rng(0)
    flips = (rng.random(50) < 0.4).astype(float)
    once = mean_interval(flips, np.arange(50), proportion=True)
    four = mean_interval(np.repeat(flips, 4), np.repeat(np.arange(50), 4), proportion=True)
    assert once == pytest.approx(four, abs=1e-9)
    assert mean_interval(np.array([3.0]), np.zeros(1, np.intp)) == (3.0, -np.inf, np.inf)


def test_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(1)
    for rate, count in ((0.3, 30), (0.9, 40)):
        hits = 0
        for _ in range(300):
            _, low, high = mean_interval((rng.random(count) < rate).astype(float), np.arange(count), proportion=True)
            hits += low <= rate <= high
        assert hits / 300 > 0.91
