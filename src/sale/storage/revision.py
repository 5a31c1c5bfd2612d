"""The revision of the tables that a database has, and bringing it to the newest."""

from __future__ import annotations

from importlib import import_module

from sqlalchemy import Connection, inspect

from sale.errors import StoreError
from sale.storage.schema import Schema


def read_revision(connection: Connection, schema: Schema, where: str, *, shared: bool) -> str | None:
    """The stored revision; `None` where there are no tables of ours.

    Args:
        connection: Reading.
        schema: The tables that belong there.
        where: Which database it is, for messages.
        shared: Tables of others may be there too, as long as none has a name of ours.

    Raises:
        StoreError: It is the database of something else.
    """
    tables = inspect(connection).get_table_names()
    versions = schema.version_table
    if versions.name in tables:
        return connection.execute(versions.select()).scalar()
    foreign = sorted(set(tables) & set(schema.metadata.tables) if shared else tables)
    if foreign:
        raise StoreError(
            f"it is a database of something else (tables {', '.join(foreign[:3])!r})",
            where=where,
            hint=f"Name another one: {schema.file_setting}, or {schema.url_setting}.",
        )
    return None


def bring_up_to_date(connection: Connection, version: str | None, schema: Schema, where: str) -> None:
    """Make the tables, or run the revisions that are missing, inside the transaction that `connection` is in.

    Args:
        connection: In a writing transaction that no other process can be in; the caller commits.
        version: The stored revision, not the newest; `None` for a database without tables of ours.
        schema: The tables.
        where: Which database it is, for messages.

    Raises:
        StoreError: The database was written by a version of `sale` that is newer, or older than the first release.
    """
    if version is None:
        schema.metadata.create_all(connection, checkfirst=False)
        versions = schema.version_table
        versions.create(connection)
        connection.execute(versions.insert(), {"version_num": schema.head})
    else:
        # Loaded here only: Alembic takes longer to import than everything else takes to open a database.
        import_module("sale.storage.migrate").upgrade(connection, version, schema, where)
