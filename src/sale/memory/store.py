"""The auction memory: every auction on record, from before its first call to its last judgement.

    begin (open) -> award (awarded) -> settle (settled) -> feedback, as often as one likes
    begin (open) or award (awarded) -> abandon (abandoned), also when the process died

Each step is one transaction, on disk when the call returns. The memory refuses to lose: nothing settled is ever
changed, judgements are added and never replaced, money spent on what failed stays on record.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self, get_args

from sqlalchemy import Connection

from sale.errors import InputError
from sale.memory import forgetting, lifecycle, queries
from sale.memory.batches import BatchQueries
from sale.memory.database import MemoryDatabase
from sale.memory.figures import FigureQueries
from sale.memory.index_sync import SyncedIndex, TextEncoder
from sale.memory.learning_data import LearningQueries
from sale.memory.prior import PriorWork
from sale.memory.reading import read_records
from sale.memory.recall import RecallMethod, RecallQueries, choose_recall
from sale.memory.records import AuctionSummary, ForgetReport, MemoryStats, Record, Status
from sale.memory.retention import Retention
from sale.memory.tenants import DEFAULT, Sharing, check_name
from sale.memory.transfer import TransferQueries
from sale.models.embedding import Embedder
from sale.types import USER, Attempt, Auction, Baseline, Call, Execution, Outcome, Result, Task, Verdict

BUSY_SECONDS = 60.0
"""Seconds a write waits for that of another process, before it is an error."""


class AuctionMemory(RecallQueries, LearningQueries, FigureQueries, BatchQueries, TransferQueries):
    """The memory in one database, shared by any number of tasks and processes. Use it as an async context manager."""

    def __init__(
        self,
        database: MemoryDatabase,
        embedder: Embedder,
        prior: PriorWork | None = None,
        sharing: Sharing | None = None,
        retention: Retention | None = None,
    ) -> None:
        """Use `open`."""
        super().__init__(database)
        self._sharing = sharing or Sharing()
        self._retention = retention or Retention()
        self._encoder = TextEncoder(embedder)
        self._recall: RecallMethod = SyncedIndex(database, self._encoder, prior)

    @classmethod
    async def open(
        cls,
        place: Path | str,
        *,
        embedder: Embedder,
        prior: PriorWork | None = None,
        sharing: Sharing | None = None,
        retention: Retention | None = None,
        busy_seconds: float = BUSY_SECONDS,
        to_read: bool = False,
    ) -> Self:
        """Open the memory; made where there is none, upgraded where it is older than this version.

        Auctions that dead processes left unfinished are marked abandoned.

        Args:
            place: A file, or the URL of a database on a PostgreSQL server, `postgresql://user@host/name`.
            embedder: For the vectors of tasks. Those of another embedder are kept and made anew beside them.
            prior: Work that counts in track records beside what is on record; it counts for all tenants.
            sharing: What tenants let each other see; no texts, and numbers, unless given.
            retention: How much stays on record; everything unless given.
            busy_seconds: How long to wait for other processes.
            to_read: Nothing will be put on record, so its file may lie on a file system that is mounted read-only.

        Raises:
            ConfigError: The URL is none of PostgreSQL's.
            MissingExtraError: The memory is on a server, and the `postgres` extra is not installed.
            StoreError: It cannot be opened or written, is not an auction memory, or is newer than this version.
        """
        database = await MemoryDatabase.open(place, busy_seconds, to_read=to_read)
        memory = cls(database, embedder, prior, sharing, retention)
        try:
            memory._recall = await choose_recall(memory._database, memory._encoder, prior)
            await memory.sweep()
        except BaseException:
            await memory.aclose()
            raise
        return memory

    @property
    def path(self) -> Path | None:
        """The file; `None` where it is on a server."""
        return self._database.backend.path

    @property
    def where(self) -> str:
        """Which memory this is, in words: its file, or its server and database, without a password."""
        return self._database.backend.where

    async def begin(self, auction_id: str, task: Task, *, tenant: str = DEFAULT, withheld: bool = False) -> None:
        """Put on record that an auction is about to be held, before anything is spent on it.

        Args:
            auction_id: Its id.
            task: What is auctioned.
            tenant: Whose it is.
            withheld: Whether its texts are kept from every later auction; its numbers count all the same.

        Raises:
            InputError: The id is empty or taken, or that cannot be the name of a tenant.
            StoreError: The memory cannot be written.
        """
        if not auction_id:
            raise InputError("an auction needs an id", hint="uuid.uuid4().hex is a good one.")
        whose = lifecycle.RecordOwner(tenant=check_name(tenant), owner=self._database.token, withheld=withheld)
        embedding = (self._encoder.name, await self._encoder.encode(task.text))
        begun = False

        def work(connection: Connection) -> None:
            nonlocal begun
            lifecycle.begin(connection, auction_id, task, whose, embedding)
            begun = True

        def undo(connection: Connection) -> None:
            if begun:
                lifecycle.abandon(connection, auction_id, "cancelled", ())

        try:
            await self._database.write(work)
        except asyncio.CancelledError:
            # The record may still come to be, and nobody is left to close it.
            self._database.write_later(undo)
            raise

    async def award(self, auction: Auction, *, unexecuted: bool = False) -> None:
        """Put on record everything an auction came to, before the winner starts to work.

        Args:
            auction: What it came to.
            unexecuted: Whether the work will not be done: the same as `close_unexecuted` next, in one step.

        Raises:
            InputError: It was not begun, was begun for another task, or has its award; or the winner is none of the
                bids.
            StoreError: The memory cannot be written; then nothing of this is.
        """
        owner = None if unexecuted else self._database.token
        await self._database.write(lambda connection: lifecycle.award(connection, auction, owner))

    async def settle(
        self,
        auction_id: str,
        execution: Execution,
        outcome: Outcome,
        baseline: Baseline | None = None,
        *,
        earlier: Sequence[Attempt] = (),
    ) -> None:
        """Put on record the work, its outcome, and what it is compared with.

        Args:
            auction_id: Which.
            execution: The work; where there were several attempts, the last.
            outcome: How it came out.
            baseline: What it is compared with.
            earlier: The attempts before it, in order.

        Raises:
            InputError: The auction has no award yet, or is settled already.
            StoreError: The memory cannot be written; then nothing of this is.
        """
        attempts = (*earlier, Attempt(execution=execution, outcome=outcome))
        await self._database.write(lambda connection: lifecycle.settle(connection, auction_id, attempts, baseline))
        self._note_records()

    async def settle_result(self, result: Result) -> None:
        """`settle`, with all that a result says."""
        before = result.attempts
        await self.settle(result.auction.id, result.execution, result.outcome, result.always_largest, earlier=before)

    async def abandon(self, auction_id: str, reason: str, calls: Sequence[Call] = ()) -> None:
        """Put on record that an auction, or the work it awarded, came to nothing, and what was spent on it.

        Args:
            auction_id: Which.
            reason: Why.
            calls: Calls that are not on record yet.

        Raises:
            InputError: There is no such auction, or it is settled.
            StoreError: The memory cannot be written.
        """
        await self._database.write(lambda connection: lifecycle.abandon(connection, auction_id, reason, calls))

    async def close_unexecuted(self, auction_id: str) -> None:
        """Keep the award without work: the auction was held for its own sake.

        It stays `awarded`, may serve as an example, and can still be given an outcome by `feedback`.

        Raises:
            InputError: There is no such auction, or it is not in the state `awarded`.
            StoreError: The memory cannot be written.
        """
        await self._database.write(lambda connection: lifecycle.release(connection, auction_id))

    async def feedback(
        self,
        auction_id: str,
        verdict: Verdict,
        *,
        judged_by: str = USER,
        detail: str = "",
        tenant: str | None = None,
    ) -> None:
        """Add a judgement of the work, the last attempt at it. It counts from now on; earlier ones stay on record.

        Args:
            auction_id: The id, or the beginning of it where that is enough.
            verdict: How the work was.
            judged_by: Who says so.
            detail: Why.
            tenant: Who judges: to a tenant there are no auctions but its own. `None`: who runs the memory.

        Raises:
            InputError: There is no such auction or verdict, several auctions begin like this, or there is no award to
                judge.
            StoreError: The memory cannot be written.
        """
        if verdict not in get_args(Verdict):
            raise InputError(f"unknown verdict {verdict!r}", hint=f"One of {', '.join(get_args(Verdict))}.")

        def work(connection: Connection) -> None:
            key = queries.resolve(connection, auction_id, tenant)
            lifecycle.judge(connection, key, Outcome(verdict=verdict, judged_by=judged_by, detail=detail))

        await self._database.write(work)

    async def sweep(self) -> int:
        """Mark as abandoned what processes that are no more left unfinished. Called by `open`.

        Returns:
            How many auctions.

        Raises:
            StoreError: The memory cannot be written.
        """
        return await self._database.sweeping(self._sweep)

    async def _sweep(self) -> int:
        owners = await self._database.read(lifecycle.unfinished_owners)
        dead = await asyncio.to_thread(self._database.backend.presence.find_dead, owners) if owners else []
        if not dead:
            return 0
        return await self._database.write(lambda connection: lifecycle.abandon_all_of(connection, dead))

    async def list(
        self,
        limit: int = 20,
        *,
        offset: int = 0,
        status: Status | None = None,
        agent: str | None = None,
        verdict: Verdict | None = None,
        domain: str | None = None,
        tenant: str | None = None,
    ) -> tuple[AuctionSummary, ...]:
        """One line about each auction, the newest first.

        Args:
            limit: How many.
            offset: How many of the newest to leave out.
            status: Only those that came this far.
            agent: Only those it bid in.
            verdict: Only those whose latest verdict this is.
            domain: Only tasks of this domain.
            tenant: Only this one's.

        Raises:
            StoreError: The memory cannot be read.
        """
        chosen = queries.AuctionFilter(status=status, agent=agent, verdict=verdict, domain=domain, tenant=tenant)
        return await self._database.read(
            lambda connection: queries.list_latest(connection, chosen, max(limit, 0), max(offset, 0))
        )

    async def load(self, auction_id: str) -> Record:
        """Everything on record about one auction.

        Args:
            auction_id: The id, or the beginning of it where that is enough.

        Raises:
            InputError: There is no such auction, or several begin like this.
            StoreError: The memory cannot be read.
        """

        def work(connection: Connection) -> Record:
            return read_records(connection, [queries.resolve(connection, auction_id)])[0]

        return await self._database.read(work)

    async def forget(
        self,
        *auction_ids: str,
        before: datetime | None = None,
        source: str | None = None,
        tenant: str | None = None,
    ) -> ForgetReport:
        """Delete auctions for good: texts, vectors, quotations in the refinements of others, and their traces on disk.

        Args:
            auction_ids: These; each an id or the beginning of one.
            before: Those begun earlier than this. Of this and the two below, all that are given must hold.
            source: Those imported from there.
            tenant: Those of this tenant.

        Raises:
            InputError: Nothing is named, a name is not found or not unique, or one named is being held right now.
            StoreError: The memory cannot be written; then nothing is deleted.
        """
        chosen = forgetting.ForgetFilter(ids=auction_ids, before=before, source=source, tenant=tenant)
        return await self._database.erase(lambda connection: forgetting.forget(connection, chosen))

    async def preview_forget(
        self,
        *auction_ids: str,
        before: datetime | None = None,
        source: str | None = None,
        tenant: str | None = None,
    ) -> ForgetReport:
        """Count the auctions, and the lines kept of compacted ones, that `forget` would delete; nothing is deleted.

        Raises:
            InputError: As for `forget`.
            StoreError: The memory cannot be read.
        """
        chosen = forgetting.ForgetFilter(ids=auction_ids, before=before, source=source, tenant=tenant)
        return await self._database.read(lambda connection: forgetting.preview_forget(connection, chosen))

    async def stats(self) -> MemoryStats:
        """Count records, and the bytes they take.

        Raises:
            StoreError: The memory cannot be read.
        """
        size, recall = self._database.backend.size, self._recall
        return await self._database.read(
            lambda connection: queries.count(
                connection, file_bytes=size(connection), index_bytes=recall.nbytes, recall=recall.method
            )
        )

    async def aclose(self) -> None:
        """Finish what is under way and let go of the file. Auctions of this memory still unfinished are swept later."""
        await self._finish_compaction()
        await self._database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
