"""The file behind the memory: opened, migrated, read and written, and closed, with errors a user can act on.

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

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import SQLAlchemyError

from sale.errors import StoreError
from sale.memory import sqlite
from sale.memory.presence import Presence
from sale.memory.schema import HEAD, VERSION_TABLE

T = TypeVar("T")
Work = Callable[[Connection], T]
"""What is done in a transaction, in a worker thread."""


class Database:
    """An open database file at the newest revision."""

    def __init__(self, path: Path, engine: Engine, presence: Presence, busy_seconds: float) -> None:
        """Use `open`."""
        self.path = path
        self.presence = presence
        self._engine = engine
        self._busy_seconds = busy_seconds
        self._readers = ThreadPoolExecutor(sqlite.CONNECTIONS - 1, thread_name_prefix="sale-memory-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sale-memory-write")
        self._running: set[asyncio.Task[object]] = set()
        self._closed = False

    @classmethod
    async def open(cls, path: Path, busy_seconds: float) -> Database:
        """Open the file, make or upgrade its tables, and announce this process as alive.

        Raises:
            StoreError: It cannot be opened, is no auction memory, or is newer than this version of `sale`.
        """
        path = absolute(path)
        database = cls(path, sqlite.create(path, busy_seconds), Presence(path), busy_seconds)
        try:
            await database._prepare()
        except BaseException as error:
            await database.close()
            if isinstance(error, SQLAlchemyError | OSError | sqlite3.Error):
                raise sqlite.explain(error, path) from error
            raise
        return database

    async def _prepare(self) -> None:
        async with self.presence.gate(self._busy_seconds):
            await self.finish(self._do(self._writer, self._bring_up_to_date))
            self.presence.announce()

    def _bring_up_to_date(self) -> None:
        with self._engine.connect() as connection:
            version = _version(connection, self.path)
        sqlite.use_write_ahead_log(self._engine)
        if version != HEAD:
            with sqlite.rebuilding(self._engine) as connection:
                _upgrade(connection, self.path)

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
        """Like `write`, after the writes that wait already and without waiting; errors are nobody's."""
        if not self._closed:
            self.start(self._do(self._writer, lambda: self._write(work)))

    def size(self) -> int:
        """Bytes on disk."""
        return sqlite.size(self.path)

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
            raise StoreError("it is closed", where=f"the auction memory {self.path}", hint="Open it again.")
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
            raise sqlite.explain(error, self.path) from error

    def _read(self, work: Work[T]) -> T:
        with self._engine.connect() as connection, connection.begin():
            return work(connection)

    def _write(self, work: Work[T]) -> T:
        with self._engine.connect() as connection:
            writing = connection.execution_options(**sqlite.WRITING)
            with writing.begin():
                return work(writing)

    async def erase(self, work: Work[T]) -> T:
        """Like `write`, and leave no trace of what `work` deleted, in the log either."""
        deleted = await self.write(work)
        await self.finish(self._do(self._writer, lambda: sqlite.empty_log(self._engine)))
        return deleted

    async def sweeping(self, sweep: Callable[[], Awaitable[T]]) -> T:
        """Do `sweep` while no other process opens or sweeps.

        Raises:
            StoreError: The lock is kept by another process, or the directory cannot be written.
        """
        try:
            async with self.presence.gate(self._busy_seconds):
                return await sweep()
        except OSError as error:
            raise sqlite.explain(error, self.path) from error

    async def close(self) -> None:
        """Wait for what is under way, then let go of the file. A second call does nothing."""
        self._closed = True
        while self._running:
            await asyncio.wait(self._running)
        for threads in (self._readers, self._writer):
            threads.shutdown()
        self._engine.dispose()
        self.presence.leave()


def absolute(path: Path) -> Path:
    """The one name of a file: links are followed, so that all who open it agree on its locks."""
    return path.expanduser().resolve()


def _version(connection: Connection, path: Path) -> str | None:
    """The stored revision; `None` for an empty file."""
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE in tables:
        return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  a constant
    if tables:
        raise StoreError(
            f"it is a database of something else (tables {', '.join(sorted(tables)[:3])!r})",
            where=f"the auction memory {path}",
            hint="Name another file: memory.path in sale.toml, or SALE_MEMORY.",
        )
    return None


def _upgrade(connection: Connection, path: Path) -> None:
    # Loaded here only: Alembic takes longer to import than everything else takes to open a memory.
    import_module("sale.memory.migrate").upgrade(connection, _version(connection, path), path)
