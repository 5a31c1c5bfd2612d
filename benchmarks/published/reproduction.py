"""A published figure beside ours: what it takes to say that they agree, and the record of it.

A figure *agrees* where the published one, within its rounding or its own error, meets our 95 % interval: a bootstrap
over tasks unless the figure says otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from sale.bench.routers.protocol import Floats, Ints
from sale.files.writing import write_text

Checked = Literal["at the source", "second hand", "not read again"]
"""The reading of the published figure: in the publication or its repository; in another work that quotes it; or not
again for this record, so that it may be misquoted and does not count as reproduced."""
RESAMPLES = 2000
SEED = 1234
LOW, HIGH = 2.5, 97.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A figure from another publication."""

    value: float
    error: float
    """Half the width of the interval it is given with; where it has none, of its rounding."""
    source: str
    checked: Checked


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """Ours, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Reproduction:
    """One figure, published and ours."""

    name: str
    unit: str
    published: Published | None
    """`None` where none was published: our figure for comparison."""
    ours: Figure
    n: int
    """Tasks behind our figure."""
    explanation: str
    same_conditions: bool = True
    """True where ours was computed from the very data and by the very rule of the published one."""

    @property
    def agrees(self) -> bool | None:
        """True where the published figure, within its error, meets our interval."""
        if self.published is None:
            return None
        low, high = self.published.value - self.published.error, self.published.value + self.published.error
        return low <= self.ours.high and high >= self.ours.low

    def record(self) -> dict[str, object]:
        """As JSON."""
        return {**asdict(self), "agrees": self.agrees}


def make_exact(value: float) -> Figure:
    """A figure without chance in it: it is what it is on this table."""
    return Figure(value=value, low=value, high=value)


def bootstrap(tasks: int, measure: Callable[[Ints], float], resamples: int = RESAMPLES) -> Figure:
    """A measure of rows drawn with replacement; 95 % by percentiles.

    Args:
        tasks: How many rows there are.
        measure: The figure on the rows it is given, by number.
        resamples: How often.
    """
    rng = np.random.default_rng(SEED)
    values = [measure(rng.integers(tasks, size=tasks)) for _ in range(resamples)]
    low, high = np.percentile(values, [LOW, HIGH])
    return Figure(value=float(measure(np.arange(tasks))), low=float(low), high=float(high))


def spread(values: Sequence[float]) -> Figure:
    """The mean of repeated draws, and where 95 % of them lie."""
    low, high = np.percentile(values, [LOW, HIGH])
    return Figure(value=float(np.mean(values)), low=float(low), high=float(high))


def mean_of(values: Floats, scale: float = 1.0) -> Figure:
    """The mean over tasks, times `scale`."""
    return bootstrap(len(values), lambda rows: scale * float(values[rows].mean()))


def write(found: list[Reproduction], left_out: dict[str, str], out: Path) -> None:
    """Write all of them to one file, which appears whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    content = {"reproductions": [one.record() for one in found], "left_out": left_out}
    write_text(out, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
