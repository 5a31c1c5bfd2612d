"""The margin program: whole and by cutting planes the same, against brute force, and well-posed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.learning import margin
from sale.learning.dataset import Floats
from sale.learning.margin import (
    Cuts,
    MarginData,
    margins,
    objective,
    pressures,
    solve_by_cuts,
    solve_margin,
    solve_whole,
    tail_weights,
)


def program(tasks: int, bids: int, width: int, seed: int) -> MarginData:
    rng = np.random.default_rng(seed)
    features = rng.random((tasks, bids, width))
    solved = rng.random((tasks, bids)) < 0.2 + 0.6 * features[..., 0]
    plans = rng.random((tasks, bids))
    losses = np.where(solved, 0.0, 1.0) + 0.3 * plans
    losses[rng.random((tasks, bids)) < 0.1] = np.inf
    losses[:, 0] = np.where(np.isfinite(losses[:, 0]), losses[:, 0], 1.0)
    return margins(losses, plans, features, np.arange(width) == width - 1)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.floats(0, 1))
@settings(deadline=None)
def test_the_tail_is_the_mean_of_the_worst(slack: list[float], alpha: float) -> None:
    given_slack = np.array(slack)
    share = tail_weights(given_slack, alpha)
    assert share.sum() == pytest.approx(1.0)
    cvar = float(share @ given_slack)
    # By its definition: the least of η + mean excess over 1 − α, at one of the slacks.
    if alpha < 1.0:
        heights = [eta + np.maximum(given_slack - eta, 0).mean() / (1 - alpha) for eta in slack]
        assert cvar == pytest.approx(min(heights), rel=1e-6, abs=1e-6)
    assert given_slack.mean() - 1e-9 <= cvar <= given_slack.max() + 1e-9


@pytest.mark.parametrize("alpha", [0.0, 0.5, 0.9, 1.0])
def test_one_weight_against_brute_force(alpha: float) -> None:
    data = program(60, 3, 1, seed=3)
    data = MarginData(gap=data.gap, differences=data.differences, signed=np.array([False, True]))
    strength = np.full(2, 0.05)
    solution = solve_whole(data, alpha, strength)
    grid = [np.array([u, v]) for u in np.linspace(0.1, 2.0, 60) for v in np.linspace(-3, 3, 121)]
    brute = min(objective(data, alpha, strength, point) for point in grid)
    assert solution.objective <= brute + 1e-9
    assert solution.objective >= brute - 0.03
    assert solution.bound == pytest.approx(solution.objective, abs=1e-7)


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.5, 1.0]))
@settings(max_examples=12, deadline=None)
def test_cutting_planes_agree_with_the_whole_program(seed: int, alpha: float) -> None:
    data = program(40, 4, 3, seed)
    strength = np.array([0.02, 0.01, 0.03, 0.2])
    whole = solve_whole(data, alpha, strength)
    cut, _ = solve_by_cuts(data, alpha, strength, Cuts.empty(len(data.signed)), 60.0)
    assert cut.gap <= margin.TOLERANCE
    assert cut.bound <= whole.objective + 1e-7
    assert cut.objective == pytest.approx(whole.objective, rel=2 * margin.TOLERANCE, abs=2e-6)


def test_no_small_step_is_better() -> None:
    """Optimality, seen from outside: feasible, and every feasible direction goes up."""
    data = program(80, 4, 3, seed=5)
    strength = np.full(4, 0.02)
    solution = solve_whole(data, 0.5, strength)
    assert (solution.values >= data.lowest - 1e-9).all()
    rng = np.random.default_rng(0)
    for _ in range(200):
        point = np.maximum(solution.values + 0.05 * rng.normal(size=4), data.lowest)
        assert objective(data, 0.5, strength, point) >= solution.objective - 1e-9


def test_strong_regularisation_is_the_prior_and_cost_keeps_a_weight() -> None:
    data = program(60, 3, 3, seed=1)
    (strong,) = solve_margin(data, 0.5, (100.0,))
    assert strong.values.tolist() == pytest.approx([1.0, 0.0, 0.0, 0.0])
    for solution in solve_margin(data, 0.5, (0.1, 0.001)):
        assert solution.values[0] >= margin.MIN_COST_WEIGHT


def test_large_programs_share_their_cuts_and_close_the_gap() -> None:
    data = program(800, 4, 3, seed=2)
    found = solve_margin(data, 0.5, (0.1, 0.01), seconds=60.0)
    assert max(solution.gap for solution in found) <= margin.TOLERANCE
    for solution, strength in zip(found, (0.1, 0.01), strict=True):
        first = solve_whole(data, 0.5, np.full(4, strength))
        whole = solve_whole(data, 0.5, strength * pressures(first.values))
        # The first round ends within its tolerance, so that the pressures of the second are a little off.
        assert solution.objective == pytest.approx(whole.objective, rel=0.02)


def test_small_weights_are_pressed_harder_but_not_without_end() -> None:
    assert pressures(np.array([0.2, -1.5, 0.5, 0.0])).tolist() == pytest.approx([1.0, 4 / 9, 4 / 3, margin.HARDEST])
    assert pressures(np.array([0.2, 0.0])).tolist() == [1.0, 1.0]


def test_the_best_bid_is_the_one_that_loses_least_and_ties_go_to_the_cheaper() -> None:
    losses: Floats = np.array([[1.0, 0.2, np.inf], [0.5, 0.5, 0.7]])
    data = margins(losses, np.zeros((2, 3)), np.arange(6.0).reshape(2, 3, 1), np.array([False]))
    assert data.gap.tolist() == [pytest.approx([0.8, 0.0, -np.inf]), pytest.approx([0.0, 0.0, 0.2])]
    assert data.differences[..., 1].tolist() == [[-1.0, 0.0, 0.0], [0.0, 1.0, 2.0]]
