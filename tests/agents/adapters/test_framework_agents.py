"""Agents of four frameworks, each with its real library, over real HTTP: one contract for all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TypedDict

import pytest
from agents import Agent as SdkAgent
from agents import OpenAIChatCompletionsModel, function_tool
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, MessagesState, StateGraph
from openai import AsyncOpenAI, DefaultAsyncHttpxClient, DefaultHttpxClient
from pydantic import BaseModel, SecretStr
from pydantic_ai import Agent as PydanticAgent
from pydantic_ai import PromptedOutput
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIChatModelSettings
from pydantic_ai.providers.openai import OpenAIProvider
from smolagents import CodeAgent, LogLevel, OpenAIModel

from sale import Agent, Market, Task
from sale.agents.adapters import FixedPlan, Terms
from sale.agents.adapters.langgraph import LangGraphAgent, chat_model_plans
from sale.agents.adapters.openai_agents import OpenAIAgentsAgent
from sale.agents.adapters.pydantic_ai import PydanticAIAgent
from sale.agents.adapters.smolagents import SmolagentsAgent
from sale.auction.prompts import bid_prompt
from sale.auction.protocols import BidRequest
from sale.errors import CallError, ConfigError
from sale.types import Price
from tests.support.builders import TASK
from tests.support.endpoint import Endpoint
from tests.support.replies import ANSWER, Ask

KEY = "sk-canary-2b8d1e"
RATE = Price(input=1.0, output=4.0, blended=2.0)
REQUEST = BidRequest(task=TASK, prompt=bid_prompt(TASK, [], 300), max_tokens=300)
PLAN = "1. Add them.\n2. Check the sum."
CODE = f"Thought: it is easy.\n<code>\nfinal_answer({ANSWER!r})\n</code>"


def coded(ask: Ask) -> str | None:
    """A CodeAgent answers in code; everybody else, and every plan, in words."""
    return CODE if "final_answer" in ask.prompt and "numbered steps" not in ask.prompt else None


class Sum(BaseModel):
    """An answer that is no text."""

    left: int
    right: int


class Total(TypedDict):
    """A state without messages."""

    total: int


def total(state: Total) -> Total:
    return {"total": 42}


class Opened(AsyncExitStack):
    """The connections a test has opened to an endpoint; closed at its end."""

    def __init__(self, base_url: str) -> None:
        super().__init__()
        self.base_url = base_url

    def client(self) -> AsyncOpenAI:
        client = AsyncOpenAI(base_url=self.base_url, api_key=KEY, max_retries=0)
        self.push_async_callback(client.close)
        return client

    def chain(self, model: str) -> ChatOpenAI:
        # Clients of its own: LangChain would share one between all tests of a URL.
        ours, theirs = DefaultAsyncHttpxClient(), DefaultHttpxClient()
        self.push_async_callback(ours.aclose)
        self.callback(theirs.close)
        return ChatOpenAI(
            model=model,
            base_url=self.base_url,
            api_key=SecretStr(KEY),
            max_retries=0,
            http_async_client=ours,
            http_client=theirs,
        )

    def small(self, model: str) -> OpenAIModel:
        kwargs = {"max_retries": 0, "timeout": 4}
        chat = OpenAIModel(model, api_base=self.base_url, api_key=KEY, client_kwargs=kwargs, retry=False)
        self.callback(chat.client.close)
        return chat


def with_pydantic_ai(opened: Opened, model: str, terms: Terms) -> Agent:
    chat = OpenAIChatModel(model, provider=OpenAIProvider(openai_client=opened.client()))
    asks = OpenAIChatModelSettings(openai_logprobs=True, openai_top_logprobs=3)
    return PydanticAIAgent(PydanticAgent(chat, instructions="Be exact.", model_settings=asks), terms)


def with_openai_agents(opened: Opened, model: str, terms: Terms) -> Agent:
    chat = OpenAIChatCompletionsModel(model=model, openai_client=opened.client())
    return OpenAIAgentsAgent(SdkAgent(name="adder", instructions="Be exact.", model=chat), terms)


def with_smolagents(opened: Opened, model: str, terms: Terms) -> Agent:
    def make() -> CodeAgent:
        chat = opened.small(model)
        return CodeAgent(tools=[], model=chat, verbosity_level=LogLevel.OFF, max_steps=2)

    return SmolagentsAgent(make, terms)


def with_langgraph(opened: Opened, model: str, terms: Terms) -> Agent:
    chat = opened.chain(model)

    async def think(state: MessagesState) -> dict[str, object]:
        return {"messages": [await chat.ainvoke(state["messages"])]}

    graph = StateGraph(MessagesState).add_node("think", think).add_edge(START, "think").add_edge("think", END)
    return LangGraphAgent(graph.compile(), terms, plans=chat_model_plans(chat, terms.name))


Make = Callable[[Opened, str, Terms], Agent]
MAKERS: dict[str, Make] = {
    "pydantic-ai": with_pydantic_ai,
    "openai-agents": with_openai_agents,
    "smolagents": with_smolagents,
    "langgraph": with_langgraph,
}


@dataclass
class Shop:
    """One framework, ready to make agents."""

    mode: str
    endpoint: Endpoint
    opened: Opened

    def agent(self, behaviour: str = "good", **more) -> Agent:
        terms = replace(Terms(name=self.mode, price=RATE, seconds=30.0), **more)
        return MAKERS[self.mode](self.opened, f"{behaviour}@{self.mode}", terms)


@pytest.fixture
async def opened(endpoint: Endpoint) -> AsyncIterator[Opened]:
    async with Opened(endpoint.base_url) as opened:
        yield opened


@pytest.fixture(params=list(MAKERS))
def shop(request: pytest.FixtureRequest, endpoint: Endpoint, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> Shop:
    # No framework may find somebody's account or send anything to its own service.
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    endpoint.say = coded
    return Shop(request.param, endpoint, opened)


class TestWork:
    async def test_has_the_task_and_the_plan_and_hands_in_the_answer(self, shop: Shop) -> None:
        done = await shop.agent().execute(Task(text="Add 40 and 2."), PLAN)
        assert done.error is None
        assert done.answer == ANSWER
        assert (done.agent, done.mode, done.followed_strategy) == (shop.mode, shop.mode, True)
        (asked,) = shop.endpoint.requests()
        shown = str(asked.body["messages"])
        assert "Add 40 and 2." in shown
        assert "2. Check the sum." in shown

    async def test_reports_what_the_framework_counted(self, shop: Shop) -> None:
        done = await shop.agent(price_per_task=9.0).execute(TASK, PLAN)
        (call,) = done.calls
        assert call.usage.input_tokens > 20
        assert call.usage.output_tokens > 3
        assert call.dollars == RATE.dollars(call.usage), "reported usage counts, not the declared price"
        assert (call.stage, call.agent, call.error) == ("execute", shop.mode, None)
        assert call.prompt.startswith("work@")

    async def test_keeps_a_trace_that_json_can_hold(self, shop: Shop) -> None:
        done = await shop.agent().execute(TASK, PLAN)
        assert ANSWER in json.dumps(done.trace)
        assert TASK.text in json.dumps(done.trace)

    async def test_goes_without_the_plan_where_its_terms_say_so(self, shop: Shop) -> None:
        done = await shop.agent(follow_strategy=False).execute(TASK, PLAN)
        assert not done.followed_strategy
        assert "Check the sum" not in str(shop.endpoint.requests()[0].body)

    async def test_is_paid_by_the_task_where_nobody_counts(self, shop: Shop) -> None:
        """smolagents cannot do without the endpoint's usage; that is its failure, in a line."""
        done = await shop.agent("no-usage", price_per_task=0.5).execute(TASK, PLAN)
        if shop.mode == "smolagents":
            assert done.error is not None
            assert "\n" not in done.error
        else:
            assert (done.answer, done.error) == (ANSWER, None)
            assert [call.dollars for call in done.calls] == [0.5]


