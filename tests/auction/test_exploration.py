"""Awards that explore: bounded, priced, off by default, and drawn as they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.auction.allowance import work_ahead
from sale.auction.exploration import draw, explore
from sale.auction.scoring import rank
from sale.errors import InputError
from sale.types import AuctionRules, Bid, Exploration, Weights
from tests.learning.pools import PRICES, bid


def explored(bids: Sequence[Bid], work: Mapping[str, float], **bounds: float) -> Exploration:
    best, *others = rank(bids)
    return explore(best, others, work, **bounds)


def bids() -> list[Bid]:
    cheap, middle, dear = (bid(name, price) for name, price in PRICES.items())
    return [replace(cheap, cost=3.0), replace(middle, cost=1.0, chance=0.6), replace(dear, cost=2.0, chance=0.8)]


WORK = {"small": 0.1, "middle": 0.2, "large": 1.0}


def test_exploration_is_off_unless_asked_for() -> None:
    off = explored(bids(), WORK)
    assert off.propensities == {"middle": 1.0, "large": 0.0, "small": 0.0}
    assert off.extra_dollars == 0.0
    assert {draw(off.propensities, str(number)) for number in range(50)} == {"middle"}


def test_a_sum_that_falls_short_of_one_draws_nobody_who_cannot_be_drawn() -> None:
    """Rounding alone can leave a lot that no propensity covers."""
    drawn = {draw({"a": 0.5, "b": 0.4, "c": 0.0}, str(number)) for number in range(200)}
    assert drawn == {"a", "b"}


def test_what_exploring_costs_is_bounded_and_said() -> None:
    wide = explored(bids(), WORK, share=0.3)
    assert wide.propensities == pytest.approx({"middle": 0.8, "large": 0.1, "small": 0.1})
    assert wide.extra_dollars == pytest.approx(0.1 * 0.8 - 0.1 * 0.1)
    assert wide.lost_success is None
    close = explored(bids(), WORK, share=0.3, most_dollars=0.5)
    assert close.propensities == pytest.approx({"middle": 0.85, "large": 0.0, "small": 0.15})
    known = explored(bids()[1:], WORK, share=0.2)
    assert known.lost_success == pytest.approx(0.1 * (0.6 - 0.8))
    assert explored(bids(), {"middle": 0.2}, share=0.5).propensities["middle"] == 1.0
    assert explored(bids(), {"small": 0.2}, share=0.5).propensities["middle"] == 1.0


def test_who_costs_just_as_much_more_as_may_be_is_tried() -> None:
    edge = explored(bids(), WORK | {"large": 0.75, "middle": 0.25}, share=0.3, most_dollars=0.5)
    assert edge.propensities["large"] == pytest.approx(0.1)


def test_an_agent_that_bid_twice_is_tried_with_its_better_bid() -> None:
    _, middle, large = bids()
    refined = replace(large, cost=1.5, chance=0.7)
    for others in ([large, refined], [refined, large]):
        assert explore(middle, others, WORK, share=0.2).lost_success == pytest.approx(0.1 * (0.6 - 0.7))


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=6),
    st.floats(0, 1),
    st.floats(0, 10) | st.just(math.inf),
)
@settings(deadline=None)
def test_propensities_are_a_distribution_within_the_bounds(costs: list[float], share: float, most: float) -> None:
    held = [replace(bid(f"a{place}"), cost=cost) for place, cost in enumerate(costs)]
    work = {f"a{place}": abs(cost) for place, cost in enumerate(costs)}
    found = explored([*held, replace(held[0], cost=9.0)], work, share=share, most_dollars=most)
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
    for number in range(50):
        assert draw(p, str(number)) == draw(dict(reversed(p.items())), str(number))
    assert draw({"a": 1.0 - 1e-17, "b": 0.0}, "y") == "a"


def test_exploration_refuses_what_makes_no_sense() -> None:
    for wrong in ({"share": 1.1}, {"share": -0.1}, {"most_dollars": -1.0}, {"share": math.nan}):
        with pytest.raises(InputError):
            explored(bids(), WORK, **wrong)


def test_without_fitted_weights_work_is_taken_to_cost_what_prices_say() -> None:
    linear = Weights(cost=1.0, entropy=0.0, jurors={})
    found = work_ahead(bids(), linear, 1000)
    assert found["large"] / found["small"] == pytest.approx(PRICES["large"] / PRICES["small"])


@pytest.mark.parametrize(("share", "dollars"), [(1.5, 0.0), (math.nan, 0.0), (0.1, -1.0)])
def test_rules_refuse_shares_and_bounds_that_make_no_sense(share: float, dollars: float) -> None:
    with pytest.raises(ValueError, match="explore"):
        AuctionRules(explore=share, explore_dollars=dollars)
