"""Recording a run: every agent on every task, with and without its plan, and the market over several task orders.

In a pool whose agents look before they bid two auctions are recorded for each task: of plans alone, by those who judge
by the rubric, and of what the agents found, without plans, by the jurors with a question. Either can be replayed from
one record.

It goes through the product's own market and contractors; only their models are wrapped. Waiting costs nothing here, so
time limits are lifted: what a slow machine would have cut short is on record whole. Everything can be stopped at any
time and taken up again: calls, executions and auctions that are on record are not made anew.
"""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from sale.agents.contractor import Contractor
from sale.agents.jury_seats import seat_jurors
from sale.agents.pool import Engines, OwnWrapper, build_agents
from sale.agents.protocol import Agent, Tool
from sale.agents.task_examples import TaskExamples
from sale.agents.tools.runs import Sandbox
from sale.agents.tools.sandbox import limits_of
from sale.agents.verify import ModelJudge
from sale.auction import scoring
from sale.auction.foreign import await_foreign
from sale.auction.looking import looker_of
from sale.bench.judging import verifier_of
from sale.bench.recording.blind import BlindAgent
from sale.bench.recording.calls import CallLog, ModelQueue, RecordedModel
from sale.bench.recording.lines import (
    KINDS,
    AuctionLine,
    CallLine,
    CheckLine,
    ExecutionLine,
    OpinionLine,
    RecordLine,
    RunLine,
    auction_line,
    execution_line,
    read_lines,
)
from sale.bench.recording.log import FIRST_BIDS, GROUNDED, RecordWriter
from sale.bench.recording.pools import NO_LIMIT
from sale.bench.recording.provenance import corpora_of, identity, kept_settings, pool_of, run_line
from sale.bench.tasks.schema import BenchTask
from sale.config import AgentSettings, MemorySettings, Settings, llama_server
from sale.errors import InputError, NoBidsError
from sale.market import Market
from sale.memory.open import open_memory
from sale.models.protocol import Model
from sale.types import BROKE_OFF, Auction, AuctionRules, Execution, Outcome, Task

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordingProgress:
    """The progress of a run."""

    done: int
    of: int
    what: str
    calls: int
    """Calls made since it was taken up, those on record not counted."""
    dollars: float
    """Dollars of all calls on record."""


Report = Callable[[RecordingProgress], None]


