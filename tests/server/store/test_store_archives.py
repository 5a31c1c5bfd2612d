"""Old lines of the ledger in files: what they come to is what it was, and each counts once."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast, get_args

import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from sale.cli.main import app
from sale.errors import InputError, StoreError
from sale.server.store import archives, ledger
from sale.server.store.store import ServerStore
from sale.server.store.types import Grouping, LedgerEntry
from tests.support.ledger import noted

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
DAYS = 10
read_table: Any = pyarrow.parquet.read_table


def lines() -> list[LedgerEntry]:
    """Of ten days, with everything a line can have or lack."""
    return [
        noted(
            id=f"r{number}",
            at=NOON - timedelta(days=number % DAYS, seconds=number, microseconds=number),
            key_id=None if number % 3 else "k" if number % 9 else "other",
            session_id=None if number % 4 else f"s{number % 8}",
            agent=None if number % 5 == 0 else "größer" if number % 2 else "small",
            status=502 if number % 7 == 0 else 200,
            error="upstream" if number % 7 == 0 else None,
            input_tokens=1000 + number,
            output_tokens=number,
            work_dollars=0.001 * number,
            auction_dollars=0.25,
            largest_dollars=2.0,
        )
        for number in range(60)
    ]


def files(folder: Path) -> list[Path]:
    return list(folder.glob("*.parquet"))


def read(file: Path) -> bytes:
    return file.read_bytes()


def put(file: Path, content: bytes | None) -> None:
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


async def sums(store: ServerStore) -> dict[tuple[str, object], list[dict[str, object]]]:
    found: dict[tuple[str, object], list[dict[str, object]]] = {}
    for by in get_args(Grouping):
        for since in (None, NOON - timedelta(days=4), NOON - timedelta(days=20), NOON + timedelta(days=1)):
            spent = await store.spend(since, by)
            found[by, since] = sorted(
                (
                    {
                        name: pytest.approx(value) if isinstance(value := getattr(one, name), float) else value
                        for name in one.__dataclass_fields__
                    }
                    for one in spent
                ),
                key=lambda one: str(one["label"]),
            )
    return found


async def test_sums_are_the_same_over_both(store: ServerStore, tmp_path: Path) -> None:
    given = lines()
    for line in given:
        await store.note(line)
    before = await sums(store)
    assert len(before["day", None]) == DAYS
    end = NOON.replace(hour=0) - timedelta(days=5)
    made = await archives.archive(store.database, end, tmp_path / "old" / "files")
    assert made is not None
    assert await sums(store) == before
    assert len(await store.recent_requests(1000)) == 60 - made.requests
    later = await archives.archive(store.database, end + timedelta(days=2), tmp_path / "old")
    assert later is not None
    assert later.first_at >= end
    assert await sums(store) == before, "over two files and the database"
    assert await archives.archive(store.database, end, tmp_path) is None, "there are no such lines any more"

    old = {line.id: line for line in given if line.at < end}
    rows: list[dict[str, Any]] = read_table(made.place).to_pylist()
    assert {row["id"]: LedgerEntry(**{name: row[name] for name in row if name != "day"}) for row in rows} == old
    assert all(row["day"] == f"{row['at']:%Y-%m-%d}" for row in rows)
    assert [one.place for one in await store.database.read(archives.list_archives)] == [made.place, later.place]


async def test_lines_that_come_meanwhile_are_not_lost(
    store: ServerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in lines():
        await store.note(line)
    before = await sums(store)
    write: Any = archives._write

    def write_late(*given: Any) -> Any:
        made = write(*given)
        return archives.Archive(**{**{n: getattr(made, n) for n in made.__slots__}, "requests": made.requests - 1})

    monkeypatch.setattr(archives, "_write", write_late)
    with pytest.raises(InputError, match="Nothing was moved"):
        await archives.archive(store.database, NOON, tmp_path)
    assert await sums(store) == before
    assert files(tmp_path) == []


async def test_what_is_broken_off_loses_no_line(
    store: ServerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database finishes what it has begun, so the file stays."""
    for line in lines():
        await store.note(line)
    before = await sums(store)
    begun, move = threading.Event(), cast("Any", archives._move)

    def move_slowly(*given: Any) -> None:
        begun.set()
        time.sleep(0.3)
        move(*given)

    monkeypatch.setattr(archives, "_move", move_slowly)
    archiving = asyncio.ensure_future(archives.archive(store.database, NOON, tmp_path))
    await asyncio.to_thread(begun.wait)
    archiving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await archiving
    assert await sums(store) == before
    assert len(files(tmp_path)) == 1
    assert len(await store.database.read(archives.list_archives)) == 1


