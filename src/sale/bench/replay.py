"""A record as tables: what every agent bid, how the jury voted, what every execution cost and came to.

Nothing is called here and nothing is judged again. That the recorded auctions are what the market makes of the recorded
calls is checked by running the market over them (`Recorder` with `replay=True`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sale.bench.recording.lines import (
    KINDS,
    AuctionLine,
    CallLine,
    CheckLine,
    ExecutionLine,
    OpinionLine,
    RunLine,
    read_lines,
)
from sale.bench.recording.log import FIRST_BIDS, GROUNDED
from sale.bench.routers.protocol import OutcomeTable
from sale.bench.tasks.schema import BenchTask
from sale.errors import InputError
from sale.types import AUCTION_STAGES, Bid
from sale.wording import quantity

CHECKED = {"success": 1.0, "failure": -1.0, "unknown": 0.0}
"""A verdict as a number, for routers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedExecution:
    """One execution."""

    agent: str
    success: bool
    judged: bool
    """False without a verdict; it then counts as a failure."""
    dollars: float
    tokens: int
    seconds: float
    answer: str
    error: str | None
    model_calls: int = 0
    """Calls that took tokens: those of tools take none."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuctionRow:
    """One recorded auction."""

    task: str
    position: int | None
    bids: tuple[Bid, ...]
    """First bids that stood, as they were weighed."""
    refined: tuple[Bid, ...]
    winner: str | None
    """`None` without a bid."""
    strategy: str
    provisional: str | None
    dollars: float
    """Of bids, jury and refinement together."""
    first_dollars: float
    """Of first bids and their jury alone."""
    tokens: int
    first_tokens: int
    dropouts: tuple[tuple[str, str], ...]
    """Agent and reason."""
    paid: Mapping[tuple[str, str], float] = field(default_factory=dict[tuple[str, str], float])
    """Dollars of the first round by stage, `look`, `bid` or `judge`, and agent."""


@dataclass(slots=True)
class RecordedTasks:
    """The content of one record on the tasks given, those that are whole on it."""

    agents: tuple[str, ...] = ()
    """From the cheapest to the dearest."""
    prices: tuple[float, ...] = ()
    tasks: list[BenchTask] = field(default_factory=list[BenchTask])
    works: dict[tuple[str, str, str], RecordedExecution] = field(
        default_factory=dict[tuple[str, str, str], RecordedExecution]
    )
    """By task, agent and strategy; the strategy is empty for work without a plan."""
    auctions: dict[tuple[str, str], AuctionRow] = field(default_factory=dict[tuple[str, str], AuctionRow])
    """By order and task."""
    checks: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """By task and answer: what the examples in the task's own text say of it."""
    opinions: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """By task and answer: the judging model's verdict."""
    runs: list[RunLine] = field(default_factory=list[RunLine])

    @property
    def checkable(self) -> frozenset[str]:
        """Tasks with examples in their own text that could be tried on some answer."""
        return frozenset(task for (task, _), verdict in self.checks.items() if verdict != "unknown")

    @property
    def orders(self) -> tuple[str, ...]:
        """Task orders with memory that are whole: every task has its auction and the winner's work in them."""
        names = sorted({order for order, _ in self.auctions} - {FIRST_BIDS, GROUNDED})
        return tuple(name for name in names if all(self._whole((name, task.id)) for task in self.tasks))

    def _whole(self, at: tuple[str, str]) -> bool:
        """True for an auction that is on record with the work of its winner, if it had one."""
        row = self.auctions.get(at)
        return row is not None and (row.winner is None or (row.task, row.winner, row.strategy) in self.works)

    def with_evidence(self) -> RecordedTasks:
        """The same record with the auctions of what agents found in place of those of plans, where it has them."""
        held = {(FIRST_BIDS, task): row for (order, task), row in self.auctions.items() if order == GROUNDED}
        rest = {at: row for at, row in self.auctions.items() if at[0] not in {FIRST_BIDS, GROUNDED}}
        return replace(self, auctions=held | rest, tasks=[one for one in self.tasks if (FIRST_BIDS, one.id) in held])

    def table(self, *, planned: bool) -> OutcomeTable:
        """Outcomes as routers see them.

        Args:
            planned: Of work that follows the agent's own first plan; an agent without one has not done the task, at
                no cost. Else of work without a plan.
        """
        rows = [[self._work(task.id, agent, planned=planned) for agent in self.agents] for task in self.tasks]
        return OutcomeTable(
            agents=self.agents,
            prices=np.array(self.prices),
            ids=tuple(task.id for task in self.tasks),
            texts=tuple(task.prompt for task in self.tasks),
            success=np.array([[float(work.success) if work else 0.0 for work in row] for row in rows]),
            dollars=np.array([[work.dollars if work else 0.0 for work in row] for row in rows]),
            tokens=np.array([[float(work.tokens) if work else 0.0 for work in row] for row in rows]),
            answers=tuple(tuple(work.answer if work else "" for work in row) for row in rows),
            checks=np.array(
                [[self._shown(task.id, work) for work in row] for task, row in zip(self.tasks, rows, strict=True)]
            ),
            groups=tuple(task.time.label for task in self.tasks),
        )

    def _shown(self, task: str, work: RecordedExecution | None) -> float:
        """Return the verdict of the examples in the task's text on an answer; an empty one has failed."""
        if work is None or not work.answer.strip():
            return CHECKED["failure"]
        return CHECKED[self.checks.get((task, work.answer), "unknown")]

    def _work(self, task: str, agent: str, *, planned: bool) -> RecordedExecution | None:
        if not planned:
            return self.works[task, agent, ""]
        bid = next((bid for bid in self.auctions[FIRST_BIDS, task].bids if bid.agent == agent), None)
        return None if bid is None else self.works[task, agent, bid.strategy.text]


