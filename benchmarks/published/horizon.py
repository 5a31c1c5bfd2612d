"""Horizons: the human time of tasks that an agent solves half of the time; success against human minutes.

The fit of Kwa et al. 2025 (arXiv 2503.14499): logistic in log2 of the human minutes, the slope held a little by a
quadratic penalty, the 50 % time horizon where the curve crosses one half.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from sale.bench.routers.protocol import Floats, Ints
from sale.bench.stats import Interval, Resampling, draws, percentiles

PENALTY = 0.1
"""On half the squared slope, against a mean loss; as in the published fits."""
STEPS = 60
MAX_STEP = 4.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """One agent's curve: P(success) = 1 / (1 + exp(-(intercept + slope * log2 minutes)))."""

    intercept: float
    slope: float
    minutes: Interval | None
    """The 50 % time horizon over tasks; `None` where the curve does not fall, or crosses one half outside the tasks'
    own times: that would be extrapolation."""


def fit_logistic(x: Floats, solved: Floats, tried: Floats, penalty: float = PENALTY) -> tuple[Floats, Floats]:
    """Weighted logistic fits of R data sets on the same points, by Newton's method.

    Args:
        x: Shape (U,).
        solved: Shape (R, U): weight of successes.
        tried: Shape (R, U): weight of attempts, at least `solved`; each row's sum above 0.
        penalty: Above 0, on half the squared slope; rows of `tried` are scaled to sum to 1 first.

    Returns:
        Intercepts and slopes, both (R,); not a number where a row has no success or no failure.
    """
    scale = tried.sum(axis=1, keepdims=True)
    weight, hits = tried / scale, solved / scale
    rate = hits.sum(axis=1)
    mixed = (rate > 0) & (rate < 1)
    centre = (weight * x).sum(axis=1)
    rate = np.where(mixed, rate, 0.5)
    height, slope = np.log(rate / (1 - rate)), np.zeros(len(rate))
    away = x - centre[:, None]
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(height[:, None] + slope[:, None] * away, -700, 700)))
        error, curve = hits - weight * chance, weight * chance * (1 - chance)
        first = np.stack([error.sum(axis=1), (error * away).sum(axis=1) - penalty * slope])
        a, b = curve.sum(axis=1) + 1e-12, (curve * away).sum(axis=1)
        c = (curve * away**2).sum(axis=1) + penalty
        step = np.stack([c * first[0] - b * first[1], a * first[1] - b * first[0]]) / (a * c - b * b)
        step *= np.minimum(1.0, MAX_STEP / np.maximum(np.abs(step).max(axis=0), MAX_STEP / 2))
        height, slope = height + np.where(mixed, step[0], 0.0), slope + np.where(mixed, step[1], 0.0)
        if np.abs(step[:, mixed]).max(initial=0.0) < 1e-10:
            break
    return np.where(mixed, height - slope * centre, np.nan), np.where(mixed, slope, np.nan)


def horizon(
    minutes: Floats,
    solved: Floats,
    tried: Floats,
    resampling: Resampling,
    *,
    families: Sequence[Hashable] | None = None,
) -> Horizon | None:
    """The curve of one agent, with an interval for its horizon.

    Args:
        minutes: Shape (T,): human time of each task, above 0.
        solved: Shape (T,): weight of the agent's successes on it.
        tried: Shape (T,): weight of all its runs on it.
        resampling: Tasks are resampled with all their runs.
        families: T names; where given, whole families of alike tasks are resampled instead.

    Returns:
        `None` where the agent solves nothing or everything: there is no curve.

    Raises:
        ValueError: No tasks, or a time or weight that cannot be.
    """
    if not len(minutes) or not (np.isfinite(minutes) & (minutes > 0)).all():
        raise ValueError("every task needs a human time above 0, and there must be a task")
    if not ((solved >= 0) & (solved <= tried + 1e-12) & (tried > 0)).all():
        raise ValueError("every task must have been tried, and solved at most as often")
    x = np.log2(minutes)
    intercept, slope = (float(one[0]) for one in fit_logistic(x, solved[None], tried[None]))
    if not np.isfinite(slope):
        return None
    names: dict[Hashable, int] = {}
    own: Ints = np.array([names.setdefault(name, len(names)) for name in families or range(len(x))], dtype=np.intp)
    crossings: list[Floats] = []
    for counts in draws(len(names), resampling):
        weight = counts[:, own]
        crossings.append(_crossing(*fit_logistic(x, weight * solved, weight * tried)))
    value = float(_crossing(np.array([intercept]), np.array([slope]))[0])
    inside = minutes.min() <= value <= minutes.max()
    found = percentiles(value, np.concatenate(crossings), resampling, len(names)) if inside else None
    return Horizon(intercept=intercept, slope=slope, minutes=found)


def _crossing(intercept: Floats, slope: Floats) -> Floats:
    """Minutes at which one half is crossed; not a number where success does not fall with time."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(slope < 0, np.exp2(-intercept / slope), np.nan)
