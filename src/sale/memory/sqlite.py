"""The one place that knows SQLite: how a connection is set up, how a transaction begins, what its errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from sale.errors import StoreError
from sale.files.private import make_file, tighten_database
from sale.memory import revision
from sale.memory.backend import POOL_SECONDS, READERS
from sale.memory.presence import LockFiles
from sale.memory.schema import HEAD

WRITING: Final[dict[str, Any]] = {"sale_begin": "BEGIN IMMEDIATE"}
"""Execution options of a connection that is going to write. It takes its lock at once and waits its turn: one that
starts as a reader could find its snapshot outdated and would have to fail."""
BARE: Final[dict[str, Any]] = {"sale_begin": None}
"""Execution options of a connection for statements that cannot run in a transaction."""

_FULL = "Free some space, or move the memory: memory.path in sale.toml, or SALE_MEMORY."
_PLACE = "Check the directory and its permissions, or set memory.path in sale.toml, or SALE_MEMORY."
_RESCUE = (
    "Restore a copy of the file, or rescue it with `sqlite3 FILE .recover`; a new one is made if you move it away."
)
FAULTS: Final[dict[int, tuple[str, str]]] = {
    sqlite3.SQLITE_PERM: ("permission denied", _PLACE),
    sqlite3.SQLITE_BUSY: ("another program keeps it locked", "Close the program that has it open, or try again."),
    sqlite3.SQLITE_LOCKED: ("another program keeps it locked", "Close the program that has it open, or try again."),
    sqlite3.SQLITE_READONLY: ("it cannot be written", _PLACE),
    sqlite3.SQLITE_IOERR: ("reading or writing failed", "Check the disk, and that there is space on it."),
    sqlite3.SQLITE_CORRUPT: ("the file is damaged", _RESCUE),
    sqlite3.SQLITE_FULL: ("the disk is full", _FULL),
    sqlite3.SQLITE_CANTOPEN: ("the file cannot be opened", _PLACE),
    sqlite3.SQLITE_NOTADB: ("it is not a database", "Name another file: memory.path in sale.toml, or SALE_MEMORY."),
    sqlite3.SQLITE_TOOBIG: ("a value is too long to store", "A strategy, an answer or a trace is beyond a gigabyte."),
}
"""SQLite's result codes, with their meaning for a user and the remedy."""


class SqliteFile:
    """A memory in a file; see `backend.Backend`."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        """Nothing is opened yet.

        Args:
            path: The file.
            busy_seconds: How long a connection waits for another one's lock.
        """
        self.path = path
        self.where = f"the auction memory {path}"
        self.presence = LockFiles(path)
        self.engine = create(path, busy_seconds)

    def bring_up_to_date(self) -> None:
        """Make the tables, or upgrade them; the file is for its owner alone."""
        make_file(self.path)
        with self.reading() as connection:
            version = revision.read_revision(connection, self.where, shared=False)
        tighten_database(self.path)
        use_write_ahead_log(self.engine)
        if version != HEAD:
            with rebuilding(self.engine) as connection:
                revision.upgrade(connection, revision.read_revision(connection, self.where, shared=False), self.where)

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A transaction that sees one snapshot."""
        with self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A transaction that has the write lock from its beginning."""
        with self.engine.connect() as connection:
            writing = connection.execution_options(**WRITING)
            with writing.begin():
                yield writing

    def wipe(self) -> None:
        """Deleted rows are overwritten where they were; this empties the log of them."""
        empty_log(self.engine)

    def shrink(self) -> None:
        """Write the file anew, without the room that is no longer used."""
        with self.engine.connect() as connection:
            connection.execution_options(**BARE).exec_driver_sql("VACUUM")
        empty_log(self.engine)

    def size(self, connection: Connection) -> int:  # noqa: ARG002  the other kind of database asks by it
        """Bytes on disk."""
        return size(self.path)

    def explain(self, error: Exception) -> StoreError:
        """The error as a user should see it."""
        return explain(error, self.path)

    def close(self) -> None:
        """Let go of the file."""
        self.engine.dispose()


def create(path: Path, busy_seconds: float) -> Engine:
    """An engine for the file. Nothing is opened yet.

    Args:
        path: The database file.
        busy_seconds: How long a connection waits for another one's lock.
    """
    engine = create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        # Transactions are begun by hand below; left to itself the driver begins them too late to be of use.
        connect_args={"timeout": busy_seconds, "isolation_level": None},
        pool_size=READERS + 1,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
    )
    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", _begin)
    return engine


def _set_up(connection: DBAPIConnection, _: object) -> None:
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")  # what is committed survives a loss of power
        cursor.execute("PRAGMA secure_delete = ON")  # what is forgotten is overwritten
        cursor.close()
    except sqlite3.Error:
        connection.close()  # the pool does not know it yet
        raise


def _begin(connection: Connection) -> None:
    statement = connection.get_execution_options().get("sale_begin", "BEGIN")
    if statement is not None:
        connection.exec_driver_sql(statement)


def use_write_ahead_log(engine: Engine) -> None:
    """Let readers and a writer work at the same time. Kept in the file; no other connection may be open the first time.

    Raises:
        SQLAlchemyError: The file cannot be changed.
    """
    with engine.connect() as connection:
        bare = connection.execution_options(**BARE)
        if bare.exec_driver_sql("PRAGMA journal_mode").scalar() != "wal":
            bare.exec_driver_sql("PRAGMA journal_mode = WAL")


@contextmanager
def rebuilding(engine: Engine) -> Generator[Connection]:
    """A writing transaction in which tables may be replaced by new ones of the same name.

    References are looked at when it ends: while they are enforced, to drop a table is to delete what belongs to it.

    Raises:
        SQLAlchemyError: The file cannot be changed.
        sqlite3.IntegrityError: What was left refers to what is not there; nothing was changed.
    """
    with engine.connect() as connection:
        _enforce_references(connection, "OFF")
        writing = connection.execution_options(**WRITING)
        try:
            with writing.begin():
                yield writing
                if broken := writing.exec_driver_sql("PRAGMA foreign_key_check").all():
                    raise sqlite3.IntegrityError(f"{len(broken)} rows refer to nothing, the first in {broken[0][0]!r}")
        finally:
            _enforce_references(connection, "ON")


def _enforce_references(connection: Connection, mode: str) -> None:
    bare = connection.execution_options(**BARE)  # inside a transaction it would have no effect
    bare.exec_driver_sql(f"PRAGMA foreign_keys = {mode}")
    bare.commit()


def empty_log(engine: Engine) -> None:
    """Move everything from the write-ahead log into the file, so that no deleted text stays behind in the log.

    Raises:
        SQLAlchemyError: The file cannot be written.
    """
    with engine.connect() as connection:
        bare = connection.execution_options(**BARE)
        bare.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def size(path: Path) -> int:
    """Bytes on disk: the file, the write-ahead log and its index."""
    parts = (path.with_name(path.name + suffix) for suffix in ("", "-wal", "-shm"))
    return sum(part.stat().st_size for part in parts if part.exists())


def explain(error: Exception, path: Path) -> StoreError:
    """The error as a user should see it."""
    where = f"the auction memory {path}"
    if isinstance(error, OSError):
        return StoreError(f"{error.strerror or error}", where=where, hint=_PLACE)
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    # The low byte is the kind of fault, the rest its circumstances.
    known = FAULTS.get(code & 0xFF) if isinstance(code, int) else None
    if known is None:
        return StoreError(f"{cause}", where=where, hint="This should not happen: please report it.")
    return StoreError(f"{known[0]} ({cause})", where=where, hint=known[1])
