"""Compaction: what goes, what is kept in its place, and that nothing is lost without a word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import astuple, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sale.errors import InputError, OutputError
from sale.memory import compaction, retention
from sale.memory.records import CompactionReport
from sale.memory.retention import Retention, describe
from sale.memory.store import AuctionMemory
from sale.types import Attempt, Task, TrackRecord, Verdict
from tests.memory.builders import Fresh, HashEmbedder, Place, auction, bid, execution, outcome, remember, rows

NOW = Task(text="sort the list of names")
KINDS = ("sort the list", "bake a cake", "prove the lemma")


async def fill(memory: AuctionMemory, count: int, *, tenant: str = "default") -> None:
    """Tasks of three kinds, in turn; of each kind two in three succeed."""
    for number in range(count):
        verdict: Verdict = "failure" if number % 9 < 3 else "success"
        await remember(memory, f"{tenant}{number:03}", f"{KINDS[number % 3]} {number}", verdict=verdict, tenant=tenant)


async def sums(memory: AuctionMemory) -> list[tuple[object, ...]]:
    """Successes, failures, dollars and how many have some, by tenant and agent, of executions and evidence."""
    executed = """SELECT a.tenant, e.agent, o.verdict, sum(c.dollars), count(*) FROM executions e
        JOIN auctions a ON a.key = e.auction
        JOIN outcomes o ON o.auction = e.auction AND o.execution = e.position AND o.position =
          (SELECT max(l.position) FROM outcomes l WHERE l.auction = e.auction AND l.execution = e.position)
        JOIN calls c ON c.auction = e.auction AND c.execution = e.position AND c.part = 'execution'
        WHERE o.verdict <> 'unknown' GROUP BY a.tenant, e.agent, o.verdict"""
    kept = "SELECT tenant, agent, successes, failures, dollars, costed FROM evidence"
    found: dict[tuple[str, str], np.ndarray] = {}
    for tenant, agent, verdict, dollars, count in await rows(memory, executed):
        counts = [count * (verdict == "success"), count * (verdict == "failure"), dollars, count]
        found[tenant, agent] = found.get((tenant, agent), np.zeros(4)) + counts
    for tenant, agent, *counts in await rows(memory, kept):
        found[tenant, agent] = found.get((tenant, agent), np.zeros(4)) + counts
    return [(*who, *(round(float(one), 6) for one in counts)) for who, counts in sorted(found.items())]


def archived(file: Path) -> tuple[list[dict[str, Any]], int]:
    """Lines of a file, and who may read it."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()], file.stat().st_mode


async def test_a_tenth_stays_and_the_rest_is_counted(memory: AuctionMemory, tmp_path: Path):
    await fill(memory, 60)
    before = await sums(memory)
    report = await memory.compact(6, archive=tmp_path / "archive")
    assert (report.before, report.after, report.bound) == (60, 6, 6)
    assert await sums(memory) == before == [("default", "a", 39.0, 21.0, 15.0, 60.0)]
    assert len(await memory.list(100)) == 6
    assert (await memory.stats()).evidence == report.lines == 6
    (written,) = report.archive
    lines, mode = archived(Path(written))
    left = {one.id for one in await memory.list(100)}
    assert {line["record"]["id"] for line in lines} | left == {f"default{number:03}" for number in range(60)}
    assert len(lines) == 54
    assert not mode & 0o077


async def test_track_records_go_on_counting(memory: AuctionMemory):
    """By kind of task, as before: exemplars stand for their like."""
    await fill(memory, 60)

    async def rates() -> list[tuple[float, float]]:
        found = [(await memory.track_records(Task(text=f"{kind} 1000"), ["a"]))["a"] for kind in KINDS]
        return [(one.successes / (one.successes + one.failures), one.spent / one.costed) for one in found]

    before = await rates()
    await memory.compact(6)
    after = await rates()
    assert [rate for rate, _ in after] == pytest.approx([rate for rate, _ in before], abs=0.12)
    assert [dollars for _, dollars in after] == pytest.approx([dollars for _, dollars in before], rel=1e-6)


