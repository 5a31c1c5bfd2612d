"""An open database: read and written from threads of its own, and closed, with errors a user can act on.

Reads see one snapshot and run side by side; writes of one process queue here and those of several at the database. A
transaction is done whole in one thread, without the event loop: that costs half of what awaiting each statement did.
What has begun is finished even if its caller is cancelled, so a cancelled task never loses what it paid for.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from importlib import import_module
from pathlib import Path
from typing import ClassVar, Final, Self, TypeVar

from sqlalchemy import Connection, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from sale.errors import ConfigError, MissingExtraError, StoreError, retrieve_error
from sale.storage.backend import READERS, Backend
from sale.storage.read_only import ReadOnlyFile, is_read_only
from sale.storage.schema import Schema
from sale.storage.sqlite import SqliteFile

T = TypeVar("T")
Work = Callable[[Connection], T]
"""Work to do in a transaction, in a worker thread."""
BUSY_SECONDS: Final = 30.0
FORM: Final = "postgresql://user@host:5432/name"
_FAULTS: Final = (SQLAlchemyError, sqlite3.Error, OverflowError)


class Database:
    """An open database at the newest revision."""

    schema: ClassVar[Schema]

    def __init__(self, backend: Backend, busy_seconds: float) -> None:
        """Use `open`."""
        self.backend = backend
        self._busy_seconds = busy_seconds
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix=f"sale-{self.schema.key}-read")
        self._writer = ThreadPoolExecutor(1, thread_name_prefix=f"sale-{self.schema.key}-write")
        self._closed = False
        self._running: set[asyncio.Task[object]] = set()

    @classmethod
    async def open(cls, place: Path | str, busy_seconds: float = BUSY_SECONDS, *, to_read: bool = False) -> Self:
        """Open the database, and make or upgrade its tables.

        Args:
            place: A file, or the URL of a database.
            busy_seconds: How long to wait for other processes.
            to_read: Nothing will be written, so a file may lie where nothing can be.

        Raises:
            ConfigError: The URL is none, or names another kind of database.
            MissingExtraError: It is PostgreSQL's, and psycopg is not installed.
            StoreError: It cannot be opened, is the database of something else, or is of another version of `sale`.
        """
        database = cls(_backend(place, cls.schema, busy_seconds, to_read=to_read), busy_seconds)
        try:
            async with database.backend.presence.gate(busy_seconds):
                await database._do(database._writer, database._prepare)
        except BaseException as error:
            await database.close()
            if isinstance(error, (*_FAULTS, OSError)):
                raise database.backend.explain(error) from error
            raise
        return database

    def _prepare(self) -> None:
        """Called in the writer's thread, while no other process opens."""
        self.backend.bring_up_to_date()

    @property
    def where(self) -> str:
        """Which database it is, for messages; without a password."""
        return self.backend.where

    async def read(self, work: Work[T]) -> T:
        """Do `work` on one snapshot of the database.

        Raises:
            StoreError: The database cannot be read, or is closed.
        """
        self._refuse_closed()
        return await self.reading(work)

    async def reading(self, work: Work[T]) -> T:
        """`read` for what `close` waits for."""
        return await self._do(self._readers, lambda: self._transact(self.backend.reading, work))

    async def write(self, work: Work[T]) -> T:
        """Do `work` in one transaction: all of it lands on disk, or nothing. One at a time in this process.

        Raises:
            StoreError: The database cannot be written, or is closed.
        """
        self._refuse_closed()
        return await self._do(self._writer, lambda: self._transact(self.backend.writing, work))

    async def probe(self, work: Work[None]) -> None:
        """Write as `write` does, if what is written is found where the database was opened.

        Raises:
            StoreError: The database cannot be written, is no longer where it was, or is closed.
        """
        self._refuse_closed()
        try:
            await self._do(self._writer, self.backend.check_place)
        except OSError as error:
            raise self.backend.explain(error) from error
        await self.write(work)

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
        try:
            self._refuse_closed()
        except StoreError:
            work.close()
            raise
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        task.add_done_callback(retrieve_error)
        return task

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreError("it is closed", where=self.where, hint="Open it again.")

    @staticmethod
    def _transact(transaction: Callable[[], AbstractContextManager[Connection]], work: Work[T]) -> T:
        with transaction() as connection:
            return work(connection)

    async def _do(self, threads: Executor, job: Callable[[], T]) -> T:
        done = asyncio.wrap_future(threads.submit(job))
        # Where the caller is cancelled, the work goes on, and nobody else looks at its error.
        done.add_done_callback(retrieve_error)
        try:
            return await asyncio.shield(done)
        except UnicodeEncodeError as error:
            raise StoreError("a text cannot be written as UTF-8", where=self.where, hint="Use UTF-8.") from error
        except _FAULTS as error:
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


def _backend(place: Path | str, schema: Schema, busy_seconds: float, *, to_read: bool) -> Backend:
    """The backend of a file, or of the database that a URL names."""
    if isinstance(place, Path) or "://" not in place:
        return _file(Path(place), schema, busy_seconds, to_read=to_read)
    try:
        url = make_url(place)
    except (ArgumentError, ValueError):  # their texts repeat the URL, which may hold a password
        raise ConfigError(f"the URL of {schema.name} cannot be read", hint=f"Write {FORM}.") from None
    kind = url.get_backend_name()
    if kind not in schema.url_kinds:
        raise ConfigError(
            f"the URL of {schema.name} names an unknown kind of database: {kind!r}",
            hint=f"Write {FORM}, or the path of a file, without `://`.",
        )
    if not url.database or url.database == ":memory:":
        raise ConfigError(f"the URL of {schema.name} names no database", hint=f"Write {FORM}.")
    if kind == "sqlite":
        return _file(Path(url.database), schema, busy_seconds, to_read=to_read)
    try:
        # Loaded here only: most databases are files.
        backend: Backend = import_module("sale.storage.postgres").PostgresServer(url, schema, busy_seconds)
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            f"{schema.name} on a PostgreSQL server needs {error.name}", hint="pip install 'sale[postgres]'"
        ) from error
    return backend


def _file(path: Path, schema: Schema, busy_seconds: float, *, to_read: bool) -> Backend:
    path = resolve_path(path)
    kind = ReadOnlyFile if to_read and is_read_only(path) else SqliteFile
    return kind(path, schema, busy_seconds)


def resolve_path(path: Path) -> Path:
    """The one name of a file: links are followed, so that all who open it agree on its locks."""
    return path.expanduser().resolve()
