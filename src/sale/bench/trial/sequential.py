"""Confidence sequences: intervals that hold at every number of tasks at once, so that one may look after each and stop.

An interval for a fixed number of tasks is too narrow for that: who looks at it after every task and stops when it suits
is wrong more often than it says. The sequence here is the hedged capital process of Waudby-Smith and Ramdas,
"Estimating means of bounded random variables by betting" (Journal of the Royal Statistical Society B 86(1), 2024,
arXiv 2010.09686, theorem 3 with the bets of its equation 26): for every mean m in question a bettor stakes against it,
predictably; a mean whose bettor has multiplied a dollar by 1/alpha is refuted, by Ville's inequality at no more than
alpha over all times. It supposes values in [0, 1], in an order drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

GRID = 2001
"""Means that are bet against, evenly over [0, 1]; what is said of a difference is exact to a thousandth."""
SHARE = 0.5
"""No bet risks more than this share of what the bettor has."""


def mean_between(values: Sequence[float], alpha: float) -> tuple[float, float]:
    """Between what the mean lies, with an error of `alpha` over all numbers of values together.

    Args:
        values: In [0, 1], in the order in which they came.
        alpha: In (0, 1).
    """
    x = np.asarray(values, dtype=np.float64)
    if not ((x >= 0) & (x <= 1)).all() or not 0 < alpha < 1:
        raise ValueError(f"values must lie in [0, 1] and alpha in (0, 1), got alpha {alpha!r}")
    means = np.linspace(0.0, 1.0, GRID)
    if not len(x):
        return 0.0, 1.0
    bets = _bets(x, alpha)[:, None]
    with np.errstate(divide="ignore"):
        up = np.minimum(bets, SHARE / means)
        down = np.minimum(bets, SHARE / (1.0 - means))
    gains = np.cumsum(np.log1p(up * (x[:, None] - means)), axis=0)
    losses = np.cumsum(np.log1p(-down * (x[:, None] - means)), axis=0)
    refuted = (np.maximum(gains, losses) + math.log(0.5) >= math.log(1.0 / alpha)).any(axis=0)
    left = np.flatnonzero(~refuted)
    if not len(left):  # of a mean that changes on the way nothing is left; the last word then is the plain mean
        return float(x.mean()), float(x.mean())
    step = 1.0 / (GRID - 1)
    return max(0.0, float(means[left[0]]) - step), min(1.0, float(means[left[-1]]) + step)


def difference_between(ours: Sequence[float], theirs: Sequence[float], alpha: float) -> tuple[float, float]:
    """The same for the mean of paired differences of values in [0, 1]."""
    scaled = [(a - b + 1.0) / 2.0 for a, b in zip(ours, theirs, strict=True)]
    low, high = mean_between(scaled, alpha)
    return 2.0 * low - 1.0, 2.0 * high - 1.0


def _bets(
    x: np.ndarray[tuple[int], np.dtype[np.float64]], alpha: float
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the stake on each value, by the values before it alone."""
    times = np.arange(1, len(x) + 1)
    averages = (0.5 + np.cumsum(x)) / (times + 1)
    variances = (0.25 + np.cumsum((x - averages) ** 2)) / (times + 1)
    before = np.concatenate([[0.25], variances[:-1]])
    return np.sqrt(2.0 * math.log(2.0 / alpha) / (before * times * np.log1p(times)))
