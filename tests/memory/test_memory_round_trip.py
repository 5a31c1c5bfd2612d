"""What is stored comes back equal, whatever it is."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from sale.memory.store import AuctionMemory
from sale.types import (
    Attempt,
    Auction,
    Baseline,
    Call,
    Execution,
    Exploration,
    Outcome,
    Pair,
    Settlement,
    Task,
    TrackRecord,
    Training,
    Weights,
)
from tests.memory import builders

ONE_MEMORY = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@ONE_MEMORY
@given(
    auction=builders.auctions(builders.texts),
    execution=builders.executions(builders.texts),
    outcome=builders.outcomes(builders.texts),
    earlier=builders.attempts(builders.texts),
    baseline=builders.baselines(builders.texts),
)
async def test_a_settled_auction_comes_back_equal(
    memory: AuctionMemory,
    auction: Auction,
    execution: Execution,
    outcome: Outcome,
    earlier: tuple[Attempt, ...],
    baseline: Baseline | None,
):
    auction = replace(auction, id=uuid4().hex)
    await memory.begin(auction.id, auction.task)
    await memory.award(auction)
    await memory.settle(auction.id, execution, outcome, baseline, earlier=earlier)
    record = await memory.load(auction.id)
    assert record.auction == auction
    assert record.execution == execution
    assert record.outcome == outcome
    assert record.attempts == earlier
    assert record.executions == (*(one.execution for one in earlier), execution)
    assert [judgement.outcome for judgement in record.outcomes] == [*(one.outcome for one in earlier), outcome]
    assert [judgement.execution for judgement in record.outcomes] == list(range(len(earlier) + 1))
    assert record.baseline == baseline
    assert record.task == auction.task
    calls = [one.execution.calls for one in earlier] + [execution.calls]
    calls += [one.outcome.calls for one in earlier] + [outcome.calls]
    assert record.settlement == auction.settlement + Settlement(calls=tuple(call for part in calls for call in part))
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

    from sale.storage.columns import ExactText

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
    kept = await builders.rows(memory, "SELECT winning FROM pairs ORDER BY position")
    assert [winning is None for (winning,) in kept] == [True, False, False, False, False, True]
    await memory.forget("past")
    left = (await memory.load("x")).auction
    assert left is not None
    assert left.refinements[0].pairs == (odd[3],)


async def test_what_a_bid_rested_on_comes_back(memory: AuctionMemory):
    track = TrackRecord(agent="a", successes=1.5, failures=0.0, spent=12.5, costed=1.5)
    bids = (replace(builders.bid("a", 1.0), track=track, chance=0.75), builders.bid("b", 2.0))
    await builders.remember(memory, "x", "sort", bids)
    loaded = (await memory.load("x")).auction
    assert loaded is not None
    assert [(one.track, one.chance) for one in loaded.bids] == [(track, 0.75), (None, None)]
    (example,) = await memory.examples()
    assert example.bids == bids


async def test_how_an_award_was_drawn_comes_back_and_learning_sees_it(memory: AuctionMemory):
    drawn = Exploration(best="a", propensities={"a": 0.9, "b": 0.1}, extra_dollars=1e-5, lost_success=None)
    held = builders.auction("x", Task(text="sort"), [builders.bid("a", 1.0), builders.bid("b", 2.0)])
    held = replace(held, winner=held.bids[1], exploration=drawn)
    await memory.begin("x", held.task)
    await memory.award(held)
    done = Outcome(verdict="success", judged_by="tests")
    await memory.settle("x", Execution(agent="b", answer="1", mode="direct", followed_strategy=True), done)
    assert (await memory.load("x")).auction == held
    (example,) = await memory.examples()
    assert (example.winner, example.propensities) == ("b", drawn.propensities)


async def test_a_success_model_is_kept_once_and_as_long_as_it_is_needed(memory: AuctionMemory):
    other = replace(builders.MODEL, worth=2.0)
    for name, model in (("x0", builders.MODEL), ("x1", other), ("x2", builders.MODEL), ("x3", None)):
        weights = Weights(cost=1.0, entropy=0.0, jurors={}, source="weights 1", model=model)
        held = replace(builders.auction(name, Task(text="sort"), [builders.bid("a", 1.0)]), weights=weights)
        await memory.begin(name, held.task)
        await memory.award(held)
        await memory.close_unexecuted(name)
        assert (await memory.load(name)).auction == held

    async def kept() -> list[float]:
        return sorted(
            json.loads(body)["worth"] for (body,) in await builders.rows(memory, "SELECT body FROM success_models")
        )

    assert await kept() == [2.0, 1e4]
    await memory.forget("x0")
    assert await kept() == [2.0, 1e4]
    await memory.forget("x1")
    assert await kept() == [1e4]
    training = Training(objective="utility", auctions=1, judged=1)
    await memory.add_weights(Weights(cost=1.0, entropy=0.0, jurors={}, model=builders.MODEL), training)
    await memory.forget("x2")
    assert await kept() == [1e4]


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
