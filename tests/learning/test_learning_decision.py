"""Choices over a whole table are the market's own, bid by bid; tables keep what is not known apart from 0."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from sale.auction import scoring, value_of_information
from sale.auction.shortlist import make_unplanned
from sale.auction.success_model import track_feature
from sale.errors import InputError
from sale.learning.dataset import split, tabulate
from sale.learning.decision import chances, choose_bids, net_costs, predict_bids, track_features
from sale.types import (
    NOTHING_TO_READ,
    Bid,
    Entropy,
    Example,
    Score,
    Strategy,
    SuccessModel,
    TrackRecord,
    Weights,
    Worked,
)
from tests.learning.pools import auctions, bid, seen_by_market

AGENTS, JURORS = ("a", "b", "c"), ("x", "y")
unit = st.floats(0, 1, allow_subnormal=False)
weight = st.floats(-100, 100, allow_subnormal=False)


def scores_of(juror: str, agent: str) -> SearchStrategy[Score]:
    """A juror's score of a bid; it may have had nothing to read there."""
    given_by = st.builds(
        Score, juror=st.just(juror), bidder=st.just(agent), value=st.floats(0, 5, allow_subnormal=False)
    )
    abstained = Score(juror=juror, bidder=agent, value=2.5, imputed=True, note=NOTHING_TO_READ)
    return given_by | st.just(abstained)


@st.composite
def bids_of(draw: st.DrawFn, agent: str) -> Bid:
    planned = draw(st.booleans())  # an agent that was not asked for a plan has neither entropy nor scores
    scores = [draw(scores_of(juror, agent)) for juror in JURORS if planned and draw(st.booleans())]
    entropy = (
        None
        if not planned
        else draw(st.none() | st.builds(Entropy, normalised=unit, nats=unit, top_k=st.just(20), tokens=st.just(9)))
    )
    tokens = draw(st.integers(1, 1000))
    good, bad = draw(st.floats(0, 20, allow_subnormal=False)), draw(st.floats(0, 20, allow_subnormal=False))
    spent, costed = draw(st.floats(0, 900, allow_subnormal=False)), draw(st.floats(0, 20, allow_subnormal=False))
    record = TrackRecord(agent=agent, successes=good, failures=bad, spent=spent, costed=costed)
    track = record if draw(st.booleans()) else None
    return Bid(
        strategy=Strategy(agent=agent, text="1. Do it." if planned else "", tokens=tokens, entropy=entropy),
        price=draw(st.sampled_from([0.0, 0.5, 2.0])),
        cost=0.0,
        value=0.0,
        scores=tuple(scores),
        track=track,
    )


@st.composite
def examples(draw: st.DrawFn) -> Example:
    bids = tuple(draw(bids_of(agent)) for agent in draw(st.permutations(AGENTS))[: draw(st.integers(1, 3))])
    return Example(auction_id="1", task="t", bids=bids, winner="a", work={})


@st.composite
def models(draw: st.DrawFn) -> SuccessModel:
    names = ("entropy", "length", "juror:x", "juror:y", "track")
    odds = st.floats(-3, 3, allow_subnormal=False)
    return SuccessModel(
        worth=draw(st.floats(0, 1e4, allow_subnormal=False)),
        intercepts={agent: draw(odds) for agent in AGENTS[:2]},
        newcomer=draw(odds),
        rates={agent: draw(st.floats(0.1, 0.9)) for agent in AGENTS[1:]},
        newcomer_rate=0.4,
        coefficients={name: draw(odds) for name in names if draw(st.booleans())},
        means={name: draw(unit) for name in names[:3]},
        work={"a": 30.0, "b": 40.0},
        newcomer_tokens=50.0,
    )


def weighed(example: Example, weights: Weights) -> list[Bid]:
    return [scoring.weigh(one.strategy, one.price, one.scores, weights, one.track) for one in example.bids]


@given(
    st.lists(examples(), min_size=1, max_size=4),
    st.builds(
        Weights,
        cost=st.floats(0, 10, allow_subnormal=False),
        entropy=weight,
        jurors=st.fixed_dictionaries(dict.fromkeys(JURORS, weight)),
        track=weight,
        model=st.none() | models(),
    ),
)
@settings(max_examples=60, deadline=None)
def test_a_table_decides_as_the_market_does(held: list[Example], weights: Weights) -> None:
    table = tabulate(held)
    costs, columns = net_costs(table, weights), choose_bids(table, weights)
    for row, example in enumerate(held):
        ranked = scoring.rank(weighed(example, weights))
        by_agent = {bid.agent: bid.net_cost for bid in ranked}
        for column in range(len(example.bids)):
            expected = by_agent[table.agents[table.author[row, column]]]
            assert costs[row, column] == pytest.approx(expected, rel=1e-9, abs=1e-6)
        winner = table.agents[table.author[row, columns[row]]]
        assert by_agent[winner] == pytest.approx(ranked[0].net_cost, rel=1e-9, abs=1e-6)


def test_a_juror_with_nothing_to_read_counts_as_in_the_market() -> None:
    abstained = Score(juror="x", bidder="a", value=2.5, imputed=True, note=NOTHING_TO_READ)
    bids = (replace(bid("a"), scores=(abstained,)), bid("b", points={"x": 1.0}))
    table = tabulate([Example(auction_id="1", task="t", bids=bids, winner="a", work={})])
    weights = Weights(cost=1.0, entropy=0.0, jurors={"x": 1000.0})
    assert net_costs(table, weights)[0].tolist() == [100.0 - 2500.0, 100.0 - 1000.0]
    assert np.isnan(table.features[0, 0, table.names.index("juror:x")])  # a success model is told nothing


