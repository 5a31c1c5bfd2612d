"""What tools cost, and budgets: whichever way an agent works, its end is clean and says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.usage import RequestUsage

from sale import Call, Contractor, Price, Settlement, Task, ToolInfo
from sale.agents.account import NO_BUDGET, ExecutionAccount, max_dollars
from sale.agents.protocol import Tool
from sale.agents.repair import Workbench
from sale.agents.tools.python import PythonTool
from sale.agents.tools.sandbox import find_sandbox
from sale.auction.baseline import always_largest
from sale.config import AgentSettings, parse
from sale.errors import CallError, ConfigError, SpentError, UnreachableError
from sale.models.protocol import GenerationRequest, Model
from sale.models.scripted import Line, ScriptedModel
from sale.types import Execution, Prompt, Reply, Usage
from sale.types.tools import Budget, Fee

PRICE = Price(input=1.0, output=1.0, blended=1.0)
TASK = Task(text="What is it?")


@dataclass
class Lookup:
    """A tool that costs something."""

    fee: Fee = field(default_factory=lambda: Fee(per_call=0.01, per_second=0.1, key="LOOKUP_KEY"))
    seconds: float = 0.0
    asked: list[str] = field(default_factory=list)
    info = ToolInfo(name="look_up", description="looks it up")

    async def run(self, word: str) -> str:
        """Look a word up."""
        self.asked.append(word)
        await asyncio.sleep(self.seconds)
        if word == "cancels":
            raise asyncio.CancelledError
        if word == "boom":
            raise RuntimeError("it is gone")
        return f"found {word}"


def agent(execution: str, model: Model, *tools: Tool, budget: Budget | None = None, **more: object) -> Contractor:
    given = {"name": "a", "endpoint": "http://127.0.0.1", "model": "m", "execution": execution, "turns": 20}
    settings = AgentSettings.model_validate({**given, "budget": budget, **more})
    bench = Workbench(sandbox=find_sandbox()) if execution == "repair" else None
    return Contractor(settings, price=PRICE, model=model, tools=tools, workbench=bench)


def stepping(prompt: Prompt, schema: Mapping[str, object] | None) -> Line:
    """Looks things up for as long as it may."""
    last = "anyOf" not in (schema or {})
    return Line(text=json.dumps({"answer": "enough"} if last else {"look_up": "x"}), tokens=10)


class Looping(ScriptedModel):
    """A model in a tool loop that calls a tool for as long as it is offered one."""

    def __init__(self, calls: int = 1) -> None:
        super().__init__(lambda prompt, schema: "unused")
        self.calls = calls
        self.told: list[str] = []
        self.most: list[int] = []

    async def for_tools(self) -> FunctionModel:
        async def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
            self.told.append(" ".join(str(getattr(part, "content", "")) for part in messages[-1].parts))
            self.most.append((info.model_settings or {}).get("max_tokens", 0))
            used = RequestUsage(input_tokens=90, output_tokens=10)
            if not info.function_tools:
                return ModelResponse(parts=[TextPart("enough")], usage=used, finish_reason="stop")
            parts = [ToolCallPart("look_up", {"word": "x"}) for _ in range(self.calls)]
            return ModelResponse(parts=[TextPart("so far"), *parts], usage=used, finish_reason="tool_call")

        return FunctionModel(respond, model_name="looping")


def tools_of(execution: Execution) -> list[str]:
    return [call.tool for call in execution.calls if call.tool]


class TestBill:
    @pytest.mark.parametrize("execution", ["tools", "steps"])
    async def test_a_tool_has_a_line_of_its_own(self, execution: str) -> None:
        lookup = Lookup(seconds=0.05)
        model = Looping() if execution == "tools" else ScriptedModel(stepping)
        done = await agent(execution, model, lookup, budget=Budget(calls=3)).execute(TASK, None)
        (line,) = [call for call in done.calls if call.tool]
        assert (line.tool, line.key, line.stage, line.agent) == ("look_up", "LOOKUP_KEY", "execute", "a")
        assert line.usage == Usage()
        assert line.seconds >= 0.05
        assert line.dollars == pytest.approx(0.01 + 0.1 * line.seconds)
        settlement = Settlement(calls=done.calls)
        assert settlement.tool_dollars == line.dollars
        assert settlement.work_dollars == pytest.approx(settlement.tool_dollars + PRICE.dollars(settlement.usage))

    async def test_what_fails_is_paid_for_by_its_time_alone(self) -> None:
        replies = iter([json.dumps({"look_up": "boom"}), json.dumps({"answer": "ok"})])
        done = await agent("steps", ScriptedModel(lambda p, s: next(replies)), Lookup()).execute(TASK, None)
        (line,) = [call for call in done.calls if call.tool]
        assert line.error == "RuntimeError: it is gone"
        assert line.dollars == pytest.approx(0.1 * line.seconds)

    async def test_one_that_cancels_itself_has_failed(self) -> None:
        account = ExecutionAccount("a", PRICE, NO_BUDGET)
        with pytest.raises(CallError, match="the tool itself cancelled the call"):
            await account.meter(Lookup()).run("cancels")

    async def test_one_that_is_stopped_is_on_the_bill(self) -> None:
        done = await agent("tools", Looping(), Lookup(seconds=30), seconds=0.3).execute(TASK, None)
        (line,) = [call for call in done.calls if call.tool]
        assert line.error == "stopped"
        assert line.seconds > 0.1
        assert done.answer == "so far"

    async def test_samples_are_billed_once_each(self) -> None:
        said = [{"look_up": "x"}, {"answer": "one"}, {"look_up": "x"}, {"answer": "two"}] * 2
        replies = map(json.dumps, said)
        given = agent("steps", ScriptedModel(lambda p, s: next(replies)), Lookup(), samples=3)
        done = await given.execute(TASK, None)
        assert tools_of(done) == ["look_up"] * 3
        assert len(done.calls) == 9

    async def test_tools_cost_the_largest_agent_as_much(self) -> None:
        account = ExecutionAccount("a", PRICE)
        account.record_call(Usage(input_tokens=1000), 1.0)
        tool = Lookup()
        await account.meter(tool).run("x")
        done = account.complete(Execution(agent="a", answer="x", mode="steps", followed_strategy=False))
        bare = always_largest("b", replace(PRICE, input=100.0), [replace(done, calls=())])
        with_tools = always_largest("b", replace(PRICE, input=100.0), [done])
        assert with_tools.dollars - bare.dollars == pytest.approx(done.calls[0].dollars)
        assert done.calls[0].dollars > 0.01

    def test_tools_come_on_top_of_a_price_for_a_task(self) -> None:
        call = Call(stage="execute", agent="a", usage=Usage(), dollars=0.125, seconds=0.0, tool="search")
        done = Execution(agent="a", answer="x", mode="tools", followed_strategy=False, calls=(call,))
        found = always_largest("large", PRICE, [done], per_task=0.5)
        assert (found.dollars, found.basis) == (0.625, "its price for a task")

    def test_prices_come_from_the_settings(self) -> None:
        text = (
            '[[agents]]\nname = "a"\nendpoint = "http://x"\nmodel = "m"\nprice = 1.0\n'
            "budget = { dollars = 0.5, calls = 3 }\n[tools]\nprice_per_call = 0.001\nprice_per_second = 0.0001\n"
        )
        settings = parse(text)
        assert settings.agents[0].budget == Budget(dollars=0.5, calls=3)
        assert (settings.tools.price_per_call, settings.tools.price_per_second) == (0.001, 0.0001)
        for wrong in ("{ calls = 0 }", "{ dollars = -1.0 }", "{ call = 3 }", "{ seconds = nan }"):
            with pytest.raises(ConfigError):
                parse(text.replace("{ dollars = 0.5, calls = 3 }", wrong))


BUDGETS = [
    (Budget(calls=5), "5 calls"),
    (Budget(tokens=500), "500 tokens"),
    (Budget(dollars=0.035), "0.035 dollars"),
]


class TestBudget:
    @pytest.mark.parametrize(("budget", "said"), BUDGETS)
    @pytest.mark.parametrize("execution", ["tools", "steps"])
    async def test_at_its_end_the_agent_is_asked_for_its_answer(
        self, execution: str, budget: Budget, said: str
    ) -> None:
        lookup = Lookup(Fee(per_call=0.01))
        model = Looping() if execution == "tools" else ScriptedModel(stepping)
        done = await agent(execution, model, lookup, budget=budget).execute(TASK, None)
        assert done.answer == "enough"
        assert done.error == f"call.budget: cut short, the budget of {said} is used up"
        assert lookup.asked
        assert len(done.calls) <= (budget.calls or 99)
        assert all(call.usage.total for call in done.calls if not call.tool)
        spent = Settlement(calls=done.calls)
        assert spent.usage.total <= (budget.tokens or 10**9)
        assert spent.dollars <= (budget.dollars or 1.0)

    async def test_many_calls_in_one_turn_do_not_go_beyond_it(self) -> None:
        lookup = Lookup()
        model = Looping(calls=10)
        done = await agent("tools", model, lookup, budget=Budget(calls=6)).execute(TASK, None)
        assert len(done.calls) == 6
        assert len(lookup.asked) == 4
        assert done.answer == "enough"
        assert "no more calls of tools" in model.told[-1]

    async def test_seconds_are_one(self) -> None:
        lookup = Lookup(seconds=0.2)
        done = await agent("tools", Looping(), lookup, budget=Budget(seconds=0.5)).execute(TASK, None)
        assert done.answer in {"enough", "so far"}
        assert (done.error or "").startswith(("call.budget: ", "call.timeout: "))

    @pytest.mark.parametrize(
        ("budget", "most"), [(Budget(tokens=60), 60), (Budget(dollars=0.00005), 50), (Budget(), 1024)]
    )
    async def test_an_answer_is_no_longer_than_there_is_room_for(self, budget: Budget, most: int) -> None:
        asked: list[int] = []

        class Noting(ScriptedModel):
            async def generate(self, request: GenerationRequest, /) -> Reply:
                asked.append(request.max_tokens)
                return await super().generate(request)

        text = Line(text="word", tokens=100)
        done = await agent("direct", Noting(lambda p, s: text), budget=budget).execute(TASK, None)
        assert asked == [most]
        assert done.answer == "word"
        if most < 1024:
            assert done.error == "call.budget: cut short, there was no room for more"
        else:
            assert done.error is None

    async def test_repair_hands_in_the_best_so_far(self) -> None:
        task = Task(text="Write double(x).\n\n>>> double(2)\n4\n>>> double(0)\n0\n", domain="coding")
        texts = iter(["def double(x): return x", "def double(x): return 3 * x", "def double(x): return 2 * x"])
        model = ScriptedModel(lambda p, s: Line(text=f"```python\n{next(texts)}\n```", tokens=10))
        done = await agent("repair", model, budget=Budget(calls=2)).execute(task, None)
        assert "return x" in done.answer
        assert done.error == "call.budget: cut short, the budget of 2 calls is used up"
        assert len(done.calls) == 2

    async def test_samples_share_it(self) -> None:
        texts = iter(["a", "b", "c", "d"])
        model = ScriptedModel(lambda p, s: Line(text=next(texts), tokens=10))
        done = await agent("direct", model, budget=Budget(calls=2), samples=4).execute(TASK, None)
        assert done.answer in {"a", "b"}
        assert (done.error or "").startswith("call.budget")
        assert len(done.calls) == 2

    async def test_calls_that_fail_count(self) -> None:
        model = ScriptedModel(lambda p, s: UnreachableError("it broke off"))
        done = await agent("direct", model, budget=Budget(calls=2), samples=5).execute(TASK, None)
        assert len(model.asked) == 2
        assert [call.error for call in done.calls] == ["call.unreachable: it broke off"] * 2

    async def test_without_one_nothing_changes(self) -> None:
        account = ExecutionAccount("a", PRICE, NO_BUDGET)
        for _ in range(50):
            account.allow()
            account.record_call(Usage(input_tokens=10**6, output_tokens=10**6), 1e6)
        assert not account.closing
        assert account.limit_tokens(77) == 77
        assert account.seconds(600.0) == 600.0

    def test_what_is_used_up_is_refused(self) -> None:
        account = ExecutionAccount("a", PRICE, Budget(calls=1))
        account.allow()
        account.record_call(Usage(), 0.0)
        with pytest.raises(SpentError, match="the budget of 1 calls is used up"):
            account.allow()

    async def test_a_tool_is_charged_once(self) -> None:
        lookup = Lookup(Fee(per_call=0.25))
        account = ExecutionAccount("a", PRICE, Budget(dollars=1.0))
        tool = account.meter(lookup)
        for _ in range(3):
            await tool.run("x")
        account.allow(dollars=0.25)
        with pytest.raises(SpentError, match="the budget of 1 dollars is used up"):
            account.allow(dollars=0.5)

    @pytest.mark.parametrize("budget", [Budget(tokens=128), Budget(dollars=0.000128)])
    def test_there_is_room_for_no_more_than_earlier_calls_have_left(self, budget: Budget) -> None:
        account = ExecutionAccount("a", PRICE, budget)
        account.record_call(Usage(input_tokens=60, output_tokens=4), 0.1)
        assert account.limit_tokens(1000) in {63, 64}
        account.record_call(Usage(input_tokens=60, output_tokens=40), 0.1)
        assert account.limit_tokens(1000) == 1

    def test_a_call_without_an_answer_does_not_say_how_long_a_round_takes(self) -> None:
        account = ExecutionAccount("a", PRICE, Budget(seconds=3600.0))
        account.record_call(Usage(), 3000.0, error="call.timeout: no answer")
        assert not account.closing
        account.record_call(Usage(), 3000.0)
        assert account.closing

    @pytest.mark.parametrize(
        ("budget", "most"),
        [
            (Budget(tokens=1_000_000), 4.0),
            (Budget(dollars=0.5), 0.5),
            (Budget(tokens=1_000_000, dollars=0.5), 0.5),
            (Budget(tokens=1_000, dollars=0.5), 0.004),
        ],
    )
    def test_an_execution_costs_at_most_what_the_tighter_limit_allows(self, budget: Budget, most: float) -> None:
        """Each token may be of the dearer kind."""
        written = Price(input=1.0, output=4.0, blended=1.75)
        read = Price(input=4.0, output=1.0, blended=3.25)
        assert [max_dollars(budget, price) for price in (written, read)] == pytest.approx([most, most])

    def test_an_execution_without_a_budget_may_cost_anything(self) -> None:
        assert max_dollars(Budget(seconds=1.0, calls=1), PRICE) is None


async def test_a_real_program_is_paid_by_the_second() -> None:
    tool = PythonTool(find_sandbox(), fee=Fee(per_second=1.0))
    account = ExecutionAccount("a", PRICE)
    assert "42" in await account.meter(tool).run("import time; time.sleep(0.3); print(42)")
    done = account.complete(Execution(agent="a", answer="x", mode="steps", followed_strategy=False))
    assert 0.3 < done.calls[0].dollars < 10
