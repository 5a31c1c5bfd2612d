"""What holds for every auction, whoever bids what."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from sale.auction import scoring
from sale.types import Bid, Price, Score, Strategy, Vote, Weights
from tests.support.builders import bid, price, score
from tests.support.generators import names, pools, prices, scored_bids, strategies_by, votes_by, weights_for

Market = tuple[list[Strategy], dict[str, float], list[Vote], Weights]


@st.composite
def markets(draw: st.DrawFn, *, signed_entropy: bool = True) -> Market:
    pool = draw(pools)
    return (
        [draw(strategies_by(agent)) for agent in pool],
        {agent: draw(st.sampled_from([0.0, 0.05, 0.25, 1.0, 8.0])) for agent in pool},
        draw(votes_by(pool, pool)),
        draw(weights_for(pool, signed_entropy=signed_entropy)),
    )


def weighed(strategies: list[Strategy], rates: dict[str, float], votes: list[Vote], weights: Weights) -> list[Bid]:
    scores = scoring.impute(votes)
    return [
        scoring.weigh(s, rates[s.agent], [score for score in scores if score.bidder == s.agent], weights)
        for s in strategies
    ]


@given(markets(), st.randoms(use_true_random=False))
def test_no_order_of_agents_or_votes_changes_a_bid_or_the_winner(market: Market, chance: random.Random) -> None:
    strategies, rates, votes, weights = market
    before = {b.agent: (b.cost, b.value) for b in weighed(*market)}
    winner = scoring.provisional_winner(weighed(*market)).agent
    jurors = dict(chance.sample(sorted(weights.jurors.items()), len(weights.jurors)))
    after = weighed(
        chance.sample(strategies, len(strategies)),
        rates,
        chance.sample(votes, len(votes)),
        replace(weights, jurors=jurors),
    )
    assert {b.agent: (b.cost, b.value) for b in after} == before
    assert scoring.provisional_winner(after).agent == winner


@given(scored_bids(), st.randoms(use_true_random=False))
def test_no_order_of_bids_changes_the_ranking_or_the_award(bids: list[Bid], chance: random.Random) -> None:
    mixed = chance.sample(bids, len(bids))
    assert [b.agent for b in scoring.rank(mixed)] == [b.agent for b in scoring.rank(bids)]
    leader = scoring.provisional_winner(bids)
    assert scoring.award(leader, mixed).agent == scoring.award(leader, bids).agent
    assert {b.agent for b in scoring.may_refine(mixed, leader)} == {b.agent for b in scoring.may_refine(bids, leader)}


@given(scored_bids())
def test_the_first_in_the_ranking_is_beaten_by_nobody(bids: list[Bid]) -> None:
    first = scoring.rank(bids)[0]
    for other in bids:
        assert not other.net_cost < first.net_cost
        if other.net_cost == first.net_cost:
            assert (first.price, first.agent) <= (other.price, other.agent)


@given(markets(), st.integers(-20, 20))
def test_with_default_weights_the_unit_of_money_does_not_matter(market: Market, power: int) -> None:
    """Powers of two scale without rounding, so that a near-tie cannot flip for reasons of arithmetic."""
    strategies, rates, votes, _ = market

    def winner(scale: float) -> str:
        scaled = {agent: rate * scale for agent, rate in rates.items()}
        priced = {agent: price(rate) for agent, rate in scaled.items()}
        return scoring.provisional_winner(
            weighed(strategies, scaled, votes, scoring.default_weights(priced, list(rates)))
        ).agent

    assert winner(2.0**power) == winner(1.0)


@given(markets(), st.floats(1e-3, 1e3))
def test_for_any_scale_the_winner_stays_among_the_best(market: Market, scale: float) -> None:
    strategies, rates, votes, _ = market

    def bids(scale: float) -> list[Bid]:
        scaled = {agent: rate * scale for agent, rate in rates.items()}
        priced = {agent: price(rate) for agent, rate in scaled.items()}
        return weighed(strategies, scaled, votes, scoring.default_weights(priced, list(rates)))

    before, after = bids(1.0), bids(scale)
    winner = scoring.provisional_winner(after).agent
    found = {b.agent: b.net_cost for b in before}
    size = max(max(abs(b.cost), abs(b.value)) for b in before)
    assert found[winner] <= min(found.values()) + 1e-9 * size


@given(markets(), st.integers(-20, 20))
def test_scaling_prices_and_value_weights_together_changes_nothing(market: Market, power: int) -> None:
    strategies, rates, votes, weights = market
    scale = 2.0**power
    scaled = replace(
        weights,
        entropy=weights.entropy * scale,
        jurors={juror: weight * scale for juror, weight in weights.jurors.items()},
    )
    before = scoring.provisional_winner(weighed(*market)).agent
    after = scoring.provisional_winner(
        weighed(strategies, {agent: rate * scale for agent, rate in rates.items()}, votes, scaled)
    ).agent
    assert before == after


@given(
    cost=st.integers(0, 10**6),
    dearer=st.integers(0, 10**6),
    value=st.integers(-(10**6), 10**6),
    worse=st.integers(1, 10**6),
    rates=st.tuples(st.floats(0, 10), st.floats(0, 10)),
    others=scored_bids(),
)
def test_a_dominated_bid_never_wins(
    cost: int, dearer: int, value: int, worse: int, rates: tuple[float, float], others: list[Bid]
) -> None:
    """Hundredths up to ten thousand: no difference is lost to rounding."""
    best = bid("best!", cost=cost / 100, value=value / 100, price=rates[0])
    dominated = bid("dominated!", cost=(cost + dearer) / 100, value=(value - worse) / 100, price=rates[1])
    assert scoring.provisional_winner([dominated, best, *others]).agent != "dominated!"


@given(scored_bids(), scored_bids())
def test_refinement_can_only_lower_the_winning_net_cost(first: list[Bid], refined: list[Bid]) -> None:
    leader = scoring.provisional_winner(first)
    winner = scoring.award(leader, refined)
    assert winner is leader or winner.net_cost < leader.net_cost
    assert winner is leader or winner in refined


@given(scored_bids())
def test_only_cheaper_bids_may_refine(bids: list[Bid]) -> None:
    leader = scoring.provisional_winner(bids)
    able = scoring.may_refine(bids, leader)
    assert all(b.price < leader.price for b in able)
    assert {b.agent for b in bids} - {b.agent for b in able} == {b.agent for b in bids if b.price >= leader.price}


@given(st.tuples(pools, pools).flatmap(lambda who: votes_by(*who)))
def test_imputing_stays_within_the_votes_and_never_touches_one(votes: list[Vote]) -> None:
    scores = scoring.impute(votes)
    assert [(s.juror, s.bidder) for s in scores] == [(v.juror, v.bidder) for v in votes]
    given_values = [v.value for v in votes if v.value is not None]
    for before, after in zip(votes, scores, strict=True):
        if before.value is not None:
            assert (after.value, after.imputed) == (before.value, False)
            continue
        same = [v.value for v in votes if v.bidder == before.bidder and v.value is not None]
        within = [before.counts_as] if before.counts_as is not None else same or given_values or [2.5]
        assert after.imputed
        assert after.abstained == (before.counts_as is not None)
        assert after.note == before.note
        assert 0 <= min(within) <= after.value <= max(within) <= 5
        assert after.value != 0 or 0 in within  # missing is never zero of itself


@given(st.lists(st.tuples(names, st.integers(0, 5)), min_size=1, max_size=6, unique_by=lambda pair: pair[0]))
def test_what_is_imputed_is_the_mean(given_votes: list[tuple[str, int]]) -> None:
    votes = [Vote(juror=juror, bidder="a", value=value) for juror, value in given_votes]
    missing = Vote(juror="late!", bidder="a", value=None)
    mean = Fraction(sum(value for _, value in given_votes), len(given_votes))
    assert math.isclose(scoring.impute([*votes, missing])[-1].value, mean, rel_tol=1e-15)


@given(markets(signed_entropy=False))
def test_an_unknown_entropy_never_lifts_the_ceiling(market: Market) -> None:
    strategies, _, _, weights = market
    jurors = list(weights.jurors)
    ceiling = max(weights.entropy, 0.0) + 5 * math.fsum(weights.jurors.values())
    full = [score(juror, "a", 5) for juror in jurors]
    for known in strategies:
        unknown = replace(known, entropy=None)
        best, _ = scoring.value_of(unknown, full, weights)
        assert best <= ceiling * (1 + 1e-12)
        if any(weights.jurors.values()):
            assert math.isclose(best, ceiling, rel_tol=1e-9)


@given(markets(), st.data())
def test_a_better_score_of_any_juror_never_lowers_the_value(market: Market, data: st.DataObject) -> None:
    strategies, _, _, weights = market
    jurors = list(weights.jurors)
    marks = data.draw(st.lists(st.floats(0, 5), min_size=len(jurors), max_size=len(jurors)))
    who = data.draw(st.integers(0, len(jurors) - 1))
    better = [*marks]
    better[who] = data.draw(st.floats(marks[who], 5))

    def value(points: list[float]) -> float:
        scores = [Score(juror=j, bidder="a", value=p) for j, p in zip(jurors, points, strict=True)]
        return scoring.value_of(strategies[0], scores, weights)[0]

    assert value(better) >= value(marks)


@given(st.dictionaries(names, prices(), max_size=5), st.lists(names, max_size=5, unique=True))
def test_default_weights_are_positive_and_equal(rates: dict[str, Price], jurors: list[str]) -> None:
    weights = scoring.default_weights(rates, jurors)
    assert set(weights.jurors) == set(jurors)
    assert len(set(weights.jurors.values())) <= 1
    assert weights.entropy > 0
    assert all(weight > 0 for weight in weights.jurors.values())
