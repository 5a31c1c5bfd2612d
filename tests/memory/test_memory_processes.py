"""Several processes, and processes that are killed: real ones, with SIGKILL."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest

from sale.memory.index_sync import SyncedIndex
from sale.memory.records import Record
from sale.memory.retrieval import RecallIndex
from sale.memory.store import AuctionMemory
from sale.types import Task
from tests.memory.builders import HashEmbedder, Place, auction, bid, execution, outcome, remember
from tests.support.hang import HANG
from tests.support.postgres import engine_of

ROOT = Path(__file__).parents[2]
NOW = Task(text="sort the list of names")


class Other:
    """A worker process. `says` waits for a line; the end of its output fails the test."""

    def __init__(self, place: Place, *arguments: object) -> None:
        command = [sys.executable, "-W", "error", "-m", "tests.memory.worker", str(place), *map(str, arguments)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def says(self, beginning: str) -> None:
        while line := self._output.readline():
            self.lines.append(line.rstrip("\n"))
            if line.startswith(beginning):
                return
        raise AssertionError("\n".join(["the worker ended; it said", *self.lines]))

    def ends_well(self) -> None:
        self.says("done")
        assert self._process.wait(HANG) == 0, self._output.read()

    def kill(self) -> list[str]:
        """End it without warning; gives back all it said."""
        self._process.kill()
        self._process.wait()
        self.lines += self._output.read().splitlines()
        return self.lines

    def close(self) -> None:
        self.kill()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()


class Others:
    def __init__(self, place: Place) -> None:
        self.place = place
        self.started: list[Other] = []

    def start(self, *arguments: object) -> Other:
        self.started.append(Other(self.place, *arguments))
        return self.started[-1]


@pytest.fixture
def place(empty: Callable[[], Place]) -> Place:
    """Where there is nothing yet."""
    return empty()


@pytest.fixture
def others(place: Place) -> Iterator[Others]:
    started = Others(place)
    yield started
    for other in started.started:
        other.close()


async def the_record(place: Place, name: str) -> Record:
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        return await memory.load(name)


async def assert_sound(place: Place) -> None:
    """The database is whole, and nobody's locks or journals are left."""
    if isinstance(place, str):
        engine = engine_of(place)
        held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database"
        left: object = None
        with engine.connect() as connection:
            for _ in range(100):  # the server sees only a moment later that somebody is gone
                left = connection.exec_driver_sql(f"{held} WHERE datname = current_database())").scalar()
                if not left:
                    break
                await asyncio.sleep(0.05)
        engine.dispose()
        assert left == 0
        return
    database = sqlite3.connect(place)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()
    assert os.listdir(f"{place}-locks") == ["open.lock"]  # noqa: PTH208


# ----------------------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize(
    ("step", "status", "reason"),
    [
        ("begin", "abandoned", "its process ended before the award"),
        ("award", "abandoned", "its process ended before the work was settled"),
        ("settle", "settled", None),
    ],
)
async def test_killed_after_a_step(place: Place, others: Others, step: str, status: str, reason: str | None):
    other = others.start("until", step)
    other.says("waiting")
    other.kill()
    record = await the_record(place, "x")
    assert (record.status, record.reason) == (status, reason)
    held = auction("x", Task(text="sort the list"), (bid("a", 1.0), bid("b", 2.0)))
    assert record.auction == (None if step == "begin" else held)
    assert (record.execution, record.outcome) == ((execution(), outcome()) if step == "settle" else (None, None))
    await assert_sound(place)


@pytest.mark.parametrize(("step", "before"), [("begin", None), ("award", "begun"), ("settle", "awarded")])
async def test_killed_inside_a_transaction(place: Place, others: Others, step: str, before: str | None):
    """The step was never taken, and whoever comes next does not have to wait for the dead."""
    other = others.start("inside", step)
    other.says("waiting")
    assert len(other.kill()) == {None: 2, "begun": 3, "awarded": 4}[before]
    async with await AuctionMemory.open(place, embedder=HashEmbedder(), busy_seconds=5) as memory:
        found = await memory.list()
        assert len(found) == (before is not None)
        if before is not None:
            record = await memory.load("x")
            assert record.status == "abandoned"
            assert (record.auction is not None) == (before == "awarded")
            assert record.execution is None
        await remember(memory, "next", "sort")
    await assert_sound(place)


