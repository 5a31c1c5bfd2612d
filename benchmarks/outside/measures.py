"""Figures of contenders, with intervals over whole repositories."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.outside.contenders import CheckedEntry, Entry
from sale.bench.metrics import best_single
from sale.bench.report.tables import RESAMPLING
from sale.bench.routers.protocol import Bools, Floats, Ints, OutcomeTable, Routing
from sale.bench.stats import Interval, PairedComparison, compare_paired, mean, paired_statistic, ratio
from sale.learning.mixtures import hull

MARGIN = 0.04
"""Share of the tasks that a contender may solve fewer than the best agent and still count as good."""
HALF = 0.5
ROUNDING = 1e-9
"""A saving this small is the rounding of means."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One contender against the best single agent, and against mixtures of single agents."""

    entry: Entry
    solved: Interval
    dollars: Interval
    gained: PairedComparison
    """Share of tasks solved beyond the best agent's."""
    saved: Interval | None
    """Share of the best agent's dollars."""
    above: PairedComparison | None
    """Share of tasks solved beyond the mixture of single agents that costs as much; `None` where it costs nothing."""
    p_as_good: float
    """One-sided, that it solves fewer than the best agent by `MARGIN` or more."""
    then: float
    """Price of a check, as a share of the work it looks at, at which all costs as much as the best agent; NaN: none."""
    half: float
    """Likewise, half as much."""

    @property
    def as_good(self) -> bool:
        """True where the interval of the difference lies above the margin."""
        return self.gained.difference.low is not None and self.gained.difference.low > -MARGIN

    @property
    def cheaper(self) -> bool:
        """True where the interval of the saving lies above 0."""
        return self.saved is not None and self.saved.low is not None and self.saved.low > ROUNDING

    @property
    def halves(self) -> bool:
        """True where it costs at most half of what the best agent does."""
        return self.saved is not None and self.saved.value >= HALF


def measured(entry: Entry, table: OutcomeTable) -> Measured:
    """All figures of one contender."""
    best = best_single(table)
    groups = table.groups or table.ids
    alone, cost = table.success[:, best], table.dollars[:, best]
    gained = compare_paired(entry.success, alone, RESAMPLING, clusters=groups)
    shifted = compare_paired(entry.success + MARGIN, alone, RESAMPLING, clusters=groups)
    one_sided = shifted.p / 2 if shifted.difference.value > 0.0 else 1.0 - shifted.p / 2
    looked, work = float(entry.looked.sum()), float((entry.dollars - _paid(entry)).sum())
    return Measured(
        entry=entry,
        solved=mean(entry.success, RESAMPLING, clusters=groups),
        dollars=mean(entry.dollars, RESAMPLING, clusters=groups),
        gained=gained,
        saved=ratio(cost - entry.dollars, cost, RESAMPLING, clusters=groups),
        above=above_mixtures(entry, table),
        p_as_good=one_sided,
        then=(float(cost.sum()) - work) / looked if looked else np.nan,
        half=(HALF * float(cost.sum()) - work) / looked if looked else np.nan,
    )


def above_mixtures(entry: Entry, table: OutcomeTable) -> PairedComparison | None:
    """Share of tasks solved beyond what mixing single agents at random solves for the same dollars.

    The agents mixed are the corners of the convex hull on the whole table. Who spends less than the cheapest of them is
    held to a mixture of it and of doing nothing; who spends more than the dearest, to the dearest.
    """
    corners = hull(table.dollars.mean(axis=0), table.success.mean(axis=0))
    ones = np.ones(len(table))
    ours = np.column_stack([entry.success, ones])
    theirs = np.column_stack([entry.dollars, table.dollars[:, corners], table.success[:, corners], ones])
    count = len(corners)

    def reached(sums: Floats) -> Floats:
        means = sums[:, :-1] / sums[:, -1:]
        if sums.shape[1] == 2:
            return means[:, 0]
        return np.array([_mixture(row[0], row[1 : count + 1], row[count + 1 :]) for row in means])

    return paired_statistic(ours, theirs, reached, RESAMPLING, clusters=table.groups or table.ids)


def _mixture(spent: float, costs: Floats, successes: Floats) -> float:
    order = np.argsort(costs, kind="stable")
    at = np.concatenate([[0.0], costs[order]])
    height = np.concatenate([[0.0], np.maximum.accumulate(successes[order])])
    return float(np.interp(spent, at, height))


