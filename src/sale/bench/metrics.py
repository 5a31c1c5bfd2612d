"""The results of a router's decisions: success, money, tokens, shares of the work, and the distance from the best.

Everything is computed from a `DecisionOutcomes`: one row per task and run, runs of one task kept together when tasks
are resampled. `stats` gives every figure its interval.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sale.bench.routers.protocol import SOLVED, Bools, Floats, Ints, OutcomeTable, Routing
from sale.bench.stats import (
    Interval,
    PairedComparison,
    Resampling,
    bootstrap,
    compare_paired,
    honest_rate,
    over_last,
    paired_statistic,
    ratio,
    totals,
)

ROUNDING = 1e-12


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionOutcomes:
    """Decisions with what they came to: N rows, one a task and run."""

    agents: tuple[str, ...]
    """From the cheapest to the dearest."""
    ids: tuple[str, ...]
    """N task ids; a task has as many rows as runs."""
    chosen: Ints
    """(N,): who did it."""
    success: Floats
    """(N,): in [0, 1]."""
    dollars: Floats
    """(N,): everything: all executions called, and deciding."""
    extra: Floats
    """(N,): the dollars of deciding among them."""
    tokens: Floats | None
    """(N,): everything; `None` where a table does not say."""

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: Bools) -> DecisionOutcomes:
        """Some rows only."""
        return DecisionOutcomes(
            agents=self.agents,
            ids=tuple(name for name, keep in zip(self.ids, rows, strict=True) if keep),
            chosen=self.chosen[rows],
            success=self.success[rows],
            dollars=self.dollars[rows],
            extra=self.extra[rows],
            tokens=None if self.tokens is None else self.tokens[rows],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class RouterSummary:
    """The columns every report shows. `None` is a figure that cannot be computed."""

    pass_at_1: Interval
    dollars_per_task: Interval
    dollars_per_mt: Interval | None
    """Dollars a million tokens, of sums."""
    tokens_per_task: Interval | None
    reliance: Interval
    """Share of tasks done by the dearest agent."""
    overhead: Interval | None
    """Share of the dollars that deciding took; `None` where nothing was spent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """The share of each agent in the work."""

    labels: tuple[str, ...]
    agents: tuple[str, ...]
    tasks: tuple[int, ...]
    """Number of tasks of each label."""
    shares: tuple[tuple[Interval, ...], ...]
    """Label by agent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Escalation:
    """Choices against the oracle's: the cheapest agent that solves the task."""

    agents: tuple[str, ...]
    counts: Ints
    """(A + 1, A): rows the oracle's agent, last where none solves it; columns the agent chosen."""
    over: Interval
    """Share of runs done by an agent dearer than needed, solved or not."""
    under: Interval
    """Share of runs that failed though a dearer agent solves the task."""
    exact: Interval
    """Share of runs done by the oracle's own agent."""
    hopeless: Interval
    """Share of runs of tasks that no agent solves."""


def settle(*runs: tuple[OutcomeTable, Routing]) -> DecisionOutcomes:
    """Decisions with their outcomes, one run after the other.

    Args:
        runs: Tables with the routing of each; several where tasks were done in several orders. Every table has the
            same agents; each may have its own outcomes, since who follows a refined plan may fare otherwise.

    Raises:
        ValueError: No run, other agents, or a routing of another length.
    """
    if not runs:
        raise ValueError("there must be at least one run")
    agents = runs[0][0].agents
    parts: list[tuple[Floats, Floats, Floats | None]] = []
    for table, routing in runs:
        if table.agents != agents or len(routing.chosen) != len(table):
            raise ValueError(f"a run of {len(table)} tasks and {table.agents!r} does not fit {agents!r} or its routing")
        # Where nobody is called nobody has done the task, whoever stands in the column.
        success = table.success[np.arange(len(table)), routing.chosen] * routing.called.any(axis=1)
        dollars = (table.dollars * routing.called).sum(axis=1) + routing.extra_dollars
        spent = None if table.tokens is None else (table.tokens * routing.called).sum(axis=1) + routing.extra_tokens
        parts.append((success, dollars, spent))
    tokens = [spent for _, _, spent in parts if spent is not None]
    return DecisionOutcomes(
        agents=agents,
        ids=tuple(name for table, _ in runs for name in table.ids),
        chosen=np.concatenate([routing.chosen for _, routing in runs]),
        success=np.concatenate([success for success, _, _ in parts]),
        dollars=np.concatenate([dollars for _, dollars, _ in parts]),
        extra=np.concatenate([routing.extra_dollars for _, routing in runs]),
        tokens=np.concatenate(tokens) if len(tokens) == len(parts) else None,
    )


