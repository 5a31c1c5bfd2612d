"""`fit`, end to end: what each objective recovers of a known truth, what it says of itself, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sale.auction import scoring
from sale.errors import InputError
from sale.learning.fit import fit
from sale.types import Example, Weights
from tests.learning.pools import PRICES, Pool, auctions, bid, seen_by_market

OBJECTIVES: tuple[str, ...] = ("minmax", "margin", "utility")


def awards(examples: list[Example], weights: Weights) -> list[str]:
    """Whom the market itself chooses."""
    return [
        scoring.rank(scoring.weigh(b.strategy, b.price, b.scores, weights, b.track) for b in one.bids)[0].agent
        for one in examples
    ]


def solved(examples: list[Example], names: list[str]) -> float:
    return float(np.mean([one.work[name].success for one, name in zip(examples, names, strict=True)]))


@pytest.fixture(scope="module")
def records() -> list[Example]:
    return auctions(240, Pool(shared=0.2))


@pytest.fixture(scope="module")
def later() -> list[Example]:
    return auctions(400, Pool(shared=0.2), seed=77)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_fitted_weights_beat_chance_and_say_how_well(
    records: list[Example], later: list[Example], objective: str
) -> None:
    found = fit(records, objective, seconds=10.0)
    names = awards(later, found.weights)
    cheapest = solved(later, ["small"] * len(later))
    assert solved(later, names) > cheapest + 0.1
    held = found.training.held_out
    mean, low, high = held["pass@1"]
    assert low <= mean <= high
    # What it says of tasks it has not seen is what happens on later ones, within both samples' noise.
    assert mean == pytest.approx(solved(later, names), abs=0.1)
    assert {"dollars", "reliance", "regret", "gain"} <= set(held)
    assert held["regret"][0] == pytest.approx(
        np.mean([any(w.success for w in one.work.values()) for one in records]) - mean, abs=1e-9
    )
    assert (found.training.objective, found.training.auctions) == (objective, 240)
    assert found.training.judged == 720
    assert (found.gap is None) == (objective == "utility")


@pytest.mark.parametrize("objective", ["margin", "utility"])
def test_learnt_objectives_beat_the_dearest_agent_where_plans_tell(
    records: list[Example], later: list[Example], objective: str
) -> None:
    found = fit(records, objective, worth=0.05)
    names = awards(later, found.weights)
    dearest = solved(later, ["large"] * len(later))
    assert solved(later, names) > dearest
    assert found.training.held_out["gain"][0] > 0.0
    assert names.count("large") < 0.8 * len(later)


def test_margin_gives_a_useful_juror_weight_and_a_random_one_next_to_none() -> None:
    weights = fit(auctions(500, Pool(shared=0.2)), "margin", worth=0.01).weights
    assert weights.cost == 1.0
    assert weights.jurors["good"] > 0.0
    assert weights.jurors["random"] <= 0.1 * weights.jurors["good"]
    assert weights.jurors["constant"] == 0.0


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_margin_learns_the_sign_of_entropy(sign: float) -> None:
    weights = fit(auctions(240, Pool(entropy=sign, noise=4.0, shared=0.2)), "margin", worth=0.01).weights
    assert np.sign(weights.entropy) == sign


@pytest.mark.parametrize("objective", ["margin", "utility"])
def test_the_unit_of_money_changes_no_choice(objective: str) -> None:
    found = []
    for price_scale in (1.0, 1000.0):
        held = auctions(60, Pool(price_scale=price_scale))
        found.append(awards(held, fit(held, objective).weights))
    assert np.mean([ours == theirs for ours, theirs in zip(*found, strict=True)]) > 0.97


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_same_records_give_the_same_weights(objective: str) -> None:
    held = auctions(40)
    assert fit(held, objective, seconds=60.0) == fit(held, objective, seconds=60.0)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_winners_outcomes_are_enough_and_the_notes_say_what_stood_in(objective: str) -> None:
    seen = seen_by_market(auctions(150))
    found = fit(seen, objective, seconds=5.0)
    training = found.training
    assert training.judged == 150
    assert "pass@1" not in training.held_out
    mean, low, high = training.held_out["pass@1 (modelled)"]
    assert low < mean < high
    assert high - low > 0.3
    said = " ".join(training.notes)
    assert "300 of 450 outcomes were not observed" in said
    assert "supposes that all of them fail" in said


def test_propensities_make_held_out_figures_honest() -> None:
    """Every agent drawn with 1/3: the doubly robust estimate is of the truth, which the full record knows."""
    full = auctions(600, Pool(shared=0.2))
    truth = fit(full, "utility", worth=0.01)
    found = fit(seen_by_market(full, propensity=1 / 3), "utility", worth=0.01)
    _, low, high = found.training.held_out["pass@1"]
    assert low < truth.training.held_out["pass@1"][0] < high
    assert high - low < 0.3
    assert "doubly robust" in " ".join(found.training.notes)


def test_too_little_is_refused_and_little_is_said() -> None:
    with pytest.raises(InputError, match="7 different tasks") as refusal:
        fit(auctions(7), "margin")
    assert "at least 20 tasks" in refusal.value.hint
    with pytest.raises(InputError, match="4 different tasks"):
        fit(auctions(80, repeats=20), "margin")
    nobody = [replace(one, work={}) for one in auctions(30)]
    with pytest.raises(InputError, match="0 judged"):
        fit(nobody, "utility")
    held = auctions(21)
    rare = replace(held[0], bids=(*held[0].bids, bid("rare")))
    notes = " ".join(fit([rare, *held[1:]], "utility").training.notes)
    assert "21 different tasks only" in notes
    assert "rare (0)" in notes
    assert "an agent not seen here" in notes


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_outcomes_that_are_all_alike_are_fitted_and_said(objective: str) -> None:
    alike = [
        replace(one, work={name: replace(worked, success=True) for name, worked in one.work.items()})
        for one in auctions(20)
    ]
    found = fit(alike, objective, seconds=5.0)
    assert "all outcomes are alike" in " ".join(found.training.notes)
    # Everybody succeeds: the cheapest does.
    if objective != "minmax":
        assert set(awards(alike, found.weights)) == {"small"}


@pytest.mark.parametrize(
    "wrong", [{"worth": 0.0}, {"worth": float("nan")}, {"folds": 1}, {"options": {"alpha": 1.5}}, {"seconds": 0.0}]
)
def test_wrong_arguments_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError):
        fit(auctions(10), "margin", **wrong)  # pyright: ignore[reportArgumentType]


def test_what_a_juror_that_is_new_has_said_is_no_trouble() -> None:
    """In some folds it has said nothing at all."""
    held = auctions(30)
    extra = bid("small", PRICES["small"], points={"good": 3.0, "new": 5.0})
    held[3] = replace(held[3], bids=(extra, *held[3].bids[1:]))
    for objective in OBJECTIVES:
        assert fit(held, objective, seconds=3.0).training.auctions == 30


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_pool_of_one_and_a_pool_without_a_jury_are_fitted(objective: str) -> None:
    alone = [replace(one, bids=one.bids[:1]) for one in auctions(20)]
    mute = [
        replace(one, bids=tuple(bid(own.agent, own.price, own.strategy.tokens, None) for own in one.bids))
        for one in auctions(20)
    ]
    for held in (alone, mute):
        found = fit(held, objective, seconds=5.0)
        assert len(awards(held, found.weights)) == 20
    assert set(awards(alone, fit(alone, objective, seconds=5.0).weights)) == {"small"}


def test_since_and_settings_are_on_record() -> None:
    training = fit(auctions(20), "margin", since="2026-01-01", worth=0.5, seed=4).training
    assert training.since == "2026-01-01"
    assert training.settings["worth"] == 0.5
    assert training.settings["lambda"] == 2.0
    assert training.settings["seed"] == 4.0
    assert {"rho", "trade", "alpha", "folds", "gap"} <= set(training.settings)