async def test_identical_texts_count_exactly_as_before(memory: AuctionMemory):
    for number in range(24):
        await remember(memory, f"x{number}", "sort", verdict="failure" if number % 4 == 0 else "success")
        await remember(memory, f"y{number}", "bake", verdict="success" if number % 4 == 0 else "failure")
    before = await memory.track_records(NOW, ["a", "b"])
    await memory.compact(2)
    assert {one.task for one in await memory.list()} == {"sort", "bake"}
    after = await memory.track_records(NOW, ["a", "b"])
    assert astuple(after["a"])[1:] == pytest.approx(astuple(before["a"])[1:])
    assert after["b"] == TrackRecord(agent="b", successes=0.0, failures=0.0)


async def test_at_most_sixty_four_count_of_what_was_added_up(memory: AuctionMemory):
    for number in range(100):
        await remember(memory, f"x{number}", NOW.text, verdict="failure" if number % 2 else "success")
    await memory.compact(1)
    found = (await memory.track_records(NOW, ["a"]))["a"]
    assert found.successes + found.failures == pytest.approx(64.0)
    assert found.successes == pytest.approx(32.0, abs=1.0)


async def test_each_tenant_keeps_its_own(memory: AuctionMemory):
    for tenant in ("one", "two", "three"):
        await fill(memory, 12, tenant=tenant)
    before = await sums(memory)
    report = await memory.compact(2)
    assert report.after == 3, "one of each tenant"
    assert "2 were to stay: of each tenant" in describe(report)
    assert await sums(memory) == before
    await memory.forget(tenant="two")
    assert await sums(memory) == [line for line in before if line[0] != "two"]


async def test_what_is_compacted_again_is_added_up_again(memory: AuctionMemory):
    await fill(memory, 60)
    before = await sums(memory)
    for keep in (30, 12, 5, 3, 1):
        report = await memory.compact(keep)
        assert report.after == keep
        assert await sums(memory) == before
    assert (await memory.stats()).evidence == 1
    assert len(await rows(memory, "SELECT 1 FROM tasks")) == 1
    assert await memory.compact(1) == CompactionReport(
        before=1, after=1, bound=1, lines=0, unjudged=0, faded=0.0, archive=()
    )


async def test_new_verdicts_and_work_after_it_count(memory: AuctionMemory):
    await fill(memory, 20)
    await memory.compact(2)
    before = (await memory.track_records(NOW, ["b"]))["b"]
    await remember(memory, "new", NOW.text, (bid("b", 1.0), bid("a", 2.0)))
    after = (await memory.track_records(NOW, ["b"]))["b"]
    assert (before.successes, after.successes) == (0.0, 1.0)
    kept = (await memory.list())[-1]
    old = (await memory.track_records(Task(text=kept.task), ["a"]))["a"]
    await memory.feedback(kept.id, "failure" if kept.verdict == "success" else "success")
    assert (await memory.track_records(Task(text=kept.task), ["a"]))["a"] != old
    assert {pair.auction_id for pair in await memory.recall(NOW, "a", 1)} == {"new"}


async def test_unfinished_auctions_and_those_without_a_verdict(memory: AuctionMemory):
    await memory.begin("open", NOW)
    await remember(memory, "awarded", NOW.text, verdict=None)
    for number in range(4):
        await remember(memory, f"x{number}", NOW.text, verdict="unknown")
    report = await memory.compact(1)
    assert (report.before, report.after, report.unjudged) == (4, 1, 3)
    assert "3 executions without a verdict count nowhere" in describe(report)
    assert {one.id for one in await memory.list()} >= {"open", "awarded"}
    assert report.lines == 0


async def test_every_attempt_counts_for_its_agent(memory: AuctionMemory):
    for number in range(5):
        task = Task(text=NOW.text)
        held = auction(f"x{number}", task, (bid("a", 1.0), bid("b", 2.0)))
        await memory.begin(held.id, task)
        await memory.award(held)
        failed = Attempt(execution=execution("a"), outcome=outcome("failure"))
        await memory.settle(held.id, execution("b"), outcome("success"), earlier=(failed,))
    before = await memory.track_records(NOW, ["a", "b"])
    await memory.compact(1)
    after = await memory.track_records(NOW, ["a", "b"])
    assert [astuple(after[agent])[1:] for agent in "ab"] == [
        pytest.approx(astuple(before[agent])[1:]) for agent in "ab"
    ]


