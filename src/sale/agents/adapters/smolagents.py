"""A smolagents agent as a contractor. It works in a thread, as smolagents is not async."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from smolagents import ActionStep, AgentMemory, PlanningStep, RunResult
from smolagents.models import ChatMessage, MessageRole

from sale.agents.adapters.adapted import AdaptedAgent, AdapterLog, Terms, carry_out, json_of, text_of
from sale.agents.adapters.plans import OwnModel, PlanSource, estimate_usage
from sale.errors import ExecutionError, retrieve_error
from sale.types import Execution, Prompt, Reply, Task, Usage
from sale.wording import quantity

T = TypeVar("T")


class SmolagentsModel(Protocol):
    """A smolagents model."""

    def generate(self, messages: list[ChatMessage], **kwargs: Any) -> ChatMessage:  # noqa: ANN401  they are smolagents'
        """Ask it."""
        ...


class StepAgent(Protocol):
    """The interface of a smolagents agent; every `MultiStepAgent` has it."""

    @property
    def memory(self) -> AgentMemory:
        """Its steps so far."""
        ...

    @property
    def model(self) -> SmolagentsModel:
        """The model it works with."""
        ...

    @property
    def max_steps(self) -> int:
        """The most steps it may take."""
        ...

    def run(self, task: str, *, return_full_result: bool) -> object:
        """Work."""
        ...

    def interrupt(self) -> None:
        """Stop after this step."""
        ...


class SmolagentsAgent(AdaptedAgent):
    """A smolagents agent: bids with its own model, works with its own tools, reports its usage.

    A thread cannot be killed: when the time is up or the work is cancelled the agent is told to stop, the market goes
    on, and the agent ends after the step it is at.
    """

    def __init__(self, make: Callable[[], StepAgent], terms: Terms, *, plans: PlanSource | None = None) -> None:
        """Nothing is called yet.

        Args:
            make: Makes the agent, for every piece of work anew: a smolagents agent remembers, and works on one thing
                at a time. An answer that is not text is handed in as JSON.
            terms: Name, price, limits.
            plans: Where its plans come from; its own model unless given.
        """
        super().__init__(terms, plans or OwnModel(terms.name, self._ask))
        self._make = make

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Run the agent on the task and, where its terms say so, the winning plan."""
        return await carry_out(self._terms, "smolagents", task, strategy, self._work)

    async def _work(self, prompt: Prompt, worklog: AdapterLog) -> None:
        agent = self._make()
        try:
            result = await _in_thread(lambda: agent.run(prompt.user, return_full_result=True))
        except asyncio.CancelledError:
            agent.interrupt()
            raise
        finally:
            worklog.trace.append({"role": "user", "content": prompt.user})
            for step in list(agent.memory.steps):
                if isinstance(step, ActionStep | PlanningStep):
                    _keep(step, worklog)
        if not isinstance(result, RunResult):
            raise TypeError(f"the agent must return a RunResult, got {type(result).__name__}")
        worklog.answer = "" if result.output is None else text_of(result.output)
        if result.state != "success":
            raise ExecutionError(f"not done within {quantity(agent.max_steps, 'step')}")

    async def _ask(self, prompt: Prompt, max_tokens: int) -> Reply:
        began = time.monotonic()
        messages = [_message(MessageRole.SYSTEM, prompt.system), _message(MessageRole.USER, prompt.user)]
        model = self._make().model
        said = await _in_thread(lambda: model.generate(messages, max_tokens=max_tokens))
        text = text_of(said.content or "")
        used = said.token_usage
        usage = (
            estimate_usage(prompt.system + prompt.user, text)
            if used is None
            else Usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens)
        )
        return Reply(text=text, usage=usage, seconds=time.monotonic() - began)


def _message(role: MessageRole, text: str) -> ChatMessage:
    return ChatMessage(role=role, content=[{"type": "text", "text": text}])


def _keep(step: ActionStep | PlanningStep, worklog: AdapterLog) -> None:
    used = step.token_usage
    if used is not None:
        spent = step.timing.duration or 0.0
        worklog.usages.append((Usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens), spent))
    if isinstance(step, PlanningStep):
        worklog.trace.append({"role": "assistant", "content": step.plan})
        return
    said = step.model_output_message
    worklog.trace.append(
        {
            "role": "assistant",
            "content": json_of(said.content if said is not None else step.model_output),
            "tool_calls": json_of([call.dict() for call in step.tool_calls or ()]),
        }
    )
    if step.observations is not None or step.error is not None:
        failed = None if step.error is None else str(step.error)
        worklog.trace.append({"role": "tool", "content": step.observations, "error": failed})


async def _in_thread(work: Callable[[], T]) -> T:
    """Do it in a thread that is left to itself if the wait is cancelled."""
    context = contextvars.copy_context()
    future = asyncio.get_running_loop().run_in_executor(None, lambda: context.run(work))
    future.add_done_callback(retrieve_error)  # nobody else may be there to see it
    return await asyncio.shield(future)
