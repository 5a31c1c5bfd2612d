"""The contribution of each agent to a pool: Shapley values, exact over all coalitions.

A coalition's place is a bit mask: agent `i` belongs to coalition `c` where bit `i` of `c` is set; 0 is the empty one.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import factorial

import numpy as np
from numpy.typing import ArrayLike

from sale.bench.routers.protocol import Floats
from sale.bench.stats import Interval, Resampling, bootstrap, over_last

MAX_AGENTS = 10


def coalitions(agents: int) -> tuple[frozenset[int], ...]:
    """All 2^N coalitions, each at its place.

    Raises:
        ValueError: Fewer than 1 or more than `MAX_AGENTS` agents.
    """
    if not 1 <= agents <= MAX_AGENTS:
        raise ValueError(f"exact Shapley values take 1 to {MAX_AGENTS} agents, got {agents!r}")
    return tuple(frozenset(agent for agent in range(agents) if place >> agent & 1) for place in range(1 << agents))


def shapley_weights(agents: int) -> Floats:
    """(N, 2^N): Shapley values are these weights times the values of the coalitions in their places."""
    size = len(coalitions(agents))
    places = np.arange(size)
    members = (places[None, :] >> np.arange(agents)[:, None]) & 1
    sizes = members.sum(axis=0)
    chance = [factorial(others) * factorial(agents - others - 1) / factorial(agents) for others in range(agents)]
    joined = np.array([0.0, *chance])[sizes]
    left = np.array([*chance, 0.0])[sizes]
    return np.where(members == 1, joined, -left)


def shapley_intervals(
    values: ArrayLike, resampling: Resampling, *, clusters: Sequence[Hashable] | None = None
) -> tuple[Interval, ...]:
    """N Shapley values of the mean over tasks, with intervals over tasks.

    Args:
        values: Shape (2^N, T): what each coalition, in its place, is worth on each task or run.
        resampling: Tasks are resampled, the same for all coalitions.
        clusters: T names of tasks where some have several columns.

    Raises:
        ValueError: As many rows as no pool has, no tasks, or a value that is not finite.
    """
    matrix = np.asarray(values, dtype=np.float64)
    agents = int(matrix.shape[0]).bit_length() - 1 if matrix.ndim == 2 else 0
    if not 1 <= agents <= MAX_AGENTS or matrix.shape[0] != 1 << agents:
        raise ValueError(
            f"values need 2^N rows of tasks for N agents, N from 1 to {MAX_AGENTS}, got the shape {matrix.shape}"
        )
    # Shapley values are linear: those of a mean are the mean of those on each task.
    each = (shapley_weights(agents) @ matrix).T
    found = bootstrap(np.column_stack([each, np.ones(len(each))]), over_last, resampling, clusters=clusters)
    return tuple(one for one in found if one is not None)


def ceiling(success: ArrayLike) -> Floats:
    """(2^N, T): the best success within each coalition, 0 for the empty one: what a perfect choice would reach.

    Args:
        success: Shape (T, N): every agent alone on every task.
    """
    outcomes = np.asarray(success, dtype=np.float64)
    if outcomes.ndim != 2:
        raise ValueError(f"outcomes must be tasks by agents, got the shape {outcomes.shape}")
    best = np.zeros((len(coalitions(outcomes.shape[1])), len(outcomes)))
    for place in range(1, len(best)):
        newest = place.bit_length() - 1
        best[place] = np.maximum(best[place ^ (1 << newest)], outcomes[:, newest])
    return best