@pytest.mark.parametrize("settled", [1, 3, 6, 10])
async def test_killed_at_any_moment_nothing_settled_is_lost(place: Place, others: Others, settled: int):
    other = others.start("forever")
    for number in range(settled):
        other.says(f"settled x{number}")
    said = other.kill()
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        for line in said:
            what, _, name = line.partition(" ")
            if what == "settled":
                record = await memory.load(name)
                assert (record.status, record.execution, record.outcome) == ("settled", execution(), outcome())
            elif what in {"begun", "awarded"}:
                assert (await memory.load(name)).status in {"settled", "abandoned"}
        assert {one.status for one in await memory.list(1000)} <= {"settled", "abandoned"}
        assert (await memory.stats()).auctions.get("abandoned", 0) <= 1
        await remember(memory, "next", "sort")
    await assert_sound(place)


async def test_killed_with_nothing_under_way(place: Place, others: Others):
    other = others.start("opened")
    other.says("waiting")
    other.kill()
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        assert await memory.list() == ()
    await assert_sound(place)


async def test_killed_while_it_makes_the_tables(place: Place, others: Others):
    other = others.start("migrating")
    other.says("waiting")
    other.kill()
    async with await AuctionMemory.open(place, embedder=HashEmbedder(), busy_seconds=5) as memory:
        await remember(memory, "x", "sort")
    await assert_sound(place)


# ------------------------------------------------------------------------------------------------------ alive


async def test_the_unfinished_auctions_of_the_living_are_left_alone(place: Place, others: Others):
    other = others.start("until", "begin")
    other.says("waiting")
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        assert (await memory.load("x")).status == "open"
        assert await memory.sweep() == 0
        async with await AuctionMemory.open(place, embedder=HashEmbedder()) as second:
            await memory.begin("mine", NOW)
            assert await second.sweep() == 0
        other.kill()
        assert await memory.sweep() == 1
        assert (await memory.load("x")).reason == "its process ended before the award"
        assert (await memory.load("mine")).status == "open"
        assert await memory.sweep() == 0
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        assert (await memory.load("mine")).status == "abandoned"


async def test_an_auction_held_for_its_own_sake_outlives_its_process(place: Place):
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        await remember(memory, "x", "sort", verdict=None)
        await memory.close_unexecuted("x")
        await memory.begin("y", Task(text="sort"))
        await memory.award(auction("y", Task(text="sort"), (bid("a", 1.0),)), unexecuted=True)
    for name in ("x", "y"):
        assert (await the_record(place, name)).status == "awarded"


async def test_many_processes_make_and_fill_one_memory_at_once(place: Place, others: Others):
    """Nothing is there yet: they race for the tables, then for every write. No error, nothing lost."""
    for name in "pqrs":
        others.start("live", name, 12)
    for other in others.started:
        other.ends_well()
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        found = await memory.list(100)
        assert {one.id for one in found} == {f"{name}{number}" for name in "pqrs" for number in range(12)}
        for one in found:
            record = await memory.load(one.id)
            assert record.status == "settled"
            assert [judged.outcome.judged_by for judged in record.outcomes] == ["tests", "user"]
        # Of each seven texts one was never judged a success at last; see the worker.
        assert len(await memory.recall(NOW, "a", 100)) == 4 * 6
    await assert_sound(place)


def index_of(memory: AuctionMemory) -> RecallIndex | None:
    """The one in this process, where recall is not the server's."""
    return memory._recall.index if isinstance(memory._recall, SyncedIndex) else None


async def test_recall_follows_what_another_process_writes(place: Place, others: Others, tmp_path: Path):
    embedder = HashEmbedder()
    async with await AuctionMemory.open(place, embedder=embedder) as memory:
        await remember(memory, "here", NOW.text)
        assert [pair.auction_id for pair in await memory.recall(NOW, "a", 50)] == ["here"]
        index, embedded = index_of(memory), embedder.embedded

        other = others.start("live", "there", 9)
        await asyncio.to_thread(other.ends_well)
        found = {pair.auction_id for pair in await memory.recall(NOW, "a", 50)}
        # Seven texts, nine auctions; the odd ones were judged failures.
        assert found == {"here", "there0", "there8", "there2", "there4", "there6"}
        assert index_of(memory) is index, "it was to follow, not to start anew"
        assert embedder.embedded == embedded, "the other process had embedded those"

        assert await memory.export(tmp_path / "all.jsonl") == 10
        await asyncio.to_thread(others.start("forget", "there2").ends_well)
        assert {pair.auction_id for pair in await memory.recall(NOW, "a", 50)} == found - {"there2"}
        assert "there2" not in {one.summary.id for one in await memory.search(NOW.text, 50)}
        assert index_of(memory) is index
        await asyncio.to_thread(others.start("import", tmp_path / "all.jsonl").ends_well)
        assert {pair.auction_id for pair in await memory.recall(NOW, "a", 50)} == found
        assert embedder.embedded == embedded
