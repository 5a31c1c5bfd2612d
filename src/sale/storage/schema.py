"""The tables of one kind of database, and what users know it by."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Schema:
    """The tables of one kind of database, and what users know it by."""

    key: str
    """A word that names its version table and its locks at a server."""
    name: str
    """For messages: `the auction memory`."""
    metadata: MetaData
    head: str
    """The newest revision in `revisions`, which these tables are of; a test compares."""
    revisions: Path
    """The folder of Alembic's revisions."""
    file_setting: str
    """The setting that names a file, for advice."""
    url_setting: str
    """The setting that names a URL."""
    when_outdated: str
    """Advice to users of a database that a version before the first release made."""
    url_kinds: Sequence[str] = ("postgresql", "postgres")
    """The schemes of URLs it may have; a file may be named by its path as well."""
    serial: bool = False
    """True where the writers of all processes take turns at a server, as they do at a file."""
    list_more_tables: Callable[[Connection], Sequence[str]] = lambda _: ()
    """The tables that belong to it beside those of `metadata`."""

    @property
    def version_table(self) -> Table:
        """The table of Alembic's that holds the revision."""
        name = f"{self.key}_version"
        column = Column("version_num", String(32), nullable=False)
        return Table(name, MetaData(), column, PrimaryKeyConstraint("version_num", name=f"{name}_pkc"))

    def list_tables(self, connection: Connection) -> list[str]:
        """Return the names of all tables but that of the revision, in quotes."""
        return [f'"{name}"' for name in (*self.metadata.tables, *self.list_more_tables(connection))]