# ----------------------------------------------------------------------------------------------- what goes with it


async def test_quotations_of_what_went_stay_readable(memory: AuctionMemory):
    await remember(memory, "old", "sort")
    (pair,) = await memory.recall(NOW, "b", 1)
    await remember(memory, "quoting", "bake", refined=(bid("b", 0.5, refined=True),), pairs=(pair,))
    await remember(memory, "more", "sort")
    before = (await memory.load("quoting")).auction
    await memory.compact(2)
    assert {one.id for one in await memory.list()} == {"quoting", "more"}
    assert (await memory.load("quoting")).auction == before


async def test_words_of_what_went_are_forgotten_with_its_time_source_and_tenant(memory: AuctionMemory):
    await remember(memory, "old", "sort")
    (pair,) = await memory.recall(NOW, "b", 1)
    quoting = replace(pair, losing="a plan that is nowhere on record")
    await remember(memory, "quoting", "bake", refined=(bid("b", 0.5, refined=True),), pairs=(pair, quoting))
    await remember(memory, "more", "sort")
    long_ago = datetime.now(UTC) - timedelta(days=1)
    assert (await memory.forget(before=long_ago)).pairs == 0, "the auction is there"
    await memory.compact(2)
    report = await memory.forget(before=long_ago)
    assert (report.auctions, report.pairs) == (0, 2)
    assert await rows(memory, "SELECT losing, winning FROM pairs") == []
    assert {one.id for one in await memory.list()} == {"quoting", "more"}
    assert (await memory.load("quoting")).auction is not None


async def test_any_number_of_lines_is_added_up_again(memory: AuctionMemory):
    """More than a statement of either database has places for values."""
    await fill(memory, 3)
    plan = compaction.BlockPlan(last=(datetime.now(UTC), 0), merged=range(1, 260_000))
    await memory._database.write(lambda connection: compaction.carry_out(connection, plan, datetime.now(UTC)))
    assert len(await memory.list()) == 3


async def test_exemplars_are_those_to_learn_from(memory: AuctionMemory):
    await remember(memory, "failed", NOW.text, verdict="failure")
    await remember(memory, "good", NOW.text)
    await remember(memory, "alone", NOW.text, (bid("a", 1.0),))
    await remember(memory, "later failed", NOW.text, verdict="failure")
    await memory.compact(1)
    assert [pair.auction_id for pair in await memory.recall(NOW, "a", 8)] == ["good"]


async def test_of_few_texts_each_keeps_an_exemplar(memory: AuctionMemory):
    for number in range(12):
        await remember(
            memory, f"x{number}", f"sort the list {number % 3}", verdict="unknown" if number < 9 else "success"
        )
    await memory.compact(3)
    assert {one.id for one in await memory.list()} == {"x9", "x10", "x11"}, "the best and newest of each"


async def test_withheld_texts_stay_withheld(memory: AuctionMemory):
    for number in range(6):
        await remember(memory, f"x{number}", NOW.text, withheld=True)
    await memory.compact(1)
    assert await memory.recall(NOW, "a", 8) == ()
    assert (await memory.track_records(NOW, ["a"]))["a"].successes == pytest.approx(6.0)


async def test_forgetting_an_exemplar_forgets_what_was_put_down_there(memory: AuctionMemory):
    await fill(memory, 30)
    await memory.compact(3)
    gone = (await memory.list())[0]
    report = await memory.forget(gone.id)
    assert (report.auctions, report.evidence, report.tasks) == (1, 1, 1)
    assert (await memory.stats()).evidence == 2
    assert gone.task not in {text for (text,) in await rows(memory, "SELECT text FROM tasks")}


async def test_forgetting_by_time_takes_evidence_of_that_time(memory: AuctionMemory):
    await fill(memory, 30)
    await memory.compact(3)
    report = await memory.forget(before=datetime.now(UTC) + timedelta(days=1))
    assert report.auctions == 3
    assert await sums(memory) == []
    assert await rows(memory, "SELECT 1 FROM tasks") == []


# --------------------------------------------------------------------------------------------------- age, and time


