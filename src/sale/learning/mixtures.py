"""The Pareto front of agents, and the line that mixing single agents at random reaches.

Drawing between two agents with some probability reaches every point on the line between theirs, at no cost. A router or
a market is worth something only where it lies above that line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sale.learning.dataset import Floats, Ints


def pareto(costs: Sequence[float] | Floats, successes: Sequence[float] | Floats) -> Ints:
    """Places of the points that no other point beats, from the cheapest on; of equal points the first."""
    cost, success = _points(costs, successes)
    order = np.lexsort((np.arange(len(cost)), -success, cost))
    best = np.concatenate([[-np.inf], np.maximum.accumulate(success[order])[:-1]])
    return order[success[order] > best]


def hull(costs: Sequence[float] | Floats, successes: Sequence[float] | Floats) -> Ints:
    """Places of the corners of the never-falling convex hull that starts at (0, 0), from the cheapest on."""
    cost, success = _points(costs, successes)
    corners: list[int] = []
    here, height = 0.0, 0.0
    front = [int(place) for place in pareto(cost, success) if success[place] > 0]
    while front:
        with np.errstate(divide="ignore"):
            slopes = (success[front] - height) / (cost[front] - here)
        at = len(front) - 1 - int(np.argmax(slopes[::-1]))
        corners.append(front[at])
        here, height = float(cost[front[at]]), float(success[front[at]])
        front = front[at + 1 :]
    return np.array(corners, dtype=np.intp)


def mixture_line(costs: Sequence[float] | Floats, successes: Sequence[float] | Floats) -> Floats:
    """Corners (n, 2), cost and success, of what random mixtures of these points and of doing nothing reach.

    It starts at (0, 0); beyond the last corner success stays as it is.
    """
    cost, success = _points(costs, successes)
    corners = hull(cost, success)
    return np.vstack([np.zeros((1, 2)), np.column_stack([cost[corners], success[corners]])])


def _points(costs: Sequence[float] | Floats, successes: Sequence[float] | Floats) -> tuple[Floats, Floats]:
    cost, success = np.asarray(costs, dtype=np.float64), np.asarray(successes, dtype=np.float64)
    if cost.ndim != 1 or cost.shape != success.shape:
        raise ValueError(f"every point needs a cost and a success, got {cost.shape} and {success.shape}")
    if not (np.isfinite(cost) & np.isfinite(success) & (cost >= 0)).all():
        raise ValueError("costs and successes must be finite, costs not below 0")
    return cost, success
