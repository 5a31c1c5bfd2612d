"""A market inside somebody's program: wrong arguments, code with faults, threads and event loops around it."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import cast

import pytest

from sale import Check, ExactMatch, FunctionAgent, Market, Price, Task, Usage, Work
from sale.agents.tools.workspace.workspace import Workspace
from sale.auction.events import Event
from sale.auction.protocols import Look
from sale.auction.scoring import weigh
from sale.errors import InputError
from sale.memory.records import Record
from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder
from sale.types import AuctionRules, Bid, Execution, Outcome, Score, Strategy, TrackRecord, Weights

PRICE = Price(input=1.0, output=1.0, blended=1.0)


class Worker(FunctionAgent):
    """An agent that answers with the task's own text, moves into repositories, and counts how often it is closed."""

    def __init__(self, name: str = "one", *, closing: Exception | None = None) -> None:
        super().__init__(name, price=PRICE, bid=self._planned, execute=self._worked)
        self.closed = 0
        self._closing = closing

    async def _planned(self, task: Task) -> Work:
        return Work(text="1. Repeat it.", usage=Usage(input_tokens=10, output_tokens=5))

    async def _worked(self, task: Task, strategy: str | None) -> Work:
        return Work(text=task.text, usage=Usage(input_tokens=20, output_tokens=10))

    def within(self, workspace: Workspace) -> Worker:
        return self

    async def aclose(self) -> None:
        self.closed += 1
        if self._closing is not None:
            raise self._closing


def opener_in(place: Path) -> Callable[[], Awaitable[AuctionMemory]]:
    return lambda: AuctionMemory.open(place / "m.sqlite3", embedder=MiniLMEmbedder())


async def only_record(market: Market) -> Record:
    memory = await market.memory()
    assert memory is not None
    (summary,) = await memory.list()
    return await memory.load(summary.id)


async def test_what_works_in_a_repository_closes_nothing_of_the_market_it_is_from(tmp_path: Path) -> None:
    agent = Worker()
    async with Market([agent], memory=opener_in(tmp_path)) as market:
        await market.run("first")
        async with market.within(cast("Workspace", None)) as moved:
            await moved.run("second")
        assert agent.closed == 0
        await market.run("third")
        memory = await market.memory()
        assert memory is not None
        assert len(await memory.list()) == 3
    assert agent.closed == 1


def test_what_works_in_a_repository_without_an_event_loop_shares_that_of_its_market(tmp_path: Path) -> None:
    with Market([Worker()], memory=opener_in(tmp_path)) as market:
        with market.within(cast("Workspace", None)) as moved:
            assert moved.run_sync("first").unkept is None
        assert market.run_sync("second").unkept is None


def faulty_rule(
    strategy: Strategy, price: float, scores: Sequence[Score], weights: Weights, track: TrackRecord | None
) -> Bid:
    if strategy.text:
        raise ZeroDivisionError("a fault of its own")
    return weigh(strategy, price, scores, weights, track)


async def test_an_auction_that_ends_in_a_fault_of_the_program_is_abandoned_with_what_was_paid(tmp_path: Path) -> None:
    async with Market([Worker()], memory=opener_in(tmp_path), scoring_rule=faulty_rule) as market:
        with pytest.raises(ZeroDivisionError):
            await market.run("task")
        record = await only_record(market)
    assert record.status == "abandoned"
    assert record.reason == "ZeroDivisionError: a fault of its own"
    assert [call.dollars for call in record.stray_calls] == [PRICE.dollars(Usage(input_tokens=10, output_tokens=5))]


async def test_work_that_ends_in_a_fault_of_the_program_is_abandoned_with_what_was_paid(tmp_path: Path) -> None:
    class Leaving:
        async def verify(self, task: Task, answer: str) -> Outcome:
            raise SystemExit("it leaves")

    async with Market([Worker()], memory=opener_in(tmp_path)) as market:
        with pytest.raises(SystemExit):
            await market.run("task", verifier=Leaving())
        record = await only_record(market)
    assert record.status == "abandoned"
    assert record.reason == "at work: SystemExit: it leaves"
    worked = [call for call in record.stray_calls if call.stage == "execute"]
    assert [call.usage.output_tokens for call in worked] == [10]


