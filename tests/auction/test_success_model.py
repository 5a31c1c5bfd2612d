"""A fitted model's chances, who is next after a failure, which jurors are asked, and when an auction pays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.auction import scoring, value_of_information
from sale.auction.attempt_order import next_to_try
from sale.auction.difficulty import spread_by_difficulty, update_by_failures
from sale.auction.success_model import bid_features, chance, expected_work, logistic, track_feature
from sale.types import NOTHING_TO_READ, Bid, Entropy, Price, Score, Strategy, SuccessModel, TrackRecord, Weights

MODEL = SuccessModel(
    worth=100.0,
    intercepts={"a": 0.5, "b": 0.5},
    newcomer=-1.0,
    rates={"a": 0.5, "b": 0.5},
    newcomer_rate=0.2,
    coefficients={"entropy": -2.0, "length": 1.0, "juror:j": 0.5, "track": 1.0},
    means={"entropy": 0.5, "length": math.log(100), "juror:j": 3.0, "track": 0.0},
    work={"a": 5.0},
    newcomer_tokens=50.0,
    spread={"a": 1.0},
    auction=3.0,
)
WEIGHTS = Weights(cost=1.0, entropy=0.0, jurors={}, model=MODEL)


def plan(agent: str = "a", *, tokens: int = 100, entropy: float | None = 0.5) -> Strategy:
    measured = None if entropy is None else Entropy(normalised=entropy, nats=entropy, top_k=5, tokens=tokens)
    return Strategy(agent=agent, text="1. Do it.", tokens=tokens, entropy=measured)


def score(value: float, juror: str = "j") -> Score:
    return Score(juror=juror, bidder="a", value=value)


def track(good: float, bad: float) -> TrackRecord:
    return TrackRecord(agent="a", successes=good, failures=bad)


def test_what_is_not_known_is_at_its_mean() -> None:
    average = chance(MODEL, "a", strategy=plan(), scores=(score(3.0),))
    assert average == pytest.approx(logistic(0.5))
    assert chance(MODEL, "a") == pytest.approx(logistic(0.5 / math.sqrt(1.0 + math.pi / 8.0)))
    assert chance(MODEL, "a", strategy=plan(entropy=None), scores=()) == average
    assert chance(MODEL, "a", scores=(score(0.0, juror="unheard of"),)) == chance(MODEL, "a")
    assert chance(MODEL, "nobody") == pytest.approx(logistic(-1.0 / math.sqrt(1.0 + math.pi / 8.0)))


def test_each_feature_moves_it_by_its_coefficient() -> None:
    def odds(**given: object) -> float:
        found = chance(MODEL, "a", **given)  # pyright: ignore[reportArgumentType]
        return math.log(found / (1 - found)) - 0.5

    assert odds(strategy=plan(entropy=0.7)) == pytest.approx(-0.4)
    assert odds(strategy=plan(tokens=200)) == pytest.approx(math.log(2))
    assert odds(strategy=plan(), scores=(score(5.0),)) == pytest.approx(1.0)
    shrunk = math.sqrt(1.0 + math.pi / 8.0)
    assert odds(track=track(4.0, 0.0)) + 0.5 == pytest.approx((math.log(6 / 2) + 0.5) / shrunk)
    assert odds(strategy=plan(), track=track(4.0, 0.0)) == pytest.approx(math.log(6 / 2))
    assert odds(strategy=plan(), track=track(0.0, 0.0)) == pytest.approx(0.0)


def test_a_bid_is_worth_against_what_its_work_costs() -> None:
    bid = scoring.weigh(plan(), 0.1, (score(3.0),), WEIGHTS, track(0.0, 0.0))
    assert bid.chance == pytest.approx(logistic(0.5))
    assert bid.value == pytest.approx(100.0 * logistic(0.5))
    assert bid.cost == 5.0
    assert bid.track == track(0.0, 0.0)
    assert expected_work(MODEL, "nobody", 0.1) == pytest.approx(5.0)


@given(st.floats(0, 50), st.floats(0, 50), st.floats(0.01, 0.99), st.floats(0.1, 20))
def test_a_track_record_lies_between_the_rate_and_what_was_seen(
    good: float, bad: float, rate: float, prior: float
) -> None:
    share = logistic(track_feature(track(good, bad), rate, prior))
    seen = good / (good + bad) if good + bad else rate
    assert min(seen, rate) - 1e-6 <= share <= max(seen, rate) + 1e-6


def bids(**chances: float) -> list[Bid]:
    return [
        replace(scoring.weigh(plan(name), 0.1, (), WEIGHTS), chance=p, value=100.0 * p, cost=10.0)
        for name, p in chances.items()
    ]


def test_the_next_is_the_best_that_has_not_tried() -> None:
    found = bids(a=0.9, b=0.5, c=0.7)
    second = next_to_try(found, {"a"}, WEIGHTS, 1)
    assert second is not None
    assert second.agent == "c"
    assert second.chance == pytest.approx(0.7)
    assert next_to_try(found, {"a", "b", "c"}, WEIGHTS, 1) is None
    assert next_to_try([], set(), WEIGHTS, 1) is None


def test_failures_of_others_lower_the_chance_until_it_is_not_worth_it() -> None:
    sad = replace(WEIGHTS, model=replace(MODEL, difficulty=1.0))
    found = bids(a=0.9, b=0.5, c=0.3)
    second = next_to_try(found, {"a"}, sad, 1)
    assert second is not None
    assert second.agent == "b"
    expected = float(spread_by_difficulty(np.array(0.5), np.array(1.0)) @ update_by_failures([0.9], 1.0))
    assert second.chance == pytest.approx(expected)
    assert 0.3 < expected < 0.35
    assert second.value == pytest.approx(100.0 * expected)
    hopeless = replace(WEIGHTS, model=replace(MODEL, difficulty=2.5))
    assert next_to_try(found, {"a", "b"}, hopeless, 1) is None, "0.3 is below 0.1 after two failures: a cost of 10"


def test_without_a_model_the_order_of_the_bids_holds() -> None:
    plain = Weights(cost=1.0, entropy=0.0, jurors={})
    found = [scoring.weigh(plan(name), price, (), plain) for name, price in (("a", 0.1), ("b", 0.2))]
    second = next_to_try(found, {"a"}, plain, 1)
    assert second is not None
    assert second.agent == "b"


def test_a_juror_that_weighs_nothing_is_not_asked() -> None:
    linear = Weights(cost=1.0, entropy=0.0, jurors={"j": 1.0, "silent": 0.0})
    assert [name for name in ("j", "silent", "unknown") if scoring.speaks(name, linear)] == ["j"]
    assert [name for name in ("j", "silent") if scoring.speaks(name, WEIGHTS)] == ["j"]


class Bidder:
    def __init__(self, name: str, price: float) -> None:
        self.name = name
        self.price = Price(input=price, output=price, blended=price)


def known(model: SuccessModel, **tracks: tuple[float, float]) -> list[Bid]:
    records = {name: TrackRecord(agent=name, successes=good, failures=bad) for name, (good, bad) in tracks.items()}
    return value_of_information.standing_bids(
        [Bidder(name, 0.1) for name in tracks], records, replace(WEIGHTS, model=model)
    )


def test_bids_are_worth_more_the_closer_it_is_and_the_more_they_say() -> None:
    close, clear = known(MODEL, a=(1.0, 1.0), b=(1.0, 1.2)), known(MODEL, a=(9.0, 0.0), b=(0.0, 9.0))
    assert value_of_information.worth_of_bids(close, MODEL) > value_of_information.worth_of_bids(clear, MODEL) >= 0.0
    assert value_of_information.pays(close, MODEL)
    assert not value_of_information.pays(clear, MODEL)
    silent = replace(MODEL, spread={"a": 0.0, "b": 0.0})
    assert value_of_information.worth_of_bids(close, silent) == 0.0
    assert not value_of_information.pays(close, silent)
    assert value_of_information.worth_of_bids(close[:1], MODEL) == 0.0, "with one agent there is nothing to choose"
    assert value_of_information.worth_of_bids([], MODEL) == 0.0


def test_the_worth_of_bids_is_the_expected_improvement() -> None:
    """Against a plain simulation of two agents whose worth moves as the formula says."""
    found = known(MODEL, a=(1.0, 1.0), b=(1.0, 1.5))
    ranked = scoring.rank(found)
    import numpy as np

    random = np.random.default_rng(0)
    moved = []
    for bid in ranked:
        p = bid.chance or 0.0
        moved.append(-bid.net_cost + MODEL.worth * p * (1 - p) * random.normal(size=400_000))
    gain = float(np.maximum(moved[0], moved[1]).mean()) + ranked[0].net_cost
    assert value_of_information.worth_of_bids(found, MODEL) == pytest.approx(gain, rel=0.02)


@given(
    nets=st.lists(st.floats(-50.0, 50.0), min_size=1, max_size=6),
    spreads=st.lists(st.sampled_from([0.0, 0.3, 1.0, 2.0]), min_size=6, max_size=6),
)
def test_the_gain_is_the_best_of_all_bids_and_not_a_sum_over_pairs(nets: list[float], spreads: list[float]) -> None:
    """Against a grid so fine that its error does not matter."""
    agents = [f"agent-{place}" for place in range(len(nets))]
    model = replace(MODEL, spread=dict(zip(agents, spreads, strict=False)))
    bids = [
        Bid(strategy=plan(agent), price=1.0, cost=net + 50.0, value=50.0, scores=(), chance=0.5)
        for agent, net in zip(agents, nets, strict=True)
    ]
    deviations = np.maximum(25.0 * np.array(spreads[: len(nets)]), 1e-9)
    at = np.linspace(-max(nets) - 400.0, -min(nets) + 400.0, 40_001)
    below = np.prod([_normal((at + net) / deviation) for net, deviation in zip(nets, deviations, strict=True)], axis=0)
    mean = at[0] + float(np.sum(1.0 - (below[1:] + below[:-1]) / 2) * (at[1] - at[0]))
    gain = mean + min(nets)
    assert value_of_information.worth_of_bids(bids, model) == pytest.approx(gain, abs=max(0.02 * max(deviations), 0.1))


def _normal(z: np.ndarray) -> np.ndarray:
    from scipy.stats import norm

    return np.asarray(norm.cdf(z))


def test_a_juror_that_had_nothing_to_read_is_left_out_and_one_that_failed_is_not() -> None:
    silent = replace(score(2.5), imputed=True, note=NOTHING_TO_READ)
    assert bid_features(plan(), (silent, score(4.0, "k"))) == bid_features(plan(), (score(4.0, "k"),))
    assert bid_features(plan(), (replace(silent, note="call.timeout: no answer"),))["juror:j"] == 2.5


def test_before_a_bid_is_read_success_is_the_mean_over_what_it_may_say() -> None:
    sure = replace(MODEL, intercepts={"a": -1.5, "b": 1.5}, spread={"a": 1.4, "b": 0.0})
    drawn = np.random.default_rng(0).normal(-1.5, 1.4, 200_000)
    assert chance(sure, "a") == pytest.approx(float((1.0 / (1.0 + np.exp(-drawn))).mean()), abs=0.005)
    assert chance(sure, "b") == pytest.approx(logistic(1.5)), "its bids tell nothing"
    assert chance(sure, "nobody") == pytest.approx(logistic(-1.0 / math.sqrt(1.0 + math.pi / 8.0 * 1.4**2)))
    read = chance(sure, "a", strategy=plan(), scores=(score(3.0),))
    assert read == pytest.approx(logistic(-1.5)), "nothing is left to be told"


def test_work_is_expected_to_cost_what_it_did_at_like_tasks_and_the_mean_where_little_is_known() -> None:
    mean, prior = expected_work(MODEL, "nobody", 0.1), MODEL.prior_evidence
    nothing = TrackRecord(agent="nobody", successes=1.0, failures=1.0)
    assert expected_work(MODEL, "nobody", 0.1, nothing) == pytest.approx(mean)
    dear = TrackRecord(agent="nobody", successes=prior, failures=2.0, spent=prior * 3 * mean, costed=prior)
    assert expected_work(MODEL, "nobody", 0.1, dear) == pytest.approx(2 * mean), "work of unknown cost counts for none"