class TestFailure:
    @pytest.mark.parametrize("behaviour", ["500-always", "401", "malformed-json", "html", "empty-choices"])
    async def test_is_a_line_on_record(self, shop: Shop, behaviour: str) -> None:
        done = await shop.agent(behaviour).execute(TASK, PLAN)
        assert done.answer == ""
        assert done.error
        assert "\n" not in done.error
        assert len(done.error) < 400
        assert KEY not in str(done)
        assert done.calls[-1].error == done.error
        assert sum(call.dollars for call in done.calls) == 0.0

    async def test_and_a_bid_that_fails_is_a_failed_call(self, shop: Shop) -> None:
        with pytest.raises(CallError) as caught:
            await shop.agent("500-always").bid(REQUEST)
        assert KEY not in str(caught.value)
        assert caught.value.where == shop.mode

    async def test_no_answer_is_none(self, shop: Shop) -> None:
        shop.endpoint.say = None
        done = await shop.agent("empty-text").execute(TASK, PLAN)
        assert done.error is not None

    async def test_nobody_there(self, shop: Shop) -> None:
        async with Opened("http://127.0.0.1:9/v1") as nowhere:
            done = await MAKERS[shop.mode](nowhere, "good", Terms(name="gone", price=RATE)).execute(TASK, None)
        assert done.error
        assert done.answer == ""


class TestTime:
    async def test_ends_when_it_is_up(self, shop: Shop) -> None:
        done = await shop.agent("slow-3900", seconds=2.0).execute(TASK, PLAN)
        assert done.error == "call.timeout: not done within 2 s"
        if shop.mode != "smolagents":  # whose thread ends when the answer is there
            (asked,) = shop.endpoint.requests()
            assert await asyncio.to_thread(shop.endpoint.wait, lambda: asked.cancelled)

    async def test_is_cancelled_like_anything_else(self, shop: Shop) -> None:
        work = asyncio.create_task(shop.agent("slow-3000").execute(TASK, PLAN))
        assert await asyncio.to_thread(shop.endpoint.wait, lambda: bool(shop.endpoint.requests()), 20)
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work