class Recorder:
    """One domain's tasks through one pool, onto one record."""

    def __init__(
        self,
        record: Path,
        tasks: Sequence[BenchTask],
        settings: Settings,
        *,
        sandbox: Sandbox | None,
        tools: Sequence[Tool] = (),
        width: int = 4,
        replay: bool = False,
        borrow: Sequence[Path] = (),
    ) -> None:
        """Open the record and read what is on it; no model is loaded.

        Args:
            record: The file; made where it is not there.
            tasks: Of one domain.
            settings: The pool, as `for_recording` gives it.
            sandbox: Where code runs.
            tools: What search tasks are done with.
            width: Calls of one model made at once.
            replay: Make no new call: what is not on record is an error.
            borrow: Other records; a call that is on one of them is copied from there in place of being made.
        """
        self._tasks = tuple(tasks)
        self._settings = settings
        self._sandbox = sandbox
        self._width = width
        self._writer = None if replay else RecordWriter(record)
        self._log = CallLog(record, self._writer, ModelQueue(width=width), borrow)
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._executed: set[tuple[str, str, str]] = set()
        self._auctioned: set[tuple[str, str]] = set()
        self._checked: set[tuple[str, str]] = set()
        self._opinions: set[tuple[str, str, str]] = set()
        self._pool: object = None
        self._corpora: object = None
        for line in read_lines(record, *(KINDS - {"call"})):
            self._take_in(line)
        engines = Engines(parallel=width, turns=True, server=llama_server())
        own = self._own_wrapper()
        self.agents = build_agents(settings, wrap=self._wrap, wrap_own=own, tools=tools, engines=engines)
        self._seats = seat_jurors(settings, self.agents)
        self._looking = any(looker_of(agent) is not None for agent in self.agents)

    def _take_in(self, line: RecordLine) -> None:
        match line:
            case ExecutionLine():
                self._executed.add((line.task, line.agent, line.strategy or ""))
                self._outcomes[line.task, line.answer] = replace(line.outcome, calls=())
            case AuctionLine():
                self._auctioned.add((line.task, line.order))
            case CheckLine():
                self._checked.add((line.task, line.answer))
            case OpinionLine():
                self._opinions.add((line.task, line.answer, line.judge))
            case RunLine():
                self._pool, self._corpora = pool_of(line.settings), line.corpora
            case CallLine():
                pass

    def _wrap(self, agent: AgentSettings, model: Model) -> Model:
        return RecordedModel(
            model, self._log, agent=agent.name, identity=identity(agent), temperature=agent.temperature
        )

    def _own_wrapper(self) -> OwnWrapper | None:
        """Return what is put around agents without a model; `None` refuses them: their calls cannot be recorded."""

    @property
    def calls(self) -> CallLog:
        """The record's calls."""
        return self._log

    def begin(self, note: str, *, plans: str | None = None) -> None:
        """Say on the record what is being run, and on what.

        Args:
            note: For readers of the record.
            plans: Digest of the plans of another agent, where work follows those.

        Raises:
            InputError: The record is one of another pool, or of other rules.
        """
        settings, corpora = kept_settings(self._settings), corpora_of(self._settings)
        if self._corpora is not None and self._corpora != corpora:
            raise InputError("the record was made with other passages", hint="Name another file.")
        if self._pool not in {None, pool_of(settings)}:
            raise InputError(
                "the record was made with other agents, prices or rules",
                hint="Name the settings it was made with by --config, or another file.",
            )
        about = run_line(note, self._settings, self._tasks, width=self._width)
        self._append(about if plans is None else {**about, "plans": plans})

    async def base(self, report: Report, *, in_flight: int = 12) -> None:
        """Every agent's bid, judged by all; every plan executed by its author; every agent without a plan."""
        places = asyncio.Semaphore(in_flight)
        markets = self._markets()
        done = 0

        async def one(task: BenchTask) -> None:
            nonlocal done
            async with places:
                await self._base(markets, task)
            done += 1
            report(self._progress(done, task.id))

        async with asyncio.TaskGroup() as group:
            for task in self._tasks:
                group.create_task(one(task))

    def _markets(self) -> Mapping[str, Market]:
        """The auctions of first bids that are recorded, by the name they stand under."""
        rules = self._rules(refine=False)
        if not self._looking:
            return {FIRST_BIDS: Market(self.agents, seats=self._seats, rules=rules)}
        blind = [BlindAgent(agent) for agent in self.agents]
        grounded = replace(rules, plans=False, shortlist=None)
        # The rubric is for plans: who has no weight is not asked.
        weights = scoring.default_weights(
            {agent.name: agent.price for agent in self.agents}, [seat.name for seat in self._seats]
        )
        return {
            FIRST_BIDS: Market(blind, rules=replace(rules, plans=True, shortlist=None)),
            GROUNDED: Market(self.agents, seats=self._seats, rules=grounded, weights=weights),
        }

    async def _base(self, markets: Mapping[str, Market], task: BenchTask) -> None:
        async with asyncio.TaskGroup() as group:
            for agent in self.agents:
                group.create_task(self._execute(agent, task, None))
            held = {name: group.create_task(_held(market.auction(task.task))) for name, market in markets.items()}
        by_name = {agent.name: agent for agent in self.agents}
        for name, done in held.items():
            auction = done.result()
            if isinstance(auction, NoBidsError):
                self._nobody(auction, task, order=name)
                continue
            self._auction(auction, task, order=name)
            async with asyncio.TaskGroup() as group:
                for bid in auction.bids:
                    group.create_task(self._execute(by_name[bid.agent], task, bid.strategy.text or None))

    async def order(self, seed: int, scratch: Path, report: Report) -> None:
        """The whole market, memory and refinement too, over the tasks in one random order, starting with no memory.

        It is gone through from the start every time, over recorded calls as far as they go: the memory is the same.

        Args:
            seed: Of the order.
            scratch: A directory for the memory's database; a new file each time.
            report: Told after every task.
        """
        tasks = list(self._tasks)
        random.Random(seed).shuffle(tasks)  # noqa: S311  an order, not a secret
        fresh = MemorySettings(path=scratch / f"order-{seed}-{uuid.uuid4().hex[:8]}.sqlite3")
        settings = self._settings.model_copy(update={"memory": fresh})
        market = Market(self.agents, seats=self._seats, rules=self._rules(refine=True), memory=open_memory(settings))
        for position, task in enumerate(tasks):
            verifier = _RememberingVerifier(self, task)
            result = await _held(market.run(task.task, verifier=verifier))
            report(self._progress(position + 1, task.id))
            if isinstance(result, NoBidsError):
                self._nobody(result, task, order=f"order {seed}", position=position)
                continue
            strategy = result.auction.winner.strategy.text
            self._execution(task, result.execution, strategy, result.outcome)
            self._auction(result.auction, task, order=f"order {seed}", position=position)
        if (opened := await market.memory()) is not None:
            await opened.aclose()

    async def checks(self) -> None:
        """Record the verdicts of the examples in a task's own text on every answer on record; no reference is needed.

        Nothing is paid for it, and it is not the outcome: hidden tests are more, and stricter.
        """
        if self._sandbox is None:
            return
        verifier = TaskExamples(sandbox=self._sandbox, limits=limits_of(self._settings.sandbox))
        tasks = {task.id: task for task in self._tasks if task.kind == "tests"}
        for task, answer in list(self._outcomes):
            if task not in tasks or (task, answer) in self._checked or not answer.strip():
                continue
            found = await verifier.verify(tasks[task].task, answer)
            self._checked.add((task, answer))
            line = {"kind": "check", "task": task, "answer": answer, "by": found.judged_by}
            self._append({**line, "verdict": found.verdict, "detail": found.detail})

    async def opinions(self, judge: str, report: Report) -> None:
        """Record the opinion of a judging model, shown the reference, on every short answer on record.

        Args:
            judge: The agent that judges.
            report: Told after every answer.

        Raises:
            InputError: There is no such agent.
        """
        models = (agent for agent in self.agents if isinstance(agent, Contractor))
        juror = next((agent for agent in models if agent.name == judge), None)
        if juror is None:
            names = ", ".join(agent.name for agent in self.agents)
            raise InputError(f"there is no agent {judge!r}", hint=f"There are: {names}.")
        short = {task.id: task for task in self._tasks if task.kind == "short"}
        asked = [(task, answer) for task, answer in self._outcomes if task in short and answer.strip()]
        done = 0
        places = asyncio.Semaphore(self._width)

        async def one(task: BenchTask, answer: str) -> None:
            nonlocal done
            async with places:
                verifier = ModelJudge(juror, reference=task.reference, seconds=NO_LIMIT)
                outcome = await verifier.verify(task.task, answer)
            if (task.id, answer, judge) not in self._opinions:
                self._opinions.add((task.id, answer, judge))
                line = {"kind": "opinion", "task": task.id, "answer": answer, "judge": judge}
                self._append({**line, "verdict": outcome.verdict, "detail": outcome.detail})
            done += 1
            report(replace(self._progress(done, task.id), of=len(asked)))

        async with asyncio.TaskGroup() as group:
            for task_id, answer in asked:
                group.create_task(one(short[task_id], answer))

    def _progress(self, done: int, what: str) -> RecordingProgress:
        prices = {agent.name: agent.price for agent in self.agents}
        dollars = sum(prices[name].dollars(usage) for name, usage in self._log.usage.items() if name in prices)
        return RecordingProgress(done=done, of=len(self._tasks), what=what, calls=self._log.made, dollars=dollars)

    def _rules(self, *, refine: bool) -> AuctionRules:
        # The method's own rule, which knows bids alone: what is put on record is the published auction. Its best bid
        # does the work, once: hidden tests tell the bench what came of it, and never a market that could try another.
        return replace(self._settings.auction, refine=refine, base_rates=False, attempts=1, explore=0.0, allowance=None)

    async def _execute(self, agent: Agent, task: BenchTask, strategy: str | None) -> None:
        if (task.id, agent.name, strategy or "") in self._executed:
            return
        execution = await await_foreign(agent.execute(task.task, strategy))
        outcome = await self.judge(task, execution.answer)
        self._execution(task, execution, strategy, outcome)

    async def judge(self, task: BenchTask, answer: str) -> Outcome:
        """The outcome on record for this very answer, else judged now."""
        if (known := self._outcomes.get((task.id, answer))) is not None:
            return known
        if not answer.strip():
            return Outcome(verdict="failure", judged_by=BROKE_OFF, detail="no answer")
        return await verifier_of(task, sandbox=self._sandbox, limits=limits_of(self._settings.sandbox)).verify(
            task.task, answer
        )

    def _execution(
        self,
        task: BenchTask,
        execution: Execution,
        strategy: str | None,
        outcome: Outcome,
        planner: str | None = None,
    ) -> None:
        key = (task.id, execution.agent, strategy or "")
        self._outcomes[task.id, execution.answer] = outcome
        if key in self._executed:
            return
        self._executed.add(key)
        self._append(execution_line(execution, task=task.id, strategy=strategy, outcome=outcome, planner=planner))

    def _auction(self, auction: Auction, task: BenchTask, *, order: str, position: int | None = None) -> None:
        if (task.id, order) in self._auctioned:
            return
        self._auctioned.add((task.id, order))
        self._append(auction_line(auction, task=task.id, order=order, position=position))

    def _nobody(self, error: NoBidsError, task: BenchTask, *, order: str, position: int | None = None) -> None:
        """An auction without a bid is a result too: the task is not done."""
        if (task.id, order) in self._auctioned:
            return
        self._auctioned.add((task.id, order))
        self._append(auction_line(None, task=task.id, order=order, position=position, error=error.message))

    def _append(self, line: dict[str, Any]) -> None:
        if self._writer is not None:
            self._writer.append(line)

    async def aclose(self) -> None:
        """Give up calls under way, close models and file."""
        await self._log.aclose()
        for agent in self.agents:
            await agent.aclose()
        if self._writer is not None:
            self._writer.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


@dataclass(frozen=True, slots=True)
class _RememberingVerifier:
    """The verifier of a recorded run: an answer that was judged before is not judged again."""

    recorder: Recorder
    task: BenchTask

    async def verify(self, task: Task, answer: str) -> Outcome:  # noqa: ARG002  the shape is the Verifier's
        """Look it up, or judge it."""
        return await self.recorder.judge(self.task, answer)


async def _held(auction: Awaitable[T]) -> T | NoBidsError:
    try:
        return await auction
    except NoBidsError as error:
        return error