def load_recorded(
    path: Path, tasks: Iterable[BenchTask], *, planned: bool = True, checked: bool = True
) -> RecordedTasks:
    """The tables of a record, of those tasks that are whole on it: all work and the auction of first bids.

    Args:
        path: The record.
        tasks: Those that may be on it.
        planned: Whether work that follows the plans must be on it, too.
        checked: Whether the examples in the tasks' texts must have been tried on every answer once they were on some.

    Raises:
        InputError: The record cannot be read, or was not made with these tasks' pool, or only some answers are checked.
    """
    found = RecordedTasks()
    for line in read_lines(path, *(KINDS - {"call"})):
        match line:
            case RunLine():
                found.runs.append(line)
            case ExecutionLine(sample=number):
                if number:
                    continue  # one of several answers to the same question is not the agent's work
                found.works[line.task, line.agent, line.strategy or ""] = execution_of(line)
            case AuctionLine():
                found.auctions[line.order, line.task] = _auction(line)
            case CheckLine():
                found.checks[line.task, line.answer] = line.verdict
            case OpinionLine():
                found.opinions[line.task, line.answer] = line.verdict
            case CallLine():
                pass
    if not found.runs:
        raise InputError("there is no run on this record", where=str(path))
    prices = {agent["name"]: agent["price"]["blended"] for agent in found.runs[-1].settings["agents"]}
    found.agents = tuple(sorted(prices, key=lambda name: (prices[name], name)))
    found.prices = tuple(prices[name] for name in found.agents)
    found.tasks = [task for task in tasks if _whole(found, task.id, planned=planned)]
    _require_checks(found, found.tasks if checked else (), path)
    return found


def _require_checks(found: RecordedTasks, tasks: Iterable[BenchTask], path: Path) -> None:
    """Raise where the examples in the texts of these tasks were tried on some answers on record and not on others."""
    programs = {task.id for task in tasks if task.kind == "tests"}
    answers = {(task, work.answer) for (task, _, _), work in found.works.items() if task in programs}
    missing = {(task, answer) for task, answer in answers if answer.strip()} - found.checks.keys()
    if found.checks and missing:
        raise InputError(
            f"the examples in the tasks' texts were not tried on {quantity(len(missing), 'answer')}, "
            f"of {min(missing)[0]} for one, though they were on {len(found.checks)}",
            where=str(path),
            hint="`sale bench run` with the same options as before tries them on what is left.",
        )


def merge_records(parts: Sequence[RecordedTasks]) -> RecordedTasks:
    """Records of the same pool as one.

    Raises:
        InputError: Their agents or prices differ.
    """
    found = RecordedTasks(agents=parts[0].agents, prices=parts[0].prices)
    for part in parts:
        if (part.agents, part.prices) != (found.agents, found.prices):
            raise InputError("records of different pools cannot be put together")
        found.tasks += part.tasks
        found.runs += part.runs
        found.works |= part.works
        found.auctions |= part.auctions
        found.checks |= part.checks
        found.opinions |= part.opinions
    return found


def _whole(found: RecordedTasks, task: str, *, planned: bool) -> bool:
    auction = found.auctions.get((FIRST_BIDS, task))
    if auction is None:
        return False
    wanted = [(agent, "") for agent in found.agents]
    if planned:
        wanted += [(bid.agent, bid.strategy.text) for bid in auction.bids]
    return all((task, agent, strategy) in found.works for agent, strategy in wanted)


def execution_of(line: ExecutionLine) -> RecordedExecution:
    """The execution on a line of a record."""
    return RecordedExecution(
        agent=line.agent,
        success=line.outcome.verdict == "success",
        judged=line.outcome.verdict != "unknown",
        dollars=sum(call.dollars for call in line.calls),
        tokens=sum(call.usage.total for call in line.calls),
        seconds=line.seconds,
        answer=line.answer,
        error=line.error,
        model_calls=sum(call.usage.total > 0 for call in line.calls),
    )


def unpaid_auction(task: str, bids: tuple[Bid, ...] = (), *, position: int | None = None) -> AuctionRow:
    """An auction that cost nothing and has no winner yet: one that was not held, or bids that were not made here."""
    return AuctionRow(
        task=task,
        position=position,
        bids=bids,
        refined=(),
        winner=None,
        strategy="",
        provisional=None,
        dollars=0.0,
        first_dollars=0.0,
        tokens=0,
        first_tokens=0,
        dropouts=(),
    )


def _auction(line: AuctionLine) -> AuctionRow:
    held = line.auction
    if held is None:
        return unpaid_auction(line.task, position=line.position)
    calls = [call for call in held.settlement.calls if call.stage in AUCTION_STAGES]
    first = [call for call in calls if call.stage in {"look", "bid", "judge"}]
    paid: dict[tuple[str, str], float] = {}
    for call in first:
        key = (call.stage, call.agent)
        paid[key] = paid.get(key, 0.0) + call.dollars
    return AuctionRow(
        task=line.task,
        position=line.position,
        bids=held.bids,
        refined=tuple(one.bid for one in held.refinements if one.bid is not None),
        winner=held.winner.agent,
        strategy=held.winner.strategy.text,
        provisional=held.provisional,
        dollars=sum(call.dollars for call in calls),
        first_dollars=sum(call.dollars for call in first),
        tokens=sum(call.usage.total for call in calls),
        first_tokens=sum(call.usage.total for call in first),
        dropouts=tuple((one.agent, one.reason) for one in held.dropouts),
        paid=paid,
    )
