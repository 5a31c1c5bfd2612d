"""The backend of a database: the parts a SQLite file and a PostgreSQL server share, and those each brings along."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection, Engine

from sale.errors import StoreError
from sale.storage import revision
from sale.storage.schema import Schema

READERS: Final = 3
"""Threads, and connections, that read at the same time. One more writes."""
POOL_SECONDS: Final = 600


class Presence(Protocol):
    """Marks an open database as in use; the mark is lost when its process ends, however it ends.

    Unfinished work names the token of the process that does it. Whoever opens the database later asks whether that
    token is still held; process ids would not do, because they are used again and mean nothing in another container.
    """

    @property
    def token(self) -> str:
        """That of this process and database."""
        ...

    def gate(self, seconds: float) -> AbstractAsyncContextManager[None]:
        """Only one process at a time: for opening, migrating and sweeping.

        Raises:
            StoreError: Others kept it for longer than `seconds`.
            OSError: The locks cannot be written.
            SQLAlchemyError: The server cannot be asked.
        """
        ...

    def announce(self) -> None:
        """Hold the token from now on. To be called inside the gate."""
        ...

    def leave(self) -> None:
        """Let go of the token, if it is held."""
        ...

    def find_dead(self, tokens: Sequence[str]) -> list[str]:
        """Those of these tokens that no process holds. To be called inside the gate, from a worker thread."""
        ...

    def tidy(self) -> None:
        """Remove what dead processes left behind. To be called inside the gate, from a worker thread."""
        ...


class Backend(ABC):
    """One database. Everything here is called from worker threads, and may raise what `explain` takes."""

    reader: Engine
    """Its transactions see one snapshot."""
    writer: Engine
    """Its transactions wait for their turn at the beginning, and so never fail for being too late."""
    presence: Presence

    def __init__(self, schema: Schema, shown: str) -> None:
        """Nothing is opened yet.

        Args:
            schema: The tables that belong there.
            shown: Where it is, without a password.
        """
        self.schema = schema
        self.where = f"{schema.name} {shown}"
        """Which database this is, for messages."""

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""
        return None

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """A transaction that sees one snapshot."""
        with self.reader.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """A transaction that writes."""
        with self.writer.connect() as connection, connection.begin():
            yield connection

    def read_revision(self) -> str | None:
        """The stored revision; `None` where there are no tables yet.

        Raises:
            StoreError: It is the database of something else.
        """
        with self.reading() as connection:
            return revision.read_revision(connection, self.schema, self.where, shared=self.path is None)

    def bring_up_to_date(self) -> None:
        """Make the tables, or upgrade them. To be called inside the gate.

        Raises:
            StoreError: It is the database of something else, or of another version of `sale`.
        """
        version = self.read_revision()
        if version != self.schema.head:
            with self.writing() as connection:
                revision.bring_up_to_date(connection, version, self.schema, self.where)

    @abstractmethod
    def check_place(self) -> None:
        """See that what is written now is found where the database was opened.

        Raises:
            OSError: It would not be.
        """

    @abstractmethod
    def wipe(self) -> None:
        """Leave no trace of what was deleted."""

    @abstractmethod
    def shrink(self) -> None:
        """Give room that is no longer used back to the disk. Others wait meanwhile."""

    @abstractmethod
    def size(self, connection: Connection) -> int:
        """Bytes on disk."""

    @abstractmethod
    def explain(self, error: Exception) -> StoreError:
        """The error as a user should see it, without a password and without the values of a statement."""

    def close(self) -> None:
        """Let go of all connections."""
        self.reader.dispose()
        self.writer.dispose()
