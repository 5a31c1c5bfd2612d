"""A SQLite file on a file system that is mounted read-only: it is read as it is, and no lock is left beside it.

A program elsewhere may write to it meanwhile, the host of a container for example. Where its log has content, SQLite
reads by the log's index, as that program does; where there is none, the file is taken for one that does not change.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import URL

from sale.errors import StoreError
from sale.storage.schema import Schema
from sale.storage.sqlite import SqliteFile, fault_code


def is_read_only(path: Path) -> bool:
    """Return whether a file is there, on a file system that is mounted read-only."""
    if not hasattr(os, "statvfs") or not path.is_file():
        return False
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


class NoPresence:
    """The marks of a process that writes nothing: there are none, and of no other process is it said to be dead."""

    def __init__(self) -> None:
        """Nothing is marked."""
        self.token = uuid.uuid4().hex

    @asynccontextmanager
    async def gate(self, seconds: float) -> AsyncGenerator[None]:  # noqa: ARG002  as the protocol has it
        """Wait for no other process."""
        yield

    def announce(self) -> None:
        """Mark nothing."""

    def leave(self) -> None:
        """Nothing is marked."""

    def find_dead(self, tokens: Sequence[str]) -> list[str]:  # noqa: ARG002  as the protocol has it
        """None: to find out takes a lock."""
        return []

    def tidy(self) -> None:
        """Leave everything as it is."""


class ReadOnlyFile(SqliteFile):
    """A database in a file that can be read and not written."""

    def __init__(self, path: Path, schema: Schema, busy_seconds: float) -> None:
        """Nothing is opened yet; see `SqliteFile`."""
        log = path.with_name(f"{path.name}-wal")
        self._has_log = log.is_file() and log.stat().st_size > 0
        how = {"uri": "true", "mode": "ro"} | ({} if self._has_log else {"immutable": "1"})
        url = URL.create("sqlite+pysqlite", database=f"file:{quote(str(path))}", query=how)
        super().__init__(path, schema, busy_seconds, url)
        self.presence = NoPresence()

    def bring_up_to_date(self) -> None:
        """See that the tables are those of this version, as they cannot be upgraded.

        Raises:
            StoreError: They are not.
        """
        version = self.read_revision()
        if version != self.schema.head:
            raise StoreError(
                f"it has the tables of another version of sale (revision {version or 'none'}, not "
                f"{self.schema.head}), and its file system is read-only",
                where=self.where,
                hint=f"Copy it to where it can be written, and name the copy: {self.schema.file_setting}.",
            )

    def explain(self, error: Exception) -> StoreError:
        """The error as a user should see it."""
        code, setting = fault_code(error), self.schema.file_setting
        if code == sqlite3.SQLITE_READONLY:
            return StoreError(
                "it can be read only, as its file system is mounted read-only",
                where=self.where,
                hint=f"Mount it for writing, or name another place: {setting}.",
            )
        if code == sqlite3.SQLITE_CANTOPEN and self._has_log:
            return StoreError(
                "its latest records are in its log (-wal), which cannot be read on a file system that is read-only",
                where=self.where,
                hint=f"Copy both files to where they can be written, and name the copy: {setting}.",
            )
        return super().explain(error)
