"""The min-max program: exact on small cases, bounded on larger ones, and with none of its degenerate directions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from sale.learning.dataset import Floats, tabulate
from sale.learning.decision import choose_bids
from sale.learning.linear import scale
from sale.learning.minmax import SolverLimits, best_of, solve_minmax, undominated_bids
from tests.learning.pools import Pool, auctions

sizes = st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))


def enumerated(costs: Floats, features: Floats, budget: float) -> float:
    """Q by a linear program for each way to give the tasks to bids."""
    width = features.shape[-1]
    found = [
        optimize.linprog(
            [0.0] * width + [1.0],
            A_ub=[[*-features[task, bid], -1.0] for task, bid in enumerate(picked)],
            b_ub=[-costs[task, bid] for task, bid in enumerate(picked)],
            A_eq=[[1.0] * width + [0.0]],
            b_eq=[budget],
            bounds=[(0, None)] * width + [(None, None)],
        ).fun
        for picked in itertools.product(*(np.flatnonzero(np.isfinite(row)) for row in costs))
    ]
    return float(min(found))


def program(size: tuple[int, int, int], seed: int) -> tuple[Floats, Floats]:
    """Costs and features on few levels, so that there are ties, and some bids missing."""
    tasks, bids, width = size
    rng = np.random.default_rng(seed)
    costs = rng.integers(0, 5, (tasks, bids)) / 2.0
    features = rng.integers(0, 5, (tasks, bids, width)) / 4.0
    gone = rng.random((tasks, bids)) < 0.2
    gone[:, 0] = False
    return np.where(gone, np.inf, costs), np.where(gone[..., None], 0.0, features)


@given(sizes, st.integers(0, 10_000), st.sampled_from([0.1, 1.0, 10.0]))
@settings(max_examples=40, deadline=None)
def test_it_agrees_with_enumeration(size: tuple[int, int, int], seed: int, budget: float) -> None:
    costs, features = program(size, seed)
    solution = solve_minmax(costs, features, budget)
    exact = enumerated(costs, features, budget)
    assert solution.worst == pytest.approx(exact, abs=1e-4)
    assert solution.bound <= exact + 1e-4
    assert solution.gap <= 1e-4
    assert solution.values.min() >= 0.0
    assert solution.values.sum() == pytest.approx(budget)
    assert best_of(costs, features, solution.values).max() == pytest.approx(solution.worst)


@given(sizes, st.integers(0, 10_000), st.sampled_from([0.1, 1.0, 10.0]))
@settings(max_examples=60, deadline=None)
def test_a_bid_that_is_dropped_is_never_missed(size: tuple[int, int, int], seed: int, budget: float) -> None:
    costs, features = program(size, seed)
    kept = np.where(undominated_bids(costs, features, budget), costs, np.inf)
    assert np.isfinite(kept).any(axis=1).all()
    for values in np.random.default_rng(seed).dirichlet(np.ones(size[2]), 8) * budget:
        assert best_of(kept, features, values) == pytest.approx(best_of(costs, features, values))


def test_the_literal_program_runs_away_and_this_one_does_not() -> None:
    """Without Σ v = B more value is always better; with it the optimum is finite and falls no faster than B grows."""
    scaled = scale(tabulate(auctions(40)))
    best = [solve_minmax(scaled.costs, scaled.features, budget).worst for budget in (1.0, 10.0, 100.0)]
    assert best[0] > best[1] > best[2]
    assert best[2] >= best[0] - 99.0
    values = [solve_minmax(scaled.costs, scaled.features, budget).values.sum() for budget in (1.0, 10.0)]
    assert values == pytest.approx([1.0, 10.0])


def test_cost_is_never_weighed_at_nothing() -> None:
    table = tabulate(auctions(40))
    scaled = scale(table)
    for budget in (0.0, 1.0, 100.0):
        weights = scaled.weights(solve_minmax(scaled.costs, scaled.features, budget).values)
        assert weights.cost == 1.0
        assert weights.entropy >= 0.0
        assert min(weights.jurors.values()) >= 0.0
    nothing = scaled.weights(np.zeros(len(scaled.names)))
    assert (choose_bids(table, nothing) == np.where(table.present, table.outlay, np.inf).argmin(axis=1)).all()


@pytest.mark.parametrize("factor", [1e-3, 1e3])
def test_the_unit_of_money_changes_no_choice(factor: float) -> None:
    """A power of ten: the programs are the same up to rounding, and so are the awards."""
    found = []
    for price_scale in (1.0, factor):
        table = tabulate(auctions(30, Pool(price_scale=price_scale)))
        scaled = scale(table)
        weights = scaled.weights(solve_minmax(scaled.costs, scaled.features, 4.0).values)
        found.append((choose_bids(table, weights), weights))
    assert (found[0][0] == found[1][0]).mean() >= 0.95
    assert found[1][1].jurors["good"] == pytest.approx(factor * found[0][1].jurors["good"], rel=1e-3, abs=1e-6)


def test_hundreds_of_auctions_are_solved_with_a_few_tasks() -> None:
    scaled = scale(tabulate(auctions(300)))
    solution = solve_minmax(scaled.costs, scaled.features, 4.0, SolverLimits(tolerance=1e-2, seconds=60))
    assert solution.gap <= 1e-2
    assert len(solution.tasks) < 100
    assert best_of(scaled.costs, scaled.features, solution.values).max() == pytest.approx(solution.worst)


def test_what_is_left_undone_is_said() -> None:
    scaled = scale(tabulate(auctions(300)))
    local = solve_minmax(scaled.costs, scaled.features, 16.0, SolverLimits(rounds=0))
    short = solve_minmax(scaled.costs, scaled.features, 16.0, SolverLimits(rounds=1, nodes=1))
    assert local.gap == np.inf
    assert short.gap > 0.0
    assert short.worst <= local.worst + 1e-9
    again = solve_minmax(scaled.costs, scaled.features, 16.0, SolverLimits(rounds=1, nodes=1))
    assert again.values.tolist() == short.values.tolist()


def test_a_feature_that_does_not_vary_weighs_nothing() -> None:
    scaled = scale(tabulate(auctions(30)))
    assert scaled.names == ("entropy", "juror:good", "juror:random")
    assert scaled.weights(np.ones(3)).jurors["constant"] == 0.0


def test_free_agents_and_no_jury_are_no_trouble() -> None:
    scaled = scale(tabulate(auctions(10, Pool(price_scale=0.0))))
    assert scaled.unit == 1.0
    assert solve_minmax(scaled.costs, scaled.features, 1.0).gap <= 1e-6
    bare = solve_minmax(np.array([[1.0, 2.0]]), np.zeros((1, 2, 0)), 1.0)
    assert (bare.worst, bare.bound, bare.values.tolist()) == (1.0, 1.0, [])
