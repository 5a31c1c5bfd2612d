"""A memory on a real PostgreSQL server: what is different there. All else is tested on both, in the other files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import make_url

from sale import config
from sale.errors import ConfigError, InputError, MissingExtraError, StoreError
from sale.memory.database import SCHEMA
from sale.memory.open import open_memory
from sale.memory.schema import metadata
from sale.memory.store import AuctionMemory
from sale.storage.postgres import PostgresServer, lock_key
from sale.types import Task
from tests.memory.builders import HashEmbedder, Place, remember
from tests.support.postgres import Server, engine_of

TASK = Task(text="sort the list")
SECRET = "the launch code is 0000"
VERSION_TABLE = SCHEMA.version_table.name


@pytest.fixture
def kind() -> str:
    return "postgresql"


async def refused(place: str, busy_seconds: float = 5.0) -> StoreError:
    """The error of opening; its text, and those of its causes that are shown with it, hold no password."""
    with pytest.raises(StoreError) as caught:
        await (await AuctionMemory.open(place, embedder=HashEmbedder(), busy_seconds=busy_seconds)).aclose()
    assert "hunter2" not in str(caught.value)
    return caught.value


async def test_a_new_memory_has_the_tables_the_code_expects(memory: AuctionMemory, place: str):
    engine = engine_of(place)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "include_name": is_of_a_revision}
        )
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def is_of_a_revision(name: str | None, kind: str, _: object) -> bool:
    """The tables of vectors are none of the migrations'."""
    return kind != "table" or not str(name).startswith("memory_vectors_")


async def test_it_says_where_it_is(memory: AuctionMemory):
    assert memory.path is None
    assert memory.where.startswith("the auction memory postgresql://postgres@/t")


async def test_an_auction_is_found_by_the_beginning_of_its_id(memory: AuctionMemory):
    await remember(memory, "one\udcff", "sort")
    await remember(memory, "two", "sort")
    for beginning in ("o", "one\udcff"):
        assert (await memory.load(beginning)).id == "one\udcff"
    for missing in ("one\udcfe", "on\x00"):
        with pytest.raises(InputError, match="there is no auction"):
            await memory.load(missing)


async def test_other_tables_in_the_database_are_left_alone(server: Server):
    place = server.database()
    server.run("CREATE TABLE songs (title text)", "INSERT INTO songs VALUES ('one')", url=place)
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        await remember(memory, "x", "sort")
        await memory.forget("x")
    assert server.run("SELECT title FROM songs", url=place) == [("one",)]
    taken = server.database()
    server.run("CREATE TABLE tasks (title text)", url=taken)
    error = await refused(taken)
    assert error.message == "it is a database of something else (tables 'tasks')"
    assert server.run("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'", url=taken) == [(1,)]


async def test_a_memory_newer_than_the_code_is_left_as_it_is(memory: AuctionMemory, place: str, server: Server):
    server.run(f"UPDATE {VERSION_TABLE} SET version_num = '9999'", url=place)
    assert "written by a newer version of sale (revision '9999'" in (await refused(place)).message


async def test_records_move_between_a_file_and_a_server(memory: AuctionMemory, blank: Path, tmp_path: Path):
    await remember(memory, "x", "sort", verdict="failure")
    await remember(memory, "y", "sort\0 the \ud800list")
    assert await memory.export(tmp_path / "all.jsonl") == 2
    async with await AuctionMemory.open(tmp_path / "file.sqlite3", embedder=HashEmbedder()) as file:
        assert (await file.import_(tmp_path / "all.jsonl")).added == 2
        assert (await file.load("x")).auction == (await memory.load("x")).auction
        await remember(file, "z", "bake")
        await file.export(tmp_path / "more.jsonl")
        found = await memory.import_(tmp_path / "more.jsonl")
        assert (found.added, found.present) == (1, 2)
        assert {one.id for one in await memory.list()} == {"x", "y", "z"}


async def test_what_is_forgotten_is_gone_from_the_tables_files(memory: AuctionMemory, place: str, server: Server):
    def on_disk() -> bool:
        server.run("CHECKPOINT")
        ((oid,),) = server.run("SELECT oid FROM pg_database WHERE datname = current_database()", url=place)
        folder = server.data / "base" / str(oid)
        return any(SECRET.encode() in (folder / name).read_bytes() for name in os.listdir(folder))  # noqa: PTH208

    await remember(memory, "x", SECRET)
    assert on_disk()
    await memory.forget("x")
    server.run("CHECKPOINT")
    assert not on_disk()


# --------------------------------------------------------------------------------------------------------- faults


