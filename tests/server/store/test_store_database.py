"""The store's tables and places: made, refused, and errors that never show a password."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect

from sale.errors import ConfigError, StoreError
from sale.server.store.database import StoreDatabase
from sale.server.store.schema import SCHEMA, metadata
from sale.server.store.store import ServerStore
from tests.support.unawaited_errors import complaints, let_run

ROOT = Path(__file__).parents[3]
VERSION_TABLE = SCHEMA.version_table.name
OPEN = """
import asyncio, sys
from sale.server.store.store import ServerStore

async def main():
    async with await ServerStore.open(sys.argv[1]) as store:
        await store.keys()

asyncio.run(main())
sys.stdout.write(str("alembic" in sys.modules))
"""


async def test_a_new_store_has_the_tables_the_code_expects(store: ServerStore):
    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(
            connection, opts={"version_table": VERSION_TABLE, "compare_type": True, "compare_server_default": True}
        )
        return list(compare_metadata(context, metadata))

    def named(connection: Connection) -> dict[str, object]:
        found = inspect(connection)
        return {name: found.get_pk_constraint(name)["name"] for name in metadata.tables}

    assert await store._database.read(compare) == []
    assert await store._database.read(named) == {name: f"pk_{name}" for name in metadata.tables}


async def test_an_error_after_the_caller_has_left_is_not_complained_of(store: ServerStore):
    begun, fail = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work(connection: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        fail.wait()
        connection.exec_driver_sql("SELECT * FROM there_is_no_such_table")

    with complaints() as heard:
        caller = asyncio.create_task(store._database.read(work))
        await begun.wait()
        caller.cancel()
        await asyncio.wait([caller])
        fail.set()
        # The readers' threads may be several: closing waits for all of them.
        await store.aclose()
        await let_run()
    assert heard == []


async def test_many_open_a_new_store_at_once(opened, place: str):
    async with asyncio.TaskGroup() as group:
        opening = [group.create_task(opened()) for _ in range(4)]
    secret, _ = await opening[0].result().create_key("ci")
    for task in opening[1:]:
        assert (await task.result().admit(secret)).name == "ci"


def test_a_store_is_made_and_opened_without_alembic(tmp_path: Path):
    said = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", OPEN, str(tmp_path / "sub" / "s")],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for _ in range(2)
    ]
    assert said == ["False", "False"]


async def test_a_newer_store_is_left_alone(store: ServerStore, place: str):
    await store._database.write(lambda c: c.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    with pytest.raises(StoreError, match="newer version of sale"):
        await ServerStore.open(place)


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("mysql://root:hunter22@host/db", "mysql"),
        ("://hunter22", "cannot be read"),
        ("sqlite://", "names no database"),
        ("sqlite:///:memory:", "names no database"),
    ],
)
async def test_places_that_are_none_are_refused(place: str, said: str):
    with pytest.raises(ConfigError, match=said) as refused:
        await ServerStore.open(place)
    assert "hunter22" not in str(refused.value)


async def test_a_server_that_is_not_there_is_an_error_without_its_password():
    with pytest.raises(StoreError) as failed:
        await ServerStore.open("postgresql://user:hunter22@127.0.0.1:9/db?connect_timeout=2")
    assert "hunter22" not in str(failed.value)
    assert "postgresql://user@127.0.0.1:9/db" in str(failed.value)


async def test_a_file_that_is_no_database_is_an_error(tmp_path: Path):
    (tmp_path / "s").write_text("not a database " * 1000, encoding="utf-8")
    with pytest.raises(StoreError, match="not a database"):
        await ServerStore.open(tmp_path / "s")


async def test_work_that_began_is_finished_for_a_caller_that_left(tmp_path: Path):
    database = await StoreDatabase.open(tmp_path / "s")
    writing = asyncio.ensure_future(
        database.write(lambda c: c.exec_driver_sql("UPDATE server_state SET changes = 7") and None)
    )
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await database.write(lambda _: None)  # after it
    assert (await database.read(lambda c: c.exec_driver_sql("SELECT changes FROM server_state").scalar())) == 7
    await database.close()
    await database.close()
