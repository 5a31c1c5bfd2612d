"""The recorded part of a trial: every agent does each task of the sample once, and one auction is held for it.

It is a recorded run without the work that follows plans: the auction's bids are what is worth knowing of it. Calls are
answered from the record where they are on it, and paid from a purse where they are not. Agents that the market does not
ask itself (a `command`, a `function`) are set aside for by their price a task, or twice the dearest task so far: one
execution of such an agent can cost more than that, which cannot be known beforehand. Fees of tools, and jurors that do
not ask a model of the pool, are paid once they are known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from sale.agents.contractor import Contractor
from sale.agents.pool import OwnWrapper, agent_price
from sale.agents.protocol import Agent, Tool
from sale.agents.respondents import ModelRespondent
from sale.agents.tools.runs import Sandbox
from sale.agents.verify import ModelJudge
from sale.auction.foreign import await_foreign
from sale.bench.recording.log import FIRST_BIDS, read_record
from sale.bench.recording.run import Recorder
from sale.bench.tasks.schema import BenchTask
from sale.bench.trial.paid import PaidModel
from sale.bench.trial.purse import CapReachedError, Purse
from sale.config import AgentSettings, Settings
from sale.errors import InputError, NoBidsError
from sale.market import Market
from sale.models.protocol import Model
from sale.types import Call, Execution, Outcome

IN_FLIGHT = 4
"""Tasks at once."""
MARGIN = 1.5
"""A task is begun only if so many times what a task cost so far is left for it."""

Ending = Literal["clear", "cap", "done"]
"""Why a trial ended: the answer is clear, the money is spent, or all tasks are done."""
Enough = Callable[[Sequence[BenchTask]], bool]
Told = Callable[[Sequence[BenchTask]], None]


class TrialRecorder(Recorder):
    """A recorder that pays from a purse."""

    def __init__(
        self,
        record: Path,
        tasks: Sequence[BenchTask],
        settings: Settings,
        *,
        cap: float,
        sandbox: Sandbox | None,
        judge: str | None = None,
        tools: Sequence[Tool] = (),
    ) -> None:
        """Open the record; no model is loaded.

        Args:
            record: The file; made where it is not there.
            tasks: Those that may be done, in their order.
            settings: The pool.
            cap: Dollars that may be spent, over all runs of the record.
            sandbox: Where code runs.
            judge: The agent that judges answers to tasks without a check.
            tools: More tools for agents that use any.
        """
        self.purse = Purse(cap, lambda line: self._append(line))
        self.purse.read(read_record(record))
        self._given: Mapping[str, AgentSettings] = {agent.name: agent for agent in settings.agents}
        self._reserved: dict[tuple[str, str], int] = {}
        self._dearest: dict[str, float] = {}
        super().__init__(record, tasks, settings, sandbox=sandbox, tools=tools, width=IN_FLIGHT)
        self._texts = {line["task"] for line in read_record(record) if line["kind"] == "task"}
        self._judge = self._judge_of(judge)
        self._seated = {seat.name: isinstance(seat.respondent, ModelRespondent) for seat in self._seats}
        """By juror of the settings, whether it asks a model of the pool, which is paid from the purse by itself."""

    def _judge_of(self, judge: str | None) -> Contractor | None:
        if judge is None:
            return None
        for agent in self.agents:
            if isinstance(agent, Contractor) and agent.name == judge:
                return agent
        names = ", ".join(agent.name for agent in self.agents if isinstance(agent, Contractor))
        raise InputError(f"there is no agent {judge!r} that could judge", hint=f"There are: {names}.")

    def _wrap(self, agent: AgentSettings, model: Model) -> Model:
        paid = PaidModel(model, self.purse, agent_price(agent), agent.answer_tokens)
        # Turns of a tool loop are not recorded one by one; the execution as a whole is.
        return paid if agent.execution == "tools" else super()._wrap(agent, paid)

    def _own_wrapper(self) -> OwnWrapper:
        # Their executions are recorded whole and paid from the purse in `_execute`; their plans with the auction.
        return lambda _, agent: agent

    def whole(self, task: BenchTask) -> bool:
        """Return `True` where all of a task is on record."""
        done = all((task.id, agent.name, "") in self._executed for agent in self.agents)
        return done and (task.id, FIRST_BIDS) in self._auctioned

    async def sample(self, task: BenchTask) -> None:
        """Every agent's work on a task, and the auction, as far as they are not on record.

        Raises:
            CapReachedError: The purse does not allow it; in an exception group.
        """
        if task.id not in self._texts:
            self._texts.add(task.id)
            self._append({"kind": "task", "task": task.id, "text": task.prompt, "domain": task.task.domain})
        async with asyncio.TaskGroup() as group:
            for agent in self.agents:
                group.create_task(self._execute(agent, task, None))
            for name, market in self._markets().items():
                if (task.id, name) not in self._auctioned:
                    group.create_task(self._hold(market, task, name))

    async def _hold(self, market: Market, task: BenchTask, name: str) -> None:
        try:
            auction = await market.auction(task.task)
        except NoBidsError as error:
            self._nobody(error, task, order=name)
            return
        self._spend_beside(auction.settlement.calls)
        self._auction(auction, task, order=name)

    def _spend_beside(self, calls: Sequence[Call]) -> None:
        """Take from the purse what calls have cost that no model of the pool was asked for."""
        if dollars := sum(call.dollars for call in calls if self._is_beside(call)):
            self.purse.spend(dollars)

    def _is_beside(self, call: Call) -> bool:
        if call.stage in {"judge", "rejudge"} and call.agent in self._seated:
            return not self._seated[call.agent]
        own = self._given.get(call.agent)
        return own is None or bool(call.tool) or not own.has_model

    async def _execute(self, agent: Agent, task: BenchTask, strategy: str | None) -> None:
        given = self._given[agent.name]
        if given.has_model or (task.id, agent.name, strategy or "") in self._executed:
            await super()._execute(agent, task, strategy)
            return
        most = given.price_per_task if given.price_per_task is not None else 2.0 * self._dearest.get(agent.name, 0.0)
        number = await self.purse.reserve(most)
        try:
            execution = await await_foreign(agent.execute(task.task, strategy))
        except BaseException:
            await self.purse.lose(number)
            raise
        dollars = sum(call.dollars for call in execution.calls)
        self._dearest[agent.name] = max(dollars, self._dearest.get(agent.name, 0.0))
        await self.purse.pay(number, dollars)
        self._execution(task, execution, strategy, await self.judge(task, execution.answer))

    def _execution(
        self,
        task: BenchTask,
        execution: Execution,
        strategy: str | None,
        outcome: Outcome,
        planner: str | None = None,
    ) -> None:
        """As recorded runs do; the fees of tools, which are not known before, are taken from the purse now."""
        known = (task.id, execution.agent, strategy or "") in self._executed
        if not known and self._given[execution.agent].has_model:
            self._spend_beside(execution.calls)
        super()._execution(task, execution, strategy, outcome, planner)

    async def judge(self, task: BenchTask, answer: str) -> Outcome:
        """As recorded runs do; and by the judging agent where the task has no check of its own."""
        if task.kind != "judged" or not answer.strip() or (task.id, answer) in self._outcomes:
            return await super().judge(task, answer)
        if self._judge is None:
            raise InputError(f"the task {task.id!r} has no check", hint="Name an agent that judges by --judge.")
        return await ModelJudge(self._judge).verify(task.task, answer)


async def run_sample(recorder: TrialRecorder, tasks: Sequence[BenchTask], enough: Enough, report: Told) -> Ending:
    """Do tasks until the answer is clear, the money is spent, or none is left; gives back which of these it was.

    Args:
        recorder: Does them.
        tasks: In the order in which they are to be done.
        enough: Asked after every task, with those done.
        report: Told after every task, likewise.
    """
    left = [task for task in tasks if not recorder.whole(task)]
    done = [task for task in tasks if recorder.whole(task)]
    running: set[asyncio.Task[BenchTask | None]] = set()
    begun, fresh, capped = recorder.purse.spent, 0, False
    report(done)
    try:
        while True:
            clear = enough(done)
            mean = (recorder.purse.spent - begun) / fresh if fresh else 0.0
            while left and not clear and not capped and len(running) < (IN_FLIGHT if fresh else 1):
                capped = recorder.purse.left < MARGIN * mean
                if not capped:
                    running.add(asyncio.create_task(_one(recorder, left.pop(0))))
            if not running:
                return "clear" if clear else "cap" if capped else "done"
            finished, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for one in finished:
                if (task := one.result()) is None:
                    capped = True
                else:
                    done.append(task)
                    fresh += 1
            report(done)
    finally:
        for one in running:
            one.cancel()
        if running:
            await asyncio.wait(running)


async def _one(recorder: TrialRecorder, task: BenchTask) -> BenchTask | None:
    """Do a task; `None` where the purse did not allow all of it."""
    allowed = True
    try:
        await recorder.sample(task)
    except* CapReachedError:
        allowed = False
    return task if allowed else None
