"""Recording samples: every agent does every task several times, each time an execution of its own.

What a bid of some samples would have said, what it would have cost, and what the work after it would have come to, is
worked out from them afterwards (`benchmarks.samples.bids`). The first sample is the agent's own answer, the others are
drawn. A task with examples in its text can stop at the first sample with which they hold. As any recording it goes on
where it stopped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path

from sale.agents.protocol import Agent
from sale.agents.task_examples import TaskExamples
from sale.agents.tools.runs import Sandbox
from sale.agents.tools.sandbox import limits_of
from sale.auction.prompts.templates import PromptFolder
from sale.bench.recording.lines import CheckLine, ExecutionLine, RecordLine, execution_line
from sale.bench.recording.run import Recorder, Report
from sale.bench.tasks.loaders.choice import ASK
from sale.bench.tasks.schema import BenchTask
from sale.config import AgentSettings, Settings
from sale.errors import InputError
from sale.models.protocol import GenerationRequest, Model, ModelWrapper
from sale.types import Execution, Outcome, Reply, Task, TokenLogprobs, Verdict

PROMPTS = PromptFolder("benchmarks.samples.prompts")
_FINAL = re.compile(r"\banswer\s*:", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class SamplingPlan:
    """How often each agent does a task, and how."""

    draws: Mapping[str, int]
    """By agent, the most samples; 1 unless given."""
    reasoning: Set[str] = frozenset()
    """Agents that think before they answer; what counts is the text after `Answer:`."""
    stop: bool = False
    """Draw a further sample only where the examples in the task's text fail with all before: where they hold, or there
    are none to choose by, no other would be asked for."""

    @property
    def least(self) -> dict[str, int]:
        """By agent, the fewest samples of a task that is recorded whole."""
        return {agent: 1 if self.stop else most for agent, most in self.draws.items()}


class DrawnModel(ModelWrapper):
    """A model that gives the sample it is set to, and keeps its replies."""

    def __init__(self, model: Model, *, measure: bool) -> None:
        """Wrap a model, at sample 0.

        Args:
            model: The model.
            measure: Whether to ask for log-probabilities, which take the embedded engine a seventh of its time.
        """
        super().__init__(model)
        self._measure = measure
        self._number = 0
        self.replies: list[Reply] = []

    def begin(self, number: int) -> None:
        """Set the sample of the requests to come, and forget the replies so far."""
        self._number = number
        self.replies.clear()

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """The sample; see `Model.generate`."""
        reply = await super().generate(replace(request, sample=self._number, measure=self._measure))
        self.replies.append(reply)
        return reply


class SampleRecorder(Recorder):
    """The samples of a pool's agents, onto one record."""

    def __init__(
        self,
        record: Path,
        tasks: tuple[BenchTask, ...],
        settings: Settings,
        plan: SamplingPlan,
        *,
        sandbox: Sandbox | None,
    ) -> None:
        """Open the record and read what is on it; no model is loaded.

        Raises:
            InputError: The plan names an agent that is not in the pool.
        """
        names = {agent.name for agent in settings.agents}
        if strangers := sorted((set(plan.draws) | plan.reasoning) - names):
            raise InputError(f"there is no agent {strangers[0]!r}", hint=f"There are: {', '.join(sorted(names))}.")
        self._plan = plan
        self._models: dict[str, DrawnModel] = {}
        self._sampled: dict[tuple[str, str, int], str] = {}
        self._held: dict[tuple[str, str], Verdict] = {}
        super().__init__(record, tasks, settings, sandbox=sandbox, width=1)

    def _take_in(self, line: RecordLine) -> None:
        super()._take_in(line)
        match line:
            case ExecutionLine():
                self._sampled[line.task, line.agent, line.sample] = line.answer
            case CheckLine():
                self._held[line.task, line.answer] = line.verdict
            case _:
                pass

    def _wrap(self, agent: AgentSettings, model: Model) -> Model:
        # A bid is of direct samples: nothing reads how sure a model was of its thoughts.
        measured = agent.name not in self._plan.reasoning
        self._models[agent.name] = DrawnModel(super()._wrap(agent, model), measure=measured)
        return self._models[agent.name]

    async def sample(self, report: Report) -> None:
        """Every sample of every task that is not on record."""
        for done, task in enumerate(self._tasks, start=1):
            for agent in self.agents:
                for number in range(self._plan.draws.get(agent.name, 1)):
                    answer = await self._draw(agent, task, number)
                    held = await self._examples(task, answer)
                    if self._plan.stop and held != "failure":
                        break
            report(self._progress(done, task.id))

    async def _draw(self, agent: Agent, task: BenchTask, number: int) -> str:
        key = (task.id, agent.name, number)
        if key in self._sampled:
            return self._sampled[key]
        model = self._models[agent.name]
        model.begin(number)
        execution = await agent.execute(self._asked(agent, task), None)
        if agent.name in self._plan.reasoning:
            execution = replace(execution, answer=final_answer(execution.answer))
        self._keep(task, execution, number, confidence_of(model.replies), await self.judge(task, execution.answer))
        self._sampled[key] = execution.answer
        return execution.answer

    def _asked(self, agent: Agent, task: BenchTask) -> Task:
        if agent.name not in self._plan.reasoning:
            return task.task
        text = PROMPTS.text("reason", {"task": task.prompt.removesuffix(ASK).strip()})
        return replace(task.task, text=text)

    def _keep(
        self,
        task: BenchTask,
        execution: Execution,
        number: int,
        confidence: Mapping[str, float | None],
        outcome: Outcome,
    ) -> None:
        line = execution_line(execution, task=task.id, strategy=None, outcome=outcome)
        self._outcomes[task.id, execution.answer] = outcome
        self._append({**line, "sample": number, **confidence})

    async def _examples(self, task: BenchTask, answer: str) -> Verdict:
        """The verdict of the examples in the task's text."""
        if self._sandbox is None or task.kind != "tests":
            return "unknown"
        if not answer.strip():
            return "failure"
        if (task.id, answer) not in self._held:
            verifier = TaskExamples(sandbox=self._sandbox, limits=limits_of(self._settings.sandbox))
            found = await verifier.verify(task.task, answer)
            self._held[task.id, answer] = found.verdict
            line = {"kind": "check", "task": task.id, "answer": answer, "by": found.judged_by}
            self._append({**line, "verdict": found.verdict, "detail": found.detail})
        return self._held[task.id, answer]


def final_answer(text: str) -> str:
    """What stands after the last `Answer:`; the text itself where there is none."""
    *_, last = _FINAL.split(text)
    return last.strip().strip("*` ") or text.strip()


def confidence_of(replies: list[Reply]) -> dict[str, float | None]:
    """How sure the model was of the tokens of its answer: `margin` and `logprob`; `None` where it does not say.

    The margin is the log-probability of the first token less that of its likeliest rival; `logprob` is the mean of all.
    """
    tokens = [token for reply in replies for token in reply.logprobs or ()]
    if not tokens:
        return {"margin": None, "logprob": None}
    return {
        "margin": _margin(tokens[0]),
        "logprob": round(sum(token.logprob for token in tokens) / len(tokens), 4),
    }


def _margin(token: TokenLogprobs) -> float | None:
    rivals = [value for text, value in token.top if text != token.token]
    return round(token.logprob - max(rivals), 4) if rivals else None
