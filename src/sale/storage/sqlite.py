"""The one place that knows SQLite: how a connection is set up, how a transaction begins, what its errors mean."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError

from sale.errors import StoreError
from sale.files.private import make_file, tighten_database
from sale.storage.backend import POOL_SECONDS, READERS, Backend
from sale.storage.presence import LockFiles
from sale.storage.schema import Schema

_FULL = "Free some space, or move it: {setting}."
_PLACE = "Check the directory and its permissions, or name another place: {setting}."
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
    sqlite3.SQLITE_NOTADB: ("it is not a database", "Name another file: {setting}."),
    sqlite3.SQLITE_TOOBIG: ("a value is too long to store", "A strategy, an answer or a trace is beyond a gigabyte."),
}
"""SQLite's result codes, with their meaning for a user and the remedy; `{setting}` is the schema's."""


class SqliteFile(Backend):
    """A database in a file."""

    def __init__(self, path: Path, schema: Schema, busy_seconds: float, url: URL | None = None) -> None:
        """Nothing is opened yet.

        Args:
            path: The file, by the one name that all who open it use.
            schema: The tables that belong there.
            busy_seconds: How long a connection waits for another one's lock.
            url: The file as SQLAlchemy is told of it; to be read and written unless given.
        """
        super().__init__(schema, str(path))
        self._path = path
        self.presence = LockFiles(path, self.where)
        url = url or URL.create("sqlite+pysqlite", database=str(path))
        self.reader = _engine(url, busy_seconds, READERS, begin="BEGIN")
        # It takes the lock at once: one that begins as a reader could find its snapshot outdated, and would fail.
        self.writer = _engine(url, busy_seconds, 1, begin="BEGIN IMMEDIATE")
        self._identity: tuple[int, int] | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def bring_up_to_date(self) -> None:
        """Make the tables, or upgrade them; the file is for its owner alone."""
        make_file(self.path)
        self.read_revision()  # the file of something else is left as it is
        tighten_database(self.path)
        self._run("PRAGMA journal_mode = WAL")  # readers and a writer work at the same time; kept in the file
        super().bring_up_to_date()
        self._identity = _identity(self.path)

    def check_place(self) -> None:
        """See that the file is there; SQLite goes on writing to one that was removed, and all of it is lost."""
        if _identity(self.path) != self._identity:
            raise FileNotFoundError("the file it was opened with is no longer there")

    def wipe(self) -> None:
        """Deleted rows are overwritten where they were; this empties the log of them."""
        self._run("PRAGMA wal_checkpoint(TRUNCATE)")

    def shrink(self) -> None:
        """Write the file anew, without the room that is no longer used."""
        self._run("VACUUM")
        self.wipe()

    def _run(self, statement: str) -> None:
        """Run what cannot run in a transaction."""
        with self.writer.connect() as connection:
            connection.execution_options(bare=True).exec_driver_sql(statement)

    def size(self, connection: Connection) -> int:  # noqa: ARG002  the other kind of database asks by it
        """Bytes on disk: the file, the write-ahead log and its index."""
        parts = (self.path.with_name(self.path.name + suffix) for suffix in ("", "-wal", "-shm"))
        return sum(part.stat().st_size for part in parts if part.exists())

    def explain(self, error: Exception) -> StoreError:
        """The error as a user should see it."""
        setting = self.schema.file_setting
        if isinstance(error, OSError):
            said = str(error.strerror or error)
            return StoreError(said, where=self.where, hint=_PLACE.format(setting=setting))
        cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
        code = fault_code(error)
        known = FAULTS.get(code) if code is not None else None
        if known is None:
            return StoreError(f"{cause}", where=self.where, hint="This should not happen: please report it.")
        return StoreError(f"{known[0]} ({cause})", where=self.where, hint=known[1].format(setting=setting))


def fault_code(error: Exception) -> int | None:
    """Return SQLite's code for the kind of fault; `None` where the error is not SQLite's."""
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    # The low byte is the kind of fault, the rest its circumstances.
    return code & 0xFF if isinstance(code, int) else None


def _engine(url: URL, busy_seconds: float, size: int, *, begin: str) -> Engine:
    engine = create_engine(
        url,
        # Transactions are begun by hand below; left to itself the driver begins them too late to be of use.
        connect_args={"timeout": busy_seconds, "isolation_level": None},
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
    )

    def start(connection: Connection) -> None:
        if not connection.get_execution_options().get("bare"):
            connection.exec_driver_sql(begin)

    event.listen(engine, "connect", _set_up)
    event.listen(engine, "begin", start)
    return engine


def _set_up(connection: DBAPIConnection, _: object) -> None:
    try:
        cursor = connection.cursor()
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA synchronous = FULL")  # what is committed survives a loss of power
        cursor.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
        cursor.close()
    except sqlite3.Error:
        connection.close()  # the pool does not know it yet
        raise


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
