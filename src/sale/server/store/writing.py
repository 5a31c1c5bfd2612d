"""Writing rows that may be there already, in the words of either database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

Rows = Sequence[Mapping[str, Any]]


def put(connection: Connection, table: Table, rows: Rows, **added: Any) -> None:  # noqa: ANN401  SQL expressions
    """Insert rows; where the primary key is there already, its other columns take the new values.

    Args:
        connection: In a writing transaction.
        table: With a primary key.
        rows: Each with a value for every column.
        added: For some columns, the expression to set instead of the new value.
    """
    if rows:
        insert = statement(connection, table)
        keys = [column.name for column in table.primary_key]
        new = {column.name: insert.excluded[column.name] for column in table.columns if column.name not in keys}
        connection.execute(insert.on_conflict_do_update(index_elements=keys, set_={**new, **added}), rows)


def add(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows; those whose primary key is there already stay as they are."""
    if rows:
        connection.execute(statement(connection, table).on_conflict_do_nothing(), rows)


def statement(connection: Connection, table: Table) -> Any:  # noqa: ANN401  the two have no common type with conflicts
    """The dialect's own insert."""
    return postgresql_insert(table) if connection.dialect.name == "postgresql" else sqlite_insert(table)