def test_equal_scores_go_to_the_cheaper_agent_then_by_name() -> None:
    free = Weights(cost=0.0, entropy=0.0, jurors={})
    for bids, winner in (
        ((bid("b", 2.0), bid("c", 1.0)), "c"),
        ((bid("c", 1.0), bid("b", 1.0)), "b"),
    ):
        table = tabulate([Example(auction_id="1", task="t", bids=bids, winner="b", work={})])
        assert table.agents[table.author[0, choose_bids(table, free)[0]]] == winner
        assert scoring.rank(bids)[0].agent == winner


@given(
    st.lists(examples(), min_size=1, max_size=4),
    models(),
    st.fixed_dictionaries(dict.fromkeys(AGENTS[:2], st.sampled_from([0.0, 0.2, 1.0, 3.0]))),
    st.floats(0, 5, allow_subnormal=False),
)
@settings(max_examples=200, deadline=None)
def test_auctions_pay_where_the_market_says_so(
    held: list[Example], model: SuccessModel, spread: dict[str, float], cost: float
) -> None:
    model = replace(model, spread=spread, auction=cost)
    table = tabulate(held)
    expected = predict_bids(table, model)
    found = expected.pays(model.worth / 1e6)
    weights = Weights(cost=1.0, entropy=0.0, jurors={}, model=model)
    for row, example in enumerate(held):
        standing = [scoring.weigh(make_unplanned(one.agent), one.price, (), weights, one.track) for one in example.bids]
        worth = value_of_information.worth_of_bids(standing, model)
        if abs(worth - cost) > 1e-6 * max(1.0, model.worth):
            assert found[row] == value_of_information.pays(standing, model)
        by_agent = {one.strategy.agent: one.chance for one in standing}
        for column in range(len(example.bids)):
            agent = table.agents[table.author[row, column]]
            assert expected.standing[row, column] == pytest.approx(by_agent[agent])
    some = expected.without_auctions(found)
    assert (some.chance[found] == expected.standing[found]).all()
    assert (some.chance[~found] == expected.chance[~found]).all()


@given(st.lists(examples(), min_size=1, max_size=3), models())
@settings(max_examples=25, deadline=None)
def test_the_track_feature_is_the_markets(held: list[Example], model: SuccessModel) -> None:
    table = tabulate(held)
    found = track_features(table, model)
    for row, example in enumerate(held):
        for one in example.bids:
            column = int(np.flatnonzero(table.author[row] == table.agents.index(one.agent))[0])
            if one.track is None:
                assert np.isnan(found[row, column])
            else:
                rate = model.rates.get(one.agent, model.newcomer_rate)
                assert found[row, column] == track_feature(one.track, rate, model.prior_evidence)
    assert ((chances(table, model) > 0) & (chances(table, model) < 1)).all()


def test_what_is_not_known_is_not_zero() -> None:
    one = Example(
        auction_id="1",
        task="t",
        bids=(bid("a", entropy=None, points={"x": 3.0}), bid("b", points={"y": 0.0})),
        winner="b",
        work={"b": Worked(success=False, dollars=0.0)},
    )
    table = tabulate([one])
    assert table.names == ("entropy", "length", "juror:x", "juror:y")
    assert np.isnan(table.entropy[0, 0])
    assert np.isnan(table.scores[0]).tolist() == [[False, True], [True, False]]
    assert table.success[0].tolist()[1] == 0.0
    assert np.isnan(table.success[0, 0])
    assert np.isnan(table.dollars[0, 0])
    assert np.isnan(table.propensity).all()
    assert not table.complete.any()
    assert table.winner.tolist() == [1]


def test_bids_are_padded_and_padding_never_wins() -> None:
    work = {name: Worked(success=True, dollars=1.0) for name in "ab"}
    pair = Example(auction_id="1", task="t", bids=(bid("a"), bid("b")), winner="a", work=work)
    single = Example(auction_id="2", task="u", bids=(bid("b"),), winner="gone", work=work)
    table = tabulate([pair, single, Example(auction_id="3", task="v", bids=(), winner="", work={})])
    assert len(table) == 2
    assert table.complete.all()
    assert table.winner.tolist() == [0, -1]
    assert choose_bids(table, Weights(cost=-1.0, entropy=0.0, jurors={})).tolist() == [0, 0]


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_refused(broken: float) -> None:
    one = Example(
        auction_id="x7", task="t", bids=(bid("a"),), winner="a", work={"a": Worked(success=True, dollars=broken)}
    )
    with pytest.raises(InputError, match="x7"):
        tabulate([one])
    with pytest.raises(InputError, match="no past auction"):
        tabulate([])


def test_folds_never_part_a_task_and_are_of_like_size() -> None:
    table = tabulate(auctions(90, repeats=3))
    fold = split(table, 5, seed=1)
    assert len(set(table.group.tolist())) == 30
    for group in range(30):
        assert len(set(fold[table.group == group].tolist())) == 1
    assert np.bincount(fold).tolist() == [18] * 5
    assert fold.tolist() == split(table, 5, seed=1).tolist() != split(table, 5, seed=2).tolist()


def test_a_market_sees_only_its_winners() -> None:
    full, seen = tabulate(auctions(20)), tabulate(seen_by_market(auctions(20)))
    assert full.complete.all()
    assert not seen.complete.any()
    assert (seen.known & seen.present).sum() == 20
    assert (seen.known[np.arange(20), seen.winner]).all()
