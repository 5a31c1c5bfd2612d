"""Past work in the auction memory: track records and costs, nothing twice, nothing half, no texts where none may be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from sale.memory.importers.into_memory import LEFT_OUT
from sale.memory.importers.past_work import ReadOptions
from sale.memory.importers.read import ReadFile, read_past_work
from sale.memory.store import AuctionMemory
from sale.types import Price, Task
from tests.memory.builders import Fresh, HashEmbedder

TABLE = """task,agent,success,dollars,tokens,text,at
q1,small,0,,100,Name a prime.,2026-05-01T10:00:00Z
q1,large,1,0.02,200,,2026-05-01T10:00:00Z
q2,small,1,0.001,100,Name a mammal.,2026-05-02T10:00:00Z
q3,small,,0.001,100,Name a river.,2026-05-03T10:00:00Z
"""
PRICES = {"small": Price(input=1.0, output=3.0, blended=1.5)}


def table(folder: Path, text: str = TABLE) -> ReadFile:
    path = folder / "work.csv"
    path.write_text(text)
    return read_past_work(path, ReadOptions())


async def test_imported_work_counts_in_track_records_and_costs(memory: AuctionMemory, tmp_path: Path) -> None:
    done = await memory.import_work(table(tmp_path), prices=PRICES)
    assert (done.added, done.present) == (4, 0)
    tracks = await memory.track_records(Task(text="Name a prime."), ("small", "large"))
    assert (tracks["small"].failures, tracks["large"].successes) == pytest.approx((1.0, 1.0))
    assert tracks["large"].spent == pytest.approx(0.02 * 1e6)
    examples = {(one.task, one.winner): one for one in await memory.examples()}
    assert examples["Name a prime.", "small"].work["small"].dollars == pytest.approx(100 * 1.0 / 1e6)
    assert examples["Name a prime.", "large"].bids[0].price == pytest.approx(0.02 / 200 * 1e6)
    assert not examples["Name a river.", "small"].work
    record = await memory.load((await memory.list(1))[0].id)
    assert record.source == "import:work.csv"
    assert (record.started_at.isoformat(), record.auction and record.auction.held) == (
        "2026-05-03T10:00:00+00:00",
        False,
    )


async def test_work_whose_cost_nobody_knows_is_no_cost_and_does_not_stop_compaction(
    memory: AuctionMemory, tmp_path: Path
) -> None:
    """No call of it is on record: a sum of none is null, which in a column of amounts was read as not a number."""
    await memory.import_work(table(tmp_path))
    task = Task(text="Name a prime.")
    before = (await memory.track_records(task, ("small", "large")))["small"]
    assert before.spent / before.costed == pytest.approx(0.001 * 1e6)
    assert before.costed < before.successes + before.failures
    costs = {one.task: one.work["small"].dollars for one in await memory.examples() if "small" in one.work}
    assert costs == {"Name a prime.": None, "Name a mammal.": 0.001}, "a fit is not told that it was free"
    assert (await memory.compact(1)).after < 4
    after = (await memory.track_records(task, ("small", "large")))["small"]
    assert (after.successes + after.failures, after.costed) == pytest.approx((2.0, 1.0))
    assert after.spent / after.costed == pytest.approx(0.001 * 1e6)


async def test_imported_outcomes_say_nothing_of_this_markets_checks(memory: AuctionMemory, tmp_path: Path) -> None:
    """Whoever judged that work was no check here: it is not listed as one, and feedback is not pushed out by it."""
    await memory.import_work(table(tmp_path), prices=PRICES)
    assert await memory.checked_answers() == ()


async def test_the_same_file_again_adds_nothing_and_a_longer_one_what_is_new(
    memory: AuctionMemory, tmp_path: Path
) -> None:
    await memory.import_work(table(tmp_path), prices=PRICES)
    again = await memory.import_work(table(tmp_path), source="another name", texts=False)
    assert (again.added, again.present) == (0, 4)
    longer = await memory.import_work(table(tmp_path, TABLE + "q4,small,1,0.1,1,Name a colour.,\n"))
    assert (longer.added, longer.present) == (1, 4)


async def test_what_was_compacted_is_not_known_again_and_a_warning_says_so(
    memory: AuctionMemory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await memory.import_work(table(tmp_path), prices=PRICES)
    await memory.compact(1)
    await memory.import_work(table(tmp_path), source="import:another", prices=PRICES)
    assert "was compacted before" not in caplog.text
    await memory.forget(source="import:another")
    assert (await memory.import_work(table(tmp_path), prices=PRICES)).added == 3
    assert "import:work.csv was compacted before" in caplog.text
    caplog.clear()
    await memory.forget(source="import:work.csv")
    assert (await memory.import_work(table(tmp_path), prices=PRICES)).added == 4
    assert not caplog.text


async def test_what_was_imported_is_forgotten_by_its_source(memory: AuctionMemory, tmp_path: Path) -> None:
    await memory.import_work(table(tmp_path))
    assert (await memory.forget(source="import:work.csv")).auctions == 4
    assert not await memory.list()


async def test_imported_work_is_exported_and_imported_as_any_record(
    memory: AuctionMemory, fresh: Fresh, tmp_path: Path
) -> None:
    await memory.import_work(table(tmp_path), prices=PRICES)
    await memory.export(tmp_path / "all.jsonl")
    async with fresh() as other:
        assert (await other.import_(tmp_path / "all.jsonl")).added == 4
        assert (await other.import_work(table(tmp_path))).added == 0


async def test_without_texts_none_is_on_record_and_likeness_is_still_known(
    memory: AuctionMemory, tmp_path: Path
) -> None:
    secret = TABLE.replace("task,", "answer,task,").replace("\nq", "\nsecret answer,q")
    await memory.import_work(table(tmp_path, secret), texts=False, prices=PRICES)
    await memory.export(tmp_path / "all.jsonl")
    kept = (tmp_path / "all.jsonl").read_text()
    assert not any(word in kept for word in ("prime", "mammal", "river", "secret"))
    assert f"{LEFT_OUT} q1" in kept
    tracks = await memory.track_records(Task(text="Name a mammal."), ("small",))
    assert tracks["small"].successes == pytest.approx(1.0, abs=0.2)


async def test_texts_that_differ_stay_apart_when_they_are_left_out(memory: AuctionMemory, tmp_path: Path) -> None:
    rows = "agent,success,text\nsmall,1,One thing.\nsmall,0,Another thing.\n"
    await memory.import_work(table(tmp_path, rows), texts=False)
    assert (await memory.stats()).tasks == 2


async def test_an_import_that_was_cut_short_goes_on_where_it_stopped(
    memory: AuctionMemory, embedder: HashEmbedder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches of a hundred: the second fails, and what the first added is not added again."""
    rows = "agent,success,text\n" + "".join(f"small,1,Add {number} and 1.\n" for number in range(150))
    embed, calls = HashEmbedder.embed, 0

    async def cut(self: HashEmbedder, texts: list[str]) -> object:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise asyncio.CancelledError
        return await embed(self, texts)

    monkeypatch.setattr(HashEmbedder, "embed", cut)
    with pytest.raises(asyncio.CancelledError):
        await memory.import_work(table(tmp_path, rows))
    monkeypatch.undo()
    there = (await memory.stats()).auctions["settled"]
    assert there == 100
    done = await memory.import_work(table(tmp_path, rows))
    assert (done.added, done.present) == (50, 100)
