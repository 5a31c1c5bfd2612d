"""What databases say, explained: every known fault with its remedy, and never a password."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import make_url
from sqlalchemy.exc import OperationalError

from sale.errors import StoreError
from sale.memory.database import SCHEMA as MEMORY
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import SCHEMA as STORE
from sale.storage import postgres, sqlite
from sale.storage.postgres import PostgresServer
from sale.storage.schema import Schema
from sale.storage.sqlite import SqliteFile

BOTH = pytest.mark.parametrize("schema", [MEMORY, STORE], ids=lambda schema: schema.key)


def explained_by_file(schema: Schema, cause: sqlite3.Error) -> StoreError:
    backend = SqliteFile(Path("m"), schema, 1.0)
    error = backend.explain(OperationalError("SELECT 1", None, cause))
    backend.close()
    return error


@BOTH
@pytest.mark.parametrize("code", sorted(sqlite.FAULTS))
def test_every_known_fault_of_a_file_says_what_to_do(code: int, schema: Schema) -> None:
    """Through the whole code SQLite gives, with its circumstances in the upper bytes."""
    cause = sqlite3.OperationalError("what SQLite says")
    cause.sqlite_errorcode = code | 7 << 8
    error = explained_by_file(schema, cause)
    what, hint = sqlite.FAULTS[code]
    assert error.message == f"{what} (what SQLite says)"
    assert error.hint == hint.replace("{setting}", schema.file_setting)
    assert f"{schema.name} m" in str(error)


def test_an_unknown_fault_is_passed_on_in_its_own_words() -> None:
    error = explained_by_file(MEMORY, sqlite3.OperationalError("no such table: x"))
    assert error.message == "no such table: x"
    assert "report it" in error.hint


@BOTH
@pytest.mark.parametrize("code", [*sorted(postgres.FAULTS), "42P01"])
def test_what_a_server_says_is_explained(code: str, schema: Schema) -> None:
    cause = Exception("what it says about hunter2/&\nand its statement")
    cause.sqlstate = code  # pyright: ignore[reportAttributeAccessIssue]  as psycopg has it
    backend = PostgresServer(make_url("postgresql://u:hunter2%2F&@h/d"), schema, 1.0)
    error = backend.explain(OperationalError("SELECT 1", None, cause))
    backend.close()
    said = "what it says about ***"
    if code in postgres.FAULTS:
        what, hint = postgres.FAULTS[code]
        assert (error.message, error.hint) == (f"{what} ({said})", hint.replace("{setting}", schema.url_setting))
    else:
        assert error.message == f"{said} ({code})"
        assert "report it" in error.hint
    assert error.where == f"{schema.name} postgresql://u@h/d"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[StoreDatabase]:
    opened = await StoreDatabase.open(f"sqlite:///{tmp_path / 's'}")
    yield opened
    await opened.close()


async def test_a_probe_fails_where_the_file_was_replaced(database: StoreDatabase, tmp_path: Path) -> None:
    """SQLite goes on writing to what was opened, which nobody will find."""
    await database.probe(lambda _: None)
    (tmp_path / "s").rename(tmp_path / "moved")
    with pytest.raises(StoreError, match="No such file"):
        await database.probe(lambda _: None)
    (tmp_path / "s").write_bytes(b"")
    with pytest.raises(StoreError, match="no longer there"):
        await database.probe(lambda _: None)
    await database.close()
    with pytest.raises(StoreError, match="it is closed"):
        await database.probe(lambda _: None)


async def test_a_number_that_no_column_holds_is_an_error(database: StoreDatabase) -> None:
    with pytest.raises(StoreError, match="too large"):
        await database.write(
            lambda connection: connection.exec_driver_sql("UPDATE server_state SET changes = ?", (2**70,)) and None
        )
