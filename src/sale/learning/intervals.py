"""95 % intervals for means over auctions, where auctions of one task are no news about other tasks.

In closed form: the variance is that of a ratio of sums over tasks. A proportion gets Wilson's interval at the sample
size which that variance amounts to, so that five out of five is not taken for a certainty.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special as scipy_special

from sale.learning.dataset import Floats, Ints

_special: Any = scipy_special  # scipy is untyped; its `stats` would take 45 MiB and seconds to load

LEVEL = 0.95
Interval = tuple[float, float, float]
"""A figure, and its 95 % interval."""


def mean_interval(values: Floats, groups: Ints, *, proportion: bool = False) -> Interval:
    """The mean, and its interval.

    Args:
        values: (T,) finite.
        groups: (T,) values of one number are drawn together.
        proportion: Whether values are 0 or 1. Wilson's interval then, else Student's t.

    Returns:
        Mean, low, high; of a single task an interval without end (or [0, 1]).
    """
    mean = float(values.mean())
    error, count = standard_error(values, groups), len(np.unique(groups))
    if proportion:
        return (mean, *_wilson(mean, error, count))
    if count < 2:
        return mean, -np.inf, np.inf
    reach = float(_special.stdtrit(count - 1, 0.5 + LEVEL / 2)) * error
    return mean, mean - reach, mean + reach


def standard_error(values: Floats, groups: Ints) -> float:
    """Of the mean, with whole groups drawn; 0 where there is a single one."""
    _, places = np.unique(groups, return_inverse=True)
    count = int(places.max()) + 1
    if count < 2:
        return 0.0
    residuals = np.bincount(places, weights=values - values.mean())
    return float(np.sqrt(count / (count - 1) * (residuals**2).sum()) / len(values))


def _wilson(mean: float, error: float, count: int) -> tuple[float, float]:
    trials = mean * (1.0 - mean) / error**2 if error > 0 and 0 < mean < 1 else float(count)
    z2 = float(_special.ndtri(0.5 + LEVEL / 2)) ** 2
    centre = (mean + z2 / (2 * trials)) / (1 + z2 / trials)
    reach = np.sqrt(z2 * (mean * (1 - mean) / trials + z2 / (4 * trials**2))) / (1 + z2 / trials)
    return float(max(0.0, centre - reach)), float(min(1.0, centre + reach))
