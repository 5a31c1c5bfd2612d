"""The Pareto front and the line of random mixtures, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from sale.learning.mixtures import hull, mixture_line, pareto


def test_the_front_and_the_hull_by_hand() -> None:
    costs, successes = [1, 2, 3, 4, 2, 0.5], [0.4, 0.5, 0.8, 0.8, 0.5, 0.0]
    assert pareto(costs, successes).tolist() == [5, 0, 1, 2]
    assert hull(costs, successes).tolist() == [0, 2]
    assert hull([1.0], [0.0]).tolist() == []
    with pytest.raises(ValueError, match="cost"):
        pareto([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="finite"):
        hull([-1.0], [1.0])


def test_mixtures_start_at_nothing_and_reach_the_corners() -> None:
    line = mixture_line([1, 2, 3], [0.4, 0.5, 0.8])
    assert line.tolist() == [[0, 0], [1, 0.4], [3, 0.8]]
    assert np.interp(2.0, *line.T) == pytest.approx(0.6), "half of the tasks to each reach more than the one between"
    assert mixture_line([], []).tolist() == [[0, 0]]
