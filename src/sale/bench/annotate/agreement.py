"""Agreement of people on how long tasks take: Krippendorff's α, with a bootstrap interval over tasks. Pure.

Two levels of measurement. The headline is the *interval* α of log-minutes: people differ by factors, not by minutes
(the bins are geometric for the same reason), it uses all that was measured, and it does not depend on where bins are
cut. The *ordinal* α of bins is reported beside it, since bins are what later figures are grouped by; it is blind to
differences within a bin, and harsh on small ones across an edge.

The ordinal α is the `krippendorff` package's. The interval α is computed from sums of squares, which is the same number
(tests compare them): the package counts every value of every task in one dense array of tasks by values by values,
some 30 GB for the 753 tasks of HST-Bench timed by three people each.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import krippendorff
import numpy as np
from numpy.typing import NDArray

from sale.bench.tasks.schema import BIN_EDGES

Level = Literal["interval, log-minutes", "ordinal, bins"]
Units = Sequence[Sequence[float]]
"""Minutes of each task, one for each person."""
Floats = NDArray[np.float64]

RESAMPLES = 2000
SEED = 20260202
CONFIDENCE = 95.0
FEW_TASKS = 10
"""With fewer tasks, an interval over tasks is reported with a warning."""
MANY_UNDEFINED = 0.05
"""So large a share of resamples without a defined α is warned of: the interval is over the others only."""
_SAME = 1e-9
"""Log-minutes closer than this are equal: stopwatches are not better."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """α on one level."""

    level: Level
    alpha: float | None
    """1 is perfect agreement, 0 what chance gives, below 0 is worse; `None` where it is not defined."""
    low: float | None
    """Lower end of the 95 % interval, and `high` the upper; `None` where there is none."""
    high: float | None
    tasks: int
    """With times of two people or more: no others can show agreement."""
    times: int
    """Of those tasks."""
    resamples: int
    """Bootstrap resamples of tasks in which α is defined; the interval is over these."""
    seed: int = SEED
    note: str = ""
    """A remark on missing or doubtful data; empty where all is well."""


def agreement(units: Units, *, resamples: int = RESAMPLES, seed: int = SEED) -> tuple[Agreement, Agreement]:
    """α of log-minutes (the headline), and of bins.

    The order of tasks and of people makes no difference, to the interval neither.

    Args:
        units: For each task the minutes of those who solved it, each above 0; tasks with fewer than two are left out.
        resamples: How often tasks are drawn anew.
        seed: Of the drawing.
    """
    paired = sorted(sorted(unit) for unit in units if len(unit) > 1)
    return (
        _measured("interval, log-minutes", paired, _MinutesAlpha, resamples, seed),
        _measured("ordinal, bins", paired, _BinsAlpha, resamples, seed),
    )


class _MinutesAlpha:
    """α of log-minutes for any choice of tasks."""

    constant = "all times are equal"

    def __init__(self, units: Units) -> None:
        """Sums of each task are taken once."""
        logs = [np.log(np.asarray(unit, dtype=np.float64)) for unit in units]
        centre = float(np.mean(np.concatenate(logs)))
        self._sizes = np.array([len(unit) for unit in logs], dtype=np.float64)
        self._sums = np.array([np.sum(unit - centre) for unit in logs])
        self._squares = np.array([np.sum((unit - centre) ** 2) for unit in logs])
        within = np.array([np.sum((unit - np.mean(unit)) ** 2) for unit in logs])
        self._within = self._sizes * within / (self._sizes - 1)

    def __call__(self, rows: NDArray[np.intp]) -> float | None:
        """1 - D_o / D_e: pairs of one task against pairs of all."""
        count = float(self._sizes[rows].sum())
        spread = float(self._squares[rows].sum() - self._sums[rows].sum() ** 2 / count)
        if spread <= count * _SAME**2:
            return None
        return 1 - (count - 1) / count * float(self._within[rows].sum()) / spread


class _BinsAlpha:
    """α of bins for any choice of tasks; times beyond the last bin share one of their own."""

    constant = "all times are in one bin"

    def __init__(self, units: Units) -> None:
        """Each task's count of times in each bin."""
        kinds = len(BIN_EDGES) + 1
        self._counts = np.array([np.bincount(np.searchsorted(BIN_EDGES, unit), minlength=kinds) for unit in units])

    def __call__(self, rows: NDArray[np.intp]) -> float | None:
        """The package's, on the level `ordinal`."""
        counts = self._counts[rows]
        if np.count_nonzero(counts.sum(axis=0)) < 2:
            return None
        return float(krippendorff.alpha(value_counts=counts, level_of_measurement="ordinal"))


def _measured(
    level: Level, units: Units, statistic: type[_MinutesAlpha | _BinsAlpha], resamples: int, seed: int
) -> Agreement:
    times = sum(len(unit) for unit in units)
    blank: dict[str, Any] = {"level": level, "tasks": len(units), "times": times, "seed": seed}
    if len(units) < 2:
        what = "no task has" if not units else "only one task has"
        note = f"{what} right answers of two people: α needs two such tasks"
        return Agreement(**blank, alpha=None, low=None, high=None, resamples=0, note=note)
    alpha_of = statistic(units)
    alpha = alpha_of(np.arange(len(units)))
    if alpha is None:
        note = f"{statistic.constant}: without differences α is not defined"
        return Agreement(**blank, alpha=None, low=None, high=None, resamples=0, note=note)
    drawn = _drawn(alpha_of, len(units), resamples, seed)
    if not len(drawn):
        note = "α is not defined in any resample, so there is no interval"
        return Agreement(**blank, alpha=alpha, low=None, high=None, resamples=0, note=note)
    low, high = (float(end) for end in np.percentile(drawn, [50 - CONFIDENCE / 2, 50 + CONFIDENCE / 2]))
    return Agreement(
        **blank, alpha=alpha, low=low, high=high, resamples=len(drawn), note=_caution(len(units), len(drawn), resamples)
    )


def _drawn(alpha_of: Callable[[NDArray[np.intp]], float | None], tasks: int, resamples: int, seed: int) -> Floats:
    """α of each resample in which it is defined."""
    generator = np.random.default_rng(seed)
    found = (alpha_of(generator.integers(tasks, size=tasks)) for _ in range(resamples))
    return np.array([alpha for alpha in found if alpha is not None and math.isfinite(alpha)])


def _caution(tasks: int, defined: int, drawn: int) -> str:
    cautions: list[str] = []
    if tasks < FEW_TASKS:
        cautions.append(f"an interval over {tasks} tasks says little")
    if drawn - defined > MANY_UNDEFINED * drawn:
        cautions.append(f"α is not defined in {drawn - defined} of {drawn} resamples, which the interval leaves out")
    return "; ".join(cautions)
