"""Rows into a table: by the driver's own statement where that is SQLite's, else as SQLAlchemy does.

An auction's award is some eighty rows of one to two dozen values. What SQLAlchemy does for each row took twice as long
as SQLite; the statement and the conversion of each column are its own here too, but taken once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import Connection, Table, insert
from sqlalchemy.dialects.sqlite import pysqlite

from sale.memory.schema import metadata

Convert = Callable[[Any], Any] | None
"""From a value to what the driver takes; `None`: it takes the value itself."""

INSERT: Final = {table: insert(table) for table in metadata.sorted_tables}
"""Tables after those they refer to. Made once: to build a statement anew takes several times as long as to run it."""
_SQLITE: Final = pysqlite.dialect()


def insert_rows(connection: Connection, table: Table, rows: Sequence[Mapping[str, object]]) -> None:
    """Insert rows that have the same fields.

    Args:
        connection: Writing.
        table: Of the memory.
        rows: At least one.
    """
    if connection.dialect.name != _SQLITE.name:
        connection.execute(INSERT[table], rows)
        return
    statement, fields = _statement(table, tuple(rows[0]))
    values = [tuple([row[name] if to is None else to(row[name]) for name, to in fields]) for row in rows]
    connection.exec_driver_sql(statement, values)


@lru_cache(len(INSERT) * 4)
def _statement(table: Table, names: tuple[str, ...]) -> tuple[str, tuple[tuple[str, Convert], ...]]:
    """SQLite's statement for rows of these fields, and for each of its values the field with its conversion."""
    compiled = INSERT[table].compile(dialect=_SQLITE, column_keys=names)
    converted: list[tuple[str, Convert]] = [
        (name, table.c[name].type.dialect_impl(_SQLITE).bind_processor(_SQLITE)) for name in compiled.positiontup or ()
    ]
    return str(compiled), tuple(converted)