@pytest.mark.parametrize(("days", "share"), [(0.0, 1.0), (30.0, 0.5), (60.0, 0.25)])
async def test_old_evidence_counts_half_after_each_half_life(
    memory: AuctionMemory, monkeypatch: pytest.MonkeyPatch, days: float, share: float
):
    await fill(memory, 20)
    at(monkeypatch, days)
    report = await memory.compact(1, half_life_days=30.0)
    assert report.faded == pytest.approx(19 * (1 - share), abs=0.01)
    ((successes, failures),) = await rows(memory, "SELECT successes, failures FROM evidence")
    assert successes + failures == pytest.approx(19 * share, abs=0.01)


async def test_time_is_taken_off_once_however_often_it_is_compacted(
    memory: AuctionMemory, monkeypatch: pytest.MonkeyPatch
):
    await fill(memory, 20)
    for number, days in enumerate((10.0, 15.0, 30.0)):
        at(monkeypatch, days)
        await memory.compact(1, half_life_days=30.0)
        await remember(memory, f"now{number}", "sort the list 1", verdict="unknown")
        await memory.compact(1, half_life_days=30.0)
    ((successes, failures),) = await rows(memory, "SELECT successes, failures FROM evidence")
    assert successes + failures == pytest.approx(10.0, abs=0.6), "twenty, thirty days ago"


async def test_what_has_faded_to_nothing_is_dropped_and_told(memory: AuctionMemory, monkeypatch: pytest.MonkeyPatch):
    await fill(memory, 5)
    at(monkeypatch, 3650.0)
    report = await memory.compact(1, half_life_days=30.0)
    assert report.faded == pytest.approx(4.0)
    assert (await memory.stats()).evidence == 0
    assert "As much as 4 executions was forgotten" in describe(report)


def at(monkeypatch: pytest.MonkeyPatch, days: float) -> None:
    """It is so many days later."""

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # pyright: ignore[reportIncompatibleMethodOverride]
            return datetime.now(UTC) + timedelta(days=days)

    monkeypatch.setattr(retention, "datetime", Later)


# -------------------------------------------------------------------------------------------- by itself, in bounds


async def test_a_bound_of_rows_is_kept_by_itself(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(retention, "CHECKED_EVERY", 10)
    bounds = Retention(max_auctions=20, archive=tmp_path / "archive")
    async with await AuctionMemory.open(place, embedder=HashEmbedder(), retention=bounds) as memory:
        await fill(memory, 45)
        while memory._compacting is not None and not memory._compacting.done():
            await memory._compacting
        left = len(await memory.list(100))
        assert left < 30
    assert "auctions on record, 16 after compaction" in caplog.text
    files = list((tmp_path / "archive").iterdir())
    assert sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files) == 45 - left


