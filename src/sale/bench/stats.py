"""Intervals and tests for benchmark figures: what so many tasks can show, and what they cannot.

Whatever is resampled is a whole task, never a run or a ratio: a statistic is a function of column sums, so that every
resample is a row of counts and 10,000 of them are one matrix product. Where a task was run several times (in several
orders), its runs are no news about other tasks: they share a cluster and are drawn together.

Two calls with one seed and as many tasks draw the same resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize as scipy_optimize
from scipy import stats as scipy_stats

from sale.bench.routers.protocol import Floats

# scipy is untyped.
_stats: Any = scipy_stats
_optimize: Any = scipy_optimize

Statistic = Callable[[Floats], Floats]
"""From (N, K) column sums to (N, M) values; what cannot be computed is not finite."""

CHUNK = 250_000
"""Most counts made at once: 2 MB, so that they stay in the processor's cache."""
ROUNDING = 1e-12
"""Differences this small against the largest are rounding, not differences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A figure with its confidence interval."""

    value: float
    low: float | None
    """`None` where the tasks tell nothing about the spread: a single one, or too often undefined when resampled."""
    high: float | None
    tasks: int
    """Independent tasks behind the figure."""
    how: Literal["bootstrap", "wilson", "t"]
    """Percentiles of a bootstrap over tasks, Wilson's for a proportion, or Student's t of a mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Resampling:
    """The settings of resampling.

    Plain percentiles: tried on ratios, skewed costs and rates of 20, 60 and 220 tasks, corrected ones (BCa) covered the
    truth within two points as often where coverage was short, at the price of a jackknife.
    """

    seed: int
    resamples: int = 10_000
    level: float = 0.95

    def __post_init__(self) -> None:
        if self.resamples < 1:
            raise ValueError(f"resamples must be at least 1, got {self.resamples!r}")
        _check_level(self.level)


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedComparison:
    """One router against another on the same tasks."""

    difference: Interval
    """Ours less theirs."""
    p: float
    """Two-sided, by the paired bootstrap: twice the share of resamples on the far side of 0."""
    mcnemar: float | None = None
    """Exact two-sided p; `None` where outcomes are graded or averaged over runs."""
    ours_only: int | None = None
    """Tasks that only we solve; `None` as above."""
    theirs_only: int | None = None


def bootstrap(
    columns: ArrayLike, statistic: Statistic, resampling: Resampling, *, clusters: Sequence[Hashable] | None = None
) -> list[Interval | None]:
    """Intervals for statistics of column sums, tasks resampled with replacement.

    Args:
        columns: Shape (N, K): one row a run of a task.
        statistic: From the sums of the columns, shape (R, K), to shape (R, M) or (R,).
        resampling: Seed, number and level.
        clusters: N names of tasks where some have several rows; rows of one name are drawn together.

    Returns:
        M intervals; `None` where the figure itself is undefined (a ratio to 0).

    Raises:
        ValueError: No rows, a value that is not finite, or as many names as there are not rows.
    """
    return _resampled(totals(columns, clusters), statistic, resampling)[0]


def mean(values: ArrayLike, resampling: Resampling, *, clusters: Sequence[Hashable] | None = None) -> Interval:
    """The mean of rows."""
    column = np.asarray(values, dtype=np.float64)
    found = ratio(column, np.ones_like(column), resampling, clusters=clusters)
    if found is None:
        raise ValueError("the mean of numbers this large is not finite")
    return found


def rate(outcomes: ArrayLike, resampling: Resampling, *, clusters: Sequence[Hashable] | None = None) -> Interval:
    """The mean of outcomes in [0, 1]; where all are 0 or all are 1, Wilson's interval (see `honest_rate`)."""
    column = np.asarray(outcomes, dtype=np.float64)
    if not ((column >= 0) & (column <= 1)).all():
        raise ValueError("an outcome must lie in [0, 1]")
    return honest_rate(mean(column, resampling, clusters=clusters), resampling.level)


def ratio(
    numerator: ArrayLike,
    denominator: ArrayLike,
    resampling: Resampling,
    *,
    clusters: Sequence[Hashable] | None = None,
) -> Interval | None:
    """A sum over another sum, as $/Mt is; `None` where the lower one is 0."""
    columns = np.column_stack([np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)])
    return bootstrap(columns, over_last, resampling, clusters=clusters)[0]


def over_last(sums: Floats) -> Floats:
    """The statistic of means and ratios: every column's sum over the last column's."""
    return sums[:, :-1] / sums[:, -1:]


def honest_rate(found: Interval, level: float = 0.95) -> Interval:
    """Wilson's interval in place of one without width, for a proportion of tasks that is 0 or 1.

    Resampling tasks that all went alike shows no spread, as if five out of five were a certainty.
    """
    if found.value not in {0.0, 1.0} or (found.low is not None and found.low != found.high):
        return found
    return wilson(round(found.value * found.tasks), found.tasks, level)


