"""Doing the work: one direct answer, or Pydantic AI's tool loop. Whatever happens, what was spent is returned."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import wraps
from typing import cast

from pydantic_ai import Agent as ToolLoop
from pydantic_ai import Tool as LoopTool
from pydantic_ai import capture_run_messages
from pydantic_ai.agent import AgentRetries
from pydantic_ai.exceptions import ToolFailed, UnexpectedModelBehavior, UsageLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelRequest, ModelResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits

from sale.agents.account import ExecutionAccount
from sale.agents.loop_model import CallReader
from sale.agents.protocol import SchemaTool, Tool
from sale.agents.written_calls import written_calls
from sale.errors import CallError, CallTimeoutError, SaleError
from sale.models.errors import map_errors
from sale.models.protocol import Model, ToolModel
from sale.types import Call, Execution, Price, Prompt, Usage
from sale.wording import quantity

OUT_OF_TURNS = "execution.turns"
FAILURE_CHARACTERS = 2000
"""Characters of a tool's exception that the model is shown."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkItem:
    """One piece of work for one agent."""

    agent: str
    price: Price
    prompt: Prompt
    followed_strategy: bool
    answer_tokens: int
    seconds: float
    turns: int = 1
    temperature: float = 0.0
    choosing: bool = False
    """True where each step of `work_in_steps` takes two calls: which tool, then its inputs."""
    opening: bool = False
    """True where work in steps begins with one search, made for the agent, with the task's own words."""
    account: ExecutionAccount | None = None
    """The account its calls are counted on; `None` where they are not counted."""

    def meter(self, tools: Sequence[Tool]) -> list[Tool]:
        """Tools on its account."""
        return [self.account.meter(tool) if self.account else tool for tool in tools]


async def answer_directly(model: Model, item: WorkItem) -> Execution:
    """One call, whose text is the answer."""
    began = time.monotonic()
    error: str | None = None
    answer, usage = "", Usage()
    try:
        async with asyncio.timeout(item.seconds):
            reply = await model.generate(item.prompt, max_tokens=item.answer_tokens)
        answer, usage = reply.text, reply.usage
        error = shortfall_of(answer, truncated=reply.truncated, tokens=item.answer_tokens)
    except TimeoutError:
        error = describe(CallTimeoutError(f"no answer within {item.seconds:g} s"))
    except CallError as failure:
        error = describe(failure)
    seconds = time.monotonic() - began
    trace = (
        {"role": "system", "content": item.prompt.system},
        {"role": "user", "content": item.prompt.user},
        {"role": "assistant", "content": answer},
    )
    call = line_of(item, usage, seconds, error if not answer else None)
    return execution_of(item, "direct", answer, trace, (call,), seconds, error)


async def work_with_tools(model: Model, tools: Sequence[Tool], item: WorkItem) -> Execution:
    """Pydantic AI's tool loop, within limits on turns and time. A tool that raises is an observation, not the end."""
    began = time.monotonic()
    error: str | None = None
    answer = ""
    with capture_run_messages() as messages:
        try:
            async with asyncio.timeout(item.seconds):
                answer = await _loop(await model.for_tools(), tools, item)
            error = shortfall_of(answer, truncated=_cut_off(messages), tokens=item.answer_tokens)
            error = error or _only_a_call(answer, tools)
        except TimeoutError:
            error = describe(CallTimeoutError(f"not done within {item.seconds:g} s"))
        except CallError as failure:
            error = _stopped(failure, messages, item)
    seconds = time.monotonic() - began
    calls = _calls_of(messages, item, error)
    trace = cast("Sequence[Mapping[str, object]]", ModelMessagesTypeAdapter.dump_python(messages, mode="json"))
    return execution_of(item, "tools", answer or _last_text(messages), tuple(trace), calls, seconds, error)


async def _loop(model: ToolModel, tools: Sequence[Tool], item: WorkItem) -> str:
    loop_tools = [_in_loop(tool) for tool in item.meter(tools)]
    # A call with bad arguments is shown to the model; how often it may try again is a matter of turns alone.
    retries = AgentRetries(tools=item.turns, output=1)
    with map_errors(item.agent):
        loop = ToolLoop(CallReader(model), instructions=item.prompt.system, tools=loop_tools, retries=retries)
        run = await loop.run(
            item.prompt.user,
            model_settings=ModelSettings(max_tokens=item.answer_tokens, temperature=item.temperature),
            usage_limits=UsageLimits(request_limit=item.turns),
        )
    return run.output


