"""The work of a winner over real HTTP, directly and with tools: whatever happens, what was spent is on the record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from sale.agents.contractor import Contractor
from sale.errors import SandboxError
from sale.types import Call, Execution, Task, ToolInfo
from sale.wording import quantity
from tests.support.endpoint import Endpoint
from tests.support.hang import HANG
from tests.support.pool import KEY, contractor

INFO = ToolInfo(name="double", description="Doubles a number.")
TASK = Task(text="What is six times seven?")
PLAN = "1. Multiply. 2. Check."


@dataclass
class Doubling:
    """A tool that doubles, or fails the way it is told to."""

    fault: BaseException | None = None
    seconds: float = 0.0
    seen: list[int] = field(default_factory=list[int])
    info: ToolInfo = INFO

    @property
    def run(self) -> Callable[..., Awaitable[str]]:
        return self.double

    async def double(self, n: int) -> str:
        """Double a number.

        Args:
            n: The number to double.
        """
        self.seen.append(n)
        await asyncio.sleep(self.seconds)
        if self.fault is not None:
            raise self.fault
        return str(2 * n)


async def work(agent: Contractor, strategy: str | None = PLAN) -> Execution:
    try:
        return await agent.execute(TASK, strategy)
    finally:
        await agent.aclose()


def tooled(endpoint: Endpoint, behaviour: str, tool: Doubling | None = None, **settings: float) -> Contractor:
    tools = (tool or Doubling(),)
    return contractor(endpoint, "alice", behaviour, tools=tools, settings={"execution": "tools", **settings})


def models_of(execution: Execution) -> list[Call]:
    return [call for call in execution.calls if not call.tool]


def check_bill(execution: Execution, endpoint: Endpoint) -> None:
    """One line for each request the endpoint got, at the agent's price, and JSON all through."""
    calls = models_of(execution)
    assert len(calls) == len(endpoint.requests())
    for call in calls:
        assert (call.stage, call.agent) == ("execute", "alice")
        assert call.dollars == pytest.approx((call.usage.input_tokens + 2 * call.usage.output_tokens) / 1e6)
        assert 0 <= call.seconds <= execution.seconds + 0.05
        assert (call.usage.total > 0) or call.error
        assert call.prompt.startswith("work@")
    json.dumps(execution.trace)
    assert KEY not in repr(execution)


# --- directly ---


async def test_a_direct_answer(endpoint: Endpoint) -> None:
    execution = await work(contractor(endpoint, "alice", settings={"answer_tokens": 64, "temperature": 0.5}))
    assert (execution.answer, execution.mode, execution.error) == ("The answer is 42.", "direct", None)
    assert execution.followed_strategy
    body = endpoint.requests()[0].body
    assert (body["max_tokens"], body["temperature"]) == (64, 0.5)
    assert PLAN in body["messages"][1]["content"]
    assert [message["role"] for message in execution.trace] == ["system", "user", "assistant"]
    check_bill(execution, endpoint)


async def test_an_agent_that_does_not_follow_its_strategy_is_not_shown_it(endpoint: Endpoint) -> None:
    execution = await work(contractor(endpoint, "alice", settings={"follow_strategy": False}))
    assert not execution.followed_strategy
    assert PLAN not in str(endpoint.requests()[0].body)


SHORTFALLS = [
    ("truncated", "execution.tokens: the answer was cut at 1,024 tokens", "The answer "),
    ("empty-text", "call.bad_reply: the answer is empty", ""),
    ("null-text", "call.bad_reply: the answer is empty", ""),
    ("thinking-cut", "execution.tokens: the answer was cut at 1,024 tokens, before it began", ""),
]


