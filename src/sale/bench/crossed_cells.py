"""Crossed cells beside the other work on the same tasks: an agent on another agent's plan, on its own, on none.

Read from the record of plans (`sale bench run`) and that of crossed cells (`sale bench cross`). Everything is charged:
a plan at the recorded price of the planner's bid, whoever follows it. Where the planner made no plan there is nothing
to follow: the executor's work without a plan stands in, at its price.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sale.bench.recording.lines import CheckLine, ExecutionLine, read_lines
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.replay import CHECKED, RecordedExecution, RecordedTasks, execution_of, load_recorded
from sale.bench.routers.cope import STAGES
from sale.bench.routers.protocol import Floats, OutcomeTable
from sale.bench.tasks.schema import BenchTask
from sale.errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """The result of one way to do one task."""

    success: bool
    dollars: float
    """Of the work, and of the plan where it was made for it."""
    tokens: int
    """Of the work alone."""
    answer: str
    check: float
    """1 where the examples in the task's text hold, -1 where they fail, 0 where there are none."""
    calls: int = 0
    """Calls of a model that the work took; those of tools are not counted, as older records do not hold all of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossedTask:
    """The cells of one task."""

    task: BenchTask
    planned: bool
    """The planner made a plan."""
    alone: Cell
    """The executor without a plan."""
    own: Cell
    """The executor on its own plan."""
    crossed: Cell
    """The executor on the planner's plan."""
    planner_alone: Cell
    """The planner without a plan."""
    planner_own: Cell
    """The planner on its own plan."""
    plan_dollars: float
    """Of the planner's plan."""
    again: Cell | None
    """The executor without a plan, done anew for the record of crossed cells; `None` where it was not."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CrossedTasks:
    """The tasks whose crossed cells are on record."""

    planner: str
    executor: str
    prices: tuple[float, float]
    """Of executor and planner, dollars per million tokens."""
    tasks: tuple[CrossedTask, ...]
    wanted: int
    """Number of tasks that would be here if all were recorded."""

    @property
    def whole(self) -> bool:
        """Return `True` where nothing is missing."""
        return len(self.tasks) == self.wanted

    def direct(self) -> OutcomeTable:
        """Executor and planner without plans, as routers see them."""
        rows = [(one.alone, one.planner_alone) for one in self.tasks]
        return self._table((self.executor, self.planner), self.prices, rows)

    def stages(self) -> OutcomeTable:
        """The stages of COPE: the planner's plan is paid at the second and used again at the third."""
        small, large = self.prices
        rows = [(one.own, one.crossed, _without_plan(one)) for one in self.tasks]
        return self._table(STAGES, (small, small, large), rows)

    def _table(
        self, agents: tuple[str, ...], prices: tuple[float, ...], rows: Sequence[tuple[Cell, ...]]
    ) -> OutcomeTable:
        return OutcomeTable(
            agents=agents,
            prices=np.array(prices),
            ids=tuple(one.task.id for one in self.tasks),
            texts=tuple(one.task.prompt for one in self.tasks),
            success=_array(rows, agents, "success"),
            dollars=_array(rows, agents, "dollars"),
            tokens=_array(rows, agents, "tokens"),
            answers=tuple(tuple(cell.answer for cell in row) for row in rows),
            checks=_array(rows, agents, "check"),
            groups=tuple(one.task.source for one in self.tasks),
        )


def _without_plan(one: CrossedTask) -> Cell:
    """The planner's work on its own plan, which was paid for already."""
    return replace(one.planner_own, dollars=one.planner_own.dollars - one.plan_dollars)


def _array(rows: Sequence[tuple[Cell, ...]], agents: tuple[str, ...], field: str) -> Floats:
    return np.array([[float(getattr(cell, field)) for cell in row] for row in rows]).reshape(len(rows), len(agents))


def load_crossed(recorded: Path, crossed: Path, tasks: Iterable[BenchTask]) -> CrossedTasks:
    """The crossed cells of two records.

    Args:
        recorded: Of plans, and of other work on the same tasks.
        crossed: Of `sale bench cross`.
        tasks: Those that may be on them.

    Raises:
        InputError: A record cannot be read, or the second has no crossed cell, or those of several pairs.
    """
    base = load_recorded(recorded, tasks)
    pairs: set[tuple[str, str]] = set()
    works: dict[tuple[str, bool], RecordedExecution] = {}
    for line in read_lines(crossed, "execution", "check"):
        match line:
            case ExecutionLine(planner=None):
                works[line.task, False] = execution_of(line)
            case ExecutionLine():
                pairs.add((line.agent, line.planner or ""))
                works[line.task, True] = execution_of(line)
            case CheckLine():
                base.checks[line.task, line.answer] = line.verdict
            case _:
                pass
    if len(pairs) != 1:
        raise InputError(
            "there is no crossed cell on this record" if not pairs else "several pairs of agents are on this record",
            where=str(crossed),
            hint="`sale bench cross` records one pair in one file.",
        )
    (executor, planner) = pairs.pop()
    found = [_task(base, works, task, executor, planner) for task in base.tasks]
    prices = dict(zip(base.agents, base.prices, strict=True))
    return CrossedTasks(
        planner=planner,
        executor=executor,
        prices=(prices[executor], prices[planner]),
        tasks=tuple(one for one in found if one is not None),
        wanted=len(found),
    )


def _task(
    base: RecordedTasks, works: dict[tuple[str, bool], RecordedExecution], task: BenchTask, executor: str, planner: str
) -> CrossedTask | None:
    """The cells of a task; `None` where its crossed one is not on record yet."""
    row = base.auctions[FIRST_BIDS, task.id]
    plans = {bid.agent: bid.strategy.text for bid in row.bids if bid.strategy.text.strip()}
    work, anew = works.get((task.id, True)), works.get((task.id, False))
    planned = planner in plans
    if planned and work is None:
        return None
    paid = {agent: row.paid.get(("bid", agent), 0.0) for agent in (executor, planner)}

    def cell(done: RecordedExecution, plan: float = 0.0) -> Cell:
        shown = "failure" if not done.answer.strip() else base.checks.get((task.id, done.answer), "unknown")
        return Cell(
            success=done.success,
            dollars=done.dollars + plan,
            tokens=done.tokens,
            answer=done.answer,
            check=CHECKED[shown],
            calls=done.model_calls,
        )

    def own(agent: str) -> Cell:
        plan = plans.get(agent)
        return cell(base.works[task.id, agent, plan or ""], paid[agent] if plan else 0.0)

    alone = cell(base.works[task.id, executor, ""])
    return CrossedTask(
        task=task,
        planned=planned,
        alone=alone,
        own=own(executor),
        crossed=alone if work is None or not planned else cell(work, paid[planner]),
        planner_alone=cell(base.works[task.id, planner, ""]),
        planner_own=own(planner),
        plan_dollars=paid[planner] if planned else 0.0,
        again=None if anew is None else cell(anew),
    )