def _only_a_call(answer: str, tools: Sequence[Tool]) -> str | None:
    """Why an answer is none: it calls a tool where none is left to be called."""
    calls = written_calls(answer, [tool.info.name for tool in tools]) if tools else ()
    return f"call.bad_reply: the answer is a call of the tool {calls[0].name}, written as text" if calls else None


def _in_loop(tool: Tool) -> LoopTool[object]:
    name, description = tool.info.name, tool.info.description
    if isinstance(tool, SchemaTool):
        return LoopTool[object].from_schema(_failing_gently(tool), name, description, dict(tool.schema))
    return LoopTool[object](_failing_gently(tool), takes_ctx=False, name=name, description=description)


def _failing_gently(tool: Tool) -> Callable[..., Awaitable[str]]:
    """The tool's call, with what it raises turned into something the model is shown."""

    @wraps(tool.run)
    async def call(*args: object, **kwargs: object) -> str:
        try:
            return await tool.run(*args, **kwargs)
        except Exception as error:
            shown = str(error) if isinstance(error, SaleError) else f"{type(error).__name__}: {error}"
            raise ToolFailed(shown[:FAILURE_CHARACTERS]) from error

    return call


def _stopped(failure: CallError, messages: Sequence[ModelMessage], item: WorkItem) -> str:
    """Why the loop ended early, for the record."""
    if isinstance(failure.__cause__, UsageLimitExceeded):
        return f"{OUT_OF_TURNS}: not done within {quantity(item.turns, 'turn')}"
    shortfall = None
    if isinstance(failure.__cause__, UnexpectedModelBehavior) and messages and isinstance(messages[-1], ModelResponse):
        last = messages[-1].text or ""
        shortfall = shortfall_of(last, truncated=_cut_off(messages), tokens=item.answer_tokens)
    return shortfall or describe(failure)


def _cut_off(messages: Sequence[ModelMessage]) -> bool:
    last = messages[-1] if messages else None
    return isinstance(last, ModelResponse) and last.finish_reason == "length"


def execution_of(
    item: WorkItem,
    mode: str,
    answer: str,
    trace: tuple[Mapping[str, object], ...],
    calls: tuple[Call, ...],
    seconds: float,
    error: str | None,
) -> Execution:
    """Return the execution of a work item."""
    return Execution(
        agent=item.agent,
        answer=answer,
        mode=mode,
        followed_strategy=item.followed_strategy,
        trace=trace,
        calls=calls,
        seconds=seconds,
        error=error,
    )


def shortfall_of(answer: str, *, truncated: bool, tokens: int) -> str | None:
    """Why an answer is not whole, for the record; `None` where it is."""
    if truncated:
        early = "" if answer.strip() else ", before it began"
        return f"execution.tokens: the answer was cut at {quantity(tokens, 'token')}{early}"
    return None if answer.strip() else "call.bad_reply: the answer is empty"


def _calls_of(messages: Sequence[ModelMessage], item: WorkItem, error: str | None) -> tuple[Call, ...]:
    """One settlement line for each answer of the model, from its request to its response, and one for a failed call."""
    calls: list[Call] = []
    asked: ModelRequest | None = None
    for message in messages:
        if isinstance(message, ModelRequest):
            asked = message
            continue
        usage = Usage(input_tokens=message.usage.input_tokens, output_tokens=message.usage.output_tokens)
        calls.append(line_of(item, usage, _seconds(asked, message.timestamp), None))
        asked = None
    # A request that a tool was still working on is interrupted; one that is complete was on its way to the model.
    on_its_way = asked is not None and asked.state == "complete"
    if error is not None and (not calls or (on_its_way and not error.startswith(OUT_OF_TURNS))):
        calls.append(line_of(item, Usage(), _seconds(asked, datetime.now(UTC)), error))
    return tuple(calls)


def _seconds(asked: ModelRequest | None, answered: datetime) -> float:
    if asked is None or asked.timestamp is None:
        return 0.0
    return max(0.0, (answered - asked.timestamp).total_seconds())


def line_of(item: WorkItem, usage: Usage, seconds: float, error: str | None) -> Call:
    """One line of the settlement."""
    return Call(
        stage="execute",
        agent=item.agent,
        usage=usage,
        dollars=item.price.dollars(usage),
        seconds=seconds,
        prompt=item.prompt.template,
        error=error,
    )


def _last_text(messages: Sequence[ModelMessage]) -> str:
    """Return the agent's last text before it was stopped: partial work is better than none, and is marked."""
    texts = [message.text for message in messages if isinstance(message, ModelResponse)]
    return next((text for text in reversed(texts) if text), "")


def describe(error: SaleError) -> str:
    """An error on record: code and message."""
    return f"{error.code}: {error.message}"
