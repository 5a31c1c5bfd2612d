"""Budgets of agents of other frameworks: where the framework says what it takes as it goes, its end is clean."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from agents import Agent as SdkAgent
from agents import OpenAIChatCompletionsModel, function_tool
from langchain_core.messages import AIMessage
from langgraph.graph import START, MessagesState, StateGraph
from openai import AsyncOpenAI
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from sale import FixedPlan, Price, Terms
from sale.agents.adapters.langgraph import LangGraphAgent
from sale.agents.adapters.openai_agents import OpenAIAgentsAgent
from sale.agents.adapters.pydantic_ai import PydanticAIAgent
from sale.types.tools import Budget
from tests.support.builders import TASK
from tests.support.endpoint import Endpoint

RATE = Price(input=1.0, output=1.0, blended=1.0)
PLAN = FixedPlan("1. Think. 2. Answer.")
BUDGETS = [Budget(calls=3), Budget(tokens=300), Budget(dollars=0.0003)]


def terms(budget: Budget) -> Terms:
    return Terms(name="a", price=RATE, budget=budget, seconds=30.0)


@pytest.fixture
async def client(endpoint: Endpoint) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=endpoint.base_url, api_key="none", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("budget", BUDGETS)
async def test_pydantic_ai(budget: Budget) -> None:
    def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        usage = RequestUsage(input_tokens=90, output_tokens=10)
        return ModelResponse(parts=[TextPart("so far"), ToolCallPart("more", {})], usage=usage)

    agent = PydanticAgent(FunctionModel(respond))

    @agent.tool_plain
    def more() -> str:  # pyright: ignore[reportUnusedFunction]
        return "more"

    done = await PydanticAIAgent(agent, terms(budget), plans=PLAN).execute(TASK, None)
    assert done.answer == "so far"
    assert (done.error or "").startswith("call.budget: cut short")
    assert len([call for call in done.calls if call.usage.total]) in {3, 4}


@pytest.mark.parametrize("budget", BUDGETS)
async def test_langgraph(budget: Budget) -> None:
    usage = {"input_tokens": 90, "output_tokens": 10, "total_tokens": 100}

    def think(state: MessagesState) -> dict[str, object]:
        return {"messages": [AIMessage(f"thought {len(state['messages'])}", usage_metadata=usage)]}

    graph = StateGraph(MessagesState).add_node("think", think).add_edge(START, "think").add_edge("think", "think")
    done = await LangGraphAgent(graph.compile(), terms(budget), plans=PLAN).execute(TASK, None)
    assert done.answer.startswith("thought ")
    assert (done.error or "").startswith("call.budget: cut short, the budget of")
    assert len([call for call in done.calls if call.usage.total]) in {3, 4}


async def test_openai_agents(client: AsyncOpenAI) -> None:
    @function_tool
    def add(n: int) -> int:
        """Add one."""
        return n + 1

    chat = OpenAIChatCompletionsModel(model="tool-loops-forever", openai_client=client)
    agent = OpenAIAgentsAgent(SdkAgent(name="looper", model=chat, tools=[add]), terms(Budget(calls=2)), plans=PLAN)
    done = await agent.execute(TASK, None)
    assert done.error == "call.budget: cut short, the budget of 2 calls is used up"
    assert len([call for call in done.calls if call.usage.total]) == 2


async def test_a_function_has_the_seconds_of_its_budget() -> None:
    graph = StateGraph(MessagesState)

    async def think(state: MessagesState) -> dict[str, object]:
        import asyncio

        await asyncio.sleep(5)
        return {"messages": [AIMessage("late")]}

    graph.add_node("think", think).add_edge(START, "think")
    done = await LangGraphAgent(graph.compile(), terms(Budget(seconds=0.2)), plans=PLAN).execute(TASK, None)
    assert done.error == "call.timeout: not done within 0.2 s"
