"""Several processes, and processes that are killed: real ones, with SIGKILL."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from sale.memory.records import Record
from sale.memory.store import AuctionMemory
from sale.types import Task
from tests.memory.builders import HashEmbedder, auction, bid, execution, outcome, remember

ROOT = Path(__file__).parents[2]
NOW = Task(text="sort the list of names")


class Other:
    """A worker process. `says` waits for a line; the end of its output fails the test."""

    def __init__(self, path: Path, *arguments: object) -> None:
        command = [sys.executable, "-W", "error", "-m", "tests.memory.worker", str(path), *map(str, arguments)]
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
        assert self._process.wait(60) == 0, self._output.read()

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
    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[Other] = []

    def start(self, *arguments: object) -> Other:
        self.started.append(Other(self.path, *arguments))
        return self.started[-1]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shared.sqlite3"


@pytest.fixture
def others(path: Path) -> Iterator[Others]:
    started = Others(path)
    yield started
    for other in started.started:
        other.close()


async def the_record(path: Path, name: str) -> Record:
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
        return await memory.load(name)


def assert_sound(path: Path) -> None:
    """The file is whole, and nobody's locks or journals are left beside it."""
    database = sqlite3.connect(path)
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()
    assert [lock.name for lock in Path(f"{path}-locks").iterdir()] == ["open.lock"]


# ----------------------------------------------------------------------------------------------------- killed


@pytest.mark.parametrize(
    ("step", "status", "reason"),
    [
        ("begin", "abandoned", "its process ended before the award"),
        ("award", "abandoned", "its process ended before the work was settled"),
        ("settle", "settled", None),
    ],
)
async def test_killed_after_a_step(path: Path, others: Others, step: str, status: str, reason: str | None):
    other = others.start("until", step)
    other.says("waiting")
    other.kill()
    record = await the_record(path, "x")
    assert (record.status, record.reason) == (status, reason)
    held = auction("x", Task(text="sort the list"), (bid("a", 1.0), bid("b", 2.0)))
    assert record.auction == (None if step == "begin" else held)
    assert (record.execution, record.outcome) == ((execution(), outcome()) if step == "settle" else (None, None))
    assert_sound(path)


@pytest.mark.parametrize(("step", "before"), [("begin", None), ("award", "begun"), ("settle", "awarded")])
async def test_killed_inside_a_transaction(path: Path, others: Others, step: str, before: str | None):
    """The step was never taken, and whoever comes next does not have to wait for the dead."""
    other = others.start("inside", step)
    other.says("waiting")
    assert len(other.kill()) == {None: 2, "begun": 3, "awarded": 4}[before]
    async with await AuctionMemory.open(path, embedder=HashEmbedder(), busy_seconds=5) as memory:
        found = await memory.list()
        assert len(found) == (before is not None)
        if before is not None:
            record = await memory.load("x")
            assert record.status == "abandoned"
            assert (record.auction is not None) == (before == "awarded")
            assert record.execution is None
        await remember(memory, "next", "sort")
    assert_sound(path)


@pytest.mark.parametrize("settled", [1, 3, 6, 10])
async def test_killed_at_any_moment_nothing_settled_is_lost(path: Path, others: Others, settled: int):
    other = others.start("forever")
    for number in range(settled):
        other.says(f"settled x{number}")
    said = other.kill()
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
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
    assert_sound(path)


async def test_killed_with_nothing_under_way(path: Path, others: Others):
    other = others.start("opened")
    other.says("waiting")
    other.kill()
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
        assert await memory.list() == ()
    assert_sound(path)


async def test_killed_while_it_makes_the_tables(path: Path, others: Others):
    other = others.start("migrating")
    other.says("waiting")
    other.kill()
    async with await AuctionMemory.open(path, embedder=HashEmbedder(), busy_seconds=5) as memory:
        await remember(memory, "x", "sort")
    assert_sound(path)


# ------------------------------------------------------------------------------------------------------ alive


async def test_the_unfinished_auctions_of_the_living_are_left_alone(path: Path, others: Others):
    other = others.start("until", "begin")
    other.says("waiting")
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
        assert (await memory.load("x")).status == "open"
        assert await memory.sweep() == 0
        async with await AuctionMemory.open(path, embedder=HashEmbedder()) as second:
            await memory.begin("mine", NOW)
            assert await second.sweep() == 0
        other.kill()
        assert await memory.sweep() == 1
        assert (await memory.load("x")).reason == "its process ended before the award"
        assert (await memory.load("mine")).status == "open"
        assert await memory.sweep() == 0
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
        assert (await memory.load("mine")).status == "abandoned"


async def test_an_auction_held_for_its_own_sake_outlives_its_process(path: Path):
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
        await remember(memory, "x", "sort", verdict=None)
        await memory.close_unexecuted("x")
    assert (await the_record(path, "x")).status == "awarded"


async def test_many_processes_make_and_fill_one_memory_at_once(path: Path, others: Others):
    """Nothing is there yet: they race for the tables, then for every write. No error, nothing lost."""
    for name in "pqrs":
        others.start("live", name, 12)
    for other in others.started:
        other.ends_well()
    async with await AuctionMemory.open(path, embedder=HashEmbedder()) as memory:
        found = await memory.list(100)
        assert {one.id for one in found} == {f"{name}{number}" for name in "pqrs" for number in range(12)}
        for one in found:
            record = await memory.load(one.id)
            assert record.status == "settled"
            assert [judged.outcome.judged_by for judged in record.outcomes] == ["tests", "user"]
        # Of each seven texts one was never judged a success at last; see the worker.
        assert len(await memory.recall(NOW, "a", 100)) == 4 * 6
    assert_sound(path)


async def test_recall_follows_what_another_process_writes(path: Path, others: Others, tmp_path: Path):
    embedder = HashEmbedder()
    async with await AuctionMemory.open(path, embedder=embedder) as memory:
        await remember(memory, "here", NOW.text)
        assert [pair.auction_id for pair in await memory.recall(NOW, "a", 50)] == ["here"]
        index, embedded = memory._follower.index, embedder.embedded

        other = others.start("live", "there", 9)
        await asyncio.to_thread(other.ends_well)
        found = {pair.auction_id for pair in await memory.recall(NOW, "a", 50)}
        # Seven texts, nine auctions; the odd ones were judged failures.
        assert found == {"here", "there0", "there8", "there2", "there4", "there6"}
        assert memory._follower.index is index, "it was to follow, not to start anew"
        assert embedder.embedded == embedded, "the other process had embedded those"

        assert await memory.export(tmp_path / "all.jsonl") == 10
        await asyncio.to_thread(others.start("forget", "there2").ends_well)
        assert {pair.auction_id for pair in await memory.recall(NOW, "a", 50)} == found - {"there2"}
        assert "there2" not in {one.summary.id for one in await memory.search(NOW.text, 50)}
        assert memory._follower.index is index
        await asyncio.to_thread(others.start("import", tmp_path / "all.jsonl").ends_well)
        assert {pair.auction_id for pair in await memory.recall(NOW, "a", 50)} == found
        assert embedder.embedded == embedded
