"""An agent of the OpenAI Agents SDK as a contractor. Its tools, handoffs and guardrails are its own."""

from __future__ import annotations

import time
from typing import Any

from agents import Agent, ItemHelpers, ModelResponse, RunConfig, RunContextWrapper, RunHooks, Runner, Tool
from agents.model_settings import ModelSettings

from sale.agents.adapters.adapted import AdaptedAgent, AdapterLog, Terms, carry_out, json_of, text_of
from sale.agents.adapters.plans import OwnModel, PlanSource
from sale.errors import SpentError
from sale.types import Execution, Prompt, Reply, Task, Usage

TURNS = 12


class OpenAIAgentsAgent(AdaptedAgent):
    """An agent of the OpenAI Agents SDK: bids with its own model, works with its own tools, reports its usage."""

    def __init__(
        self,
        agent: Agent[Any],
        terms: Terms,
        *,
        plans: PlanSource | None = None,
        context: object = None,
        turns: int = TURNS,
        run_config: RunConfig | None = None,
    ) -> None:
        """Nothing is called yet.

        Args:
            agent: Yours; an answer that is not text is handed in as JSON.
            terms: Name, price, limits.
            plans: Where its plans come from; its own model unless given.
            context: What every run of it is given.
            turns: The most model calls of one execution.
            run_config: How runs are made. Without one nothing is sent to the SDK's tracing.
        """
        super().__init__(terms, plans or OwnModel(terms.name, self._ask))
        self._agent = agent
        self._context = context
        self._turns = turns
        self._run_config = run_config or RunConfig(tracing_disabled=True)

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Run the agent on the task and, where its terms say so, the winning plan."""
        return await carry_out(self._terms, "openai-agents", task, strategy, self._work)

    async def _work(self, prompt: Prompt, worklog: AdapterLog) -> None:
        worklog.trace.append({"role": "user", "content": prompt.user})
        run = await Runner.run(
            self._agent,
            prompt.user,
            context=self._context,
            max_turns=self._turns,
            hooks=_RunRecorder(worklog),
            run_config=self._run_config,
        )
        worklog.answer = text_of(run.final_output)

    async def _ask(self, prompt: Prompt, max_tokens: int) -> Reply:
        """The agent's model alone: without its instructions, tools, guardrails and output type."""
        began = time.monotonic()
        worklog = AdapterLog()
        planner: Agent[Any] = Agent(
            name=self._agent.name,
            instructions=prompt.system,
            model=self._agent.model,
            model_settings=self._agent.model_settings.resolve(
                ModelSettings(max_tokens=max_tokens, tool_choice="none", parallel_tool_calls=None)
            ),
        )
        run = await Runner.run(
            planner, prompt.user, max_turns=1, hooks=_RunRecorder(worklog), run_config=self._run_config
        )
        usage = sum((usage for usage, _ in worklog.usages), Usage())
        return Reply(text=text_of(run.final_output), usage=usage, seconds=time.monotonic() - began)


class _RunRecorder(RunHooks[Any]):
    """Keeps the course of a run as it goes, so that a run that fails has one, too."""

    def __init__(self, worklog: AdapterLog) -> None:
        self._course = worklog
        self._asked = time.monotonic()
        self._said = ""

    async def on_llm_start(self, *_: object, **__: object) -> None:
        """The clock of a call, if there may be one."""
        try:
            self._course.check()
        except SpentError:
            self._course.answer = self._said
            raise
        self._asked = time.monotonic()

    async def on_llm_end(self, context: RunContextWrapper[Any], agent: Agent[Any], response: ModelResponse) -> None:
        """Add the model's message and its usage to the worklog."""
        del context
        used = Usage(input_tokens=response.usage.input_tokens, output_tokens=response.usage.output_tokens)
        self._course.usages.append((used, time.monotonic() - self._asked))
        said = [text for item in response.output if (text := ItemHelpers.extract_text(item))]
        self._said = said[-1] if said else self._said
        self._course.trace += [
            {"role": "assistant", "agent": agent.name, "content": json_of(item)} for item in response.output
        ]

    async def on_tool_end(self, context: RunContextWrapper[Any], agent: Agent[Any], tool: Tool, result: object) -> None:
        """Add a tool's result to the worklog."""
        del context, agent
        self._course.trace.append({"role": "tool", "name": tool.name, "content": json_of(result)})
