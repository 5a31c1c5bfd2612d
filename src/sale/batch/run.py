"""Doing a batch: tasks are taken from the store, put through the market, and their lines written as they come.

Any number of processes may do so at one time. What is on record decides: who has a task, which calls are settled, and
what is left of the money.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from sale.agents.protocol import Verifier
from sale.agents.side_by_side import run_side_by_side
from sale.batch.calls import PRESENT, JobDesk, TaskCalls, digest
from sale.batch.halts import BatchHaltError, halts_in
from sale.batch.jobs import HELD, Jobs, Pace
from sale.batch.results import Entry
from sale.errors import InputError, NoBidsError, SaleError, StoreError
from sale.market import Market
from sale.memory.batch_ledger import NANO, BatchTotals, Claim, TaskEnd
from sale.memory.batches import Batch, BatchQueries
from sale.memory.records import Record
from sale.types import NO_JUDGE, Result, Task, Verdict
from sale.wording import quantity

POLL_SECONDS: Final = 1.0
"""Seconds between looks at how far the batch is."""
MARGIN: Final = 1.5
"""A task is begun only if so many times what a task cost so far is left for it."""
MAX_SILENT: Final = 8
"""Tasks in a row for which no agent made a bid, after which a batch stops: the endpoints are down, say."""

Ending = Literal["done", "cap"]
"""Why a batch ended here: all tasks are done, or the next could go beyond the cap."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTask:
    """One task of a batch."""

    task: Task
    digest: str
    """SHA-256 of all it says, in hex."""
    verifier_of: Callable[[str], Verifier | None]
    """Makes its verifier, given the id of its auction."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchState:
    """The progress of a batch, by all processes together. Money is in dollars."""

    total: int
    waiting: int
    """Tasks that no process has taken."""
    done: int
    """Tasks with a result."""
    failed: int
    """Tasks for which there is none: an auction could not be held, say."""
    success: int
    """Of those done, with this verdict."""
    failure: int
    dollars: float
    """Paid."""
    set_aside: float
    """For calls under way."""
    unknown: float
    """The most that calls can have cost whose bill is not known. It counts against the cap."""
    cap: float

    @property
    def finished(self) -> int:
        """Tasks that have a line."""
        return self.done + self.failed

    @property
    def judged(self) -> int:
        """Tasks with a verdict other than unknown."""
        return self.success + self.failure


Told = Callable[[BatchState], None]


class Results(Protocol):
    """Where the lines of finished tasks go: a file, or the process that writes one."""

    async def present(self) -> frozenset[tuple[str, int]]:
        """Return the task and attempt of every line that is there."""
        ...

    async def add(self, entries: Iterable[Entry]) -> None:
        """Add those lines that are not there yet."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Finding:
    """The work, as a line of the results says it."""

    answer: str = ""
    winner: str | None = None
    verdict: Verdict = "unknown"
    judged_by: str = NO_JUDGE
    error: str | None = None
    auction: str | None = None
    dollars: float = 0.0
    """Of its settlement, tools included."""


