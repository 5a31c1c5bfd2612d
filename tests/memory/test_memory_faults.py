"""What goes wrong at a user's ends in one error that says what, where and what to do; nothing is half written."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, event

from sale.errors import InputError, StoreError
from sale.memory.store import AuctionMemory
from sale.types import Task
from tests.memory.builders import HashEmbedder, bid, execution, outcome, remember

TASK = Task(text="sort the list")


@asynccontextmanager
async def opened(path: Path, busy_seconds: float = 5.0) -> AsyncGenerator[AuctionMemory]:
    async with await AuctionMemory.open(path, embedder=HashEmbedder(), busy_seconds=busy_seconds) as memory:
        yield memory


def check(error: StoreError, path: Path, hint: str) -> None:
    assert str(path) in str(error)
    assert hint in error.hint
    assert error.code == "store"


async def test_a_directory_that_cannot_be_made():
    path = Path("/proc/nowhere/memory.sqlite3")
    with pytest.raises(StoreError) as caught:
        await AuctionMemory.open(path, embedder=HashEmbedder())
    check(caught.value, path, "memory.path in sale.toml, or SALE_MEMORY")


async def test_a_file_where_a_directory_should_be(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        await AuctionMemory.open(tmp_path / "file" / "memory.sqlite3", embedder=HashEmbedder())
    check(caught.value, tmp_path / "file", "Check the directory")


async def test_a_directory_where_the_file_should_be(tmp_path: Path):
    (tmp_path / "m").mkdir()
    with pytest.raises(StoreError, match="cannot be opened") as caught:
        await AuctionMemory.open(tmp_path / "m", embedder=HashEmbedder())
    check(caught.value, tmp_path / "m", "Check the directory")


async def test_a_file_that_is_no_database_is_left_as_it_is(tmp_path: Path):
    (tmp_path / "m").write_text("my notes, not a database\n" * 100)
    with pytest.raises(StoreError, match="it is not a database") as caught:
        await AuctionMemory.open(tmp_path / "m", embedder=HashEmbedder())
    check(caught.value, tmp_path / "m", "Name another file")
    assert (tmp_path / "m").read_text() == "my notes, not a database\n" * 100


async def test_a_database_of_something_else_is_left_as_it_is(tmp_path: Path):
    with closing(sqlite3.connect(tmp_path / "m")) as other:
        other.execute("CREATE TABLE songs (title)")
        other.execute("CREATE TABLE alembic_version (version_num)")
    before = (tmp_path / "m").read_bytes()
    with pytest.raises(StoreError, match=r"database of something else \(tables 'alembic_version, songs'\)") as caught:
        await AuctionMemory.open(tmp_path / "m", embedder=HashEmbedder())
    check(caught.value, tmp_path / "m", "Name another one")
    assert (tmp_path / "m").read_bytes() == before


async def test_a_memory_newer_than_the_code_is_left_as_it_is(tmp_path: Path):
    async with opened(tmp_path / "m") as memory:
        await remember(memory, "x", "sort")
    with closing(sqlite3.connect(tmp_path / "m")) as newer:
        newer.execute("UPDATE memory_version SET version_num = '9999'")
        newer.commit()
    before = (tmp_path / "m").read_bytes()
    with pytest.raises(StoreError, match=r"newer version of sale \(revision '9999'; this one knows") as caught:
        await AuctionMemory.open(tmp_path / "m", embedder=HashEmbedder())
    check(caught.value, tmp_path / "m", "pip install -U sale")
    assert (tmp_path / "m").read_bytes() == before


async def test_a_damaged_file(tmp_path: Path):
    async with opened(tmp_path / "m") as memory:
        for number in range(20):
            await remember(memory, f"x{number}", f"task {number}")
    whole = (tmp_path / "m").read_bytes()
    (tmp_path / "m").write_bytes(whole[:8192] + b"\xa5" * (len(whole) - 8192))
    with pytest.raises(StoreError, match="the file is damaged") as caught:
        async with opened(tmp_path / "m") as memory:
            await memory.list()
    check(caught.value, tmp_path / "m", "Restore a copy")


async def test_a_file_cut_short(tmp_path: Path):
    async with opened(tmp_path / "m") as memory:
        await remember(memory, "x", "sort")
    whole = (tmp_path / "m").read_bytes()
    (tmp_path / "m").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(StoreError, match="the file is damaged"):
        async with opened(tmp_path / "m") as memory:
            await memory.load("x")


async def test_a_file_another_program_keeps_locked(tmp_path: Path):
    async with opened(tmp_path / "m", busy_seconds=0.2) as memory:
        await remember(memory, "x", "sort")
        with closing(sqlite3.connect(tmp_path / "m", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another program keeps it locked") as caught:
                await memory.begin("y", TASK)
            check(caught.value, tmp_path / "m", "Close the program")
            assert (await memory.load("x")).id == "x", "reading goes on"
            other.execute("ROLLBACK")
        await memory.begin("y", TASK)


async def test_a_lock_that_is_soon_gone_is_waited_for(tmp_path: Path):
    import asyncio

    async with opened(tmp_path / "m", busy_seconds=20) as memory:
        with closing(sqlite3.connect(tmp_path / "m", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            begun = asyncio.ensure_future(memory.begin("y", TASK))
            await asyncio.sleep(0.3)
            assert not begun.done()
            other.execute("COMMIT")
            await begun


async def test_a_process_that_does_not_finish_opening(tmp_path: Path):
    from filelock import FileLock

    locks = tmp_path / "m-locks"
    locks.mkdir()
    with FileLock(locks / "open.lock"), pytest.raises(StoreError, match="still opening it") as caught:
        await AuctionMemory.open(tmp_path / "m", embedder=HashEmbedder(), busy_seconds=0.1)
    check(caught.value, tmp_path / "m", "hangs")


async def test_a_full_disk_loses_nothing_that_is_on_record(tmp_path: Path):
    async with opened(tmp_path / "m") as memory:
        await memory.begin("x", TASK)
        engine = memory._database.backend.writer

        def no_more_room(connection: Connection) -> None:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # raised to the present size by SQLite

        event.listen(engine, "begin", no_more_room)
        held = await memory.load("x")
        long = (bid("a", 1.0, "plan " * 50_000), bid("b", 2.0))
        with pytest.raises(StoreError, match="the disk is full") as caught:
            await remember(memory, "y", "task " * 50_000, long)
        check(caught.value, tmp_path / "m", "Free some space")
        event.remove(engine, "begin", no_more_room)
        assert [one.id for one in await memory.list()] == ["x"]
        assert await memory.load("x") == held


async def test_a_step_that_fails_half_way_leaves_nothing_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from sale.memory import writing

    async with opened(tmp_path / "m") as memory:
        await remember(memory, "x", "sort", verdict=None)
        before = await memory.load("x")
        written = writing.Rows.insert

        def fail(*args: Any) -> None:
            written(*args)
            raise sqlite3.OperationalError("disk I/O error")

        monkeypatch.setattr(writing.Rows, "insert", fail)
        with pytest.raises(StoreError):
            await memory.settle("x", execution(), outcome())
        monkeypatch.undo()
        assert await memory.load("x") == before
        await memory.settle("x", execution(), outcome())


async def test_a_mistake_of_the_caller_is_no_fault_of_the_store(tmp_path: Path):
    async with opened(tmp_path / "m") as memory:
        with pytest.raises(InputError):
            await memory.load("nothing")
        await memory.begin("x", TASK)


async def test_links_and_tildes_name_one_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two names of one file agree on its locks, so neither takes the other for dead."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    async with opened(tmp_path / "real" / "m") as memory:
        await memory.begin("x", TASK)
        async with opened(Path("~/link/m")) as other:
            assert other.path == memory.path
            assert (await other.load("x")).status == "open"
