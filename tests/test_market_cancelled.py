"""A task given up while the winner is at work is on record as abandoned, at once, with what it has paid for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import pytest

from sale import Contractor, FunctionAgent, Market, Price, Task
from sale.agents.adapters.adapted import AdaptedAgent, AdapterLog, Terms, carry_out
from sale.agents.adapters.plans import FixedPlan
from sale.agents.attempt import attempt
from sale.agents.protocol import Verifier
from sale.agents.verify import ModelJudge
from sale.auction.allowance import WorkEnd
from sale.config import AgentSettings
from sale.memory.records import Record
from sale.memory.store import AuctionMemory
from sale.models.embedding import MiniLMEmbedder
from sale.models.scripted import Line, ScriptedModel
from sale.types import Attempt, AuctionRules, Call, Execution, Outcome, Prompt, Usage

PRICE = Price(input=1.0, output=1.0, blended=1.0)


def sampling(answers: int) -> tuple[Contractor, asyncio.Event]:
    """An agent that takes three samples, whose model answers so many times and then hangs; and when it does."""
    stuck, given = asyncio.Event(), list(range(answers))

    def script(prompt: Prompt, schema: Mapping[str, object] | None) -> Line | str:
        if not prompt.template.startswith("work"):
            return "1. Do it."
        if given:
            return Line(text=f"{given.pop()}", tokens=50)
        stuck.set()
        return Line(text="never", seconds=60.0)

    named = {"name": "a", "endpoint": "http://127.0.0.1", "model": "m", "samples": 3, "judge": False}
    return Contractor(AgentSettings.model_validate(named), price=PRICE, model=ScriptedModel(script)), stuck


async def cut_off(market: Market, stuck: asyncio.Event, verifier: Verifier | None = None) -> Record:
    """The record of work that is cancelled once it is stuck."""
    running = asyncio.create_task(market.run("Name a number.", verifier=verifier))
    await stuck.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    memory = await market.memory()
    assert memory is not None
    (summary,) = await memory.list()
    return await memory.load(summary.id)


def opener_in(place: Path) -> Callable[[], Awaitable[AuctionMemory]]:
    return lambda: AuctionMemory.open(place / "m.sqlite3", embedder=MiniLMEmbedder())


def work_of(record: Record) -> list[Call]:
    return [call for call in record.stray_calls if call.stage == "execute"]


async def test_cancelled_work_is_abandoned(tmp_path: Path) -> None:
    at_work = asyncio.Event()

    async def plan(task: Task) -> str:
        return "1. Wait."

    async def work(task: Task, strategy: str | None) -> str:
        at_work.set()
        await asyncio.sleep(60)
        return "never"

    agent = FunctionAgent("slow", price=PRICE, bid=plan, execute=work)
    async with Market([agent], memory=opener_in(tmp_path)) as market:
        record = await cut_off(market, at_work)
    assert record.status == "abandoned"
    assert record.reason == "cancelled at work"
    assert record.auction is not None, "the award stays on record"
    (call,) = work_of(record)
    assert (call.error, call.usage.input_tokens > 0) == ("call: cancelled", True), "it may have asked a model"


async def test_calls_that_were_answered_are_on_record_and_known_to_the_allowance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent, stuck = sampling(answers=1)
    told: list[Call] = []

    def record_work(agent: str, calls: Sequence[Call], *, end: WorkEnd) -> None:
        assert (agent, end) == ("a", "broke off")
        told.extend(calls)

    async with Market([agent], rules=AuctionRules(allowance=1.0), memory=opener_in(tmp_path)) as market:
        monkeypatch.setattr(market, "record_work", record_work)
        record = await cut_off(market, stuck)
    first, second = work_of(record)
    assert first.usage.output_tokens == 50
    assert first.dollars == PRICE.dollars(first.usage) > 0
    assert (second.error, second.dollars) == ("call: cancelled", 0.0)
    assert [call.dollars for call in told] == [first.dollars, 0.0]


async def test_calls_of_an_answer_that_is_being_judged_are_on_record(tmp_path: Path) -> None:
    judging = asyncio.Event()

    class Judge:
        async def verify(self, task: Task, answer: str) -> Outcome:
            judging.set()
            await asyncio.sleep(60)
            return Outcome(verdict="success", judged_by="judge")

    agent, _ = sampling(answers=3)
    async with Market([agent], memory=opener_in(tmp_path)) as market:
        record = await cut_off(market, judging, Judge())
    assert [call.usage.output_tokens for call in work_of(record)] == [50, 50, 50]


async def test_finished_work_keeps_its_answer_and_the_calls_of_its_verifier(tmp_path: Path) -> None:
    judging = asyncio.Event()

    def script(prompt: Prompt, schema: Mapping[str, object] | None) -> Line:
        judging.set()
        return Line(text="true", seconds=60.0)

    settings = AgentSettings.model_validate({"name": "judge", "endpoint": "http://127.0.0.1", "model": "m"})
    judge = Contractor(settings, price=PRICE, model=ScriptedModel(script))
    assert judge.juror is not None
    verifier = ModelJudge(judge.juror)
    agent, _ = sampling(answers=6)
    async with Market([agent], memory=opener_in(tmp_path)) as market:
        auction = await market.auction("Name a number.")
        attempts: list[Attempt] = []
        running = asyncio.create_task(
            attempt(agent, auction.task, auction.winner, attempts, verifier=verifier, observe=lambda _: None)
        )
        await judging.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    (tried,) = attempts
    assert tried.execution.answer.strip()
    assert len(tried.execution.calls) == 3
    assert [(call.stage, call.error) for call in tried.outcome.calls] == [("verify", "call: cancelled")]
    assert tried.outcome.detail == "cancelled"


class Reporting(AdaptedAgent):
    """An adapted agent that reports a call, and then hangs."""

    def __init__(self) -> None:
        super().__init__(Terms(name="adapted", price=PRICE), FixedPlan("1. Do it."))
        self.stuck = asyncio.Event()

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        return await carry_out(self._terms, "test", task, strategy, self._work)

    async def _work(self, prompt: Prompt, worklog: AdapterLog) -> None:
        worklog.usages.append((Usage(input_tokens=70), 0.1))
        worklog.check()
        self.stuck.set()
        await asyncio.sleep(60)


async def test_calls_that_an_adapted_agent_reported_are_on_record(tmp_path: Path) -> None:
    agent = Reporting()
    async with Market([agent], memory=opener_in(tmp_path)) as market:
        record = await cut_off(market, agent.stuck)
    assert [(call.usage.total, call.error) for call in work_of(record)] == [(70, None), (0, "call: cancelled")]


async def test_calls_before_an_agent_raises_are_paid_for() -> None:
    agent, _ = sampling(answers=3)

    class Raising:
        """Does as the agent does, and then fails in a way of its own."""

        def __getattr__(self, name: str) -> object:
            return getattr(agent, name)

        async def execute(self, task: Task, strategy: str | None) -> Execution:
            await agent.execute(task, strategy)
            raise RuntimeError("of its own")

    async with Market([Raising()]) as market:  # pyright: ignore[reportArgumentType]  as agents of others are
        result = await market.run("Name a number.")
    assert result.execution.error == "RuntimeError: of its own"
    assert [call.usage.output_tokens for call in result.execution.calls] == [50, 50, 50]
