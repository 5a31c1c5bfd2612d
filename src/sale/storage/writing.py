"""Writing rows that may be there already, in the words of either database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

Rows = Sequence[Mapping[str, Any]]


class Upsert:
    """A statement that inserts rows; where the primary key is there already, its other columns take the new values.

    It is made once for each dialect: to name the columns of the new row takes longer than to write it.
    """

    def __init__(self, table: Table, **added: Any) -> None:  # noqa: ANN401  SQL expressions
        """Nothing is executed.

        Args:
            table: With a primary key.
            added: For some columns, the expression to set instead of the new value. Its parameters are in each row.
        """
        self._table = table
        self._added = added
        self._statements: dict[str, Any] = {}

    def write(self, connection: Connection, rows: Rows) -> None:
        """Write rows in a writing transaction, each with a value for every column."""
        if rows:
            name = connection.dialect.name
            statement = self._statements.get(name)
            if statement is None:
                statement = self._statements[name] = self._statement(connection)
            connection.execute(statement, rows)

    def _statement(self, connection: Connection) -> Any:  # noqa: ANN401  as `dialect_insert`
        insert = dialect_insert(connection, self._table)
        keys = [column.name for column in self._table.primary_key]
        new = {name: insert.excluded[name] for name in self._table.columns.keys() if name not in keys}  # noqa: SIM118
        return insert.on_conflict_do_update(index_elements=keys, set_={**new, **self._added})


def add(connection: Connection, table: Table, rows: Rows) -> None:
    """Insert rows; those whose primary key is there already stay as they are."""
    if rows:
        connection.execute(dialect_insert(connection, table).on_conflict_do_nothing(), rows)


def dialect_insert(connection: Connection, table: Table) -> Any:  # noqa: ANN401  the two have no common type
    """The dialect's own insert."""
    return postgresql_insert(table) if connection.dialect.name == "postgresql" else sqlite_insert(table)
