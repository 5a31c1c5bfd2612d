"""Batches on record, on both databases: who has a task, what a call cost, what money is left, whose turn it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace

import pytest

from sale.errors import InputError, StoreError
from sale.memory import batch_ledger
from sale.memory.batch_ledger import NANO, CallKey, CallPermit, CallRequest, Claim, TaskEnd
from sale.memory.batch_rates import RateLimit
from sale.memory.batches import Batch
from sale.memory.database import MemoryDatabase
from sale.memory.store import AuctionMemory
from sale.types import Call, Task, Usage
from tests.memory.builders import HashEmbedder, Place, auction, bid, rows

CAP = 100
LIMIT = RateLimit(endpoint="e", requests=2, tokens=100)


@pytest.fixture
async def other(place: Place) -> AsyncGenerator[AuctionMemory]:
    """Another process, as far as the database knows."""
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as opened:
        yield opened


async def begin(memory: AuctionMemory, *tasks: str) -> Batch:
    batch = await memory.batch("b")
    await batch.add({task: f"digest of {task}" for task in tasks})
    return batch


async def taken(batch: Batch) -> Claim:
    claim = await batch.claim()
    assert claim is not None
    return claim


async def ask(batch: Batch, claim: Claim, most: int, *, request: str = "r", cap: int = CAP) -> CallPermit:
    key = batch.key(claim, "bid", "a", request)
    return await batch.reserve(key, most=most, tokens=10, limit=None, cap=cap)


async def charged(memory: AuctionMemory) -> int:
    ((found,),) = await rows(memory, "SELECT charged FROM batches")
    ((sums,),) = await rows(memory, "SELECT coalesce(sum(dollars), 0) FROM batch_calls")
    assert found == sums, "the charge is the sum over all calls"
    return int(found)


def numbered(batch: Batch, claim: Claim, admission: CallPermit, request: str = "r") -> CallKey:
    assert admission.number is not None
    return replace(batch.key(claim, "bid", "a", request), number=admission.number)


async def test_tasks_are_taken_in_order_and_each_by_one(memory: AuctionMemory, other: AuctionMemory) -> None:
    batch, theirs = await begin(memory, "t1", "t2", "t3"), await other.batch("b")
    assert batch.id == theirs.id
    claims = [await taken(batch), await taken(theirs), await taken(batch)]
    assert [claim.task for claim in claims] == ["t1", "t2", "t3"]
    assert await theirs.claim() is None
    batch.give_back("t1")
    batch.give_back("t2")  # which is not its own
    await batch.spending(claims[0])  # comes after what was to be written before
    assert (await taken(theirs)).task == "t1"
    assert await theirs.claim() is None


async def test_a_call_is_charged_with_the_most_and_then_with_what_it_cost(memory: AuctionMemory) -> None:
    batch = await begin(memory, "t")
    claim = await taken(batch)
    first = await ask(batch, claim, 60)
    assert first.number == 0
    assert await charged(memory) == 60
    await batch.pay(numbered(batch, claim, first), 25, b"reply", None)
    assert await charged(memory) == 25
    second = await ask(batch, claim, 40)
    assert second.number == 1, "the same asked again is another call"
    batch.free(numbered(batch, claim, second))
    third = await ask(batch, claim, 30)
    batch.lose(numbered(batch, claim, third))
    spending = await batch.spending(claim)
    assert (spending.paid, spending.attempt, spending.unknown) == (25, 25, 30)
    assert await charged(memory) == 55
    (paid,) = await batch.settled_calls(claim)
    assert (paid.reply, paid.dollars, paid.key.number) == (b"reply", 25, 0)
    totals = await batch.totals()
    assert (totals.paid, totals.set_aside, totals.unknown) == (25, 0, 30)


async def test_no_call_is_admitted_beyond_the_cap(memory: AuctionMemory) -> None:
    batch = await begin(memory, "t")
    claim = await taken(batch)
    first = await ask(batch, claim, 60)
    waiting = await ask(batch, claim, 50, request="s")
    assert waiting.number is None
    assert waiting.wait > 0, "what is under way may cost less, and make room"
    assert (await ask(batch, claim, 101)).capped
    batch.lose(numbered(batch, claim, first))
    assert (await ask(batch, claim, 50, request="s")).capped, "what is unknown makes no room"
    assert (await ask(batch, claim, 40, request="s")).number == 0
    assert await charged(memory) == 100
    assert (await ask(batch, claim, 50, request="u", cap=150)).number == 0, "the cap may be raised"


async def test_what_a_dead_process_had_is_given_back_and_its_calls_stay_charged(
    memory: AuctionMemory, other: AuctionMemory
) -> None:
    theirs = await begin(other, "t1", "t2")
    claim = await taken(theirs)
    cut, late = await ask(theirs, claim, 10), await ask(theirs, claim, 20, request="s")
    batch = await memory.batch("b")
    await batch.recover()
    assert (await taken(batch)).task == "t2", "it is alive: its task is its own"
    await asyncio.to_thread(other._database.backend.presence.leave)  # as a killed process would
    await batch.recover()
    assert await taken(batch) == claim
    totals = await batch.totals()
    assert (totals.set_aside, totals.unknown, totals.running) == (0, 30, 2)
    assert (await ask(theirs, claim, 1, request="u")).taken_over, "one that is not dead after all makes no more calls"
    assert not await theirs.finish(claim, TaskEnd(status="done", verdict="success", line="{}"))
    await theirs.pay(numbered(theirs, claim, late, "s"), 5, b"late", None)
    assert await charged(memory) == 15, "a bill that comes after all is known"
    assert cut.number == 0


async def test_a_finished_task_has_its_line_and_no_replies(memory: AuctionMemory) -> None:
    batch = await begin(memory, "t1", "t2")
    claim = await taken(batch)
    await batch.pay(numbered(batch, claim, await ask(batch, claim, 10)), 4, b"reply", None)
    assert await batch.finish(claim, TaskEnd(status="done", verdict="success", line='{"a": 1}', other=3))
    assert await batch.lines() == [("t1", 1, '{"a": 1}')]
    assert await batch.settled_calls(claim) == []
    assert await rows(memory, "SELECT count(*) FROM batch_calls WHERE reply IS NOT NULL") == [(0,)]
    assert await charged(memory) == 7
    second = await taken(batch)
    assert await batch.finish(second, TaskEnd(status="failed", verdict="unknown", line="{}"))
    totals = await batch.totals()
    assert (totals.done, totals.failed, totals.success, totals.failure) == (1, 1, 1, 0)
    await batch.retry()
    again = await taken(batch)
    assert again == Claim(task="t2", attempt=2)
    assert await batch.claim() is None, "what is done stays done"
    assert (await ask(batch, again, 10)).number == 0, "nothing of the first attempt is repeated"


async def test_a_task_that_says_something_else_is_refused(memory: AuctionMemory) -> None:
    batch = await begin(memory, "t1", "t2")
    await batch.add({"t2": "digest of t2", "t3": "x"})
    assert [task for task, _ in await batch.attempts()] == ["t1", "t2", "t3"]
    with pytest.raises(InputError, match=r"'t1'.*Give a changed task another id"):
        await batch.add({"t1": "another", "t4": "x"})
    assert len(await batch.attempts()) == 3


async def at(
    memory: AuctionMemory, batch: Batch, claim: Claim, now: float, tokens: int, limit: RateLimit
) -> CallPermit:
    wanted = CallRequest(
        key=batch.key(claim, "bid", "a", f"{now} {tokens}"),
        owner=memory._database.token,
        most=1,
        tokens=tokens,
        limit=limit,
        cap=NANO,
    )
    return await memory._database.write(lambda connection: batch_ledger.reserve(connection, wanted, now))


async def test_a_minute_holds_so_many_requests_and_tokens_of_all_processes(
    memory: AuctionMemory, other: AuctionMemory
) -> None:
    batch, theirs = await begin(memory, "t1", "t2"), await other.batch("b")
    mine, yours = await taken(batch), await taken(theirs)
    assert (await at(memory, batch, mine, 1000.0, 10, LIMIT)).number == 0
    assert (await at(other, theirs, yours, 1010.5, 10, LIMIT)).number == 0
    refused = await at(memory, batch, mine, 1020.0, 10, LIMIT)
    assert refused.number is None
    assert refused.wait == pytest.approx(40.0), "until the first is a minute old"
    assert (await at(memory, batch, mine, 1059.9, 10, LIMIT)).number is None
    assert (await at(memory, batch, mine, 1060.0, 10, LIMIT)).number == 0
    elsewhere = RateLimit(endpoint="f", requests=1, tokens=None)
    assert (await at(memory, batch, mine, 1060.0, 10**6, elsewhere)).number == 0
    assert (await at(memory, batch, mine, 1061.0, 1, elsewhere)).number is None


async def test_tokens_count_with_the_most_until_they_are_known(memory: AuctionMemory) -> None:
    batch = await begin(memory, "t")
    claim = await taken(batch)
    limit = RateLimit(endpoint="e", requests=None, tokens=100)
    first = await at(memory, batch, claim, 1000.0, 90, limit)
    assert (await at(memory, batch, claim, 1001.0, 20, limit)).wait == pytest.approx(59.0)
    await batch.pay(batch.key(claim, "bid", "a", "1000.0 90"), 1, b"", (limit, first.second, 30 - 90))
    assert (await at(memory, batch, claim, 1002.0, 20, limit)).number == 0
    assert (await at(memory, batch, claim, 1003.0, 500, limit)).number is None
    assert (await at(memory, batch, claim, 2000.0, 500, limit)).number == 0, "alone in the minute it can be made"
    assert (await at(memory, batch, claim, 2001.0, 1, limit)).number is None


async def test_what_is_written_together_fails_together_and_is_told(memory: AuctionMemory) -> None:
    batch = await begin(memory, "t")
    claim = await taken(batch)
    good = asyncio.ensure_future(ask(batch, claim, 1))
    broken = batch._enqueue(lambda connection: connection.exec_driver_sql("SELECT * FROM nowhere"))
    with pytest.raises(StoreError):
        await broken
    with pytest.raises(StoreError):
        await good
    assert (await ask(batch, claim, 1)).number == 0, "and the next are written"


async def test_a_cancelled_request_leaves_nothing_set_aside(memory: AuctionMemory) -> None:
    batch = await begin(memory, "t")
    claim = await taken(batch)
    leaving = asyncio.ensure_future(ask(batch, claim, 10))
    await asyncio.sleep(0)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    await batch.spending(claim)
    assert (await batch.spending(claim)).paid == 0
    assert await charged(memory) == 0


async def test_an_auction_left_unfinished_is_gone_on_with(memory: AuctionMemory) -> None:
    held = auction("x", Task(text="Do it."), [bid("a", 1.0), bid("b", 2.0)])
    assert await memory.take_up(held.id, ()) is None
    await memory.begin(held.id, held.task)
    stray = Call(stage="bid", agent="a", usage=Usage(), dollars=0.5, seconds=1.0)
    await memory.abandon(held.id, "cancelled", [stray])
    assert (await memory.load(held.id)).settlement.dollars == 0.5
    record = await memory.take_up(held.id, ())
    assert record is not None
    assert (record.status, record.auction, record.stray_calls, record.reason) == ("open", None, (), None)
    await memory.award(held)
    await memory.abandon(held.id, "cancelled at work", [stray])
    with pytest.raises(InputError, match="not in the pool"):
        await memory.take_up(held.id, ("somebody else",))
    record = await memory.take_up(held.id, (held.winner.agent,))
    assert record is not None
    assert (record.status, record.auction, record.stray_calls) == ("awarded", held, ())
    assert await memory.find_settled(held.id) is None


async def test_a_job_whose_process_ended_while_it_sent_it_is_taken_over(memory: AuctionMemory, place: Place) -> None:
    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as gone:
        await (await begin(gone, "t")).open_job("j", "a")
        batch = await memory.batch("b")
        record = await batch.job("j")
        assert record is not None
        assert not await batch.adopt_job(record), "its process is at work"
    assert await batch.adopt_job(record)
    taken_over = await batch.job("j")
    assert taken_over is not None
    assert taken_over.owner == batch.owner
    assert not await batch.adopt_job(record), "another has it"


async def test_a_gate_that_is_kept_is_no_end_of_a_job(
    memory: AuctionMemory, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object, sweep: object) -> None:
        raise StoreError("another process is still opening it")

    async with await AuctionMemory.open(place, embedder=HashEmbedder()) as gone:
        await (await begin(gone, "t")).open_job("j", "a")
    batch = await memory.batch("b")
    record = await batch.job("j")
    assert record is not None
    with monkeypatch.context() as patch:
        patch.setattr(MemoryDatabase, "sweeping", fail)
        assert not await batch.adopt_job(record)
    assert await batch.adopt_job(record)