@pytest.mark.parametrize("given", [True, None, "success", Outcome(verdict=cast("Outcome", "good"), judged_by="me")])  # pyright: ignore[reportArgumentType]
async def test_a_verifier_that_returns_something_else_leaves_the_outcome_unknown(given: object) -> None:
    class Wrong:
        async def verify(self, task: Task, answer: str) -> Outcome:
            return cast("Outcome", given)

    async with Market([Worker()]) as market:
        result = await market.run("task", verifier=Wrong())
    assert result.answer == "task"
    assert (result.outcome.verdict, result.outcome.judged_by) == ("unknown", "Wrong")
    assert ("verify must return" in result.outcome.detail) != ("is no verdict" in result.outcome.detail)


@pytest.mark.parametrize("answered", [False, True])
async def test_an_agent_that_returns_something_else_has_failed(*, answered: bool) -> None:
    class Wrong(Worker):
        async def execute(self, task: Task, strategy: str | None) -> Execution:
            done = await super().execute(task, strategy)
            object.__setattr__(done, "answer", 42)
            return done if answered else cast("Execution", "the answer")

    async with Market([Wrong()]) as market:
        result = await market.run("task")
    assert result.outcome.verdict == "failure"
    assert "TypeError" in (result.execution.error or "")


async def test_a_look_that_returns_something_else_costs_the_evidence_alone() -> None:
    class Wrong(Worker):
        looks = 1
        look_dollars = 0.0

        async def look(self, task: Task, /) -> Look:
            return cast("Look", "what it saw")

    async with Market([Wrong()]) as market:
        result = await market.run("task")
    assert result.answer == "task"
    (failed,) = [call for call in result.settlement.calls if call.stage == "look"]
    assert "look must return" in (failed.error or "")


async def test_an_observer_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def observe(event: Event) -> None:
        raise RuntimeError(f"it cannot show {type(event).__name__}")

    async with Market([Worker()]) as market:
        with caplog.at_level(logging.ERROR, logger="sale.auction"):
            result = await market.run("task", observe=observe)
    assert result.answer == "task"
    assert "it cannot show WorkFinished" in caplog.text


async def test_an_observer_that_would_have_to_be_awaited_is_refused() -> None:
    async def observe(event: Event) -> None: ...

    class Observing:
        async def __call__(self, event: Event) -> None: ...

    async with Market([Worker()]) as market:
        for one in (observe, Observing(), None):
            with pytest.raises(InputError, match="plain function"):
                await market.auction("task", observe=one)  # pyright: ignore[reportArgumentType]


async def test_in_an_event_loop_a_market_is_used_and_closed_by_its_async_forms() -> None:
    agent = Worker()
    market = Market([agent])
    with pytest.raises(InputError, match="async with"), market:
        raise AssertionError("it does not begin")
    with pytest.raises(InputError, match=r"await market\.aclose"):
        market.close()
    assert agent.closed == 0


