"""Crossed cells: what an agent does on a task with another agent's recorded plan.

The plans are those of first bids on a finished record; nothing is planned anew. Work on them goes onto a record of its
own, of the same kind of lines, each execution with the agent that planned it. Everything can be stopped at any time and
taken up again, as any recording.

Cells of two records can be compared only if the same work comes out the same. So some tasks can be done anew without a
plan, and what comes of it is set against what is on record (`compare_anew`).
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from sale.agents.protocol import Tool
from sale.agents.tools.runs import Sandbox
from sale.bench.recording.lines import AuctionLine, ExecutionLine, RunLine, read_lines
from sale.bench.recording.log import FIRST_BIDS
from sale.bench.recording.provenance import identity, kept_settings, pool_of
from sale.bench.recording.run import Recorder, Report
from sale.bench.tasks.schema import BenchTask
from sale.config import Settings
from sale.errors import InputError
from sale.types import Verdict

WAY = ("execution", "answer_tokens", "turns", "temperature", "samples")
"""Settings of an agent that its work hangs on, beside its model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedPlans:
    """The plans of one agent on a finished record."""

    planner: str
    digest: str
    """SHA-256 of the plans, by task: the same whether the record is packed or not."""
    texts: Mapping[str, str] = field(repr=False)
    """By task; a task whose planner made no bid, or an empty one, is not among them."""
    run: RunLine = field(repr=False)
    """The last run on the record."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CellComparison:
    """Work without a plan that was done anew, against the same work on the record of the plans."""

    tasks: int = 0
    """Done anew, and on the other record."""
    outcomes: int = 0
    """Of those: the same verdict."""
    answers: int = 0
    """Of those: the same text, letter by letter."""


def read_plans(record: Path, planner: str) -> RecordedPlans:
    """The plans of an agent's first bids.

    Raises:
        InputError: There is no such record, no run on it, or no plan of this agent.
    """
    if not record.exists():
        raise InputError("there is no such record", where=str(record))
    texts: dict[str, str] = {}
    run: RunLine | None = None
    for line in read_lines(record, "run", "auction"):
        match line:
            case RunLine():
                run = line
            case AuctionLine(order=order, auction=auction) if order == FIRST_BIDS and auction is not None:
                text = next((bid.strategy.text for bid in auction.bids if bid.agent == planner), "")
                if text.strip():
                    texts[line.task] = text
            case _:
                pass
    if run is None:
        raise InputError("there is no run on this record", where=str(record))
    if not texts:
        known = ", ".join(agent["name"] for agent in run.settings["agents"])
        raise InputError(f"there is no plan of {planner!r}", where=str(record), hint=f"Its pool is: {known}.")
    digest = hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()
    return RecordedPlans(planner=planner, digest=digest, texts=texts, run=run)


def _check_pair(plans: RecordedPlans, executor: str, settings: Settings) -> None:
    """Refuse what would not be a crossed cell of the recorded pool.

    Args:
        plans: The planner's.
        executor: The agent that works.
        settings: The pool, as `for_recording` gives it.

    Raises:
        InputError: The pool is another one, the executor is not of it or thinks with another model, is the planner, or
            costs as much as it: then the planner would do the work itself.
    """
    if pool_of(plans.run.settings) != pool_of(kept_settings(settings)):
        raise InputError(
            "the plans were made by other agents, or at other prices or rules",
            hint="Name the settings they were recorded with by --config.",
        )
    agents = {agent.name: agent for agent in settings.agents}
    if executor not in agents:
        raise InputError(f"there is no agent {executor!r}", hint=f"There are: {', '.join(agents)}.")
    if plans.run.models.get(executor) not in {None, identity(agents[executor])}:
        raise InputError(
            f"{executor!r} was recorded with another model: {plans.run.models[executor]}",
            hint="Name the settings the plans were recorded with by --config.",
        )
    recorded = next(agent for agent in plans.run.settings["agents"] if agent["name"] == executor)
    given = next(agent for agent in kept_settings(settings)["agents"] if agent["name"] == executor)
    if changed := [key for key in WAY if key in recorded and recorded[key] != given[key]]:
        raise InputError(
            f"{executor!r} was recorded when it worked by other settings: {', '.join(changed)}",
            hint="Name the settings the plans were recorded with by --config.",
        )
    prices = {agent["name"]: float(agent["price"]["blended"]) for agent in plans.run.settings["agents"]}
    if not prices[executor] < prices[plans.planner]:
        raise InputError(
            f"{executor!r} is not cheaper than {plans.planner!r}, whose plan it would follow",
            hint="A subcontract makes sense where the work is done by a cheaper agent.",
        )


class CrossedRecorder(Recorder):
    """One agent's work on another's plans, onto one record."""

    def __init__(
        self,
        record: Path,
        tasks: Sequence[BenchTask],
        settings: Settings,
        *,
        plans: RecordedPlans,
        executor: str,
        sandbox: Sandbox | None,
        tools: Sequence[Tool] = (),
        width: int = 1,
    ) -> None:
        """Open the record and read what is on it; no model is loaded.

        Args:
            record: The file; made where it is not there.
            tasks: Of one domain.
            settings: The pool, as `for_recording` gives it.
            plans: The planner's.
            executor: The agent that works.
            sandbox: Where code runs.
            tools: What search tasks are done with.
            width: Tasks done at once.

        Raises:
            InputError: These are not cells of the recorded pool; or the record is of other plans.
        """
        _check_pair(plans, executor, settings)
        known = {line.plans for line in read_lines(record, "run") if isinstance(line, RunLine)}
        if known - {plans.digest}:
            raise InputError("the record follows the plans of another record", hint="Name another file.")
        super().__init__(record, tasks, settings, sandbox=sandbox, tools=tools, width=width)
        self._plans = plans
        self._worker = next(agent for agent in self.agents if agent.name == executor)
        self._places = asyncio.Semaphore(width)

    @property
    def planned(self) -> tuple[BenchTask, ...]:
        """The tasks that have a plan."""
        return tuple(task for task in self._tasks if task.id in self._plans.texts)

    async def cross(self, report: Report) -> None:
        """Do every task that has a plan, with that plan."""
        await self._all([(task, self._plans.texts[task.id]) for task in self.planned], report)

    async def work_anew(self, first: int, report: Report) -> None:
        """Do the first tasks without a plan, though that is on the record of the plans."""
        await self._all([(task, None) for task in self._tasks[:first]], report)

    async def _all(self, cells: Sequence[tuple[BenchTask, str | None]], report: Report) -> None:
        done = 0

        async def one(task: BenchTask, plan: str | None) -> None:
            nonlocal done
            async with self._places:
                await self._work(task, plan)
            done += 1
            report(replace(self._progress(done, task.id), of=len(cells)))

        async with asyncio.TaskGroup() as group:
            for cell in cells:
                group.create_task(one(*cell))

    async def _work(self, task: BenchTask, plan: str | None) -> None:
        if (task.id, self._worker.name, plan or "") in self._executed:
            return
        execution = await self._worker.execute(task.task, plan)
        outcome = await self.judge(task, execution.answer)
        self._execution(task, execution, plan, outcome, None if plan is None else self._plans.planner)


def compare_anew(crossed: Path, recorded: Path, executor: str) -> CellComparison:
    """Compare work without a plan that was done anew with the same work on record.

    Args:
        crossed: The record of crossed cells.
        recorded: The record of the plans.
        executor: The agent that worked.

    Raises:
        InputError: One of them cannot be read.
    """
    new, old = _without_plan(crossed, executor), _without_plan(recorded, executor)
    both = [(new[task], old[task]) for task in new if task in old]
    return CellComparison(
        tasks=len(both),
        outcomes=sum(one[0] == other[0] for one, other in both),
        answers=sum(one[1] == other[1] for one, other in both),
    )


def _without_plan(record: Path, agent: str) -> dict[str, tuple[Verdict, str]]:
    return {
        line.task: (line.outcome.verdict, line.answer)
        for line in read_lines(record, "execution")
        if isinstance(line, ExecutionLine) and line.agent == agent and not line.strategy
    }
