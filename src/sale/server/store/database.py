"""The database behind the store, SQLite or PostgreSQL: opened, migrated, read and written from threads of its own.

A synchronous engine in a thread costs half of what an asynchronous one does here. What has begun is finished even if
its caller is cancelled.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

from filelock import FileLock, Timeout
from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from sale.errors import ConfigError, MissingExtraError, StoreError
from sale.files.private import FILE_MODE, make_directory, make_file, tighten, tighten_database
from sale.server.store.schema import HEAD, VERSION_TABLE

T = TypeVar("T")
Work = Callable[[Connection], T]

BUSY_SECONDS: Final = 30.0
READERS: Final = 2
MIGRATING: Final = 0x73616C65
"""PostgreSQL's advisory lock of whoever makes or changes the tables."""
_WRITING: Final = {"sale_begin": "BEGIN IMMEDIATE"}
_SCHEMES: Final = ("sqlite", "postgresql")


class StoreDatabase:
    """An open database at the newest revision."""

    def __init__(self, engine: Engine, where: str) -> None:
        """Use `open`."""
        self.where = where
        """For messages; without a password."""
        self._engine = engine
        self._writer = ThreadPoolExecutor(1, "sale-store-writer")
        self._readers = ThreadPoolExecutor(READERS, "sale-store-reader")
        self._closed = False
        self._file: tuple[Path, tuple[int, int]] | None = None
        """SQLite's file, and which it was when it was opened."""

    @classmethod
    async def open(cls, place: str | Path) -> StoreDatabase:
        """Open the database and make or upgrade its tables.

        Args:
            place: A file for SQLite, or a URL: `postgresql://user@host/name`, `sqlite:///file`.

        Raises:
            ConfigError: The URL is none, or names another kind of database.
            MissingExtraError: It is PostgreSQL's and psycopg is not installed.
            StoreError: It cannot be opened, or is newer than this version of `sale`.
        """
        url = _url(place)
        where = f"the server's store {url.render_as_string(hide_password=True)}"
        database = cls(_engine(url), where)
        try:
            await database._run(database._writer, lambda: database._prepare(url))
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._engine.dialect.name

    def connect_arguments(self) -> dict[str, Any]:
        """Return the driver's arguments for a connection beside those here, the password among them."""
        _, arguments = self._engine.dialect.create_connect_args(self._engine.url)
        return dict(arguments)

    async def read(self, work: Work[T]) -> T:
        """Do `work` on one snapshot of the database.

        Raises:
            StoreError: The database cannot be read, or is closed.
        """
        return await self._run(self._readers, lambda: self._transact(work, {}))

    async def write(self, work: Work[T]) -> T:
        """Do `work` in one transaction: all of it lands on disk, or nothing. One at a time in this process.

        Raises:
            StoreError: The database cannot be written, or is closed.
        """
        return await self._run(self._writer, lambda: self._transact(work, _WRITING))

    async def probe(self, work: Work[None]) -> None:
        """Write as `write` does, to the file that is there.

        SQLite goes on writing to a file that was removed, or replaced by another, and all of it is lost.

        Raises:
            StoreError: The database cannot be written, is no longer where it was, or is closed.
        """
        await self._run(self._writer, lambda: self._probe(work))

    def _probe(self, work: Work[None]) -> None:
        if self._file is not None and _identity(self._file[0]) != self._file[1]:
            raise FileNotFoundError("the file it was opened with is no longer there")
        self._transact(work, _WRITING)

    def _transact(self, work: Work[T], options: dict[str, str]) -> T:
        with self._engine.connect() as connection:
            working = connection.execution_options(**options) if options else connection
            with working.begin():
                return work(working)

    async def _run(self, executor: Executor, work: Callable[[], T]) -> T:
        if self._closed:
            raise StoreError("it is closed", where=self.where, hint="Open it again.")
        done = asyncio.wrap_future(executor.submit(work))
        # Where the caller is cancelled, the work goes on and its error is nobody's.
        done.add_done_callback(lambda over: over.cancelled() or over.exception())
        try:
            return await asyncio.shield(done)
        except (SQLAlchemyError, sqlite3.Error, OSError, OverflowError, Timeout) as error:
            raise _explain(error, self.where) from error

    def _prepare(self, url: URL) -> None:
        if self._engine.dialect.name == "postgresql":
            self._transact(self._bring_up_to_date, {})
            return
        path = Path(url.database or "")
        make_directory(path.parent)
        lock = path.with_name(path.name + ".lock")
        tighten(lock)
        with FileLock(lock, mode=FILE_MODE, timeout=BUSY_SECONDS):
            make_file(path)
            with self._engine.connect() as connection:
                bare = connection.execution_options(sale_begin="")
                if bare.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
                    bare.exec_driver_sql("PRAGMA journal_mode = WAL")
            self._transact(self._bring_up_to_date, _WRITING)
            tighten_database(path)
        self._file = path, _identity(path)

    def _bring_up_to_date(self, connection: Connection) -> None:
        version = _version(connection)
        if version == HEAD:
            return
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATING})
            version = _version(connection)
        if version != HEAD:
            # Loaded here only: Alembic takes longer to import than everything else takes to open a store.
            import_module("sale.server.store.migrate").upgrade(connection, version, self.where)

    async def close(self) -> None:
        """Wait for what is under way, then let go. A second call does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._end)

    def _end(self) -> None:
        self._writer.shutdown()
        self._readers.shutdown()
        self._engine.dispose()


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _version(connection: Connection) -> str | None:
    if VERSION_TABLE not in inspect(connection).get_table_names():
        return None
    return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  a constant


def _url(place: str | Path) -> URL:
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(Path(place).expanduser().resolve()))
    try:
        url = make_url(place)
    except ArgumentError:  # its text repeats the URL, which may hold a password
        raise ConfigError("the database is not a URL", hint="Write postgresql://user@host:5432/name.") from None
    kind = url.get_backend_name()
    if kind not in _SCHEMES:
        known = " and ".join(_SCHEMES)
        raise ConfigError(f"the database is of an unknown kind: {kind!r}", hint=f"There are {known}.")
    if kind == "sqlite":
        if not url.database or url.database == ":memory:":
            raise ConfigError("the database has no file", hint="Write sqlite:///server.sqlite3.")
        return URL.create("sqlite", database=str(Path(url.database).expanduser().resolve()))
    return url.set(drivername="postgresql+psycopg")


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        try:
            return create_engine(url, pool_size=READERS + 1, max_overflow=0, pool_pre_ping=True)
        except ModuleNotFoundError as error:
            raise MissingExtraError(
                f"a PostgreSQL database needs {error.name}", hint="pip install 'sale[postgres]'"
            ) from error
    # Transactions are begun by hand below; left to itself the driver begins them too late to be of use.
    settings = {"timeout": BUSY_SECONDS, "isolation_level": None}
    engine = create_engine(url, connect_args=settings, pool_size=READERS + 1, max_overflow=0)
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: DBAPIConnection, _: object) -> None:
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")  # a key that was revoked stays revoked after a loss of power
        cursor.close()
    except sqlite3.Error:
        connection.close()
        raise


def _begin(connection: Connection) -> None:
    if statement := connection.get_execution_options().get("sale_begin", "BEGIN"):
        connection.exec_driver_sql(statement)


def _explain(error: Exception, where: str) -> StoreError:
    """The error as a user should see it; never with values of a statement, which may be anybody's."""
    if isinstance(error, Timeout):
        return StoreError("another process is still opening it", where=where, hint="Look for a `sale` that hangs.")
    cause = error.orig if isinstance(error, DBAPIError) else error
    said = " ".join(str(cause).split()) or type(error).__name__
    return StoreError(
        said, where=where, hint="Check that it can be reached and written: [server] database in sale.toml."
    )
