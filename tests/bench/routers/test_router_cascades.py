"""FrugalGPT's arithmetic by hand: whom a chain calls, what that adds up to, and which chain a budget buys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sale.bench.routers.cascades import Chain, Trials, best, follow, grid, thresholds_of
from sale.bench.routers.protocol import Floats, Ints
from sale.bench.routers.tuning import outcome
from sale.errors import InputError
from tests.bench.routers.tables import cascade, separable

SCORES = np.array([[0.9, 0.1, 0.5], [0.4, 0.8, 0.5], [0.2, 0.3, 0.5]])


def asked(scores: Floats) -> tuple[object, list[tuple[int, list[int]]]]:
    log: list[tuple[int, list[int]]] = []

    def score(agent: int, rows: Ints) -> Floats:
        log.append((agent, [int(row) for row in rows]))
        return scores[rows, agent]

    return score, log


def test_a_chain_stops_at_the_first_answer_it_trusts() -> None:
    score, log = asked(SCORES)
    done = follow(Chain(agents=(0, 1, 2), thresholds=(0.5, 0.5)), SCORES.shape, score)  # pyright: ignore[reportArgumentType]
    assert list(done.chosen) == [0, 1, 2]
    assert done.called.tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert log == [(0, [0, 1, 2]), (1, [1, 2])], "the last answer is accepted unread"


def test_any_order_and_any_part_of_the_pool() -> None:
    score, _ = asked(SCORES)
    done = follow(Chain(agents=(2, 0), thresholds=(0.5,)), SCORES.shape, score)  # pyright: ignore[reportArgumentType]
    assert list(done.chosen) == [0, 0, 0], "a score must exceed its threshold"
    assert done.called.tolist() == [[True, False, True]] * 3


def test_shares_become_thresholds_over_those_who_reach_a_stage() -> None:
    scores = np.column_stack([np.arange(8) / 10, np.arange(8)[::-1] / 10, np.zeros(8)])
    chain = thresholds_of((0, 1, 2), (0.5, 0.5), scores)
    # Stage 1: the median of 0 … 0.7 is 0.35, tasks 0 to 3 go on. Stage 2: their scores are 0.7, 0.6, 0.5, 0.4.
    assert chain.thresholds == pytest.approx((0.35, 0.55))


def test_cost_adds_up_over_all_who_are_called() -> None:
    success = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    trials = Trials(scores=success * [1, 0], success=success, dollars=np.tile([1.0, 10.0], (4, 1)))
    point = trials.of((0, 1), (0.5,))
    assert point.success == 1.0
    assert point.dollars == pytest.approx((1 + 11 + 11 + 1) / 4)


@pytest.mark.parametrize(
    ("budget", "agents", "success", "dollars"),
    [(100.0, (0, 1), 1.0, 6.0), (6.0, (0, 1), 1.0, 6.0), (5.9, (0,), 0.5, 1.0), (0.5, (0,), 0.5, 1.0)],
)
def test_a_budget_buys_the_best_chain_it_can(
    budget: float, agents: tuple[int, ...], success: float, dollars: float
) -> None:
    outcomes = np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    scores = np.array([[0.9, 0.5], [0.1, 0.5], [0.1, 0.5], [0.8, 0.5]])
    trials = Trials(scores=scores, success=outcomes, dollars=np.tile([1.0, 10.0], (4, 1)))
    chain = best(grid(trials, (0, 1)), trials, budget)
    done = follow(chain, scores.shape, asked(scores)[0])  # pyright: ignore[reportArgumentType]
    assert chain.agents == agents
    assert outcomes[np.arange(4), done.chosen].mean() == success
    assert (trials.dollars * done.called).sum(axis=1).mean() == dollars


@given(st.integers(0, 1000), st.floats(0, 5))
def test_a_chain_within_a_budget_keeps_it_and_more_money_never_hurts(seed: int, budget: float) -> None:
    rng = np.random.default_rng(seed)
    trials = Trials(
        scores=rng.random((6, 2)), success=rng.integers(2, size=(6, 2)).astype(float), dollars=rng.random((6, 2)) + 0.5
    )
    points = grid(trials, (0, 1))

    def reached(money: float) -> tuple[float, float]:
        done = follow(best(points, trials, money), (6, 2), asked(trials.scores)[0])  # pyright: ignore[reportArgumentType]
        success = float(trials.success[np.arange(6), done.chosen].mean())
        return success, float((trials.dollars * done.called).sum(axis=1).mean())

    success, dollars = reached(budget)
    cheapest = min(point.dollars for point in points)
    assert dollars <= max(budget, cheapest) + 1e-9
    if budget >= cheapest:
        assert reached(budget + 1)[0] >= success


def test_the_grid_agrees_with_following_the_chain() -> None:
    rng = np.random.default_rng(7)
    trials = Trials(
        scores=rng.random((12, 3)), success=rng.integers(2, size=(12, 3)).astype(float), dollars=rng.random((12, 3))
    )
    points = grid(trials, (0, 1, 2))
    assert [point.success for point in points] == sorted((point.success for point in points), reverse=True)
    assert [point.dollars for point in points] == sorted((point.dollars for point in points), reverse=True)
    for point in points:
        again = trials.of(point.agents, point.shares)
        assert (point.success, point.dollars) == pytest.approx((again.success, again.dollars))


def test_more_budget_more_success_and_every_call_is_paid() -> None:
    train, test = separable(60, 1), separable(60, 2)
    router = cascade()
    router.fit(train)
    dear, cheap = router.route(test), router.at(1.2).route(test)
    assert (dear.called.sum(axis=1) > 1).any()
    success, dollars = outcome(dear, test)
    assert dollars == pytest.approx((test.dollars * dear.called).sum(axis=1))
    assert success.mean() > outcome(cheap, test)[0].mean()
    assert router.choice is not None
    assert len(router.choice.agents) == 3


def test_a_negative_budget_is_refused() -> None:
    with pytest.raises(InputError, match="must not be negative"):
        cascade(-1.0)
