"""The memory in figures agrees with the records it is made of."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, event

from sale.auction.baseline import always_largest
from sale.memory import figures
from sale.memory.figures import FigureScope
from sale.types import Attempt, Dropout, Price, Task
from tests.memory.builders import BASELINE, Fresh, auction, bid, call, execution, only_sqlite, outcome, remember


async def test_auctions_in_figures_add_up_to_their_records(fresh: Fresh) -> None:
    async with fresh() as memory:
        await remember(memory, "one", "a task", verdict="success")
        await remember(memory, "two", "another", verdict="failure")
        await remember(memory, "three", "a third", verdict=None)
        await memory.begin("four", Task(text="nobody came", domain="idle"))
        await memory.abandon("four", "no bids", [call(dollars=0.125)])
        found = {one.id: one for one in await memory.auction_figures()}
        for auction_id, one in found.items():
            record = await memory.load(auction_id)
            assert one.dollars == pytest.approx(record.settlement.dollars)
            assert one.auction_dollars == pytest.approx(record.settlement.auction_dollars)
            assert one.verdict == (record.outcome.verdict if record.outcome else None)
            assert (one.status, one.at) == (record.status, record.started_at)
        assert (found["one"].winner, found["one"].largest, found["one"].largest_dollars) == ("a", "large", 1.0)
        assert not found["one"].estimated
        assert found["one"].saved == pytest.approx(1.0 - found["one"].dollars)
        assert (found["three"].saved, found["three"].work_dollars) == (None, 0.0)
        assert (found["four"].winner, found["four"].domain) == (None, "idle")


async def test_baselines_made_of_other_agents_tokens_are_estimates(fresh: Fresh) -> None:
    async with fresh() as memory:
        task = Task(text="t")
        held = auction("one", task, (bid("a", 1.0),))
        await memory.begin("one", task)
        await memory.award(held)
        await memory.settle("one", execution(), outcome(), replace(BASELINE, basis="the tokens a took"))
        (one,) = await memory.auction_figures()
        assert one.estimated


async def test_a_baseline_is_measured_however_that_is_worded(fresh: Fresh) -> None:
    own, other = (
        always_largest("a", Price(input=1.0, output=1.0, blended=1.0), [execution(agent)]) for agent in ("a", "b")
    )
    assert (own.measured, other.measured) == (True, False)
    async with fresh() as memory:
        for name, baseline in (("one", own), ("two", other)):
            task = Task(text="t")
            await memory.begin(name, task)
            await memory.award(auction(name, task, (bid("a", 1.0),)))
            await memory.settle(name, execution(), outcome(), baseline)
        assert [one.estimated for one in await memory.auction_figures()] == [False, True]


async def test_each_attempt_is_work_of_its_own(fresh: Fresh) -> None:
    async with fresh() as memory:
        task = Task(text="t")
        held = auction("one", task, (bid("a", 1.0), bid("b", 2.0)))
        await memory.begin("one", task)
        await memory.award(held)
        earlier = [Attempt(execution=execution("a"), outcome=outcome("failure"))]
        await memory.settle("one", execution("b"), outcome("success"), BASELINE, earlier=earlier)
        await memory.feedback("one", "unknown")
        works = await memory.work_figures()
        assert [(one.agent, one.verdict, one.dollars) for one in works] == [
            ("a", "failure", 0.25),
            ("b", "unknown", 0.25),
        ]


async def test_agents_in_figures(fresh: Fresh) -> None:
    async with fresh() as memory:
        better = bid("b", 0.5, refined=True)
        await remember(memory, "one", "a task")
        await remember(memory, "two", "another", refined=[better], winner=better)
        task = Task(text="t")
        held = auction("three", task, (bid("a", 1.0),))
        left = (Dropout(agent="c", stage="bid", code="call.timeout", reason="late"),)
        await memory.begin("three", task)
        await memory.award(replace(held, dropouts=left))
        found = {one.agent: one for one in await memory.agent_figures()}
        assert (found["a"].auctions, found["a"].wins, found["a"].refined_wins) == (3, 2, 0)
        assert (found["b"].auctions, found["b"].wins, found["b"].refined_wins) == (2, 1, 1)
        assert (found["c"].auctions, found["c"].dropouts, found["c"].dropped) == (0, 1, (("bid", 1),))
        assert (found["a"].price, found["a"].mean_tokens, found["c"].price) == (1.0, 10.0, None)
        assert found["a"].auction_dollars == pytest.approx(0.03)
        assert await memory.agent_names() == ("a", "b", "c")


async def test_spans_narrow_everything(fresh: Fresh) -> None:
    async with fresh() as memory:
        await remember(memory, "one", "a task")
        for span, count in (
            (FigureScope(since=datetime.now(UTC) - timedelta(hours=1), held_here=True), 1),
            (FigureScope(since=datetime.now(UTC) + timedelta(hours=1)), 0),
        ):
            assert len(await memory.auction_figures(span)) == count
            assert len(await memory.work_figures(span)) == count
            assert sum(one.wins for one in await memory.agent_figures(span)) == count


@only_sqlite
async def test_a_span_reads_the_calls_of_its_own_auctions_alone(fresh: Fresh) -> None:
    span = FigureScope(since=datetime.now(UTC) - timedelta(hours=1))
    asked: list[tuple[str, Any]] = []

    def keep(_connection: object, _cursor: object, statement: str, parameters: object, *_: object) -> None:
        asked.append((statement, parameters))

    def look(connection: Connection) -> list[str]:
        event.listen(connection, "before_cursor_execute", keep)
        figures._auctions(connection, span)
        figures._works(connection, span)
        figures._agents(connection, span)
        event.remove(connection, "before_cursor_execute", keep)
        plans = [connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {one}", given).all() for one, given in asked]
        return [str(row[-1]) for plan in plans for row in plan]

    async with fresh() as memory:
        steps = await memory._database.read(look)
    of_calls = [step for step in steps if " calls" in step]
    assert len(asked) == 5
    assert of_calls
    assert all(step.startswith("SEARCH calls USING") and "(auction=?" in step for step in of_calls)


async def test_the_revision_tells_of_every_change(fresh: Fresh) -> None:
    async with fresh() as memory:
        seen = [await memory.revision()]
        await memory.begin("one", Task(text="t", domain="sums"))
        seen.append(await memory.revision())
        await memory.abandon("one", "no bids")
        seen.append(await memory.revision())
        assert seen == sorted(set(seen))
        assert await memory.domains() == ("sums",)