def _paid(entry: Entry) -> Floats:
    """(T,) dollars of checks."""
    return entry.looked * entry.price


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """The tasks on which the market and the best agent differ, per run."""

    tasks: int
    best: float
    """Solved by the best agent."""
    market: float
    passed_wrong: float
    """Lost because the check passed wrong work, though the best agent solves the task."""
    refused_right: float
    """Lost because right work was refused, and whoever came last failed."""
    unsolved: float
    """Lost because nobody who was asked solves it."""
    won: float
    """Solved by the market alone."""
    market_dollars: float
    best_dollars: float


def accounts(found: CheckedEntry, table: OutcomeTable) -> dict[str, Account]:
    """What was lost and won against the best agent, by repository and in all."""
    groups = np.array(table.groups or table.ids)
    names = sorted(set(groups.tolist()), key=lambda name: (-int((groups == name).sum()), name))
    kinds = np.mean([_kinds(seen, routing, found.check.price) for seen, routing in found.runs], axis=0)
    rows = {"all": np.ones(len(table), np.bool_)} | {name: groups == name for name in names}
    return {name: _account(found.entry, table, kinds, own) for name, own in rows.items()}


def _account(entry: Entry, table: OutcomeTable, kinds: Floats, own: Bools) -> Account:
    best = best_single(table)
    passed, refused, unsolved, won = (float(one) for one in kinds[:, own].sum(axis=1))
    return Account(
        tasks=int(own.sum()),
        best=float(table.success[own, best].sum()),
        market=float(entry.success[own].sum()),
        passed_wrong=passed,
        refused_right=refused,
        unsolved=unsolved,
        won=won,
        market_dollars=float(entry.dollars[own].sum()),
        best_dollars=float(table.dollars[own, best].sum()),
    )


def _kinds(table: OutcomeTable, routing: Routing, price: float) -> Floats:
    """(4, T): why the task was lost to the best agent, in the order of `Account`, and whether it was won."""
    good = table.success[np.arange(len(table)), routing.chosen] > 0.0
    alone = table.success[:, best_single(table)] > 0.0
    lost = alone & ~good
    refused = (routing.called & (table.success > 0.0)).any(axis=1)
    # Where all work that was paid for was looked at, the last was passed: otherwise another agent would have followed.
    work = (table.dollars * routing.called).sum(axis=1)
    passed = np.isclose(routing.extra_dollars, price * work, rtol=1e-9, atol=0.0)
    parts = [lost & ~refused & passed, lost & refused, lost & ~refused & ~passed, good & ~alone]
    return np.stack(parts).astype(np.float64)


@dataclass(frozen=True, kw_only=True, slots=True)
class Reach:
    """Tasks by how many agents were called one after the other and what came of it, per run."""

    called: int
    solved: bool
    tasks: float
    best: float
    """Of them solved by the best agent."""
    market_dollars: float
    best_dollars: float


def reaches(found: CheckedEntry, table: OutcomeTable) -> list[Reach]:
    """How far tasks went, and where the money went; what did not happen is left out."""
    best = best_single(table)
    agents, good, dollars = (
        np.stack(part) for part in zip(*(_ends(seen, routing) for seen, routing in found.runs), strict=True)
    )
    rows: list[Reach] = []
    for called in sorted(set(agents.ravel().tolist())):
        for solved in (True, False):
            share = ((agents == called) & (good == solved)).mean(axis=0)
            spent = (dollars * ((agents == called) & (good == solved))).mean(axis=0)
            if share.any():
                rows.append(
                    Reach(
                        called=called,
                        solved=solved,
                        tasks=float(share.sum()),
                        best=float((share * table.success[:, best]).sum()),
                        market_dollars=float(spent.sum()),
                        best_dollars=float((share * table.dollars[:, best]).sum()),
                    )
                )
    return rows


def _ends(table: OutcomeTable, routing: Routing) -> tuple[Ints, Bools, Floats]:
    """(T,) each: agents called, whether the task was solved, dollars."""
    good: Bools = table.success[np.arange(len(table)), routing.chosen] > 0.0
    return routing.called.sum(axis=1), good, (table.dollars * routing.called).sum(axis=1) + routing.extra_dollars