async def test_one_compaction_runs_at_a_time_and_its_faults_are_logged(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(retention, "CHECKED_EVERY", 1)
    begun, go_on = 0, asyncio.Event()

    async def keep_bounds(_self: AuctionMemory) -> None:
        nonlocal begun
        begun += 1
        await go_on.wait()
        raise ValueError("a fault of ours")

    monkeypatch.setattr(AuctionMemory, "keep_bounds", keep_bounds)
    bounds = Retention(max_auctions=1, archive=tmp_path)
    async with await AuctionMemory.open(place, embedder=HashEmbedder(), retention=bounds) as memory:
        await fill(memory, 3)
        first = memory._compacting
        assert first is not None
        assert begun == 1
        go_on.set()
        await first
        assert "a fault of ours" in caplog.text
        await remember(memory, "more", "sort the list")
        assert memory._compacting is not first
    memory._note_records()  # of a settlement that closing overtook


async def test_a_bound_of_bytes(place: Place, tmp_path: Path):
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        await fill(memory, 40)
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as memory:
        await memory._database.shrink()
        size = (await memory.stats()).file_bytes
    bounds = Retention(max_bytes=size // 2, archive=tmp_path)
    async with await AuctionMemory.open(place, embedder=HashEmbedder(), retention=bounds) as memory:
        report = await memory.keep_bounds()
        assert report is not None
        assert 10 <= report.after <= 16
        assert (await memory.stats()).file_bytes < (size if memory.path else 1.1 * size), (
            "tables of a server take pages"
        )


async def test_within_its_bounds_nothing_is_done(place: Place, tmp_path: Path):
    bounds = Retention(max_auctions=20, max_bytes=10**9, archive=tmp_path)
    async with await AuctionMemory.open(place, embedder=HashEmbedder(), retention=bounds) as memory:
        await fill(memory, 20)
        assert await memory.keep_bounds() is None
        assert len(await memory.list(100)) == 20


async def test_what_cannot_be_archived_does_not_go(memory: AuctionMemory, tmp_path: Path):
    await fill(memory, 20)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        await memory.compact(2, archive=tmp_path / "file" / "folder")
    assert len(await memory.list(100)) == 20


@pytest.mark.parametrize(("keep", "half_life"), [(0, None), (-1, None), (5, 0.0), (5, -1.0), (5, float("nan"))])
async def test_bounds_that_can_be_none(memory: AuctionMemory, keep: int, half_life: float | None):
    with pytest.raises(InputError):
        await memory.compact(keep, half_life_days=half_life)


def test_a_bound_needs_an_archive():
    with pytest.raises(InputError, match="a folder for what goes"):
        Retention(max_auctions=5)


# ----------------------------------------------------------------------------------------------- export and import


async def test_evidence_is_exported_and_imported(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    await fill(memory, 40)
    await memory.compact(4)
    await memory.export(tmp_path / "all.jsonl")
    async with fresh() as other:
        report = await other.import_(tmp_path / "all.jsonl")
        assert (report.added, report.evidence, report.present) == (4, 4, 0)
        assert await sums(other) == await sums(memory)
        again = await other.import_(tmp_path / "all.jsonl")
        assert (again.added, again.evidence, again.present) == (0, 0, 8)
        assert await other.track_records(NOW, ["a"]) == await memory.track_records(NOW, ["a"])


async def test_an_archive_is_read_like_any_export(memory: AuctionMemory, fresh: Fresh, tmp_path: Path):
    await fill(memory, 20)
    expected = {name: await memory.load(name) for name in [f"default{number:03}" for number in range(20)]}
    report = await memory.compact(2, archive=tmp_path)
    kept = {one.id for one in await memory.list()}
    async with fresh() as other:
        assert sum([(await other.import_(file)).added for file in report.archive]) == 18
        for name in set(expected) - kept:
            assert replace(await other.load(name), source="") == expected[name]


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("successes", -1.0, "a count that can be none"),
        ("failures", 1e300, "a count that can be none"),
        ("dollars", -0.5, "an amount that can be none"),
        ("tenant", "", "the name of a tenant"),
        ("id", "", "1 to 32 characters"),
        ("first_at", "2026-01-01T00:00:00", "a time without a zone"),
        ("last_at", "1926-01-01T00:00:00Z", "evidence.last_at"),
        ("more", 1, "evidence.more"),
    ],
)
async def test_evidence_from_elsewhere_is_checked(
    memory: AuctionMemory, tmp_path: Path, field: str, value: object, fault: str
):
    await fill(memory, 10)
    await memory.compact(1)
    await memory.export(tmp_path / "all.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text(encoding="utf-8").splitlines()]
    lines[1]["evidence"][field] = value
    (tmp_path / "bad.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    with pytest.raises(InputError, match=fault) as caught:
        await memory.import_(tmp_path / "bad.jsonl")
    assert "bad.jsonl:2: " in caught.value.message


# -------------------------------------------------------------------------------------------------------- properties


@given(
    st.lists(
        st.tuples(
            st.integers(0, 5),
            st.sampled_from(["a", "b"]),
            st.sampled_from(["success", "failure", "unknown"]),
            st.sampled_from(["one", "two"]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_statistics_are_equal_before_and_after(
    fresh: Fresh, drawn: Sequence[tuple[int, str, Verdict, str]], keeps: Sequence[int]
):
    async with fresh() as memory:
        for number, (text, winner, verdict, tenant) in enumerate(drawn):
            bids = (bid(winner, 1.0), bid("c", 2.0))
            await remember(memory, f"x{number}", f"task {text}", bids, verdict=verdict, tenant=tenant)
        before = await sums(memory)
        for keep in keeps:
            report = await memory.compact(keep)
            tenants = {tenant for *_, tenant in drawn}
            assert report.after <= max(keep, len(tenants))
            assert await sums(memory) == before
