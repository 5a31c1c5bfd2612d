"""Drift is noticed and false alarms are as rare as stated; exploration is bounded, priced and off by default."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.errors import InputError
from sale.learning.dataset import tabulate
from sale.learning.drift import alarm, drift
from sale.learning.explore import draw, explore
from sale.learning.utility import success_models
from sale.types import Bid, Example, Worked
from tests.learning.pools import PRICES, auctions, bid


def model_of(examples: list[Example]):
    return success_models(tabulate(examples), (0.1,))[0]


def test_nothing_is_found_where_nothing_changed() -> None:
    assert drift(auctions(300, seed=5), model_of(auctions(800))) == ()


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


def bids() -> list[Bid]:
    cheap, middle, dear = (bid(name, price) for name, price in PRICES.items())
    return [replace(cheap, cost=3.0), replace(middle, cost=1.0, chance=0.6), replace(dear, cost=2.0, chance=0.8)]


WORK = {"small": 0.1, "middle": 0.2, "large": 1.0}


def test_exploration_is_off_unless_asked_for() -> None:
    off = explore(bids(), WORK)
    assert off.propensities == {"middle": 1.0, "large": 0.0, "small": 0.0}
    assert off.extra_dollars == 0.0
    assert {draw(off.propensities, str(number)) for number in range(50)} == {"middle"}


def test_what_exploring_costs_is_bounded_and_said() -> None:
    wide = explore(bids(), WORK, share=0.3)
    assert wide.propensities == pytest.approx({"middle": 0.8, "large": 0.1, "small": 0.1})
    assert wide.extra_dollars == pytest.approx(0.1 * 0.8 - 0.1 * 0.1)
    assert wide.lost_success is None
    close = explore(bids(), WORK, share=0.3, most_dollars=0.5)
    assert close.propensities == pytest.approx({"middle": 0.85, "large": 0.0, "small": 0.15})
    known = explore(bids()[1:], WORK, share=0.2)
    assert known.lost_success == pytest.approx(0.1 * (0.6 - 0.8))
    assert explore(bids(), {"middle": 0.2}, share=0.5).propensities["middle"] == 1.0
    assert explore(bids(), {"small": 0.2}, share=0.5).propensities["middle"] == 1.0


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0, 10) | st.just(math.inf),
)
@settings(deadline=None)
def test_propensities_are_a_distribution_within_the_bounds(costs: list[float], share: float, most: float) -> None:
    held = [replace(bid(f"a{place}"), cost=cost) for place, cost in enumerate(costs)]
    work = {f"a{place}": abs(cost) for place, cost in enumerate(costs)}
    found = explore([*held, replace(held[0], cost=9.0)], work, share=share, most_dollars=most)
    best = min(held, key=lambda one: (one.cost, one.agent)).agent
    assert math.fsum(found.propensities.values()) == pytest.approx(1.0)
    assert found.propensities[best] >= 1.0 - share - 1e-12
    assert found.extra_dollars <= share * most if math.isfinite(most) else True
    for agent, p in found.propensities.items():
        assert p >= 0.0
        assert p == 0.0 or agent == best or work[agent] - work[best] <= most


def test_the_draw_follows_the_propensities_and_its_seed() -> None:
    p = {"a": 0.7, "b": 0.0, "c": 0.3}
    names = [draw(p, f"auction {number}") for number in range(4000)]
    assert names.count("a") / 4000 == pytest.approx(0.7, abs=0.03)
    assert "b" not in names
    assert draw(p, "x") == draw(dict(reversed(p.items())), "x")
    assert draw({"a": 1.0 - 1e-17, "b": 0.0}, "y") == "a"


def test_exploration_refuses_what_makes_no_sense() -> None:
    for wrong in ({"share": 1.1}, {"share": -0.1}, {"most_dollars": -1.0}, {"share": math.nan}):
        with pytest.raises(InputError):
            explore(bids(), WORK, **wrong)
    with pytest.raises(InputError, match="no bid"):
        explore([], WORK)
