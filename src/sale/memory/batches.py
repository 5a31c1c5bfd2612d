"""Batches of tasks in the auction memory: shared by any number of processes, each task done by one of them.

What many tasks of a process want to write at one time is written in one transaction: to wait for the disk is most of
what a write costs. Nothing that was begun is lost where its caller is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, func, select

from sale.errors import InputError, StoreError, retrieve_error
from sale.memory import batch_jobs, batch_ledger, lifecycle, queries
from sale.memory.batch_jobs import JobRecord, QueuedCall
from sale.memory.batch_ledger import (
    OTHER,
    BatchTotals,
    CallKey,
    CallPermit,
    CallRequest,
    Claim,
    PaidCall,
    TaskEnd,
    TaskSpending,
)
from sale.memory.batch_rates import RateLimit, correct
from sale.memory.database import MemoryDatabase
from sale.memory.reading import read_records
from sale.memory.records import Record
from sale.memory.schema import auctions, batch_tasks, batches

log = logging.getLogger("sale.memory")
T = TypeVar("T")
Step = Callable[[Connection], Any]
_NAMED: Final = 5


class Batch:
    """One batch, open in one process."""

    def __init__(self, database: MemoryDatabase, batch_id: str) -> None:
        """Use `AuctionMemory.batch`."""
        self.id = batch_id
        self._database = database
        self._waiting: list[tuple[Step, asyncio.Future[Any]]] = []
        self._writing: asyncio.Task[None] | None = None

    async def add(self, tasks: Mapping[str, str]) -> None:
        """Put tasks on record that are not there yet.

        Args:
            tasks: By id, in their order, the SHA-256 of what each says.

        Raises:
            InputError: One of them is on record and said something else; nothing is added.
            StoreError: The memory cannot be written.
        """
        await self._database.write(lambda connection: _add(connection, self.id, tasks))

    async def claim(self) -> Claim | None:
        """Take the next task that waits."""
        return await self._commit(lambda connection: batch_ledger.claim(connection, self.id, self._database.token))

    def give_back(self, task: str) -> None:
        """Give back a task that was taken and is not done, without waiting for it to be on record."""
        owner = self._database.token
        self._enqueue(lambda connection: batch_ledger.release(connection, self.id, task, owner))

    async def finish(self, claim: Claim, end: TaskEnd) -> bool:
        """Put the end of a task on record; false where another process has taken it over meanwhile."""
        key, owner = self.key(claim, OTHER), self._database.token
        return await self._commit(lambda connection: batch_ledger.finish(connection, key, owner, end))

    def key(self, claim: Claim, phase: str, agent: str = "", request: str = "") -> CallKey:
        """The idempotency key of a call, with the number 0."""
        return CallKey(
            batch=self.id, task=claim.task, attempt=claim.attempt, phase=phase, agent=agent, request=request, number=0
        )

    async def reserve(self, key: CallKey, *, most: int, tokens: int, limit: RateLimit | None, cap: int) -> CallPermit:
        """Set aside the most a call can cost, on disk, or hear why not.

        Args:
            key: The call; its number is the store's to choose.
            most: Nano-dollars.
            tokens: The most tokens it can take.
            limit: Of its endpoint.
            cap: Nano-dollars of the whole batch.

        Raises:
            StoreError: The memory cannot be written.
        """
        wanted = CallRequest(key=key, owner=self._database.token, most=most, tokens=tokens, limit=limit, cap=cap)
        step = self._enqueue(lambda connection: batch_ledger.reserve(connection, wanted, time.time()))
        try:
            return await asyncio.shield(step)
        except asyncio.CancelledError:
            step.add_done_callback(lambda done: self._undo(key, done))
            raise

    def _undo(self, key: CallKey, done: asyncio.Future[CallPermit]) -> None:
        """Free what was set aside for a caller that has left: nothing was sent."""
        if not done.cancelled() and done.exception() is None and (number := done.result().number) is not None:
            self.free(replace(key, number=number))

    async def pay(
        self, key: CallKey, dollars: int, reply: bytes, correction: tuple[RateLimit, int, int] | None
    ) -> None:
        """Settle a call; done even if the caller is cancelled.

        Args:
            key: The call.
            dollars: Nano-dollars it cost.
            reply: Packed JSON.
            correction: The limit of its endpoint, the second it was counted in, and the tokens to add to that.

        Raises:
            StoreError: The memory cannot be written.
        """

        def step(connection: Connection) -> None:
            batch_ledger.pay(connection, key, dollars, reply)
            if correction is not None:
                correct(connection, *correction)

        await self._commit(step)

    def lose(self, key: CallKey) -> None:
        """The bill of a call is not known; without waiting for that to be on record."""
        self._enqueue(lambda connection: batch_ledger.lose(connection, key))

    def free(self, key: CallKey) -> None:
        """A call cost nothing; without waiting for that to be on record."""
        self._enqueue(lambda connection: batch_ledger.free(connection, key))

    @property
    def owner(self) -> str:
        """The token that marks what this process is at work on."""
        return self._database.token

    async def open_job(self, job: str, agent: str) -> None:
        """Put a job of an endpoint's batch API on record, as this process's to send."""
        record = JobRecord(id=job, agent=agent, owner=self._database.token, file=None, remote=None)
        await self._commit(lambda connection: batch_jobs.open_job(connection, self.id, record))

    async def fill_job(self, job: str, calls: Sequence[tuple[CallKey, int]], cap: int) -> list[CallPermit]:
        """Set aside the most that each of a job's calls can cost, on disk, or hear why not.

        Args:
            job: On record.
            calls: Each with the most it can cost, in nano-dollars; their numbers are the store's to choose.
            cap: Nano-dollars of the whole batch.
        """
        owner = self._database.token
        wanted = [
            CallRequest(key=key, owner=owner, most=most, tokens=0, limit=None, cap=cap, job=job) for key, most in calls
        ]
        return await self._commit(lambda connection: batch_jobs.fill_job(connection, wanted, time.time()))

    async def note_job(self, job: str, *, file: str | None = None, remote: str | None = None) -> None:
        """Put on record how far a job has come: its requests are at the endpoint, or it is there itself."""
        if file is not None:
            await self._commit(lambda connection: batch_jobs.note_file(connection, job, file))
        if remote is not None:
            await self._commit(lambda connection: batch_jobs.note_remote(connection, job, remote))

    async def drop_job(self, job: str) -> None:
        """A job was never begun: what was set aside for it is free."""
        await self._commit(lambda connection: batch_jobs.drop_job(connection, self.id, job))

    async def job(self, job: str) -> JobRecord | None:
        """Return a job; `None` where it was dropped."""
        return await self._database.read(lambda connection: batch_jobs.read_job(connection, job))

    async def adopt_job(self, job: JobRecord) -> bool:
        """Take over a job whose process ended while it sent it.

        False where that is at work, or another has it, or others keep the gate: then it is asked again.
        """
        owner = job.owner
        if owner is None:
            return False

        async def look() -> list[str]:
            return await asyncio.to_thread(self._database.backend.presence.find_dead, [owner])

        try:
            dead = await self._database.sweeping(look)
        except StoreError as error:
            log.warning("the job %s is not taken over now: %s", job.id, error)
            return False
        if not dead:
            return False
        return await self._commit(lambda connection: batch_jobs.adopt(connection, job.id, owner, self._database.token))

    async def queued_calls(self, claim: Claim) -> list[QueuedCall]:
        """The calls of an attempt that are in jobs."""
        key = self.key(claim, OTHER)
        return await self._database.read(lambda connection: batch_jobs.read_queued(connection, key))

    async def recover(self) -> None:
        """Take back what processes that are no more worked on."""

        async def sweep() -> None:
            owners = await self._database.read(lambda connection: batch_ledger.read_owners(connection, self.id))
            dead = await asyncio.to_thread(self._database.backend.presence.find_dead, owners) if owners else []
            if dead:
                await self._database.write(lambda connection: batch_ledger.recover(connection, self.id, dead))

        await self._database.sweeping(sweep)

    async def retry(self) -> None:
        """Have tasks that failed done once more."""
        await self._database.write(lambda connection: batch_ledger.retry(connection, self.id))

    async def settled_calls(self, claim: Claim) -> list[PaidCall]:
        """The settled calls of an attempt."""
        key = self.key(claim, OTHER)
        return await self._database.read(lambda connection: batch_ledger.read_paid(connection, key))

    async def spending(self, claim: Claim) -> TaskSpending:
        """Return the cost of a task, after what is still to be written."""
        key = self.key(claim, OTHER)
        return await self._commit(lambda connection: batch_ledger.read_spending(connection, key))

    async def totals(self) -> BatchTotals:
        """The state of the batch."""
        return await self._database.read(lambda connection: batch_ledger.read_totals(connection, self.id))

    async def lines(self) -> list[tuple[str, int, str]]:
        """Task, attempt and line of all that is done, in the order of the task file."""
        query = (
            select(batch_tasks.c.task, batch_tasks.c.attempt, batch_tasks.c.line)
            .where(batch_tasks.c.batch == self.id, batch_tasks.c.status.in_(("done", "failed")))
            .order_by(batch_tasks.c.position)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [(row.task, row.attempt, row.line) for row in rows]

    async def attempts(self) -> list[tuple[str, int]]:
        """Each task with the number of its attempt."""
        query = select(batch_tasks.c.task, batch_tasks.c.attempt).where(batch_tasks.c.batch == self.id)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [(row.task, row.attempt) for row in rows]

    async def _commit(self, step: Callable[[Connection], T]) -> T:
        return await asyncio.shield(self._enqueue(step))

    def _enqueue(self, step: Callable[[Connection], T]) -> asyncio.Future[T]:
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        future.add_done_callback(retrieve_error)
        self._waiting.append((step, future))
        if self._writing is None or self._writing.done():
            self._writing = self._database.start(self._write())
        return future

    async def _write(self) -> None:
        """Write until nothing waits. Ends in the same step in which it finds that nothing does."""
        while self._waiting:
            steps, self._waiting = self._waiting, []
            try:
                found = await self._database.write(lambda connection: [step(connection) for step, _ in steps])  # noqa: B023  done before the next round
            except Exception as error:  # noqa: BLE001  whoever waits is told
                for _, future in steps:
                    future.set_exception(error)
            else:
                for (_, future), result in zip(steps, found, strict=True):
                    future.set_result(result)


class BatchQueries:
    """The part of `AuctionMemory` that batches ask."""

    _database: MemoryDatabase

    async def batch(self, name: str) -> Batch:
        """Open the batch of this name; a new one where there is none. What dead processes left in it is given back.

        Raises:
            StoreError: The memory cannot be written.
        """
        batch = Batch(self._database, await self._database.write(lambda connection: _batch_id(connection, name)))
        await batch.recover()
        return batch

    async def take_up(self, auction_id: str, agents: Collection[str]) -> Record | None:
        """Go on with an auction that was left unfinished, by this process or one that is no more.

        What it was awarded stands. Calls on record that belong to no finished part of it are taken off: whoever takes
        it up has them on a ledger of its own, and makes or repeats them.

        Args:
            auction_id: Which.
            agents: Names of those that can do the work.

        Returns:
            Its record; `None` where it was never begun.

        Raises:
            InputError: It is settled, or was awarded to another agent.
            StoreError: The memory cannot be written.
        """
        owner, known = self._database.token, select(auctions.c.key).where(auctions.c.id == auction_id)
        # Most are new. To see that takes no turn at writing, for which all processes wait.
        if await self._database.read(lambda connection: connection.execute(known).scalar()) is None:
            return None
        await self._database.write(lambda connection: lifecycle.take_up(connection, auction_id, owner))
        record = await self._database.read(
            lambda connection: read_records(connection, [queries.resolve(connection, auction_id)])[0]
        )
        if record.status == "settled":
            raise InputError(f"the auction {auction_id!r} is settled", hint="Give each task an id of its own.")
        if record.auction is not None and (winner := record.auction.winner.agent) not in agents:
            raise InputError(
                f"it was awarded to {winner!r}, which is not in the pool", hint="Name that agent again in sale.toml."
            )
        return record

    async def find_settled(self, auction_id: str) -> Record | None:
        """Return the record of an auction, if there is one and it is settled."""
        settled = select(auctions.c.key).where(auctions.c.id == auction_id, auctions.c.status == "settled")
        key = await self._database.read(lambda connection: connection.execute(settled).scalar())
        return None if key is None else await self._database.read(lambda connection: read_records(connection, [key])[0])


def _batch_id(connection: Connection, name: str) -> str:
    found = connection.execute(select(batches.c.id).where(batches.c.name == name)).scalar()
    if found is None:
        found = uuid.uuid4().hex
        connection.execute(batches.insert(), {"id": found, "name": name, "charged": 0})
    return str(found)


def _add(connection: Connection, batch: str, tasks: Mapping[str, str]) -> None:
    of = batch_tasks.c.batch == batch
    rows = connection.execute(select(batch_tasks.c.task, batch_tasks.c.digest).where(of)).all()
    known = {row.task: row.digest for row in rows}
    changed = [task for task, digest in tasks.items() if known.get(task, digest) != digest]
    if changed:
        raise InputError(
            f"tasks say something else than when the batch was begun: {_named(changed)}",
            hint="Give a changed task another id, or begin another batch: another --out, or --name.",
        )
    last = connection.execute(select(func.coalesce(func.max(batch_tasks.c.position), -1)).where(of)).scalar_one()
    new = [task for task in tasks if task not in known]
    if new:
        more = [
            {"batch": batch, "task": task, "position": place, "digest": tasks[task], "status": "waiting", "attempt": 1}
            for place, task in enumerate(new, start=last + 1)
        ]
        connection.execute(batch_tasks.insert(), more)


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(repr, names[:_NAMED])) + more
