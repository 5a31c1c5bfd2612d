"""The steps of an auction on record, feedback, lists, search, forgetting and counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sale.errors import InputError, StoreError
from sale.memory.store import AuctionMemory
from sale.types import Attempt, Outcome, Pair, Settlement, Task
from tests.memory.builders import (
    BASELINE,
    HashEmbedder,
    Place,
    auction,
    bid,
    call,
    execution,
    only_sqlite,
    outcome,
    remember,
    rows,
)

TASK = Task(text="sort the list", domain="code")


async def test_a_record_shows_how_far_it_came(memory: AuctionMemory):
    before = datetime.now(UTC)
    held = auction("x", TASK, (bid("a", 1.0), bid("b", 2.0)))
    await memory.begin("x", TASK)
    record = await memory.load("x")
    assert (record.status, record.auction, record.outcome, record.source) == ("open", None, None, "")
    await memory.award(held)
    record = await memory.load("x")
    assert (record.status, record.auction, record.execution) == ("awarded", held, None)
    assert record.settlement == held.settlement
    await memory.settle("x", execution(), outcome(), BASELINE)
    record = await memory.load("x")
    assert (record.status, record.execution, record.baseline) == ("settled", execution(), BASELINE)
    times = [before, record.started_at, record.awarded_at, record.settled_at, datetime.now(UTC)]
    assert times == sorted(time for time in times if time is not None)
    assert record.outcomes[0].at == record.settled_at


async def test_what_was_spent_on_a_failed_auction_or_on_failed_work_stays(memory: AuctionMemory):
    await memory.begin("x", TASK)
    await memory.abandon("x", "auction.no_bids: nobody bid", [call(dollars=0.5)])
    record = await memory.load("x")
    assert (record.status, record.reason) == ("abandoned", "auction.no_bids: nobody bid")
    assert record.settlement.dollars == 0.5
    held = await remember(memory, "y", "bake", verdict=None)
    await memory.abandon("y", "cancelled", [call("execute", dollars=0.25)])
    record = await memory.load("y")
    assert record.auction == held
    assert record.settlement == held.settlement + Settlement(calls=(call("execute", dollars=0.25),))
    assert record.abandoned_at is not None


Step = Callable[[AuctionMemory], Awaitable[None]]
STEPS: dict[str, Step] = {
    "begin": lambda memory: memory.begin("x", TASK),
    "award": lambda memory: memory.award(auction("x", TASK, (bid("a", 1.0),))),
    "settle": lambda memory: memory.settle("x", execution(), outcome()),
    "abandon": lambda memory: memory.abandon("x", "no use"),
    "close": lambda memory: memory.close_unexecuted("x"),
    "judge": lambda memory: memory.feedback("x", "success"),
}


@pytest.mark.parametrize(
    ("steps", "wrong", "fault"),
    [
        ("", "award", "no auction 'x'"),
        ("", "settle", "no auction 'x'"),
        ("", "abandon", "no auction 'x'"),
        ("", "close", "no auction 'x'"),
        ("", "judge", "no auction 'x'"),
        ("begin", "begin", "already an auction 'x'"),
        ("begin", "settle", "open and cannot be settled"),
        ("begin", "close", "open and cannot be closed"),
        ("begin", "judge", "open and cannot be judged"),
        ("begin award", "award", "awarded and cannot be awarded"),
        ("begin award settle", "settle", "settled and cannot be settled"),
        ("begin award settle", "award", "settled and cannot be awarded"),
        ("begin award settle", "abandon", "settled and cannot be abandoned"),
        ("begin award settle", "close", "settled and cannot be closed"),
        ("begin abandon", "judge", "abandoned and cannot be judged"),
        ("begin abandon", "settle", "abandoned and cannot be settled"),
    ],
)
async def test_a_step_out_of_order_is_refused_and_changes_nothing(
    memory: AuctionMemory, steps: str, wrong: str, fault: str
):
    for step in steps.split():
        await STEPS[step](memory)
    before = [await memory.load(one.id) for one in await memory.list()]
    with pytest.raises(InputError, match=fault) as caught:
        await STEPS[wrong](memory)
    assert caught.value.hint
    assert [await memory.load(one.id) for one in await memory.list()] == before


async def test_an_auction_taken_for_dead_keeps_what_it_paid_for(memory: AuctionMemory):
    await memory.begin("x", TASK)
    await memory.abandon("x", "its process ended before the award")
    held = auction("x", TASK, (bid("a", 1.0),))
    await memory.award(held)
    assert (await memory.load("x")).reason is None
    await memory.abandon("x", "its process ended before the work was settled")
    await memory.settle("x", execution(), outcome())
    record = await memory.load("x")
    assert (record.status, record.auction, record.execution) == ("settled", held, execution())
    assert (record.abandoned_at, record.reason) == (None, None)


async def test_an_award_for_another_task_or_to_nobody_is_refused(memory: AuctionMemory):
    await memory.begin("x", TASK)
    with pytest.raises(InputError, match="begun for another task"):
        await memory.award(auction("x", Task(text="bake"), (bid("a", 1.0),)))
    stranger = replace(auction("x", TASK, (bid("a", 1.0),)), winner=bid("z", 0.0))
    with pytest.raises(InputError, match="winner 'z' is none of the bids"):
        await memory.award(stranger)
    assert (await memory.load("x")).status == "open"
    with pytest.raises(InputError, match="needs an id"):
        await memory.begin("", TASK)


async def test_feedback_is_added_and_the_latest_counts(memory: AuctionMemory):
    await remember(memory, "x", "sort", verdict="success")
    settled = (await memory.load("x")).outcomes
    await memory.feedback("x", "failure", detail="it drops the last name")
    await memory.feedback("x", "unknown", judged_by="model:large")
    record = await memory.load("x")
    assert record.outcomes[0] == settled[0]
    assert [judgement.outcome for judgement in record.outcomes[1:]] == [
        Outcome(verdict="failure", judged_by="user", detail="it drops the last name"),
        Outcome(verdict="unknown", judged_by="model:large"),
    ]
    assert record.outcome == record.outcomes[-1].outcome
    (line,) = await memory.list()
    assert (line.verdict, line.judged_by, line.status) == ("unknown", "model:large", "settled")


async def test_several_attempts_are_kept_with_their_outcomes(memory: AuctionMemory):
    failed = (
        Attempt(execution=execution("a"), outcome=outcome("failure")),
        Attempt(execution=execution("b"), outcome=Outcome(verdict="unknown", judged_by="nobody")),
    )
    await remember(memory, "x", "sort", (bid("a", 1.0), bid("b", 2.0), bid("c", 3.0)), verdict=None)
    await memory.feedback("x", "unknown", detail="before the work")
    await memory.settle("x", execution("c"), outcome("success"), BASELINE, earlier=failed)
    await memory.feedback("x", "failure")
    record = await memory.load("x")
    assert record.attempts == failed
    assert record.execution == execution("c")
    assert [(one.execution, one.outcome.verdict) for one in record.outcomes] == [
        (None, "unknown"),
        (0, "failure"),
        (1, "unknown"),
        (2, "success"),
        (2, "failure"),
    ]
    assert record.outcome == Outcome(verdict="failure", judged_by="user")
    assert record.settlement.dollars == pytest.approx(0.02 + 3 * 0.25 + 2 * 0.01)
    (line,) = await memory.list()
    assert (line.winner, line.verdict, line.dollars) == ("a", "failure", pytest.approx(record.settlement.dollars))
    assert (await memory.stats()).verdicts == {"failure": 1}
    gone = await memory.forget("x")
    assert (gone.auctions, gone.tasks) == (1, 1)
    for table in ("executions", "outcomes", "calls"):
        assert await rows(memory, f"SELECT count(*) FROM {table}") == [(0,)]


async def test_an_auction_held_for_its_own_sake_can_be_judged(memory: AuctionMemory):
    await remember(memory, "x", "sort", verdict=None)
    await memory.close_unexecuted("x")
    await memory.feedback("x", "success")
    record = await memory.load("x")
    assert (record.status, record.execution) == ("awarded", None)
    assert record.outcome is not None


async def test_an_id_may_be_cut_short_where_it_stays_unique(memory: AuctionMemory):
    for name in ("abc", "abcd", "abx", "b%", "B_"):
        await remember(memory, name, "sort")
    assert (await memory.load("abcd")).id == "abcd"
    assert (await memory.load("abc")).id == "abc"
    assert (await memory.load("abx")).id == "abx"
    await memory.feedback("b", "failure")
    assert (await memory.load("b%")).outcome == Outcome(verdict="failure", judged_by="user")
    with pytest.raises(InputError, match="several auctions") as caught:
        await memory.load("ab")
    assert str(caught.value) == "several auctions begin with 'ab': abc, abcd, abx. Give more of the id."
    with pytest.raises(InputError, match="unknown verdict 'fine'"):
        await memory.feedback("abc", "fine")  # pyright: ignore[reportArgumentType]  a caller without types
    for unknown in ("zz", "", "_", "%"):
        with pytest.raises(InputError, match=f"no auction '{unknown}' in the memory"):
            await memory.feedback(unknown, "success")


async def test_lists_are_narrowed_and_newest_first(memory: AuctionMemory):
    await remember(memory, "x1", "sort", (bid("a", 1.0), bid("b", 2.0)), verdict="failure")
    refined = bid("b", 0.5, refined=True)
    await remember(memory, "x2", "bake " * 100, (bid("a", 1.0), bid("b", 2.0)), refined=[refined], winner=refined)
    await remember(memory, "x3", "sort", (bid("a", 1.0),), verdict=None)
    await memory.begin("x4", TASK)
    every = await memory.list()
    assert [one.id for one in every] == ["x4", "x3", "x2", "x1"]
    assert await memory.list(-1) == await memory.list(0) == ()
    assert [one.id for one in await memory.list(2)] == ["x4", "x3"]
    assert [one.id for one in await memory.list(2, offset=1)] == ["x3", "x2"]
    assert [one.id for one in await memory.list(agent="b")] == ["x2", "x1"]
    assert [one.id for one in await memory.list(status="awarded")] == ["x3"]
    assert [one.id for one in await memory.list(verdict="failure")] == ["x1"]
    assert [one.id for one in await memory.list(domain="code")] == ["x4"]
    flipped = every[2]
    assert (flipped.winner, flipped.provisional, flipped.flipped, flipped.bids) == ("b", "a", True, 3)
    assert flipped.dollars == pytest.approx(0.02 + 0.25 + 0.01)
    assert flipped.task == ("bake " * 100)[:240]
    assert (every[0].winner, every[0].verdict, every[0].dollars) == (None, None, 0.0)


async def test_search_finds_whatever_became_of_it(memory: AuctionMemory):
    await remember(memory, "x1", "sort the list of names", verdict="failure")
    await memory.begin("x2", Task(text="sort the list of numbers"))
    await memory.abandon("x2", "no bids")
    await remember(memory, "x3", "bake a cake")
    found = await memory.search("sort names", 2)
    assert [one.summary.id for one in found] == ["x1", "x2"]
    assert found[0].similarity > found[1].similarity
    assert found[0].summary == (await memory.list(verdict="failure"))[0]
    assert await memory.search("anything", 0) == ()


SECRET = "the launch code is 0000"


def on_disk(memory: AuctionMemory) -> bytes:
    assert memory.path is not None
    parts = memory.path.parent.glob(memory.path.name + "*")
    return b"".join(part.read_bytes() for part in parts if part.is_file())


@only_sqlite
async def test_what_is_forgotten_is_gone_from_the_disk(memory: AuctionMemory):
    quoted = Pair(auction_id="x", task=SECRET, similarity=1.0, losing=SECRET, winning=SECRET, own="both")
    await remember(memory, "x", SECRET, (bid("a", 1.0, SECRET), bid("b", 2.0, SECRET * 100)))
    refined = bid("b", 0.5, refined=True)
    await remember(memory, "y", "sort", refined=[refined], pairs=(quoted, replace(quoted, auction_id="z", task="z")))
    assert SECRET.encode() in on_disk(memory)
    assert len(await memory.recall(TASK, "a", 8)) == 2
    gone = await memory.forget("x")
    assert (gone.auctions, gone.tasks, gone.pairs) == (1, 1, 1)
    assert [pair.auction_id for pair in await memory.recall(TASK, "a", 8)] == ["y"]
    with pytest.raises(InputError, match="no auction 'x'"):
        await memory.load("x")
    kept = (await memory.load("y")).auction
    assert kept is not None
    assert [pair.task for pair in kept.refinements[0].pairs] == ["z"]
    await memory.forget("y")
    assert SECRET.encode() not in on_disk(memory)
    assert await memory.stats() == replace(
        await memory.stats(),
        auctions={},
        verdicts={},
        held=0,
        standing=0,
        imported=0,
        tasks=0,
        strategies=0,
        dollars=0.0,
    )


async def test_only_auctions_with_bids_are_counted_as_such_and_only_plans_as_plans(memory: AuctionMemory):
    await remember(memory, "held", "sort")
    plain = bid("a", 1.0)
    track = replace(plain, strategy=replace(plain.strategy, text="", tokens=0), scores=())
    judged = replace(plain, strategy=replace(plain.strategy, text="", tokens=0))
    for name, bids in (("standing", (track, replace(track, price=2.0))), ("unplanned", (judged,))):
        await memory.begin(name, TASK)
        await memory.award(auction(name, TASK, bids))
    await memory.begin("open", TASK)
    found = await memory.stats()
    assert (found.held, found.standing, found.imported, found.strategies) == (2, 1, 0, 2)
    counted = {one.id: one.bids for one in await memory.list(10)}
    assert counted == {"held": 2, "standing": 0, "unplanned": 1, "open": 0}


async def test_forgetting_by_time_and_by_name(memory: AuctionMemory):
    await remember(memory, "x1", "sort")
    await remember(memory, "x2", "sort")
    middle = datetime.now(UTC)
    await remember(memory, "x3", "bake")
    await remember(memory, "x4", "bake")
    elsewhere = middle.astimezone().replace(tzinfo=None)
    with pytest.raises(InputError, match="without a zone"):
        await memory.forget(before=elsewhere)
    with pytest.raises(InputError, match="nothing to forget"):
        await memory.forget()
    with pytest.raises(InputError, match="no auction 'zz'"):
        await memory.forget("x3", "zz")
    assert (await memory.forget(before=middle)).auctions == 2
    assert (await memory.forget("x3", "x3")).auctions == 1
    assert [one.id for one in await memory.list()] == ["x4"]
    assert (await memory.forget(before=middle)).auctions == 0


async def test_an_auction_being_held_is_not_forgotten(memory: AuctionMemory):
    await memory.begin("x", TASK)
    with pytest.raises(InputError, match="'x' is being held right now"):
        await memory.forget("x")
    assert (await memory.forget(before=datetime.now(UTC) + timedelta(days=1))).auctions == 0
    await memory.abandon("x", "no bids")
    assert (await memory.forget("x")).auctions == 1


async def test_counts(memory: AuctionMemory):
    await remember(memory, "x1", "sort", verdict="failure")
    await remember(memory, "x2", "sort", verdict="success")
    await memory.feedback("x2", "failure")
    await memory.begin("x3", TASK)
    await memory.recall(TASK, "a", 8)
    found = await memory.stats()
    assert found.auctions == {"settled": 2, "open": 1}
    assert found.verdicts == {"failure": 2}
    assert (found.tasks, found.strategies) == (2, 4)
    assert found.dollars == pytest.approx(2 * (0.02 + 0.25 + 0.01))
    assert found.file_bytes >= (len(memory.path.read_bytes()) if memory.path else 1) > 0
    assert found.evidence == 0
    if memory.path is None:
        assert (found.index_bytes, found.recall) == (0, "by the server (pgvector)"), "a server recalls by itself"
    else:
        assert found.index_bytes > 0
        assert found.recall == "exactly, in this process"


async def test_many_tasks_write_and_read_at_the_same_time(memory: AuctionMemory):
    async def live(number: int) -> None:
        await remember(memory, f"x{number:03}", f"task {number % 10}")
        await memory.recall(Task(text=f"task {number}"), "a", 8)
        await memory.feedback(f"x{number:03}", "success")
        await memory.load(f"x{number:03}")

    async with asyncio.TaskGroup() as group:
        for number in range(60):
            group.create_task(live(number))
    assert (await memory.stats()).auctions == {"settled": 60}
    assert len(await memory.recall(TASK, "a", 80)) == 10


async def test_a_cancelled_step_is_carried_out_all_the_same(memory: AuctionMemory):
    await memory.begin("x", TASK)
    held = auction("x", TASK, (bid("a", 1.0),))
    for step in (memory.award(held), memory.settle("x", execution(), outcome())):
        task = asyncio.ensure_future(step)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await memory.feedback("x", "unknown")  # queues behind them
    record = await memory.load("x")
    assert (record.status, record.execution, len(record.outcomes)) == ("settled", execution(), 2)


async def test_a_begin_that_is_cancelled_leaves_nothing_open(memory: AuctionMemory):
    started = 0
    for delay in (0, 1, 2, 3, 5, 8, 20, 50):
        task = asyncio.ensure_future(memory.begin(f"x{delay}", TASK))
        for _ in range(delay):
            await asyncio.sleep(0)
        started += task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await remember(memory, "last", "sort")
    assert started == 8
    assert {one.status for one in await memory.list(50)} <= {"abandoned", "settled"}


async def test_a_begin_that_fails_and_is_cancelled_harms_nobody_else(memory: AuctionMemory):
    await memory.begin("x", TASK)
    task = asyncio.ensure_future(memory.begin("x", TASK))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await remember(memory, "last", "sort")
    assert (await memory.load("x")).status == "open"


async def test_closing_waits_for_what_is_under_way_and_may_be_repeated(place: Place, embedder: HashEmbedder):
    memory = await AuctionMemory.open(place, embedder=embedder)
    await memory.begin("x", TASK)
    task = asyncio.ensure_future(memory.award(auction("x", TASK, (bid("a", 1.0),))))
    await asyncio.sleep(0)
    await memory.aclose()
    await memory.aclose()
    await task
    for use in (memory.list(), memory.begin("y", TASK), memory.recall(TASK, "a", 8), memory.stats()):
        with pytest.raises(StoreError, match="it is closed"):
            await use
    async with await AuctionMemory.open(place, embedder=embedder) as again:
        assert (await again.load("x")).auction is not None