class BatchRun:
    """One process at work on a batch."""

    def __init__(
        self,
        market: Market,
        batch: Batch,
        tasks: Mapping[str, BatchTask],
        results: Results,
        *,
        cap: float,
        width: int,
        pace: Pace | None = None,
    ) -> None:
        """Nothing is done yet.

        Args:
            market: As `batch_market` makes it.
            batch: Of the market's memory.
            tasks: By id, in their order.
            results: Where lines are written.
            cap: Dollars for the whole batch, over all runs.
            width: Tasks at one time in this process; with `pace`, calls at one time to agents not asked in jobs.
            pace: How long jobs of batch APIs wait for what; given where agents of the market are asked in jobs.
        """
        self._market = market
        self._batch = batch
        self._tasks = tasks
        self._results = results
        self._cap = round(cap * NANO)
        self._width = width if pace is None else HELD
        jobs = None if pace is None else Jobs(batch, cap=self._cap, pace=pace)
        self._desk = None if jobs is None else JobDesk(jobs=jobs, live=asyncio.Semaphore(width))
        self._capped = False
        self._silent = 0
        self._seen: tuple[float, BatchTotals] | None = None

    async def run(self, told: Told) -> Ending:
        """Do all that is left, as far as the money goes.

        Args:
            told: Called about once a second with how far the batch is, and at the end.

        Raises:
            SaleError: The memory or the file of results cannot be written, or no agent bids any more.
        """
        await self.prepare()
        async with self.telling(told):
            ended = await self.work()
        await self.complete()
        told(await self.state())
        return ended

    async def work(self) -> Ending:
        """Take tasks until none is left that could be taken, whoever put them on record."""
        try:
            return await self._work()
        finally:
            if self._desk is not None:
                await self._desk.jobs.aclose()

    async def _work(self) -> Ending:
        while True:
            async with aclosing(run_side_by_side(self._claims(), self._one, self._width)) as working:
                async for _ in working:
                    pass
            if self._capped or not (await self._totals(fresh=True)).running:
                return "cap" if self._capped else "done"
            await asyncio.sleep(POLL_SECONDS)  # others are at work: what they leave undone is taken over
            await self._batch.recover()

    async def complete(self) -> None:
        """Add all lines on record to the results that are not there yet."""
        await self._results.add(await self._batch.lines())

    @contextlib.asynccontextmanager
    async def telling(self, told: Told) -> AsyncGenerator[None]:
        """Tell how far the batch is about once a second, within the block."""
        ticking = asyncio.create_task(self._tell(told))
        try:
            yield
        finally:
            ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticking

    async def state(self) -> BatchState:
        """The progress of the batch."""
        totals = await self._totals(fresh=True)
        return BatchState(
            total=totals.waiting + totals.running + totals.done + totals.failed,
            waiting=totals.waiting,
            done=totals.done,
            failed=totals.failed,
            success=totals.success,
            failure=totals.failure,
            dollars=totals.paid / NANO,
            set_aside=totals.set_aside / NANO,
            unknown=totals.unknown / NANO,
            cap=self._cap / NANO,
        )

    async def prepare(self) -> None:
        """See that the file belongs to this batch, put its tasks on record, and complete the file."""
        present = await self._results.present()
        await self._batch.add({name: task.digest for name, task in self._tasks.items()})
        lines = await self._batch.lines()
        known, written = dict(await self._batch.attempts()), {(task, attempt) for task, attempt, _ in lines}
        if missing := sorted(known.keys() - self._tasks.keys() - {task for task, _ in written}):
            raise InputError(
                f"the batch was begun with a task {missing[0]!r}, which is not in the task file and not done",
                hint="Put it back, or begin another batch: another --out, or --name.",
            )
        # A line of an attempt before the present one was written, and stays.
        if strange := [one for one in present - written if one[1] >= known.get(one[0], 0)]:
            raise InputError(
                f"the file of results has a line for {min(strange)[0]!r}, of which the memory knows nothing",
                hint="Name another file by --out, or the memory that the batch was begun with.",
            )
        await self._results.add(lines)

    async def _claims(self) -> AsyncGenerator[Claim]:
        while not self._capped:
            if self._silent >= MAX_SILENT:
                raise SaleError(
                    f"no agent made a bid for the last {quantity(self._silent, 'task')}",
                    hint="See the errors in the results, and `sale doctor`. Then --retry does these tasks once more.",
                )
            if self._is_short(await self._totals()):
                self._capped = True
                return
            claim = await self._batch.claim()
            if claim is None:
                return
            if claim.task not in self._tasks:  # another process has come with a longer task file
                self._batch.give_back(claim.task)
                return
            yield claim

    def _is_short(self, totals: BatchTotals) -> bool:
        """Return whether another task, with those under way, would probably not be finished within the cap."""
        finished = totals.done + totals.failed
        if not finished:
            return False
        mean = (totals.paid + totals.unknown) / finished
        return self._cap - totals.paid - totals.unknown - totals.running * mean < MARGIN * mean

    async def _totals(self, *, fresh: bool = False) -> BatchTotals:
        now = time.monotonic()
        if fresh or self._seen is None or now - self._seen[0] > POLL_SECONDS:
            self._seen = (now, await self._batch.totals())
        return self._seen[1]

    async def _tell(self, told: Told) -> None:
        while True:
            told(await self.state())
            await asyncio.sleep(POLL_SECONDS)

    async def _one(self, claim: Claim) -> None:
        """Do a task that was taken; where it cannot be done to its end here, it is given back."""
        done, jobs = False, None if self._desk is None else self._desk.jobs
        if jobs is not None:
            jobs.held += 1
        try:
            await self._do(claim)
            done = True
        except (BatchHaltError, BaseExceptionGroup) as error:
            halt = next(halts_in(error), None)
            if halt is None:
                raise
            if halt.cause is not None:
                raise halt.cause from error
            self._capped = self._capped or halt.reason == "cap"
        finally:
            if jobs is not None:
                jobs.held -= 1
            if not done:
                self._batch.give_back(claim.task)

    async def _do(self, claim: Claim) -> None:
        began = time.monotonic()
        finding, failed = await self._find(claim)
        spending = await self._batch.spending(claim)
        other = max(0, round(finding.dollars * NANO) - spending.attempt) if not failed else 0
        if other <= 1:  # calls are rounded one by one, their sum once
            other = 0
        line = json.dumps(
            {
                "id": claim.task,
                "attempt": claim.attempt,
                "answer": finding.answer,
                "winner": finding.winner,
                "verdict": finding.verdict,
                "judged_by": finding.judged_by,
                "dollars": (spending.paid + other) / NANO,
                "unknown_dollars": spending.unknown / NANO,
                "seconds": round(time.monotonic() - began, 3),
                "error": finding.error,
                "auction": finding.auction,
            }
        )
        end = TaskEnd(status="failed" if failed else "done", verdict=finding.verdict, line=line, other=other)
        if await self._batch.finish(claim, end):
            await self._results.add([(claim.task, claim.attempt, line)])

    async def _find(self, claim: Claim) -> tuple[_Finding, bool]:
        """The work on a task, and whether there is none."""
        task = self._tasks[claim.task]
        auction_id = digest(self._batch.id, claim.task, claim.attempt)[:32]
        memory = await _memory_of(self._market)
        settled = await memory.find_settled(auction_id)
        if settled is not None:
            return _of_record(settled), False
        paid, desk = await self._batch.settled_calls(claim), self._desk
        queued = [] if desk is None else await self._batch.queued_calls(claim)
        PRESENT.set(TaskCalls(self._batch, claim, paid, cap=self._cap, desk=desk, queued=queued))
        try:
            result = await self._market.run(task.task, verifier=task.verifier_of(auction_id), auction_id=auction_id)
        except StoreError:
            raise
        except SaleError as error:
            self._silent = self._silent + 1 if isinstance(error, NoBidsError) else 0
            return _Finding(error=f"{error.code}: {error}", auction=auction_id), True
        if result.unkept is not None:
            raise StoreError(
                result.unkept, hint="What was paid for is on the batch's ledger: the same command goes on."
            )
        self._silent = 0
        return _of_result(result), False


async def _memory_of(market: Market) -> BatchQueries:
    memory = await market.memory()
    if memory is None:
        raise InputError("a batch is kept in the auction memory", hint="Set memory.enabled = true in sale.toml.")
    return memory


def _of_result(result: Result) -> _Finding:
    return _Finding(
        answer=result.answer,
        winner=result.execution.agent,
        verdict=result.outcome.verdict,
        judged_by=result.outcome.judged_by,
        error=result.execution.error,
        auction=result.auction.id,
        dollars=result.settlement.dollars,
    )


def _of_record(record: Record) -> _Finding:
    """Of a task whose process ended between its settlement and its line."""
    work, outcome = record.execution, record.outcome
    return _Finding(
        answer="" if work is None else work.answer,
        winner=None if work is None else work.agent,
        verdict="unknown" if outcome is None else outcome.verdict,
        judged_by=NO_JUDGE if outcome is None else outcome.judged_by,
        error=None if work is None else work.error,
        auction=record.id,
        dollars=record.settlement.dollars,
    )