class TestBid:
    async def test_asks_its_own_model_with_the_market_s_prompt(self, shop: Shop) -> None:
        reply = await shop.agent().bid(REQUEST)
        assert "3. Write the solution" in reply.text
        assert reply.usage.output_tokens > 10
        assert reply.usage.input_tokens > 20
        (asked,) = shop.endpoint.requests()
        assert asked.body.get("max_tokens", asked.body.get("max_completion_tokens")) == 300
        assert not asked.body.get("tools")
        assert REQUEST.prompt.system in str(asked.body["messages"])
        assert "Be exact" not in str(asked.body["messages"])

    async def test_competes_in_a_market(self, shop: Shop) -> None:
        async with Market([shop.agent()]) as market:
            result = await market.run("Add 40 and 2.")
        assert result.answer == ANSWER
        assert result.settlement.work_dollars > 0


class TestEachItsOwn:
    async def test_pydantic_ai_gives_log_probabilities_where_asked(self, endpoint: Endpoint, opened: Opened) -> None:
        reply = await with_pydantic_ai(opened, "good", Terms(name="a", price=RATE)).bid(REQUEST)
        assert reply.logprobs

    async def test_pydantic_ai_hands_in_an_object_as_json(self, endpoint: Endpoint, opened: Opened) -> None:
        endpoint.say = lambda _: '{"left": 40, "right": 2}'
        chat = OpenAIChatModel("good", provider=OpenAIProvider(openai_client=opened.client()))
        structured = PydanticAgent(chat, output_type=PromptedOutput(Sum))
        done = await PydanticAIAgent(structured, Terms(name="a", price=RATE)).execute(TASK, None)
        assert (done.error, done.answer) == (None, '{"left":40,"right":2}')

    def test_pydantic_ai_without_a_model_needs_plans(self) -> None:
        with pytest.raises(ConfigError, match="no model to plan with"):
            PydanticAIAgent(PydanticAgent(), Terms(name="a", price=RATE))
        PydanticAIAgent(PydanticAgent(), Terms(name="a", price=RATE), plans=FixedPlan(PLAN))

    async def test_openai_agents_out_of_turns_keeps_what_it_spent(self, endpoint: Endpoint, opened: Opened) -> None:
        @function_tool
        def add(n: int) -> int:
            """Add one."""
            return n + 1

        chat = OpenAIChatCompletionsModel(model="tool-loops-forever", openai_client=opened.client())
        looping = SdkAgent(name="looper", model=chat, tools=[add])
        agent = OpenAIAgentsAgent(looping, Terms(name="a", price=RATE), turns=3)
        done = await agent.execute(TASK, PLAN)
        assert done.error is not None
        assert "3" in done.error
        assert len([call for call in done.calls if call.usage.total]) == 3
        assert sum(call.dollars for call in done.calls) > 0
        assert [step["content"] for step in done.trace if step["role"] == "tool"]

    async def test_smolagents_out_of_steps_keeps_the_answer_and_says_so(
        self, endpoint: Endpoint, opened: Opened
    ) -> None:
        endpoint.say = lambda ask: None if "numbered steps" in ask.prompt else "I would rather talk."
        done = await with_smolagents(opened, "good", Terms(name="a", price=RATE)).execute(TASK, PLAN)
        assert done.error == "execution: not done within 2 steps"
        assert done.answer == "I would rather talk."
        assert sum(call.dollars for call in done.calls) > 0

    async def test_langgraph_without_messages_is_told_so(self, endpoint: Endpoint, opened: Opened) -> None:
        graph = StateGraph(Total).add_node("only", total).add_edge(START, "only")
        agent = LangGraphAgent(graph.compile(), Terms(name="a", price=RATE), plans=FixedPlan(PLAN))
        done = await agent.execute(TASK, None)
        assert done.error is not None
        assert "no messages" in done.error

    async def test_langgraph_with_a_node_that_fails_midway_keeps_what_was_spent(
        self, endpoint: Endpoint, opened: Opened
    ) -> None:
        chat = opened.chain("good")

        async def think(state: MessagesState) -> dict[str, object]:
            return {"messages": [await chat.ainvoke(state["messages"])]}

        def breaks(state: MessagesState) -> dict[str, object]:
            raise ZeroDivisionError("division by zero")

        graph = StateGraph(MessagesState).add_node("think", think).add_node("breaks", breaks)
        graph.add_edge(START, "think").add_edge("think", "breaks")
        agent = LangGraphAgent(graph.compile(), Terms(name="a", price=RATE), plans=FixedPlan(PLAN))
        done = await agent.execute(TASK, None)
        assert done.error == "ZeroDivisionError: division by zero"
        assert done.calls[0].usage.total > 0
        assert len(done.trace) == 2