def split(settled: DecisionOutcomes, labels: Mapping[str, str]) -> dict[str, DecisionOutcomes]:
    """Rows by the label (bin, domain) of their task, in the order the labels first appear in the mapping.

    Raises:
        ValueError: A task has no label.
    """
    if missing := next((name for name in settled.ids if name not in labels), None):
        raise ValueError(f"the task {missing!r} has no label")
    own = np.array([labels[name] for name in settled.ids])
    return {label: settled.take(own == label) for label in dict.fromkeys(labels.values()) if (own == label).any()}


def summary(settled: DecisionOutcomes, resampling: Resampling) -> RouterSummary:
    """The columns every report shows, from one set of resamples.

    Raises:
        ValueError: There are no rows.
    """
    ones = np.ones(len(settled))
    tokens = ones if settled.tokens is None else settled.tokens
    largest = (settled.chosen == len(settled.agents) - 1).astype(np.float64)

    def statistic(sums: Floats) -> Floats:
        success, dollars, spent, large, extra, rows = sums.T
        return np.column_stack(
            [success / rows, dollars / rows, large / rows, extra / dollars, spent / rows, 1e6 * dollars / spent]
        )

    columns = np.column_stack([settled.success, settled.dollars, tokens, largest, settled.extra, ones])
    success, dollars, large, extra, spent, rate = bootstrap(columns, statistic, resampling, clusters=settled.ids)
    known = settled.tokens is not None
    return RouterSummary(
        pass_at_1=honest_rate(_certain(success), resampling.level),
        dollars_per_task=_certain(dollars),
        dollars_per_mt=rate if known else None,
        tokens_per_task=spent if known else None,
        reliance=honest_rate(_certain(large), resampling.level),
        overhead=extra,
    )


def best_single(table: OutcomeTable) -> int:
    """The agent with the highest mean success; ties go to the cheaper."""
    means = table.success.mean(axis=0)
    return int(np.flatnonzero(means >= means.max() - ROUNDING)[0])


def oracle(table: OutcomeTable) -> Floats:
    """(T,): the best success that any agent has on each task."""
    return np.asarray(table.success.max(axis=1), dtype=np.float64)


def gap_closed(
    settled: DecisionOutcomes, table: OutcomeTable, resampling: Resampling, *, best: int | None = None
) -> Interval | None:
    """(router - best single) / (oracle - best single) in pass@1; below 0 where the router is worse.

    Args:
        settled: The router's runs.
        table: Every agent alone on at least the same tasks.
        resampling: Tasks are resampled, never gaps.
        best: Which agent is the best single one; the best of `table` where it is not given. It stays the same in
            every resample.

    Returns:
        `None` where the oracle does no better than the best single agent: there is no gap.
    """
    here = best_single(table) if best is None else best
    rows = _rows(settled, table)
    gap, ceiling = settled.success - table.success[rows, here], oracle(table)[rows] - table.success[rows, here]
    return ratio(gap, ceiling, resampling, clusters=settled.ids)


def saving(settled: DecisionOutcomes, table: OutcomeTable, agent: int, resampling: Resampling) -> Interval | None:
    """1 - dollars / dollars of one agent doing everything; `None` where that agent costs nothing."""
    alone = table.dollars[_rows(settled, table), agent]
    return ratio(alone - settled.dollars, alone, resampling, clusters=settled.ids)


def compare_success(ours: DecisionOutcomes, theirs: DecisionOutcomes, resampling: Resampling) -> PairedComparison:
    """Paired difference in pass@1; with McNemar's test where both did every task once, right or wrong.

    Raises:
        ValueError: They did not do the same tasks.
    """
    left, right = _per_task(ours, ours.success), _per_task(theirs, theirs.success, like=ours)
    if len(ours) == len(left) == len(theirs):
        return compare_paired(left[:, 0], right[:, 0], resampling)
    return _compared(left, right, resampling)