@pytest.mark.parametrize(("behaviour", "error", "answer"), SHORTFALLS)
async def test_a_direct_answer_that_is_not_whole_is_flagged_and_paid_for(
    endpoint: Endpoint, behaviour: str, error: str, answer: str
) -> None:
    execution = await work(contractor(endpoint, "alice", behaviour))
    assert (execution.error, execution.answer) == (error, answer)
    assert execution.calls[0].usage.input_tokens > 0
    check_bill(execution, endpoint)


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [
        ("500-always", "call.server"),
        ("429-always", "call.rate_limited"),
        ("401", "call.rejected"),
        ("cut", "call.unreachable"),
        ("not-openai", "call.bad_reply"),
        ("no-usage", "call.bad_reply"),
        ("echo-key", "call.rejected"),
    ],
)
@pytest.mark.parametrize("execution", ["direct", "tools"])
async def test_a_failed_call_is_the_executions_error_not_an_exception(
    endpoint: Endpoint, behaviour: str, code: str, execution: str
) -> None:
    found = await work(contractor(endpoint, "alice", behaviour, tools=(Doubling(),), settings={"execution": execution}))
    assert found.error is not None
    assert found.error.startswith(f"{code}: ")
    assert found.answer == ""
    assert found.calls[0].error == found.error
    check_bill(found, endpoint)


@pytest.mark.parametrize("execution", ["direct", "tools"])
@pytest.mark.parametrize("behaviour", ["hang", "stall"])
async def test_the_time_limit_of_the_work_is_kept(endpoint: Endpoint, behaviour: str, execution: str) -> None:
    agent = contractor(
        endpoint, "alice", behaviour, tools=(Doubling(),), settings={"execution": execution, "seconds": 0.3}
    )
    found = await work(agent)
    assert found.error is not None
    assert found.error.startswith("call.timeout: ")
    assert await asyncio.to_thread(endpoint.wait, lambda: endpoint.requests()[0].cancelled)
    check_bill(found, endpoint)


@pytest.mark.parametrize("execution", ["direct", "tools"])
async def test_cancelled_work_is_cancelled(endpoint: Endpoint, execution: str) -> None:
    agent = contractor(endpoint, "alice", "hang", tools=(Doubling(),), settings={"execution": execution})
    running = asyncio.create_task(agent.execute(TASK, PLAN))
    assert await asyncio.to_thread(endpoint.wait, lambda: len(endpoint.requests()) == 1)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await asyncio.to_thread(endpoint.wait, lambda: endpoint.requests()[0].cancelled)
    await agent.aclose()


# --- with tools ---


async def test_a_tool_is_offered_called_and_its_result_shown(endpoint: Endpoint) -> None:
    tool = Doubling()
    execution = await work(tooled(endpoint, "tool-caller", tool, answer_tokens=99))
    assert (execution.mode, execution.error) == ("tools", None)
    assert execution.answer == "The answer is 42. The tool said: 4"
    assert tool.seen == [2]
    first, second = (request.body for request in endpoint.requests())
    assert first["max_tokens"] == second["max_tokens"] == 99
    (offered,) = first["tools"]
    function = offered["function"]
    assert (function["name"], function["description"]) == ("double", "Doubles a number.")
    assert function["parameters"]["properties"] == {"n": {"description": "The number to double.", "type": "integer"}}
    assert second["messages"][-1] == {"role": "tool", "tool_call_id": "call_1", "content": "4"}
    kinds = [part["part_kind"] for message in execution.trace for part in message["parts"]]  # pyright: ignore[reportIndexIssue, reportGeneralTypeIssues]
    assert kinds == ["user-prompt", "tool-call", "tool-return", "text"]
    check_bill(execution, endpoint)


