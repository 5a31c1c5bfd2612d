"""Drift is noticed, and false alarms are as rare as stated."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sale.auction.difficulty import SHARES, spread_by_difficulty
from sale.errors import InputError
from sale.learning.dataset import tabulate
from sale.learning.drift import alarm, drift
from sale.learning.samples import blank_model
from sale.learning.utility import success_models
from sale.types import Bid, Example, Score, SuccessModel, Worked
from tests.learning.pools import auctions, bid


def model_of(examples: list[Example]):
    return success_models(tabulate(examples), (0.1,))[0]


def test_nothing_is_found_where_nothing_changed() -> None:
    assert drift(auctions(300, seed=5), model_of(auctions(800))) == ()


def followers(count: int, rate: float) -> tuple[list[Example], SuccessModel]:
    """A small agent that solves half tries first; where it fails another follows, whose true rate is told."""
    rates = {"small": 0.5, "large": rate}
    known = blank_model(tuple(rates), np.array(list(rates.values())), 0.5)
    model = replace(known, difficulty=2.0, intercepts={name: float(np.log(p / (1 - p))) for name, p in rates.items()})
    rng, found = np.random.default_rng(4), list[Example]()
    able = {name: spread_by_difficulty(np.array(p), np.array(2.0)) for name, p in rates.items()}
    for number in range(count):
        hard = int(rng.choice(len(SHARES), p=SHARES))
        work = {"small": Worked(success=bool(rng.random() < able["small"][hard]), dollars=0.001)}
        if not work["small"].success:
            work["large"] = Worked(success=bool(rng.random() < able["large"][hard]), dollars=0.02, after=("small",))
        bids = tuple(bid(name, entropy=None) for name in rates)
        found.append(Example(auction_id=f"{number}", task=f"t{number}", bids=bids, winner="small", work=work))
    return found, replace(model, intercepts={**model.intercepts, "large": float(np.log(4.0))})


def test_an_agent_that_follows_failures_is_not_taken_to_do_worse() -> None:
    """It solves 80 % of all tasks, and of those that the small one failed fewer: nothing has changed."""
    later, model = followers(1500, 0.8)
    own = [one.work["large"].success for one in later if "large" in one.work]
    assert np.mean(own) < 0.7
    assert drift(later, model) == ()
    blind = [replace(one, work={name: replace(did, after=()) for name, did in one.work.items()}) for one in later]
    assert [finding.name for finding in drift(blind, model)] == ["large"]
    assert [finding.name for finding in drift(*followers(1500, 0.5))] == ["large"], "and where it has, it is found"


def test_an_agent_that_got_worse_is_found_and_no_other() -> None:
    def broken(one: Example) -> Example:
        return replace(one, work={**one.work, "large": Worked(success=False, dollars=0.001)})

    calm, worse = auctions(150, seed=5), [broken(one) for one in auctions(60, seed=6)]
    worse = [replace(one, auction_id=f"late {number}") for number, one in enumerate(worse)]
    found = drift([*calm, *worse], model_of(auctions(800)))
    agents = [finding for finding in found if finding.kind == "agent"]
    assert [finding.name for finding in agents] == ["large"]
    assert agents[0].noticed.startswith("late")
    assert int(agents[0].noticed.split()[1]) < 40
    assert agents[0].observed < agents[0].expected
    assert agents[0].evidence >= 1000.0
    assert agents[0].message.startswith("propose a refit because large does worse than the weights expect")


def test_a_juror_that_turned_to_chance_is_found() -> None:
    """Its points no longer say anything, but the model still believes them."""
    rng = np.random.default_rng(0)

    def shuffled(one: Bid) -> Bid:
        points = {score.juror: score.value for score in one.scores} | {"good": float(rng.integers(0, 6))}
        made = bid(one.agent, one.price, one.strategy.tokens, 0.5, points)
        return replace(one, scores=made.scores)

    changed = [replace(one, bids=tuple(shuffled(own) for own in one.bids)) for one in auctions(300, seed=5)]
    found = drift(changed, model_of(auctions(800)))
    assert "good" in [finding.name for finding in found if finding.kind == "juror"]
    assert "random" not in [finding.name for finding in found]
    (good,) = [finding for finding in found if finding.name == "good"]
    assert "bids that good likes do worse" in good.message


def test_points_that_a_juror_did_not_give_say_nothing_of_it() -> None:
    """They were imputed from what others gave: here all of them would foretell the outcome."""
    model = blank_model(("small",), np.array([0.5]), 0.5)

    def scored(number: int, *, imputed: bool) -> Example:
        good = number % 2 == 0
        points = Score(juror="silent", bidder="small", value=5.0 if good else 0.0, imputed=imputed)
        made = replace(bid("small", entropy=None), scores=(points,))
        work = {"small": Worked(success=good, dollars=0.001)}
        return Example(auction_id=f"{number}", task=f"t{number}", bids=(made,), winner="small", work=work)

    assert [one.name for one in drift([scored(number, imputed=False) for number in range(200)], model)] == ["silent"]
    assert drift([scored(number, imputed=number >= 4) for number in range(200)], model) == ()


def test_bids_of_evidence_alone_are_predicted_by_their_scores() -> None:
    """A market without plans awards by what jurors say of evidence: that is the chance that outcomes are held to."""

    def without_plan(one: Bid) -> Bid:
        return replace(one, strategy=replace(one.strategy, text="", tokens=0, entropy=None))

    past, later = (
        [replace(one, bids=tuple(map(without_plan, one.bids))) for one in held]
        for held in (auctions(800), auctions(300, seed=5))
    )
    assert drift(later, model_of(past)) == ()


@pytest.mark.parametrize("threshold", [50.0, 200.0])
def test_false_alarms_are_at_least_as_rare_as_stated(threshold: float) -> None:
    """The mean run length to a false alarm is at least the threshold; runs cut off count as long as they were."""
    rng = np.random.default_rng(2)
    lengths = []
    for _ in range(150):
        chances = rng.uniform(0.1, 0.9, size=int(20 * threshold))
        bets = [(1.0, float(p), bool(y)) for p, y in zip(chances, rng.random(len(chances)) < chances, strict=True)]
        at, evidence = alarm(bets, threshold, tolerance=0.0)
        lengths.append(len(bets) if at is None else at + 1)
        assert (at is None) == (evidence < threshold)
    assert np.mean(lengths) > threshold


def test_a_difference_within_tolerance_is_left_alone() -> None:
    rng = np.random.default_rng(3)
    bets = [(1.0, 0.55, bool(rng.random() < 0.5)) for _ in range(3000)]
    assert alarm(bets, 1000.0, tolerance=0.1)[0] is None
    assert alarm(bets, 1000.0, tolerance=0.0)[0] is not None


def test_drift_refuses_what_makes_no_sense() -> None:
    model = model_of(auctions(30))
    for wrong in ({"run_length": 1.0}, {"run_length": float("nan")}, {"tolerance": 1.0}, {"tolerance": -0.1}):
        with pytest.raises(InputError):
            drift([], model, **wrong)
