"""The tables of the memory: what is made is what the code expects. Revisions are tested with the storage below."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Dialect, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from sale.memory.database import SCHEMA
from sale.memory.schema import metadata
from sale.memory.store import AuctionMemory
from tests.memory.builders import HashEmbedder, only_sqlite, remember

VERSION_TABLE = SCHEMA.version_table.name
OPEN = """
import asyncio, sys
from tests.memory.builders import HashEmbedder
from sale.memory.store import AuctionMemory

async def main():
    async with await AuctionMemory.open(sys.argv[1], embedder=HashEmbedder()) as memory:
        await memory.list()

asyncio.run(main())
print("alembic" in sys.modules)
"""


@only_sqlite
async def test_a_new_memory_has_the_tables_the_code_expects(memory: AuctionMemory):
    assert memory.path is not None
    engine = create_engine(f"sqlite:///{memory.path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    expected = ddl(sqlite_dialect.dialect())
    with closing(sqlite3.connect(memory.path)) as raw:
        made = [sql for (sql,) in raw.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")]
    assert constraints(made) == constraints(expected)


def ddl(dialect: Dialect) -> list[str]:
    tables = [str(CreateTable(table).compile(dialect=dialect)) for table in metadata.sorted_tables]
    indexes = [
        str(CreateIndex(index).compile(dialect=dialect)) for table in metadata.sorted_tables for index in table.indexes
    ]
    return tables + indexes


def constraints(statements: list[str]) -> set[str]:
    """Every named thing with its definition: keys, checks, indexes; comparing metadata does not look at them all."""
    lines = [line.strip(" \t,)") for statement in statements for line in statement.splitlines()]
    marks = ("CONSTRAINT", "CREATE INDEX")
    return {line for line in lines if line.startswith(marks) and VERSION_TABLE not in line}


def test_the_tables_can_be_made_on_postgresql():
    statements = ddl(postgresql.dialect())
    assert len(statements) > len(metadata.tables)
    names = [line.split()[1] for statement in statements for line in statement.splitlines() if "CONSTRAINT" in line]
    assert len(names) > 20
    assert len({name.strip('"') for name in names}) == len(names), "PostgreSQL wants names once"


def test_a_memory_is_made_and_opened_without_alembic(tmp_path: Path):
    root = Path(__file__).parents[2]
    said = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", OPEN, str(tmp_path / "m")],
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["False", "False"]


async def test_opening_again_changes_nothing(tmp_path: Path):
    for _ in range(2):
        async with await AuctionMemory.open(tmp_path / "m", embedder=HashEmbedder()) as memory:
            if not await memory.list():
                await remember(memory, "x", "sort")
            assert (await memory.load("x")).status == "settled"
    with closing(sqlite3.connect(tmp_path / "m")) as raw:
        assert raw.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [(SCHEMA.head,)]
        assert raw.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@only_sqlite
async def test_the_connections_keep_their_promises(memory: AuctionMemory, tmp_path: Path):
    def pragmas(connection: Connection) -> list[object]:
        names = ("foreign_keys", "synchronous", "secure_delete", "journal_mode", "busy_timeout")
        return [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in names]

    assert await memory._database.read(pragmas) == [1, 2, 1, "wal", 60_000]
    async with await AuctionMemory.open(tmp_path / "just made", embedder=HashEmbedder()) as made:
        assert await made._database.read(pragmas) == [1, 2, 1, "wal", 60_000]


async def test_memories_made_at_the_same_time_do_not_disturb_each_other(tmp_path: Path) -> None:
    """Each makes its tables in a transaction of its own."""

    async def made(number: int) -> None:
        async with await AuctionMemory.open(tmp_path / f"{number}.sqlite3", embedder=HashEmbedder()) as memory:
            assert (await memory.stats()).tasks == 0

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(made(number))


UNDO = (
    "DROP TABLE batch_jobs",
    "DROP INDEX ix_batch_calls_job",
    "ALTER TABLE batch_calls DROP COLUMN job",
    f"UPDATE {VERSION_TABLE} SET version_num = '0013'",
)
"""From the newest revision back to the one before it."""


async def test_a_memory_of_the_revision_before_is_brought_up_to_date(tmp_path: Path) -> None:
    place = tmp_path / "m"
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        await remember(memory, "x", "sort")
    with closing(sqlite3.connect(place)) as raw:
        made = constraints([sql for (sql,) in raw.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")])
        raw.executescript(";".join(UNDO))
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        assert (await memory.load("x")).status == "settled"
    engine = create_engine(f"sqlite:///{place}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE, "compare_type": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()
    with closing(sqlite3.connect(place)) as raw:
        now = constraints([sql for (sql,) in raw.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")])
    assert now == made
