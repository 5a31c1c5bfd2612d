"""Making tables, running the revisions after those of the first release, and refusing what is not understood."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import DDL, Column, Connection, Integer, MetaData, String, Table, event

from sale.errors import StoreError
from sale.memory.database import SCHEMA as MEMORY
from sale.server.store.schema import SCHEMA as STORE
from sale.storage.database import Database
from sale.storage.migrate import configuration
from sale.storage.schema import Schema
from tests.support.postgres import Server

REVISION = '''"""{what}"""

import sqlalchemy as sa
from alembic import op

revision = "{number}"
down_revision = {before!r}
branch_labels = None
depends_on = None
'''
ADDS_A_COLUMN = """

def upgrade():
    op.add_column("songs", sa.Column("singer", sa.String(20)))
    {more}
"""


def released(folder: Path) -> Schema:
    """The schema of a first release."""
    (folder / "r0003.py").write_text(REVISION.format(what="The first.", number="0003", before=None))
    metadata = MetaData()
    songs = Table("songs", metadata, Column("title", String(20), primary_key=True))
    event.listen(songs, "after_create", DDL("INSERT INTO songs (title) VALUES ('one')"))
    return Schema(
        key="songs",
        name="the songs",
        metadata=metadata,
        head="0003",
        revisions=folder,
        file_setting="songs.path",
        url_setting="songs.url",
        when_outdated="Sing them again.",
    )


def changed(before: Schema, *, more: str = "pass") -> Schema:
    """The schema of the release after it."""
    text = REVISION.format(what="Who sings it.", number="0004", before="0003") + ADDS_A_COLUMN.format(more=more)
    (before.revisions / "r0004.py").write_text(text)
    metadata = MetaData()
    Table("songs", metadata, Column("title", String(20), primary_key=True), Column("singer", String(20)))
    return replace(before, metadata=metadata, head="0004")


def database(schema: Schema) -> type[Database]:
    return type("SongDatabase", (Database,), {"schema": schema})


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "songs.sqlite3"
    server: Server = request.getfixturevalue("postgres")
    return server.database()


@pytest.fixture
def first(tmp_path: Path) -> Schema:
    folder = tmp_path / "with space: 50% new"
    folder.mkdir()
    return released(folder)


async def run(schema: Schema, place: Path | str, statement: str) -> list[tuple[object, ...]]:
    """Open the database, run a statement, and close it."""

    def work(connection: Connection) -> list[tuple[object, ...]]:
        result = connection.exec_driver_sql(statement)
        return [tuple(row) for row in result] if result.returns_rows else []

    opened = await database(schema).open(place)
    try:
        return await opened.write(work)
    finally:
        await opened.close()


async def version(schema: Schema, place: Path | str) -> object:
    return await run(schema, place, f"SELECT version_num FROM {schema.version_table.name}")


@pytest.mark.parametrize("schema", [MEMORY, STORE], ids=lambda schema: schema.key)
def test_the_code_names_the_newest_revision(schema: Schema) -> None:
    scripts = ScriptDirectory.from_config(configuration(schema))
    assert scripts.get_heads() == [schema.head]
    assert all(one.doc for one in scripts.walk_revisions())


async def test_a_revision_after_the_first_is_run_and_keeps_what_is_there(first: Schema, place: Path | str) -> None:
    assert await run(first, place, "SELECT * FROM songs") == [("one",)]
    assert await version(first, place) == [("0003",)]
    then = changed(first)
    assert await run(then, place, "SELECT title, singer FROM songs") == [("one", None)]
    assert await version(then, place) == [("0004",)]

    def compare(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"version_table": then.version_table.name})
        return list(compare_metadata(context, then.metadata))

    opened = await database(then).open(place)
    assert await opened.read(compare) == []
    await opened.close()


async def test_a_revision_that_fails_changes_nothing(first: Schema, place: Path | str) -> None:
    await run(first, place, "SELECT 1")
    broken = changed(first, more="op.execute('SELECT * FROM nowhere')")
    with pytest.raises(StoreError, match="nowhere"):
        await database(broken).open(place)
    assert await version(first, place) == [("0003",)]
    assert await run(first, place, "SELECT * FROM songs") == [("one",)]


async def test_databases_that_are_upgraded_at_once_do_not_disturb_each_other(first: Schema, tmp_path: Path) -> None:
    """Alembic speaks through a global: unguarded, one migration runs on the other's connection."""
    places = [tmp_path / f"{number}.sqlite3" for number in range(6)]
    for place in places:
        await run(first, place, f"UPDATE songs SET title = '{place.stem}'")
    then = changed(first)
    async with asyncio.TaskGroup() as group:
        found = [group.create_task(run(then, place, "SELECT * FROM songs")) for place in places]
    assert [one.result() for one in found] == [[(place.stem, None)] for place in places]


@pytest.mark.parametrize(
    ("stored", "said", "advice"),
    [
        ("0002", r"from before the first release \(revision '0002'\)", "Sing them again."),
        ("0009", r"newer version of sale \(revision '0009'; this one knows up to '0003'\)", "pip install -U sale"),
    ],
)
async def test_another_versions_database_is_left_alone(
    first: Schema, place: Path | str, stored: str, said: str, advice: str
) -> None:
    await run(first, place, f"UPDATE songs_version SET version_num = '{stored}'")
    with pytest.raises(StoreError, match=said) as refused:
        await database(first).open(place)
    assert advice in refused.value.hint


async def test_the_database_of_something_else_is_refused(first: Schema, place: Path | str) -> None:
    other = MetaData()
    Table("songs", other, Column("number", Integer, primary_key=True))
    await run(replace(first, key="other", metadata=other), place, "SELECT 1")
    with pytest.raises(StoreError, match="database of something else") as refused:
        await database(first).open(place)
    assert refused.value.hint == "Name another one: songs.path, or songs.url."