async def test_a_line_is_not_back_after_it_was_moved(
    store: ServerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever waited for it to be written has left meanwhile."""
    begun, write = threading.Event(), cast("Any", ledger.write)

    def write_slowly(*given: Any) -> None:
        begun.set()
        time.sleep(0.2)
        write(*given)

    monkeypatch.setattr(ledger, "write", write_slowly)
    await store.note(lines()[1])
    asking = asyncio.ensure_future(store.recent_requests())
    await asyncio.to_thread(begun.wait)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    await store.database.write(lambda _: None)  # comes after it
    assert await archives.archive(store.database, NOON, tmp_path) is not None
    assert sum(one.requests for one in await store.spend()) == 1


async def test_a_file_whose_word_was_lost_stays(
    store: ServerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in lines():
        await store.note(line)
    before = await sums(store)
    write = store.database.write

    async def write_and_lose(work: Any) -> Any:
        await write(work)
        raise StoreError("the connection broke", where="here", hint="Try again.")

    monkeypatch.setattr(store.database, "write", write_and_lose)
    with pytest.raises(StoreError, match="broke") as caught:
        await archives.archive(store.database, NOON, tmp_path)
    monkeypatch.undo()
    assert await sums(store) == before
    (file,) = files(tmp_path)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("moved", [False, True])
async def test_after_a_fault_it_is_seen_whether_the_lines_were_moved(
    store: ServerStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    for line in lines():
        await store.note(line)
    before = await sums(store)
    write, faults = store.database.write, [StoreError("the connection broke", where="here")]

    async def write_badly(work: Any) -> Any:
        if not faults:
            return await write(work)
        if moved:
            await write(work)
        raise faults.pop()

    monkeypatch.setattr(store.database, "write", write_badly)
    if moved:
        assert await archives.archive(store.database, NOON, tmp_path) is not None
    else:
        with pytest.raises(StoreError, match="broke"):
            await archives.archive(store.database, NOON, tmp_path)
    assert await sums(store) == before
    assert len(files(tmp_path)) == moved


async def test_a_file_that_is_not_there_or_is_another_one_is_named(store: ServerStore, tmp_path: Path) -> None:
    for line in lines():
        await store.note(line)
    assert len(await store.recent_requests(100)) == 60, "all are written"
    made = await archives.archive(store.database, NOON, tmp_path)
    assert made is not None
    (file,) = files(tmp_path)
    content = read(file)
    table = read_table(file)
    cheaper = table.set_column(
        table.schema.get_field_index("work_dollars"), "work_dollars", pyarrow.array([0.0] * table.num_rows)
    )
    pyarrow.parquet.write_table(cheaper, tmp_path / "cheaper")
    for broken in (None, b"", content[: len(content) // 2], read(tmp_path / "cheaper")):
        put(file, broken)
        with pytest.raises(StoreError, match="cannot be read" if broken is None else "not the one that") as caught:
            await store.spend()
        assert made.place in str(caught.value)
        assert await store.spend(NOON) != (), "what is in the database alone needs no file"
    put(file, content)
    assert sum(one.requests for one in await store.spend()) == 60


def test_the_command(tmp_path: Path) -> None:
    database, settings = tmp_path / "server.sqlite3", tmp_path / "sale.toml"
    agent = '[[agents]]\nname = "small"\nprice = 0.1\nendpoint = "http://127.0.0.1:9/v1"\nmodel = "s"\n'
    settings.write_text(f'{agent}[server]\ndatabase = "{database}"\n', encoding="utf-8")

    async def fill() -> None:
        async with await ServerStore.open(database) as store:
            for line in lines():
                await store.note(line)

    asyncio.run(fill())

    def run(*arguments: str) -> Any:
        return CliRunner().invoke(app, [*arguments, "--config", str(settings)])

    before = run("spend").output
    assert run("ledger", "archive", "--to", str(tmp_path / "old")).exit_code == 2
    assert "lies ahead" in run("ledger", "archive", "--to", str(tmp_path / "old"), "--before", "2999-01-01").output
    assert "No lines were moved" in run("ledger", "archives").output
    done = run("ledger", "archive", "--to", str(tmp_path / "old"), "--before", "2026-03-05")
    assert done.exit_code == 0, done.output
    (made,) = json.loads(run("ledger", "archives", "--json").output)["archives"]
    assert made["place"] in done.output.replace("\n", "")
    assert (made["requests"], Path(made["place"]).parent) == (24, tmp_path / "old")
    assert run("spend").output == before
    assert "There are no lines" in run("ledger", "archive", "--to", str(tmp_path), "--before", "2026-03-05").output