def test_calls_from_several_threads_go_one_after_another() -> None:
    answers: list[str] = []

    def ask(market: Market, text: str) -> None:
        answers.append(market.run_sync(text).answer)

    with Market([Worker()]) as market:
        threads = [threading.Thread(target=ask, args=(market, f"task {number}")) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(answers) == [f"task {number}" for number in range(4)]


def test_an_agent_that_fails_to_close_keeps_nothing_else_open(tmp_path: Path) -> None:
    first, second = Worker("first", closing=OSError("it is stuck")), Worker("second")
    with pytest.raises(OSError, match="stuck"), Market([first, second], memory=opener_in(tmp_path)) as market:
        market.run_sync("task")
    assert (first.closed, second.closed) == (1, 1)
    first._closing = None
    market.close()


async def test_a_plain_function_is_a_check() -> None:
    def same(task: Task, answer: str) -> bool:
        return task.text == answer

    async with Market([Worker()]) as market:
        assert (await market.run("task", verifier=Check(same))).outcome.verdict == "success"


async def test_what_is_no_verifier_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    def same(task: Task, answer: str) -> bool:
        return task.text == answer

    async with Market([Worker()], memory=opener_in(tmp_path)) as market:
        with pytest.raises(InputError, match=r"sale\.Check"):
            await market.run("task", verifier=same)  # pyright: ignore[reportArgumentType]
        with pytest.raises(InputError, match="verify"):
            await market.run("task", verifier=ExactMatch)  # pyright: ignore[reportArgumentType]
        memory = await market.memory()
        assert memory is not None
        assert not await memory.list()


async def test_wrong_arguments_are_named() -> None:
    market = Market([Worker()])
    for wrong in (None, 5, {"text": "task"}, Task(text="task", id="x") and b"task"):
        with pytest.raises(InputError, match="a task is a str"):
            await market.run(wrong)  # pyright: ignore[reportArgumentType]
    for pool in (Worker(), "agents", [Worker], ["agent"], [None]):
        with pytest.raises(InputError, match="pool"):
            Market(pool)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="agents of the pool share a name: one"):
        Market([Worker(), Worker()])
    for name, value in (("rules", {}), ("weights", [1.0]), ("prior", 1), ("sandbox", True)):
        with pytest.raises(InputError, match=f"{name} must be"):
            Market([Worker()], **{name: value})  # pyright: ignore[reportArgumentType]


async def test_a_pool_may_be_any_iterable() -> None:
    async with Market(agent for agent in [Worker()]) as market:  # pyright: ignore[reportArgumentType]
        assert (await market.run("task")).answer == "task"


def test_where_tests_run_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []

    def open_sandbox(box: object) -> tuple[object, object]:
        found.append(box)
        return object(), object()

    monkeypatch.setattr("sale.market.open_sandbox", open_sandbox)
    market = Market([Worker()])
    first, second = market.tests("assert f(1) == 1"), market.tests("assert f(2) == 2")
    assert first.sandbox is second.sandbox
    assert len(found) == 1


async def test_many_tasks_take_an_owner_an_observer_and_what_comes_in_time(tmp_path: Path) -> None:
    seen: list[Event] = []

    async def rows() -> AsyncIterator[str]:
        for text in ("a", "b"):
            await asyncio.sleep(0)
            yield text

    async with Market([Worker()], memory=opener_in(tmp_path)) as market:
        found = [one async for one in market.map(rows(), observe=seen.append, tenant="somebody")]
        memory = await market.memory()
        assert memory is not None
        assert len(await memory.list(tenant="somebody")) == 2
    assert sorted(one.task.text for one in found) == ["a", "b"]
    assert seen


async def test_a_bad_row_or_verifier_does_not_end_the_others() -> None:
    def verifier_of(task: Task) -> ExactMatch:
        return ExactMatch({"good": "good"}[task.text])

    rows = cast("list[str]", ["bad", None, "good"])
    async with Market([Worker()], rules=AuctionRules(refine=False)) as market:
        found = {one.task.text: one async for one in market.map(rows, verifier_of=verifier_of)}
    good = found["good"].result
    assert good is not None
    assert good.outcome.verdict == "success"
    assert isinstance(found["None"].error, InputError)
    failed = found["bad"].error
    assert failed is not None
    assert isinstance(failed.__cause__, KeyError)


async def test_what_is_under_way_where_the_tasks_break_off_is_not_lost() -> None:
    def rows() -> Iterator[str]:
        yield "first"
        raise OSError("the file ends here")

    async with Market([Worker()]) as market, aclosing(market.map(rows())) as outcomes:
        found = [(await anext(outcomes)).task.text]
        with pytest.raises(OSError, match="ends here"):
            await anext(outcomes)
    assert found == ["first"]


async def test_one_text_is_not_many_tasks() -> None:
    market = Market([Worker()])
    for wrong in ("hello", Task(text="hello"), 5):
        with pytest.raises(InputError, match="iterable"):
            market.map(wrong)  # pyright: ignore[reportArgumentType]
