"""The database protocol of the memory: a SQLite file, or a database on a PostgreSQL server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Connection

from sale.errors import StoreError

READERS: Final = 3
"""Threads, and connections, that read at the same time. One more writes."""
POOL_SECONDS: Final = 600


class Presence(Protocol):
    """Marks an open memory as alive; the mark is lost when its process ends, however it ends.

    An unfinished auction names the token of the memory that holds it. Whoever opens the memory later asks whether that
    token is still held; process ids would not do, because they are used again and mean nothing in another container.
    """

    @property
    def token(self) -> str:
        """This memory's."""
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
        """Be alive from now on. To be called inside the gate."""
        ...

    def leave(self) -> None:
        """Be gone."""
        ...

    def find_dead(self, tokens: Sequence[str]) -> list[str]:
        """Those of these tokens that no process holds. To be called inside the gate, from a worker thread."""
        ...

    def tidy(self) -> None:
        """Remove what dead processes left behind. To be called inside the gate, from a worker thread."""
        ...


class Backend(Protocol):
    """One database. Everything here is called from worker threads, and may raise what `explain` takes."""

    @property
    def where(self) -> str:
        """Which memory this is, for messages; without a password."""
        ...

    @property
    def path(self) -> Path | None:
        """The file, where it is one."""
        ...

    @property
    def presence(self) -> Presence:
        """The mark of this memory and of others that are alive."""
        ...

    def bring_up_to_date(self) -> None:
        """Make the tables, or upgrade them. To be called inside the gate.

        Raises:
            StoreError: It is the database of something else, or newer than this version of `sale`.
        """
        ...

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one snapshot."""
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that writes: it waits its turn at the beginning, and so never fails for being too late."""
        ...

    def wipe(self) -> None:
        """Leave no trace of what was deleted."""
        ...

    def shrink(self) -> None:
        """Give room that is no longer used back to the disk. Others wait meanwhile."""
        ...

    def size(self, connection: Connection) -> int:
        """Bytes on disk."""
        ...

    def explain(self, error: Exception) -> StoreError:
        """The error as a user should see it."""
        ...

    def close(self) -> None:
        """Let go of all connections."""
        ...
