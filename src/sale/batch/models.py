"""The models and agents of a batch: every call of theirs goes through the calls of the task at hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelResponse
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from sale.agents.loop_usage import worst_loop_usage
from sale.agents.protocol import Agent, CostDeclaring
from sale.auction.ledger import worst_usage
from sale.auction.looking import looker_of
from sale.auction.protocols import BidRequest, JudgeRequest, Juror, Look, Looker
from sale.batch.calls import PRESENT, Codec, PlannedCall, digest, json_codec
from sale.batch.job_api import JobApi
from sale.memory.batch_rates import RateLimit
from sale.models.asking import usage_of
from sale.models.protocol import GenerationRequest, Model, ModelWrapper, ToolModel
from sale.types import Execution, Price, Reply, Task, ToolInfo, Usage

REPLIES: Final = json_codec(Reply)
EXECUTIONS: Final = json_codec(Execution)
RESPONSES: Final[Codec[ModelResponse]] = Codec(
    dump=lambda response: ModelMessagesTypeAdapter.dump_json([response]),
    load=lambda kept: _response(ModelMessagesTypeAdapter.validate_json(kept)),
)
PASSING: Final = frozenset({"timestamp", "run_id", "conversation_id"})
"""Fields of messages that differ each time the same is asked."""
NO_LIMIT: Final = 1e7
"""Seconds: longer than any batch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallTerms:
    """The terms that are the same for all calls of one agent's model."""

    agent: str
    price: Price
    identity: str
    """SHA-256 of the settings that its replies depend on, in hex."""
    answer_tokens: int
    """The longest turn of a tool loop."""
    seconds: Callable[[str], float]
    """The longest a call of a phase may take."""
    limit: RateLimit | None
    api: JobApi | None = None
    """The batch API that its calls go to."""


class BatchModel(ModelWrapper):
    """A model whose calls are those of the task at hand."""

    def __init__(self, model: Model, terms: CallTerms) -> None:
        """Wrap it."""
        super().__init__(model)
        self._terms = terms

    async def generate(self, request: GenerationRequest, /) -> Reply:
        """Ask once, or repeat what is on record; see `Model.generate`.

        A refinement is asked for once in a task. Its prompt quotes the memory, which may have grown since: so it does
        not depend on that whether the refinement is on record.
        """
        terms, prompt, most = self._terms, request.prompt, request.max_tokens
        phase = prompt.template.partition("@")[0] or "call"
        asked: list[object] = [] if phase == "refine" else [prompt.system, prompt.user, most, request.schema]
        worst = worst_usage(prompt, most)
        planned = PlannedCall(
            phase=phase,
            agent=terms.agent,
            request=digest(terms.identity, *asked, request.measure, request.sample),
            most=terms.price.dollars(worst),
            tokens=worst.total,
            seconds=terms.seconds(phase),
            ask=lambda: self._model.generate(request),
            cost=lambda reply: (terms.price.dollars(reply.usage), reply.usage),
            codec=REPLIES,
            limit=terms.limit,
            api=terms.api,
        )
        return await PRESENT.get().make(planned)

    async def for_tools(self) -> ToolModel:
        """The same for a tool loop."""
        return _BatchLoopModel(await self._model.for_tools(), self._terms)

    async def aclose(self) -> None:
        """Close the model, and the connections to its batch API."""
        await super().aclose()
        if self._terms.api is not None:
            await self._terms.api.aclose()


class _BatchLoopModel(WrapperModel):
    """The same in the tool loop of Pydantic AI."""

    def __init__(self, wrapped: ToolModel, terms: CallTerms) -> None:
        super().__init__(wrapped)
        self._terms = terms

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        terms = self._terms
        worst = worst_loop_usage(messages, model_settings, model_request_parameters, terms.answer_tokens)
        shown = [tool.name for tool in model_request_parameters.function_tools]
        planned = PlannedCall(
            phase="tools",
            agent=terms.agent,
            request=digest(terms.identity, _lasting(messages), shown, worst.output_tokens),
            most=terms.price.dollars(worst),
            tokens=worst.total,
            seconds=terms.seconds("tools"),
            ask=lambda: self.wrapped.request(messages, model_settings, model_request_parameters),
            cost=lambda response: (terms.price.dollars(usage_of(response)), usage_of(response)),
            codec=RESPONSES,
            limit=terms.limit,
        )
        return await PRESENT.get().make(planned)


