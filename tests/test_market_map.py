"""Many tasks through a market in the library: side by side, as they come, each with its result or its error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import aclosing

import pytest

from sale import ExactMatch, FunctionAgent, Market, Price, Task
from sale.errors import InputError, NoBidsError
from sale.types import Execution, Outcome

PRICE = Price(input=1.0, output=1.0, blended=1.0)


class Working:
    """An agent whose tasks say how many ticks they take; it counts how many are at work."""

    def __init__(self) -> None:
        self.now = self.most = self.cancelled = 0

    async def plan(self, task: Task) -> str:
        if task.text == "no plan":
            raise ValueError("it has none")
        return "1. Wait."

    async def work(self, task: Task, strategy: str | None) -> str:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            for _ in range(int(task.text)):
                await asyncio.sleep(0.01)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.now -= 1
        return task.text

    def market(self) -> Market:
        return Market([FunctionAgent("one", price=PRICE, bid=self.plan, execute=self.work)])


async def test_results_come_in_the_order_in_which_they_are_ready() -> None:
    agent = Working()
    async with agent.market() as market:
        tasks = ["60", Task(text="1", id="quick"), "30"]
        found = [one async for one in market.map(tasks, concurrency=3, verifier_of=lambda task: ExactMatch("1"))]
    assert [one.task.text for one in found] == ["1", "30", "60"]
    assert found[0].task.id == "quick"
    results = [one.result for one in found if one.result is not None]
    assert [result.answer for result in results] == ["1", "30", "60"]
    assert [result.outcome.verdict for result in results] == ["success", "failure", "failure"]
    assert agent.most == 3


async def test_an_agent_or_a_verifier_that_cancels_itself_fails_its_own_task_alone() -> None:
    async def cancels_itself() -> None:
        own = asyncio.create_task(asyncio.sleep(60))
        own.cancel()
        await own

    class Careless(FunctionAgent):
        async def execute(self, task: Task, strategy: str | None) -> Execution:
            if task.text == "agent":
                await cancels_itself()
            return await super().execute(Task(text="1"), strategy)

    class CarelessVerifier:
        async def verify(self, task: Task, answer: str) -> Outcome:
            if task.text == "verifier":
                await cancels_itself()
            return Outcome(verdict="success", judged_by="test")

    agent = Working()
    async with Market([Careless("one", price=PRICE, bid=agent.plan, execute=agent.work)]) as market:
        tasks = ["agent", "verifier", "neither"]
        found = {one.task.text: one.result async for one in market.map(tasks, verifier_of=lambda _: CarelessVerifier())}
    verdicts = {name: result.outcome.verdict for name, result in found.items() if result is not None}
    assert verdicts == {"agent": "failure", "verifier": "unknown", "neither": "success"}


async def test_no_more_than_allowed_are_at_work_and_tasks_are_taken_as_there_is_room() -> None:
    agent = Working()
    taken: list[int] = []

    def endless() -> Iterator[str]:
        for number in range(10**9):
            taken.append(number)
            yield "1"

    async with agent.market() as market, aclosing(market.map(endless(), concurrency=2)) as outcomes:
        for _ in range(5):
            assert (await anext(outcomes)).error is None
    assert agent.most == 2
    assert len(taken) <= 8


async def test_a_task_that_cannot_be_auctioned_does_not_end_the_others() -> None:
    async with Working().market() as market:
        found = {one.task.text: one async for one in market.map(["no plan", "2"], concurrency=1)}
    assert found["2"].result is not None
    assert found["no plan"].result is None
    assert isinstance(found["no plan"].error, NoBidsError)


async def test_what_is_under_way_is_cancelled_where_the_iteration_is_left() -> None:
    agent = Working()
    async with agent.market() as market, aclosing(market.map(["1", "500", "500"], concurrency=3)) as outcomes:
        await anext(outcomes)
    assert agent.cancelled == 2
    assert agent.now == 0


async def test_a_concurrency_of_nothing_is_refused() -> None:
    async with Working().market() as market:
        with pytest.raises(InputError, match="at least 1"):
            await anext(market.map(["1"], concurrency=0))
