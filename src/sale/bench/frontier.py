"""The trade of money for success as one number: the area under the hull of random mixtures (AIQ).

RouterBench (Hu et al. 2024, arXiv 2403.12031) scores a router by all its settings at once: mixing two settings at
random reaches every point between them, so that what counts is the convex hull of its points, never falling, which
starts at spending and solving nothing and goes on flat to the largest cost that any router compared reaches. AIQ is the
mean height of that hull over the costs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sale.bench.metrics import DecisionOutcomes
from sale.bench.routers.protocol import Floats
from sale.bench.stats import Interval, Resampling, bootstrap


def hull_area(costs: Floats, successes: Floats, most: float) -> Floats:
    """Mean height of the hull between 0 and `most` dollars, for R sets of P points at once.

    Args:
        costs: Shape (R, P), at least 0.
        successes: Shape (R, P).
        most: Above 0; what lies beyond it counts for nothing.

    Returns:
        Shape (R,).
    """
    rows = np.arange(len(costs))
    here, height, area = np.zeros(len(costs)), np.zeros(len(costs)), np.zeros(len(costs))
    for _ in range(costs.shape[1]):
        rise, run = successes - height[:, None], costs - here[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            slopes = np.where((rise > 0) & (run >= 0), rise / run, -np.inf)
        nearest = np.argmax(slopes, axis=1)
        climbs = (slopes[rows, nearest] > 0) & (here < most)
        if not climbs.any():
            break
        reached, top = costs[rows, nearest], successes[rows, nearest]
        width = np.where(climbs, np.minimum(reached, most) - here, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            end = np.where(reached > most, height + (top - height) * width / (reached - here), top)
        area += np.where(climbs, width * (height + end) / 2, 0.0)
        here, height = np.where(climbs, np.minimum(reached, most), here), np.where(climbs, end, height)
    return (area + np.maximum(most - here, 0.0) * height) / most


def aiq(settings: Sequence[DecisionOutcomes], most: float, resampling: Resampling) -> Interval:
    """AIQ of a router from its settings on the same tasks.

    Args:
        settings: One for each value of the router's knob; for the hull of single agents, one for each agent.
        most: The largest $/task of all routers compared: one number for all of them.
        resampling: Tasks are resampled, the same for all settings.

    Raises:
        ValueError: No settings, other rows, or `most` is not above 0.
    """
    if not settings or any(one.ids != settings[0].ids for one in settings):
        raise ValueError("AIQ needs at least one setting, and every setting on the same tasks in the same order")
    if not most > 0:
        raise ValueError(f"the largest cost must be above 0, got {most!r}")
    points = len(settings)
    ones = np.ones(len(settings[0]))
    columns = np.column_stack([*(one.dollars for one in settings), *(one.success for one in settings), ones])

    def statistic(sums: Floats) -> Floats:
        means = sums[:, :-1] / sums[:, -1:]
        return hull_area(means[:, :points], means[:, points:], most)

    found = bootstrap(columns, statistic, resampling, clusters=settings[0].ids)[0]
    if found is None:
        raise ValueError("AIQ is not finite: some cost is too large")
    return found
