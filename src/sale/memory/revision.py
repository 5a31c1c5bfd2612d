"""Which revision of the tables a database has, and bringing it to the newest."""

from __future__ import annotations

from importlib import import_module

from sqlalchemy import Connection, inspect, text

from sale.errors import StoreError
from sale.memory.schema import VERSION_TABLE, metadata


def read_revision(connection: Connection, where: str, *, shared: bool) -> str | None:
    """The stored revision; `None` where there are no tables of ours.

    Args:
        connection: Reading.
        where: Which memory it is, for messages.
        shared: Tables of others may be there too, as long as none has a name of ours.

    Raises:
        StoreError: It is the database of something else.
    """
    tables = inspect(connection).get_table_names()
    if VERSION_TABLE in tables:
        return connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()  # noqa: S608  a constant
    foreign = sorted(set(tables) & set(metadata.tables) if shared else tables)
    if foreign:
        raise StoreError(
            f"it is a database of something else (tables {', '.join(foreign[:3])!r})",
            where=where,
            hint="Name another one: memory.path or memory.url in sale.toml, or SALE_MEMORY.",
        )
    return None


def upgrade(connection: Connection, version: str | None, where: str) -> None:
    """Run the revisions that are missing, inside the transaction that `connection` is in.

    Raises:
        StoreError: The database was written by a newer version of `sale`.
    """
    # Loaded here only: Alembic takes longer to import than everything else takes to open a memory.
    import_module("sale.memory.migrate").upgrade(connection, version, where)