def compare_paired(
    ours: ArrayLike, theirs: ArrayLike, resampling: Resampling, *, clusters: Sequence[Hashable] | None = None
) -> PairedComparison:
    """The difference of two means over the same rows; with McNemar's test where every row is a task right or wrong."""
    left, right = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if left.shape != right.shape or left.ndim != 1:
        raise ValueError(f"paired outcomes must be two lists of one length, got {left.shape} and {right.shape}")
    ones = np.ones_like(left)
    found = paired_statistic(
        np.column_stack([left, ones]), np.column_stack([right, ones]), over_last, resampling, clusters=clusters
    )
    if found is None:
        raise ValueError("the difference of numbers this large is not finite")
    single = clusters is None or len(set(clusters)) == len(left)
    if not single or not np.isin(np.concatenate([left, right]), (0.0, 1.0)).all():
        return found
    here, there = int(((left == 1) & (right == 0)).sum()), int(((left == 0) & (right == 1)).sum())
    return PairedComparison(
        difference=found.difference, p=found.p, mcnemar=mcnemar(here, there), ours_only=here, theirs_only=there
    )


def paired_statistic(
    ours: ArrayLike,
    theirs: ArrayLike,
    statistic: Statistic,
    resampling: Resampling,
    *,
    clusters: Sequence[Hashable] | None = None,
) -> PairedComparison | None:
    """The difference of one statistic between two routers, both resampled on the same tasks.

    Args:
        ours: Shape (N, K): row by row the same tasks as `theirs`.
        theirs: Shape (N, L); K = L unless the statistic does not mind.
        statistic: To a single value for each row of sums.
        resampling: As in `bootstrap`.
        clusters: As in `bootstrap`.

    Returns:
        `None` where the difference is undefined.
    """
    left, right = _matrix(ours), _matrix(theirs)
    if len(left) != len(right):
        raise ValueError(f"paired outcomes must be of the same tasks, got {len(left)} and {len(right)} rows")
    width = left.shape[1]

    def difference(sums: Floats) -> Floats:
        return _evaluate(statistic, sums[:, :width])[:, :1] - _evaluate(statistic, sums[:, width:])[:, :1]

    found, drawn = _resampled(totals(np.hstack([left, right]), clusters), difference, resampling)
    if found[0] is None:
        return None
    defined = drawn[np.isfinite(drawn[:, 0]), 0]
    zero = ROUNDING * float(np.abs(defined).max(initial=0.0))
    smaller = min(int((defined <= zero).sum()), int((defined >= -zero).sum()))
    return PairedComparison(difference=found[0], p=min(1.0, 2 * (smaller + 1) / (len(defined) + 1)))


def mcnemar(ours_only: int, theirs_only: int) -> float:
    """Exact two-sided p of McNemar's test: are the tasks that only one router solves split evenly? 1 where none are."""
    if min(ours_only, theirs_only) < 0:
        raise ValueError(f"counts must not be negative, got {ours_only!r} and {theirs_only!r}")
    trials = ours_only + theirs_only
    return float(_stats.binomtest(ours_only, trials).pvalue) if trials else 1.0


def holm(ps: Sequence[float]) -> tuple[float, ...]:
    """Holm's step-down correction: p values adjusted for being several, in the order given."""
    given = np.asarray(ps, dtype=np.float64)
    if not ((given >= 0) & (given <= 1)).all():
        raise ValueError(f"p values must lie in [0, 1], got {list(ps)!r}")
    order = np.argsort(given, kind="stable")
    stepped = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1)) if len(given) else given
    adjusted = np.empty_like(given)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(float(p) for p in adjusted)


def wilson(successes: int, trials: int, level: float = 0.95) -> Interval:
    """Wilson's score interval for a plain proportion."""
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"a proportion needs 0 <= successes <= trials and a trial, got {successes!r} of {trials!r}")
    _check_level(level)
    found = _stats.binomtest(successes, trials).proportion_ci(confidence_level=level, method="wilson")
    return Interval(value=successes / trials, low=float(found.low), high=float(found.high), tasks=trials, how="wilson")


def mcnemar_power(tasks: int, discordant: float, difference: float, alpha: float = 0.05) -> float:
    """Return the probability that McNemar's exact test at `alpha` finds a true difference.

    Args:
        tasks: How many both routers do.
        discordant: Probability that exactly one of the two solves a task.
        difference: Of their pass@1; at most `discordant` either way.
        alpha: Two-sided.
    """
    if tasks < 1 or not 0 < discordant <= 1 or abs(difference) > discordant or not 0 < alpha < 1:
        raise ValueError(
            "needs a task, 0 < discordant <= 1, |difference| <= discordant and 0 < alpha < 1, "
            f"got {tasks!r}, {discordant!r}, {difference!r} and {alpha!r}"
        )
    split = np.arange(tasks + 1)
    last: Floats = _stats.binom.ppf(alpha / 2, split, 0.5)
    last = np.where(_stats.binom.cdf(last, split, 0.5) <= alpha / 2, last, last - 1)
    ours = (discordant + difference) / (2 * discordant)
    low = _stats.binom.cdf(last, split, ours)
    high = _stats.binom.sf(split - last - 1, split, ours)
    return float(_stats.binom.pmf(split, tasks, discordant) @ np.where(last < 0, 0.0, low + high))