async def test_no_server_there():
    error = await refused("postgresql://somebody:hunter2%2F&@127.0.0.1:1/memory?password=hunter2")
    assert error.message.startswith("the server cannot be reached (")
    assert error.where == "the auction memory postgresql://somebody@127.0.0.1:1/memory"
    assert "Is it running?" in error.hint


async def test_no_such_database_or_user(server: Server):
    error = await refused(server.uri.replace("/postgres?", "/nowhere?"))
    assert error.message.startswith("there is no such database on the server")
    assert "createdb" in error.hint
    error = await refused(server.uri.replace("//postgres:@", "//nobody:hunter2@"))
    assert error.message.startswith("the server refuses this user")


async def test_a_wrong_password_and_missing_rights(server: Server):
    rules = server.data / "pg_hba.conf"
    before = rules.read_text()
    rules.write_text(f"local all guarded scram-sha-256\n{before}")
    try:
        server.run("CREATE ROLE guarded LOGIN PASSWORD 'right'", "SELECT pg_reload_conf()")
        place = server.database()
        error = await refused(place.replace("//postgres:@", "//guarded:hunter2%2F&@"))
        assert error.message.startswith("the server refuses the password")
        assert "PGPASSWORD" in error.hint
        error = await refused(place.replace("//postgres:@", "//guarded:right@"))
        assert error.message.startswith("permission denied (")
        assert "GRANT" in error.hint
    finally:
        rules.write_text(before)
        server.run("DROP ROLE guarded", "SELECT pg_reload_conf()")


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        ("mysql://u:hunter2@h/d", "unknown kind of database: 'mysql'"),
        ("postgresql://u:hunter2@h:port/d", "cannot be read"),
        ("postgresql://u:hunter2@h", "names no database"),
        ("://", "cannot be read"),
    ],
)
async def test_what_is_no_url_of_a_memory(place: str, fault: str):
    with pytest.raises(ConfigError, match=fault) as caught:
        await AuctionMemory.open(place, embedder=HashEmbedder())
    assert "hunter2" not in str(caught.value)
    assert "://" in caught.value.hint


async def test_without_the_driver(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"needs psycopg.*sale\[postgres\]"):
        await AuctionMemory.open("postgresql://u@h/d", embedder=HashEmbedder())


async def test_a_turn_that_never_comes(place: str, memory: AuctionMemory):
    engine = engine_of(place)
    async with await AuctionMemory.open(place, embedder=HashEmbedder(), busy_seconds=0.3) as hurried:
        await remember(hurried, "x", "sort")
        with engine.connect() as other:
            other.exec_driver_sql(f"SELECT pg_advisory_lock({lock_key('memory', 'writers')})")
            with pytest.raises(StoreError, match="another program keeps it locked"):
                await hurried.begin("y", TASK)
            assert (await hurried.load("x")).id == "x", "reading goes on"
        await hurried.begin("y", TASK)
    engine.dispose()


async def test_a_server_that_ends_all_connections_is_met_again(memory: AuctionMemory, place: str, server: Server):
    """And the memory still counts as alive: its lock comes back with the connection."""
    await memory.begin("x", TASK)
    mine = "datname = current_database() AND pid <> pg_backend_pid()"
    server.run(f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE {mine}", url=place)
    await memory.begin("y", TASK)
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as other:
        assert {one.status for one in await other.list()} == {"open"}
        assert await other.sweep() == 0


# ------------------------------------------------------------------------------------------------------- settings


async def test_the_settings_or_the_environment_name_it(empty: Callable[[], Place], monkeypatch: pytest.MonkeyPatch):
    place = str(empty())
    agent = '[[agents]]\nname = "a"\nendpoint = "http://127.0.0.1:1/v1"\nmodel = "m"\nprice = 1.0\n'
    settings = config.parse(f'{agent}[memory]\nurl = "{place}"\n')
    assert config.memory_place(settings) == place
    assert place not in repr(settings)
    async with await open_memory(settings)() as memory:
        assert memory.path is None
    monkeypatch.setenv("SALE_MEMORY", place)
    assert config.memory_place(config.parse(agent)) == place
    assert "://" not in str(config.memory_path(config.parse(agent)))
    both = config.parse(f'{agent}[memory]\nurl = "{place}"\npath = "m"\n')
    with pytest.raises(ConfigError, match=r"memory.path and memory.url are both given"):
        config.memory_place(both)


async def test_a_wait_at_the_gate_takes_it_from_no_other_of_the_process(place: str):
    server = PostgresServer(make_url(place), SCHEMA, 5.0)
    async with server.presence.gate(5.0):
        with pytest.raises(StoreError, match="still opening"):
            async with server.presence.gate(0.0):
                pass
        assert server.presence.find_dead(["nobody's"]) == ["nobody's"]