def compare_dollars(ours: DecisionOutcomes, theirs: DecisionOutcomes, resampling: Resampling) -> PairedComparison:
    """Paired difference in $/task.

    Raises:
        ValueError: They did not do the same tasks.
    """
    return _compared(_per_task(ours, ours.dollars), _per_task(theirs, theirs.dollars, like=ours), resampling)


def workload(settled: DecisionOutcomes, resampling: Resampling, labels: Mapping[str, str] | None = None) -> Workload:
    """Share of tasks each agent does, overall or by label."""
    parts = {"all": settled} if labels is None else split(settled, labels)
    shares: list[tuple[Interval, ...]] = []
    for part in parts.values():
        columns = np.column_stack([part.chosen[:, None] == np.arange(len(part.agents)), np.ones(len(part))])
        found = bootstrap(columns, over_last, resampling, clusters=part.ids)
        shares.append(tuple(honest_rate(_certain(share), resampling.level) for share in found))
    return Workload(
        labels=tuple(parts),
        agents=settled.agents,
        tasks=tuple(len(set(part.ids)) for part in parts.values()),
        shares=tuple(shares),
    )


def win_share(chosen: Ints, agents: int) -> Floats:
    """Cumulative share of each agent after each task, shape (T, agents); `chosen` in the order tasks were done."""
    won = np.asarray(chosen)[:, None] == np.arange(agents)
    return np.cumsum(won, axis=0) / np.arange(1, len(won) + 1)[:, None]


def escalation(settled: DecisionOutcomes, table: OutcomeTable, resampling: Resampling) -> Escalation:
    """Choices against the cheapest agent that solves the task by `table`; graded outcomes count from `SOLVED` on.

    An agent dearer than needed that fails, where a still dearer one would not, is both over- and under-escalation.
    """
    agents = len(table.agents)
    solves = table.success[_rows(settled, table)] >= SOLVED
    needed = np.where(solves.any(axis=1), solves.argmax(axis=1), agents)
    counts = np.zeros((agents + 1, agents), dtype=np.intp)
    np.add.at(counts, (needed, settled.chosen), 1)
    dearer = (solves & (np.arange(agents) > settled.chosen[:, None])).any(axis=1)
    kinds = [
        settled.chosen > needed,
        (settled.success < SOLVED) & dearer,
        settled.chosen == needed,
        needed == agents,
    ]
    found = bootstrap(np.column_stack([*kinds, np.ones(len(settled))]), over_last, resampling, clusters=settled.ids)
    over, under, exact, hopeless = (honest_rate(_certain(share), resampling.level) for share in found)
    return Escalation(agents=table.agents, counts=counts, over=over, under=under, exact=exact, hopeless=hopeless)


def _compared(left: Floats, right: Floats, resampling: Resampling) -> PairedComparison:
    found = paired_statistic(left, right, over_last, resampling)
    if found is None:
        raise ValueError("the difference of numbers this large is not finite")
    return found


def _per_task(settled: DecisionOutcomes, values: Floats, like: DecisionOutcomes | None = None) -> Floats:
    """Sums and rows of each task, shape (tasks, 2), in the order of `like`."""
    names = list(dict.fromkeys(settled.ids))
    summed = totals(np.column_stack([values, np.ones(len(values))]), settled.ids)
    if like is None:
        return summed
    places = {name: place for place, name in enumerate(names)}
    wanted = list(dict.fromkeys(like.ids))
    if set(places) != set(wanted):
        raise ValueError(f"routers can be compared on the same tasks only, got {len(wanted)} and {len(names)}")
    return summed[[places[name] for name in wanted]]


def _rows(settled: DecisionOutcomes, table: OutcomeTable) -> Ints:
    """Where each row's task is in the table."""
    if settled.agents != table.agents:
        raise ValueError(f"the table must have the agents {settled.agents!r}, got {table.agents!r}")
    places = {name: place for place, name in enumerate(table.ids)}
    if missing := next((name for name in settled.ids if name not in places), None):
        raise ValueError(f"the task {missing!r} is not in the table")
    return np.array([places[name] for name in settled.ids], dtype=np.intp)


def _certain(found: Interval | None) -> Interval:
    if found is None:
        raise ValueError("a mean is not finite: some outcome or cost is too large")
    return found