class BatchAgent:
    """An agent that is not a model: a program, a function or a `kind`. Each of its executions is one call.

    One whose cost is not declared is set aside for by twice its dearest execution so far, in this process.
    """

    def __init__(self, agent: Agent, identity: str, price_per_task: float | None) -> None:
        """Wrap it.

        Args:
            agent: The agent.
            identity: SHA-256 of the settings that its work depends on, in hex.
            price_per_task: Declared dollars of one execution.
        """
        self._agent = agent
        self._identity = identity
        self._price_per_task = price_per_task
        self._dearest = 0.0

    @property
    def name(self) -> str:
        """Its name."""
        return self._agent.name

    @property
    def price(self) -> Price:
        """Its price."""
        return self._agent.price

    @property
    def price_per_task(self) -> float | None:
        """Declared dollars of one execution."""
        return self._price_per_task

    @property
    def tools(self) -> tuple[ToolInfo, ...]:
        """Its tools."""
        return tuple(self._agent.tools)

    @property
    def juror(self) -> Juror | None:
        """Itself as a juror, where it judges."""
        juror = self._agent.juror
        return None if juror is None else _BatchJuror(juror, self._identity)

    async def prepare(self) -> None:
        """Get ready."""
        await self._agent.prepare()

    async def bid(self, request: BidRequest, /) -> Reply:
        """Write a plan, or repeat the one on record."""
        asked: list[object] = [] if request.refining else [request.prompt.system, request.prompt.user]
        phase = "refine" if request.refining else "bid"
        return await PRESENT.get().make(
            _plan_reply(self, phase, digest(self._identity, *asked), request, lambda: self._agent.bid(request))
        )

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Do the task, or repeat what was done."""
        planned = PlannedCall(
            phase="execute",
            agent=self.name,
            request=digest(self._identity, task.text, strategy),
            most=self._most,
            tokens=0,
            seconds=NO_LIMIT,
            ask=lambda: self._agent.execute(task, strategy),
            cost=lambda done: (sum(call.dollars for call in done.calls), Usage()),
            codec=EXECUTIONS,
        )
        done = await PRESENT.get().make(planned)
        self._dearest = max(self._dearest, sum(call.dollars for call in done.calls))
        return done

    @property
    def _most(self) -> float:
        declared = self._agent.dearest if isinstance(self._agent, CostDeclaring) else None
        known = [most for most in (self._price_per_task, declared) if most is not None]
        return max(known) if known else 2.0 * self._dearest

    async def aclose(self) -> None:
        """Let go of it."""
        await self._agent.aclose()


class BatchLooker(BatchAgent):
    """One that looks before it bids. Its looks are made anew where a task is taken up: they change nothing."""

    def __init__(self, agent: Agent, looker: Looker, identity: str, price_per_task: float | None) -> None:
        """As `BatchAgent`, with the agent as one that looks."""
        super().__init__(agent, identity, price_per_task)
        self._looker = looker

    @property
    def looks(self) -> int:
        """The most calls it makes for one task."""
        return self._looker.looks

    @property
    def look_dollars(self) -> float:
        """The most its looks at one task can cost, in dollars."""
        return self._looker.look_dollars

    async def look(self, task: Task, /) -> Look:
        """Make its read-only calls."""
        return await self._looker.look(task)


class _BatchJuror:
    """A juror that is not a model of the pool."""

    def __init__(self, juror: Juror, identity: str) -> None:
        self._juror = juror
        self._identity = identity

    @property
    def name(self) -> str:
        return self._juror.name

    @property
    def price(self) -> Price:
        return self._juror.price

    async def judge(self, request: JudgeRequest, /) -> Reply:
        asked = digest(self._identity, request.prompt.system, request.prompt.user)
        return await PRESENT.get().make(_plan_reply(self, "judge", asked, request, lambda: self._juror.judge(request)))


def batch_agent(agent: Agent, identity: str, price_per_task: float | None) -> Agent:
    """An agent without a model, as one of a batch."""
    looker = looker_of(agent)
    if looker is None:
        return BatchAgent(agent, identity, price_per_task)
    return BatchLooker(agent, looker, identity, price_per_task)


def _plan_reply(
    by: BatchAgent | _BatchJuror,
    phase: str,
    asked: str,
    request: BidRequest | JudgeRequest,
    ask: Any,  # noqa: ANN401
) -> PlannedCall[Reply]:
    price, worst = by.price, worst_usage(request.prompt, request.max_tokens)
    return PlannedCall(
        phase=phase,
        agent=by.name,
        request=asked,
        most=price.dollars(worst),
        tokens=0,
        seconds=NO_LIMIT,
        ask=ask,
        cost=lambda reply: (price.dollars(reply.usage), Usage()),
        codec=REPLIES,
    )


def _response(messages: Sequence[ModelMessage]) -> ModelResponse:
    (response,) = messages
    if not isinstance(response, ModelResponse):
        raise TypeError(f"a reply on record is a {type(response).__name__}")
    return response


def _lasting(messages: Sequence[ModelMessage]) -> object:
    """Messages without what differs each time."""
    return _without(json.loads(ModelMessagesTypeAdapter.dump_json(list(messages))))


def _without(value: Any) -> Any:  # noqa: ANN401  any JSON
    if isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {name: _without(one) for name, one in fields.items() if name not in PASSING}
    return [_without(one) for one in cast("list[Any]", value)] if isinstance(value, list) else value
