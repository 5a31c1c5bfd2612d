"""The tables: what the revisions make is what the code expects, and they run only where there is something to do."""

from __future__ import annotations

import asyncio
import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Dialect, create_engine
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects import sqlite as sqlite_dialect
from sqlalchemy.schema import CreateIndex, CreateTable

from sale.errors import StoreError
from sale.memory import migrate
from sale.memory.schema import HEAD, VERSION_TABLE, metadata
from sale.memory.store import AuctionMemory
from sale.types import Pair
from tests.memory.builders import HashEmbedder, bid, only_sqlite, remember

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


def test_the_code_names_the_newest_revision():
    scripts = ScriptDirectory.from_config(migrate.configuration())
    assert scripts.get_heads() == [HEAD]
    assert all(one.doc for one in scripts.walk_revisions())


@only_sqlite
async def test_the_revisions_make_the_tables_the_code_expects(memory: AuctionMemory):
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


def test_a_memory_at_the_newest_revision_is_opened_without_alembic(tmp_path: Path):
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
    assert said == ["True", "False"]


async def test_a_memory_of_the_first_revision_is_upgraded_with_what_it_holds(tmp_path: Path):
    """It has a pair whose texts were copied; they stay. What comes after refers to what is on record."""
    path = tmp_path / "m"
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        config = migrate.configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with closing(sqlite3.connect(path)) as old:
        for table, row in FIRST_REVISION:
            old.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
        old.execute("UPDATE memory_state SET revision = 1")
        old.commit()
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
        held = (await memory.load("old")).auction
        assert held is not None
        assert held.refinements[0].pairs == (PAIR,)
        assert held.winner.strategy.text == "1. Think."
        await remember(memory, "new", "sort", refined=[bid("b", 3.0, refined=True)], pairs=(PAIR,))
        assert (await memory.forget("old")).auctions == 1
        new = (await memory.load("new")).auction
        assert new is not None
        assert new.refinements[0].pairs == (PAIR,)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []


DATA = Path(__file__).with_name("data")


def counts(path: Path) -> dict[str, int]:
    with closing(sqlite3.connect(path)) as raw:
        tables = [name for (name,) in raw.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: raw.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


async def exported(path: Path) -> list[dict[str, Any]]:
    stream = io.StringIO()
    async with await AuctionMemory.open(path, embedder=HashEmbedder(dimensions=4)) as memory:
        await memory.export(stream)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in lines:
        del line["record"]["source"]
    return lines


async def test_a_memory_of_the_second_revision_is_upgraded_with_what_it_holds(tmp_path: Path):
    """It was filled and exported by the code of that revision; its export, read now, is what it must hold."""
    path = tmp_path / "m"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((DATA / "revision_0002.sql").read_text(encoding="utf-8"))
    before = counts(path)
    there = await exported(path)
    assert before.items() <= counts(path).items()
    assert {line["record"]["status"] for line in there} == {"settled", "awarded", "abandoned"}
    async with await AuctionMemory.open(tmp_path / "other", embedder=HashEmbedder(dimensions=4)) as other:
        await other.import_(DATA / "revision_0002.jsonl")
    assert there == await exported(tmp_path / "other")
    async with await AuctionMemory.open(path, embedder=HashEmbedder(dimensions=4)) as memory:
        record = await memory.load("settled")
        assert record.tenant == "default"
        assert await memory.tenants() == ("default",)
        assert record.outcome is not None
        assert record.outcome.detail == "it drops\0 the last \ud83d name"
        await remember(memory, "new", "sort")
        await memory.feedback("settled", "success")
        assert (await memory.forget("settled")).auctions == 1
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_an_upgrade_that_would_break_references_changes_nothing(tmp_path: Path):
    path = tmp_path / "m"
    with closing(sqlite3.connect(path)) as old:
        old.executescript((DATA / "revision_0002.sql").read_text(encoding="utf-8"))
        old.execute("DELETE FROM tasks WHERE text = 'sort'")
        old.commit()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="refer to nothing"):
        await AuctionMemory.open(path, embedder=HashEmbedder(dimensions=4))
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [("0002",)]
    assert len(path.read_bytes()) == len(before)


PAIR = Pair(auction_id="older", task="add", similarity=0.5, losing="guess", winning="count", own="losing")
NOW = "2026-01-01 00:00:00.000000"
FIRST_REVISION: list[tuple[str, tuple[object, ...]]] = [
    ("tasks", (1, "d", "t", "id", None, "sort")),
    (
        "auctions",
        (1, "old", 1, 1, "awarded", None, "", NOW, NOW, None, None, None, "panel", "a", 1.0, 0.0, "given", 2.0),
    ),
    ("refinements", (1, 0, "b", None)),
    ("strategies", (1, 0, None, "a", "1. Think.", 3, None, None, None, None, None, 0, 0, 1.0, 1.0, 0.0, "[]", 1)),
    ("pairs", (1, 0, 0, "older", "add", 0.5, "guess", "count", "losing")),
]


async def test_opening_again_changes_nothing(tmp_path: Path):
    for _ in range(2):
        async with await AuctionMemory.open(tmp_path / "m", embedder=HashEmbedder()) as memory:
            if not await memory.list():
                await remember(memory, "x", "sort")
            assert (await memory.load("x")).status == "settled"
    with closing(sqlite3.connect(tmp_path / "m")) as raw:
        assert raw.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchall() == [(HEAD,)]
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
    """Alembic speaks through a global: unguarded, one migration runs on the other's connection."""

    async def made(number: int) -> None:
        async with await AuctionMemory.open(tmp_path / f"{number}.sqlite3", embedder=HashEmbedder()) as memory:
            assert (await memory.stats()).tasks == 0

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(made(number))
