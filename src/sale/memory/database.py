"""The database behind the memory: opened, migrated, read and written, and closed, with errors a user can act on.

Reads see one snapshot and run side by side; writes of one process queue here and those of several at the database. A
transaction is done whole in one thread, without the event loop: that costs half of what awaiting each statement did.
What has begun is finished even if its caller is cancelled, so a cancelled task never loses what it paid for.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from sale.errors import StoreError
from sale.memory.backend import READERS, Backend
from sale.memory.sqlite import SqliteFile

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Work to do in a transaction, in a worker thread."""
FAULTS = (SQLAlchemyError, sqlite3.Error, OSError)


class MemoryDatabase:
    """An open database at the newest revision."""

    def __init__(self, backend: Backend, busy_seconds: float) -> None:
        """Use `open`."""
        self.backend = backend
        self._busy_seconds = busy_seconds
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="sale-memory-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sale-memory-write")
        self._running: set[asyncio.Task[object]] = set()
        self._closed = False

    @classmethod
    async def open(cls, place: Path | str, busy_seconds: float) -> MemoryDatabase:
        """Open the database, make or upgrade its tables, and announce this process as alive.

        Args:
            place: A file, or the URL of a database on a PostgreSQL server.
            busy_seconds: How long to wait for other processes.

        Raises:
            ConfigError: It is the URL of something else.
            MissingExtraError: It is PostgreSQL's, and psycopg is not installed.
            StoreError: It cannot be opened, is not an auction memory, or is newer than this version of `sale`.
        """
        database = cls(_backend(place, busy_seconds), busy_seconds)
        try:
            await database._prepare()
        except BaseException as error:
            await database.close()
            if isinstance(error, FAULTS):
                raise database.backend.explain(error) from error
            raise
        return database

    async def _prepare(self) -> None:
        async with self.backend.presence.gate(self._busy_seconds):
            await self.finish(self._do(self._writer, self.backend.bring_up_to_date))
            await self.finish(self._do(self._writer, self.backend.presence.announce))

    @property
    def token(self) -> str:
        """The token that marks unfinished auctions of this memory."""
        return self.backend.presence.token

    async def read(self, work: Work[T]) -> T:
        """Do `work` on one snapshot of the database.

        Raises:
            StoreError: The database cannot be read.
        """
        return await self.finish(self.reading(work))

    def reading(self, work: Work[T]) -> Coroutine[object, object, T]:
        """`read` for what is itself a part of `finish`."""
        return self._do(self._readers, lambda: self._read(work))

    async def write(self, work: Work[T]) -> T:
        """Do `work` in one transaction: all of it lands on disk, or nothing.

        Raises:
            StoreError: The database cannot be written.
        """
        return await self.finish(self._do(self._writer, lambda: self._write(work)))

    def write_later(self, work: Work[object]) -> None:
        """Like `write`, after the writes that wait already and without waiting; errors are not reported."""
        if not self._closed:
            self.start(self._do(self._writer, lambda: self._write(work)))

    async def finish(self, work: Coroutine[object, object, T]) -> T:
        """Await `work`; it goes on in the background if the caller is cancelled, and `close` waits for it.

        Raises:
            StoreError: The database is closed.
        """
        return await asyncio.shield(self.start(work))

    def start(self, work: Coroutine[object, object, T]) -> asyncio.Task[T]:
        """Have `work` done in the background; `close` waits for it.

        Raises:
            StoreError: The database is closed.
        """
        if self._closed:
            work.close()
            raise StoreError("it is closed", where=self.backend.where, hint="Open it again.")
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._forget_task)
        return task

    def _forget_task(self, task: asyncio.Task[object]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # where the caller has left, nobody else looks at it

    async def _do(self, threads: Executor, job: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(threads, job)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self.backend.explain(error) from error

    def _read(self, work: Work[T]) -> T:
        with self.backend.reading() as connection:
            return work(connection)

    def _write(self, work: Work[T]) -> T:
        with self.backend.writing() as connection:
            return work(connection)

    async def erase(self, work: Work[T]) -> T:
        """Like `write`, and leave no trace of what `work` deleted, in the log either."""
        deleted = await self.write(work)
        await self.finish(self._do(self._writer, self.backend.wipe))
        return deleted

    async def shrink(self) -> None:
        """Give room that is no longer used back to the disk.

        Raises:
            StoreError: The database cannot be written anew, for example because others have it open.
        """
        await self.finish(self._do(self._writer, self.backend.shrink))

    async def sweeping(self, sweep: Callable[[], Awaitable[T]]) -> T:
        """Do `sweep` while no other process opens or sweeps.

        Raises:
            StoreError: The lock is kept by another process, or cannot be taken.
        """
        try:
            async with self.backend.presence.gate(self._busy_seconds):
                swept = await sweep()
                await self.finish(self._do(self._writer, self.backend.presence.tidy))
                return swept
        except FAULTS as error:
            raise self.backend.explain(error) from error

    async def close(self) -> None:
        """Wait for what is under way, then let go of the database. A second call does nothing."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)
        await asyncio.to_thread(self._let_go)

    def _let_go(self) -> None:
        for threads in (self._readers, self._writer):
            threads.shutdown()
        self.backend.presence.leave()
        self.backend.close()


def _backend(place: Path | str, busy_seconds: float) -> Backend:
    if isinstance(place, str) and "://" in place:
        # Loaded here only: most memories are files.
        backend: Backend = import_module("sale.memory.postgres").open_server(place, busy_seconds)
        return backend
    return SqliteFile(resolve_path(Path(place)), busy_seconds)


def resolve_path(path: Path) -> Path:
    """The one name of a file: links are followed, so that all who open it agree on its locks."""
    return path.expanduser().resolve()
