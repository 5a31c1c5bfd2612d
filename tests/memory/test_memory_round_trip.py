"""What is stored comes back equal, whatever it is."""

from __future__ import annotations

import math
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sale.memory.store import AuctionMemory
from sale.types import Auction, Baseline, Call, Execution, Outcome, Pair, Settlement, Task
from tests.memory import builders

ONE_MEMORY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ONE_MEMORY
@given(
    auction=builders.auctions(builders.texts),
    execution=builders.executions(builders.texts),
    outcome=builders.outcomes(builders.texts),
    baseline=builders.baselines(builders.texts),
)
async def test_a_settled_auction_comes_back_equal(
    memory: AuctionMemory, auction: Auction, execution: Execution, outcome: Outcome, baseline: Baseline | None
):
    auction = replace(auction, id=uuid4().hex)
    await memory.begin(auction.id, auction.task)
    await memory.award(auction)
    await memory.settle(auction.id, execution, outcome, baseline)
    record = await memory.load(auction.id)
    assert record.auction == auction
    assert record.execution == execution
    assert record.outcome == outcome
    assert [judgement.outcome for judgement in record.outcomes] == [outcome]
    assert record.baseline == baseline
    assert record.task == auction.task
    assert record.settlement == Settlement(calls=auction.settlement.calls + execution.calls + outcome.calls)
    assert record.status == "settled"


@ONE_MEMORY
@given(
    task=builders.tasks(builders.texts, builders.sound_texts),
    reason=builders.texts,
    calls=st.lists(builders.calls(builders.texts), max_size=3),
)
async def test_what_an_abandoned_auction_spent_comes_back(
    memory: AuctionMemory, task: Task, reason: str, calls: list[Call]
):
    name = uuid4().hex
    await memory.begin(name, task)
    await memory.abandon(name, reason, calls)
    record = await memory.load(name)
    assert (record.task, record.reason, record.auction, record.status) == (task, reason, None, "abandoned")
    assert record.settlement == Settlement(calls=tuple(calls))


@pytest.mark.parametrize(
    "text", ["\0", "\x10", "\x100000", "\ud83d", "𝒜\ud83d\x10\0", "\x10\x10", "'; DROP TABLE tasks"]
)
async def test_characters_a_database_has_not_come_back(memory: AuctionMemory, text: str):
    auction = builders.auction(text, Task(id="1", text=text, domain=text), [builders.bid("a", 1.0, text)])
    await memory.begin(text, auction.task)
    await memory.award(auction)
    assert (await memory.load(text)).auction == auction
    assert [one.id for one in await memory.list(domain=text)] == [text]


@given(st.text(st.characters(codec=None, exclude_categories=()), max_size=40))
@example("\x10\x10")
@example("\x100010")
def test_text_is_escaped_reversibly_into_what_every_database_holds(text: str):
    from sqlalchemy.dialects import sqlite

    from sale.memory.columns import ExactText

    column, dialect = ExactText(), sqlite.dialect()
    stored = column.process_bind_param(text, dialect)
    assert stored is not None
    assert b"\0" not in stored.encode()
    assert column.process_result_value(stored, dialect) == text


async def test_quoted_strategies_are_kept_once(memory: AuctionMemory):
    """And those that are not on record as they are quoted are kept in full."""
    plan = "a plan to be quoted " * 20
    past = await builders.remember(memory, "past", "add", (builders.bid("a", 1.0, plan), builders.bid("b", 2.0)))
    known = Pair(auction_id="past", task="add", similarity=0.5, losing="first plan of b", winning=plan, own="both")
    odd = (
        replace(known, task="another task"),
        replace(known, losing="not what b wrote"),
        replace(known, winning="not what a wrote"),
        replace(known, auction_id="nowhere"),
    )
    assert plan in {one.strategy.text for one in past.bids}
    refined = builders.bid("b", 0.5, refined=True)
    held = await builders.remember(memory, "x", "sort", refined=[refined], pairs=(known, *odd, known))
    assert (await memory.load("x")).auction == held
    with closing(sqlite3.connect(memory.path)) as raw:
        kept = raw.execute("SELECT winning FROM pairs ORDER BY position").fetchall()
    assert [winning is None for (winning,) in kept] == [True, False, False, False, False, True]
    await memory.forget("past")
    left = (await memory.load("x")).auction
    assert left is not None
    assert left.refinements[0].pairs == (odd[3],)


async def test_not_a_number_is_kept_as_such(memory: AuctionMemory):
    bids = (builders.bid("a", 1.0), builders.nan_bid("b"))
    auction = await builders.remember(memory, "x", "task", bids)
    loaded = (await memory.load("x")).auction
    assert loaded is not None
    assert math.isnan(loaded.bids[1].cost)
    assert loaded.bids[0] == auction.bids[0]


async def test_a_trace_that_is_not_json_is_kept_as_text(memory: AuctionMemory):
    await builders.remember(memory, "x", "task", verdict=None)
    odd = replace(builders.execution(), trace=({"path": Path("a/b")},))
    await memory.settle("x", odd, builders.outcome())
    loaded = (await memory.load("x")).execution
    assert loaded is not None
    assert loaded.trace == ({"path": "a/b"},)