def detectable_difference(tasks: int, discordant: float, *, power: float = 0.8, alpha: float = 0.05) -> float | None:
    """The smallest difference in pass@1 that McNemar's exact test finds with the given power.

    Args:
        tasks: How many both routers do.
        discordant: Probability that exactly one of the two solves a task; take it from the records.
        power: How often it shall be found.
        alpha: Two-sided.

    Returns:
        A fraction; `None` where not even all disagreement going one way would do.
    """
    if not alpha < power < 1:
        raise ValueError(f"power must lie between alpha and 1, got {power!r} with alpha {alpha!r}")

    def lacking(difference: float) -> float:
        return mcnemar_power(tasks, discordant, difference, alpha) - power

    if lacking(discordant) < 0:
        return None
    return float(_optimize.brentq(lacking, 0.0, discordant, xtol=1e-6))


def totals(columns: ArrayLike, clusters: Sequence[Hashable] | None = None) -> Floats:
    """Columns summed within each task, tasks in the order of their first row; shape (tasks, K)."""
    matrix = _matrix(columns)
    if clusters is None:
        return matrix
    if len(clusters) != len(matrix):
        raise ValueError(f"every row needs its task, got {len(clusters)} names for {len(matrix)} rows")
    places: dict[Hashable, int] = {}
    index = np.array([places.setdefault(name, len(places)) for name in clusters])
    summed = np.zeros((len(places), matrix.shape[1]))
    np.add.at(summed, index, matrix)
    return summed


@lru_cache(maxsize=2)
def draws(units: int, resampling: Resampling) -> tuple[Floats, ...]:
    """Return the counts of each of `units` in each resample: chunks of shape (resamples, units), not to be changed.

    A report asks a thousand times for the same ones, so the last are kept.
    """
    rng = np.random.default_rng(resampling.seed)
    step = max(1, CHUNK // units)
    chunks: list[Floats] = []
    for start in range(0, resampling.resamples, step):
        rows = min(step, resampling.resamples - start)
        drawn = rng.integers(units, size=(rows, units)) + np.arange(rows)[:, None] * units
        counts = np.bincount(drawn.ravel(), minlength=rows * units).reshape(rows, units).astype(np.float64)
        counts.setflags(write=False)
        chunks.append(counts)
    return tuple(chunks)


def percentiles(value: float, drawn: Floats, resampling: Resampling, tasks: int) -> Interval | None:
    """The interval of a figure from its values on the resamples; `None` where the figure itself is not finite.

    Args:
        value: On the tasks as they are.
        drawn: Shape (R,): on the resamples; not finite where undefined.
        resampling: Whose level is used.
        tasks: Independent tasks behind the figure.
    """
    if not np.isfinite(value):
        return None
    defined = drawn[np.isfinite(drawn)]
    if tasks < 2 or len(defined) < resampling.level * len(drawn):
        return Interval(value=value, low=None, high=None, tasks=tasks, how="bootstrap")
    tail = (1 - resampling.level) / 2
    low, high = np.quantile(defined, (tail, 1 - tail))
    return Interval(value=value, low=float(low), high=float(high), tasks=tasks, how="bootstrap")


def _resampled(units: Floats, statistic: Statistic, resampling: Resampling) -> tuple[list[Interval | None], Floats]:
    """Intervals of the M values, and the values on all resamples, shape (R, M)."""
    value = _evaluate(statistic, units.sum(axis=0, keepdims=True))[0]
    drawn = np.concatenate([_evaluate(statistic, counts @ units) for counts in draws(len(units), resampling)])
    found = [
        percentiles(float(point), column, resampling, len(units)) for point, column in zip(value, drawn.T, strict=True)
    ]
    return found, drawn


def _evaluate(statistic: Statistic, sums: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        values = np.asarray(statistic(sums), dtype=np.float64)
    return values[:, None] if values.ndim == 1 else values


def _matrix(columns: ArrayLike) -> Floats:
    matrix = np.asarray(columns, dtype=np.float64)
    if matrix.ndim == 1:
        matrix = matrix[:, None]
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"there must be at least one task and one column, got the shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("every value must be a finite number: leave out what is not known")
    return matrix


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"a level must lie between 0 and 1, got {level!r}")
