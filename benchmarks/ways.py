"""Ways to have tasks done, compared on the same tasks: for the reports of docs/research."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from sale.bench.report.report_table import ReportTable, micro, percent
from sale.bench.routers.protocol import Floats
from sale.bench.stats import Interval, PairedComparison, Resampling, bootstrap, compare_paired, holm, mean, rate
from sale.learning.mixtures import mixture_line

RESAMPLING = Resampling(seed=20260)
FEWER = Resampling(seed=20260, resamples=2000)
"""For what is worked out resample by resample."""
RESAMPLED = f"The last column rests on {FEWER.resamples:,} resamples, all else on {RESAMPLING.resamples:,}."
"""A sentence for the note of a table whose last column is `above_mixtures`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """One way to have the tasks done."""

    name: str
    success: Floats
    """(T,) 1 where the task was solved."""
    dollars: Floats
    """(T,) all that was charged."""


def compare(ours: Way, theirs: Way) -> PairedComparison:
    """The success of one way less that of another, over the same tasks."""
    return compare_paired(ours.success, theirs.success, RESAMPLING)


def saving(ours: Way, theirs: Way) -> PairedComparison:
    """The dollars of one way less those of another, over the same tasks."""
    return compare_paired(ours.dollars, theirs.dollars, RESAMPLING)


def above_mixtures(way: Way, singles: Sequence[Way]) -> Interval | None:
    """Success less what drawing among the single ways, and doing nothing, reaches for the same money."""
    count = len(singles)
    columns = np.column_stack(
        [
            way.success,
            way.dollars,
            *(one.success for one in singles),
            *(one.dollars for one in singles),
            np.ones(len(way.success)),
        ]
    )

    def statistic(sums: Floats) -> Floats:
        lead: list[float] = []
        for success, dollars, *each in cast("list[list[float]]", (sums[:, :-1] / sums[:, -1:]).tolist()):
            line = mixture_line(each[count:], each[:count])
            lead.append(success - float(np.interp(dollars, line[:, 0], line[:, 1])))
        return np.array(lead)

    return bootstrap(columns, statistic, FEWER)[0]


def rivals_table(key: str, title: str, ours: Way, rivals: Sequence[Way], singles: Sequence[Way]) -> ReportTable:
    """One way against its rivals: success, money, paired differences, p by McNemar corrected by Holm.

    Args:
        key: Of the table.
        title: Its heading.
        ours: The way in question; its row comes first.
        rivals: The ways it is compared with.
        singles: Ways that random mixtures are drawn from.
    """
    found = [compare(ours, rival) for rival in rivals]
    corrected = holm([one.p if one.mcnemar is None else one.mcnemar for one in found])
    rows = [_cells(ours, "–", "–", "–", singles)]
    for rival, one, p in zip(rivals, found, corrected, strict=True):
        money = micro(saving(ours, rival).difference)
        rows.append(_cells(rival, percent(one.difference), f"{p:.3f}", money, singles))
    return ReportTable(
        key=key,
        title=title,
        head=(
            "who decides",
            "solved, %",
            "$/task, millionths",
            "ours above it, points",
            "p (McNemar, Holm)",
            "ours dearer by, millionths",
            "above random mixtures, points",
        ),
        rows=tuple(rows),
        note=f"95 % intervals over tasks, differences paired; p corrected over {len(rivals)} comparisons. {RESAMPLED}",
    )


def _cells(way: Way, lead: str, p: str, dearer: str, singles: Sequence[Way]) -> tuple[str, ...]:
    return (
        way.name,
        percent(rate(way.success, RESAMPLING)),
        micro(mean(way.dollars, RESAMPLING)),
        lead,
        p,
        dearer,
        percent(above_mixtures(way, singles)),
    )


def page_with(text: str, said: str, begin: str, end: str) -> str:
    """A page with a report between its two marks."""
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return f"{head}{begin}\n{said}\n{end}{tail}"
