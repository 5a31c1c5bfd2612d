"""A Pydantic AI agent as a contractor. Its tools, instructions and output type are its own."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic_ai import capture_run_messages
from pydantic_ai.agent import AbstractAgent
from pydantic_ai.direct import model_request
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    SystemPromptPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, infer_model
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_ai.usage import UsageLimits

from sale.agents.adapters.adapted import AdaptedAgent, AdapterLog, Terms, carry_out, text_of
from sale.agents.adapters.plans import OwnModel, PlanSource
from sale.errors import ConfigError, SpentError
from sale.models.asking import read_response
from sale.types import Execution, Prompt, Reply, Task, Usage


class PydanticAIAgent(AdaptedAgent):
    """A Pydantic AI agent: bids with its own model, works with its own tools, reports its usage.

    Its bids have log-probabilities where its model settings ask for them (`openai_logprobs=True`, say).
    """

    def __init__(
        self,
        agent: AbstractAgent[Any, Any],
        terms: Terms,
        *,
        plans: PlanSource | None = None,
        deps: object = None,
        limits: UsageLimits | None = None,
    ) -> None:
        """Nothing is called yet.

        Args:
            agent: Yours; an answer that is not text is handed in as JSON.
            terms: Name, price, limits.
            plans: Where its plans come from; its own model unless given.
            deps: What every run of it depends on.
            limits: On the model calls and tokens of one execution; Pydantic AI's own unless given.

        Raises:
            ConfigError: It has no model to plan with, and no other plans are given.
        """
        if plans is None and agent.model is None:
            raise ConfigError(
                "the Pydantic AI agent has no model to plan with",
                where=f"agent {terms.name!r}",
                hint="Give it a model, or pass plans=….",
            )
        super().__init__(terms, plans or OwnModel(terms.name, self._ask))
        self._agent = agent
        self._deps = deps
        self._limits = limits
        self._model: Model | None = None

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Run the agent on the task and, where its terms say so, the winning plan."""
        return await carry_out(self._terms, "pydantic-ai", task, strategy, self._work)

    async def _work(self, prompt: Prompt, worklog: AdapterLog) -> None:
        with capture_run_messages() as messages:
            try:
                run = await self._agent.run(prompt.user, deps=self._deps, usage_limits=self._limits or self._budget())
                worklog.answer = text_of(run.output)
            except UsageLimitExceeded as error:
                said = [message.text for message in messages if isinstance(message, ModelResponse)]
                worklog.answer = next((text for text in reversed(said) if text), "")
                if self._limits is None:
                    raise SpentError(f"cut short: {error}", where=self.name) from error
                raise
            finally:
                worklog.usages += _usages(messages)
                worklog.trace += cast(
                    "Sequence[Mapping[str, object]]", ModelMessagesTypeAdapter.dump_python(messages, mode="json")
                )

    def _budget(self) -> UsageLimits | None:
        """The budget of its terms as Pydantic AI takes it; dollars as the tokens they buy of the dearer kind."""
        budget, price = self._terms.budget, max(self._terms.price.input, self._terms.price.output)
        tokens = [budget.tokens] if budget.tokens is not None else []
        if budget.dollars is not None and price > 0:
            tokens.append(int(budget.dollars / price * 1e6))
        if not tokens and budget.calls is None:
            return None
        default = UsageLimits()
        return UsageLimits(
            request_limit=default.request_limit if budget.calls is None else budget.calls,
            total_tokens_limit=min(tokens, default=None),
        )

    async def _ask(self, prompt: Prompt, max_tokens: int) -> Reply:
        if self._model is None:
            self._model = infer_model(self._agent.model or "")
        own = getattr(self._agent, "model_settings", None)  # which may be a function of a run, and this is none
        settings = cast("ModelSettings", own) if isinstance(own, dict) else None
        began = time.monotonic()
        response = await model_request(
            self._model,
            [ModelRequest(parts=[SystemPromptPart(content=prompt.system), UserPromptPart(content=prompt.user)])],
            model_settings=merge_model_settings(settings, ModelSettings(max_tokens=max_tokens)),
        )
        return read_response(response, time.monotonic() - began)


def _usages(messages: Sequence[ModelMessage]) -> list[tuple[Usage, float]]:
    found: list[tuple[Usage, float]] = []
    asked = None
    for message in messages:
        if isinstance(message, ModelResponse):
            spent = (message.timestamp - asked).total_seconds() if asked is not None else 0.0
            used = message.usage
            found.append((Usage(input_tokens=used.input_tokens, output_tokens=used.output_tokens), max(0.0, spent)))
        asked = message.timestamp
    return found
