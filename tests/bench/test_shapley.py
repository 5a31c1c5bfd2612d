"""Shapley values: the axioms, hand-computed games, and agreement with the definition over all orders."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sale.bench.shapley import ceiling, coalitions, shapley_intervals, shapley_weights
from sale.bench.stats import Resampling

FAST = Resampling(seed=3, resamples=300)


@st.composite
def games(draw: st.DrawFn, agents: int | None = None) -> np.ndarray:
    size = agents if agents is not None else draw(st.integers(1, 5))
    return np.array(draw(st.lists(st.floats(-10, 10), min_size=2**size, max_size=2**size)))


def solved(values: np.ndarray) -> np.ndarray:
    return shapley_weights(len(values).bit_length() - 1) @ values


@given(games())
def test_efficiency(values: np.ndarray) -> None:
    assert solved(values).sum() == pytest.approx(values[-1] - values[0], abs=1e-9)


@given(games(3), games(3))
def test_additivity(one: np.ndarray, other: np.ndarray) -> None:
    assert solved(one + other) == pytest.approx(solved(one) + solved(other), abs=1e-9)


@given(games(3), st.integers(0, 3))
def test_a_null_player_gets_nothing(values: np.ndarray, player: int) -> None:
    """Four agents, one of whom never changes a coalition's worth."""
    low = (1 << player) - 1
    whole = np.array([values[(place & low) | (place >> (player + 1) << player)] for place in range(16)])
    assert solved(whole)[player] == pytest.approx(0, abs=1e-9)


@given(games(3))
def test_symmetry(values: np.ndarray) -> None:
    """Agents 0 and 1 made alike get the same."""
    alike = values.copy()
    alike[[1, 2]] = alike[1]
    alike[[5, 6]] = alike[5]
    found = solved(alike)
    assert found[0] == pytest.approx(found[1], abs=1e-9)


@settings(max_examples=30)
@given(games())
def test_it_is_the_mean_over_all_orders_of_joining(values: np.ndarray) -> None:
    size = len(values).bit_length() - 1
    orders = list(permutations(range(size)))
    expected = np.zeros(size)
    for order in orders:
        place = 0
        for agent in order:
            expected[agent] += values[place | 1 << agent] - values[place]
            place |= 1 << agent
    assert solved(values) == pytest.approx(expected / len(orders), abs=1e-9)


def test_the_gloves_game_by_hand() -> None:
    """One left glove, two right gloves: a pair is worth 1."""
    values = [float(0 in coalition and len(coalition) > 1) for coalition in coalitions(3)]
    assert shapley_weights(3) @ values == pytest.approx([2 / 3, 1 / 6, 1 / 6])


def test_every_coalition_has_its_place() -> None:
    found = coalitions(10)
    assert shapley_weights(10) @ [float(len(one)) for one in found] == pytest.approx(np.ones(10))
    assert len(found) == len(set(found)) == 1024
    assert found[0] == frozenset()
    assert found[0b101] == {0, 2}


@pytest.mark.parametrize("agents", [0, 11])
def test_pools_too_large_are_refused(agents: int) -> None:
    with pytest.raises(ValueError, match="agents"):
        shapley_weights(agents)


def test_the_ceiling_by_hand() -> None:
    found = ceiling([[1, 0], [0, 1], [1, 1], [0, 0]])
    assert found.tolist() == [[0, 0, 0, 0], [1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 1, 0]]
    assert shapley_weights(2) @ found.mean(axis=1) == pytest.approx([0.375, 0.375])


def test_intervals_enclose_the_values_and_narrow_with_tasks() -> None:
    rng = np.random.default_rng(2)
    few, many = (ceiling(rng.random((tasks, 3)) < [0.3, 0.5, 0.7]) for tasks in (20, 500))
    for values in (few, many):
        found = shapley_intervals(values, FAST)
        assert [one.value for one in found] == pytest.approx(shapley_weights(3) @ values.mean(axis=1))
        assert all(one.low is not None and one.high is not None and one.low < one.value < one.high for one in found)
    wide, narrow = shapley_intervals(few, FAST)[0], shapley_intervals(many, FAST)[0]
    assert wide.high is not None
    assert wide.low is not None
    assert narrow.high is not None
    assert narrow.low is not None
    assert narrow.high - narrow.low < wide.high - wide.low


def test_runs_of_one_task_are_kept_together() -> None:
    values = ceiling(np.random.default_rng(2).random((20, 3)) < 0.5)
    again = shapley_intervals(np.tile(values, 3), FAST, clusters=[*range(20)] * 3)
    for ours, theirs in zip(again, shapley_intervals(values, FAST), strict=True):
        assert (ours.value, ours.low, ours.high) == pytest.approx((theirs.value, theirs.low, theirs.high))
        assert ours.tasks == 20


@pytest.mark.parametrize("shape", [(3, 5), (1, 5), (2048, 1), (4,), (4, 0)])
def test_values_of_no_pool_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must be|need"):
        shapley_intervals(np.zeros(shape), FAST)


def test_one_task_has_values_but_no_spread() -> None:
    found = shapley_intervals(ceiling([[1, 0]]), FAST)
    assert [(one.value, one.low) for one in found] == [(1.0, None), (0.0, None)]
