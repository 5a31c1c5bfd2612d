"""What other weights would have done: exact where known, right on average where awards explored, else bounds."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sale.errors import InputError
from sale.learning.compare import RECORDED, compare
from sale.types import Example, Weights, Worked
from tests.learning.pools import PRICES, Pool, auctions, seen_by_market

CHEAP = Weights(cost=1.0, entropy=0.0, jurors={})
JURY = Weights(cost=0.0, entropy=0.0, jurors={"good": 1.0})
DEAR = Weights(cost=-1.0, entropy=0.0, jurors={})


def rate(examples: list[Example], agent: str) -> float:
    return float(np.mean([one.work[agent].success for one in examples]))


def test_recorded_outcomes_give_exact_figures() -> None:
    held = auctions(200)
    found = compare(held, {"jury": JURY, "dear": DEAR})
    assert list(found) == [RECORDED, "jury", "dear"]
    recorded = found[RECORDED]
    assert recorded.agreed == 1.0
    assert recorded.success.value == pytest.approx(np.mean([one.work[one.winner].success for one in held]))
    assert recorded.gain == (0.0, 0.0, 0.0)
    jury = found["jury"]
    assert jury.success.how == jury.dollars.how == "exact"
    assert jury.success.unknown == 0.0
    assert sum(jury.awards.values()) == jury.auctions == 200
    assert jury.gain is not None
    assert jury.success.value is not None
    assert recorded.success.value is not None
    assert jury.gain[0] == pytest.approx(jury.success.value - recorded.success.value)
    assert found["dear"].reliance > 0.5


def test_where_only_winners_are_known_there_are_bounds_that_hold() -> None:
    full = auctions(200)
    found = compare(seen_by_market(full), {"jury": JURY})
    jury = found["jury"]
    truth = compare(full, {"jury": JURY})["jury"].success.value
    assert truth is not None
    assert jury.success.value is None
    assert jury.success.how == "bounds"
    assert jury.success.low < truth < jury.success.high
    assert jury.success.unknown == pytest.approx(1.0 - jury.agreed)
    assert jury.dollars.how == "modelled"
    assert jury.gain is None
    assert jury.modelled == pytest.approx(truth, abs=0.12)
    assert found[RECORDED].success.how == "exact"


def test_exploration_gives_estimates_that_are_right_on_average() -> None:
    """Over many draws of who won, the doubly robust figure averages to the truth, and its intervals cover it."""
    full = auctions(80, Pool(shared=0.3), seed=3)
    truth = compare(full, {"jury": JURY})["jury"]
    assert truth.success.value is not None
    rng = np.random.default_rng(0)
    p = dict(zip(PRICES, (0.5, 0.25, 0.25), strict=True))
    values, spent, covered = [], [], 0
    for _ in range(40):
        names = rng.choice(list(p), size=len(full), p=list(p.values()))
        drawn = [
            replace(one, winner=str(name), work={str(name): one.work[str(name)]}, propensities=p)
            for one, name in zip(full, names, strict=True)
        ]
        found = compare(drawn, {"jury": JURY})["jury"]
        assert found.success.how == "doubly robust"
        assert found.success.value is not None
        values.append(found.success.value)
        spent.append(found.dollars.value)
        covered += found.success.low <= truth.success.value <= found.success.high
    error = np.std(values) / np.sqrt(len(values))
    assert np.mean(values) == pytest.approx(truth.success.value, abs=3 * error + 0.005)
    assert np.mean(spent) == pytest.approx(truth.dollars.value, rel=0.02)
    assert covered >= 34


def test_an_award_that_exploration_ruled_out_stays_unknown() -> None:
    held = [
        replace(one, winner="small", work={"small": one.work["small"]}, propensities={"small": 0.9, "middle": 0.1})
        for one in auctions(50)
    ]
    for weights in (DEAR, JURY):
        found = compare(held, {"it": weights})["it"]
        assert found.success.how == "bounds"
        assert found.reliance > 0.0
        assert found.success.unknown == pytest.approx(found.reliance)
    assert 0.0 < compare(held, {"it": JURY})["it"].success.unknown < 1.0


def test_a_refined_bid_has_its_agents_outcome() -> None:
    """Agents that bid twice: outcomes and propensities are the agent's, so a second bid changes no figure."""
    p = {"small": 0.2, "middle": 0.5, "large": 0.3}
    drawn = [
        replace(one, work={one.winner: one.work[one.winner]}, propensities=p) for one in auctions(60, Pool(shared=0.3))
    ]
    twice = [replace(one, bids=(*one.bids, *one.bids)) for one in drawn]
    once, again = (compare(held, {"jury": JURY})["jury"] for held in (drawn, twice))
    assert again.success.value == pytest.approx(once.success.value, abs=0.01)  # the model weighs rows, twice as many
    assert again.dollars.value == pytest.approx(once.dollars.value, rel=0.02)
    assert (again.agreed, again.awards) == (once.agreed, once.awards)


def test_unjudged_winners_stay_unknown() -> None:
    held = auctions(30)
    held[4] = replace(held[4], work={})
    found = compare(held, {"cheap": CHEAP})
    assert found[RECORDED].success.unknown == pytest.approx(1 / 30)
    assert found["cheap"].success.value is None


def test_the_auctions_own_cost_is_counted() -> None:
    held = [replace(one, overhead=1.0) for one in auctions(20)]
    assert compare(held, {"cheap": CHEAP})["cheap"].dollars.value == pytest.approx(1.0, abs=0.01)
    dearer = [
        replace(one, work={name: Worked(success=w.success, dollars=2.0) for name, w in one.work.items()})
        for one in held
    ]
    assert compare(dearer, {})[RECORDED].dollars.value == pytest.approx(3.0)


def test_nothing_to_compare_is_refused() -> None:
    with pytest.raises(InputError, match="nothing can be compared"):
        compare([replace(one, work={}) for one in auctions(5)], {"cheap": CHEAP})
    with pytest.raises(InputError, match="nothing can be compared"):
        compare([replace(one, winner="gone") for one in auctions(5)], {"cheap": CHEAP})
    with pytest.raises(InputError, match="as awarded"):
        compare(auctions(5), {RECORDED: CHEAP})