FAULTS = [KeyError("no such row"), SandboxError("no room here", hint="Use another."), TimeoutError("too slow")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_a_tool_that_raises_is_an_observation_and_the_work_goes_on(endpoint: Endpoint, fault: Exception) -> None:
    execution = await work(tooled(endpoint, "tool-caller", Doubling(fault=fault)))
    assert execution.error is None
    shown = endpoint.requests()[-1].body["messages"][-1]
    assert shown["role"] == "tool"
    assert str(fault.args[0]) in shown["content"]
    assert type(fault).__name__ in shown["content"] or isinstance(fault, SandboxError)
    assert execution.answer.startswith("The answer is 42.")
    check_bill(execution, endpoint)


async def test_a_long_complaint_of_a_tool_is_shown_in_part(endpoint: Endpoint) -> None:
    await work(tooled(endpoint, "tool-caller", Doubling(fault=ValueError("x" * 100_000))))
    assert len(endpoint.requests()[-1].body["messages"][-1]["content"]) < 3_000


async def test_a_tool_that_always_fails_ends_with_the_turns_not_before(endpoint: Endpoint) -> None:
    tool = Doubling(fault=KeyError("never"))
    execution = await work(tooled(endpoint, "tool-loops-forever", tool, turns=4))
    assert execution.error == "execution.turns: not done within 4 turns"
    assert len(tool.seen) == 4
    check_bill(execution, endpoint)


@pytest.mark.parametrize("turns", [1, 3])
async def test_the_limit_on_turns_is_kept_and_all_turns_are_paid_for(endpoint: Endpoint, turns: int) -> None:
    execution = await work(tooled(endpoint, "tool-loops-forever", turns=turns))
    assert execution.error == f"execution.turns: not done within {quantity(turns, 'turn')}"
    assert len(endpoint.requests()) == turns
    assert all(call.error is None for call in models_of(execution))
    check_bill(execution, endpoint)


async def test_a_hanging_tool_is_stopped_by_the_time_limit(endpoint: Endpoint) -> None:
    tool = Doubling(seconds=2 * HANG)
    execution = await work(tooled(endpoint, "tool-caller", tool, seconds=0.5))
    assert tool.seen == [2]
    assert execution.error == "call.timeout: not done within 0.5 s"
    assert [call.error for call in models_of(execution)] == [None], "no model call failed: the tool did"
    check_bill(execution, endpoint)


async def test_an_endpoint_that_fails_in_the_middle_leaves_what_was_spent(endpoint: Endpoint) -> None:
    tool = Doubling()
    execution = await work(tooled(endpoint, "500-after-2+tool-loops-forever", tool))
    assert execution.error is not None
    assert execution.error.startswith("call.server: HTTP 500")
    assert len(tool.seen) == 2
    spent, also_spent, failed = models_of(execution)
    assert spent.usage.total > 0
    assert also_spent.usage.total > 0
    assert (failed.usage.total, failed.error) == (0, execution.error)
    check_bill(execution, endpoint)


async def test_a_timeout_in_the_middle_leaves_what_was_spent(endpoint: Endpoint) -> None:
    execution = await work(tooled(endpoint, "slow-400+tool-loops-forever", seconds=0.7))
    assert execution.error == "call.timeout: not done within 0.7 s"
    assert execution.calls[0].usage.total > 0
    assert models_of(execution)[-1].error == execution.error
    assert models_of(execution)[-1].seconds > 0
    check_bill(execution, endpoint)


@pytest.mark.parametrize(
    ("behaviour", "complaint"), [("tool-bad-arguments", "Invalid JSON"), ("tool-unknown", "no_such_tool")]
)
async def test_a_bad_tool_call_is_told_to_the_model(endpoint: Endpoint, behaviour: str, complaint: str) -> None:
    tool = Doubling()
    execution = await work(tooled(endpoint, behaviour, tool))
    assert execution.error is None
    assert complaint in str(endpoint.requests()[-1].body["messages"][-1])
    assert tool.seen == []
    check_bill(execution, endpoint)


@pytest.mark.parametrize(("behaviour", "error", "answer"), SHORTFALLS)
async def test_a_tool_loop_whose_answer_is_not_whole_is_flagged(
    endpoint: Endpoint, behaviour: str, error: str, answer: str
) -> None:
    execution = await work(tooled(endpoint, behaviour))
    assert (execution.error, execution.answer) == (error, answer)
    check_bill(execution, endpoint)


async def test_without_tools_the_tool_mode_answers_directly(endpoint: Endpoint) -> None:
    execution = await work(contractor(endpoint, "alice", settings={"execution": "tools"}))
    assert execution.mode == "direct"
    assert "tools" not in endpoint.requests()[0].body


@pytest.mark.parametrize("execution", ["direct", "tools"])
async def test_nobody_home_is_an_error_on_record(endpoint: Endpoint, execution: str) -> None:
    url = "http://127.0.0.1:9/v1"
    found = await work(
        contractor(endpoint, "alice", tools=(Doubling(),), base_url=url, settings={"execution": execution})
    )
    assert found.error is not None
    assert found.error.startswith("call.unreachable: ")
    (call,) = found.calls
    assert (call.usage.total, call.error) == (0, found.error)
