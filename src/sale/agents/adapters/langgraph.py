"""A compiled LangGraph graph with a `messages` state as a contractor."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Protocol, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, SystemMessage

from sale.agents.adapters.adapted import AdaptedAgent, AdapterLog, Terms, carry_out, json_of
from sale.agents.adapters.plans import OwnModel, PlanSource, estimate_usage
from sale.errors import BadReplyError, SpentError
from sale.types import Execution, Prompt, Reply, Task, Usage

STEPS = 50


class Graph(Protocol):
    """The interface of a graph; a compiled `StateGraph` has it, and so has a remote graph."""

    def astream(self, input: Any, config: Any = None, *, stream_mode: Any = None) -> AsyncIterator[Any]:  # noqa: ANN401
        """Run it, and yield its state after every step."""
        ...


class LangGraphAgent(AdaptedAgent):
    """A graph whose state has `messages`: it is given the task as one, and its last model message is the answer.

    A graph does not show its model, so where its plans come from is said: `chat_model_plans(model)`, or any other.
    Tokens are those its messages report.
    """

    def __init__(self, graph: Graph, terms: Terms, *, plans: PlanSource, steps: int = STEPS) -> None:
        """Nothing is called yet.

        Args:
            graph: Yours, compiled. Each execution is a thread of its own where it has a checkpointer.
            terms: Name, price, limits.
            plans: Where its plans come from.
            steps: The most steps of one execution (LangGraph's recursion limit).
        """
        super().__init__(terms, plans)
        self._graph = graph
        self._steps = steps

    async def execute(self, task: Task, strategy: str | None) -> Execution:
        """Run the graph on the task and, where its terms say so, the winning plan."""
        return await carry_out(self._terms, "langgraph", task, strategy, self._work)

    async def _work(self, prompt: Prompt, worklog: AdapterLog) -> None:
        asked = HumanMessage(prompt.user, id=uuid.uuid4().hex)
        messages: Sequence[AnyMessage] = [asked]
        try:
            async for state in self._graph.astream(
                {"messages": [asked]},
                {"recursion_limit": self._steps, "configurable": {"thread_id": uuid.uuid4().hex}},
                stream_mode="values",
            ):
                messages = _messages(state) or messages
                worklog.check([used for one in messages if isinstance(one, AIMessage) and (used := _usage(one))])
        except SpentError:
            said = [str(one.text) for one in messages if isinstance(one, AIMessage)]
            worklog.answer = next((text for text in reversed(said) if text.strip()), "")
            raise
        finally:
            _keep(messages, worklog)
        last = messages[-1]
        if not isinstance(last, AIMessage):
            raise BadReplyError(f"the graph ended with a message of {last.type!r}, not with an answer")
        worklog.answer = str(last.text)


def chat_model_plans(model: BaseChatModel, agent: str) -> PlanSource:
    """Plans of a LangChain chat model, usually the one the graph works with.

    Args:
        model: Asked with the market's prompt for a bid.
        agent: Whose plans they are, for error messages.
    """

    async def ask(prompt: Prompt, max_tokens: int) -> Reply:
        began = time.monotonic()
        messages = [SystemMessage(prompt.system), HumanMessage(prompt.user)]
        said = await model.bind(max_tokens=max_tokens).ainvoke(messages)
        text = str(said.text)
        usage = _usage(said) or estimate_usage(prompt.system + prompt.user, text)
        return Reply(text=text, usage=usage, seconds=time.monotonic() - began)

    return OwnModel(agent, ask)


def _messages(state: object) -> Sequence[AnyMessage]:
    if not isinstance(state, Mapping) or "messages" not in state:
        raise BadReplyError("the graph's state has no messages", hint="Compile a graph over MessagesState.")
    return cast("Mapping[str, Sequence[AnyMessage]]", state)["messages"]


def _keep(messages: Sequence[AnyMessage], worklog: AdapterLog) -> None:
    worklog.trace += [cast("Mapping[str, object]", json_of(message)) for message in messages]
    for message in messages:
        if isinstance(message, AIMessage) and (usage := _usage(message)) is not None:
            worklog.usages.append((usage, 0.0))


def _usage(message: AIMessage) -> Usage | None:
    used = message.usage_metadata
    return None if used is None else Usage(input_tokens=used["input_tokens"], output_tokens=used["output_tokens"])
