"""Doing the work: one direct answer, or Pydantic AI's tool loop. Whatever happens, what was spent is returned."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
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

from sale.agents.loop_model import CallReader
from sale.agents.protocol import SchemaTool, Tool
from sale.agents.worklog import WorkItem, Worklog, describe, shortfall_of
from sale.agents.written_calls import written_calls
from sale.errors import CallError, SaleError
from sale.models.asking import usage_of
from sale.models.errors import map_errors
from sale.models.protocol import Model, ToolModel
from sale.types import Call, Execution, Usage
from sale.wording import quantity

OUT_OF_TURNS = "execution.turns"
FAILURE_CHARACTERS = 2000
"""Characters of a tool's exception that the model is shown."""


async def answer_directly(model: Model, item: WorkItem) -> Execution:
    """One call, whose text is the answer."""
    log, answer = Worklog(item), ""
    log.note_prompt(item.prompt)

    async def work() -> str | None:
        nonlocal answer
        reply = await log.ask(model, item.prompt)
        answer = reply.text
        return shortfall_of(answer, truncated=reply.truncated, tokens=item.answer_tokens)

    error = await log.finish(work())
    return log.complete("direct", answer, error)


async def work_with_tools(model: Model, tools: Sequence[Tool], item: WorkItem) -> Execution:
    """Pydantic AI's tool loop, within limits on turns and time. A tool that raises is an observation, not the end."""
    log = Worklog(item)
    error: str | None = None
    answer = ""
    with capture_run_messages() as messages:
        try:
            async with asyncio.timeout(item.seconds):
                answer = await _loop(await model.for_tools(), tools, item)
            error = shortfall_of(answer, truncated=_cut_off(messages), tokens=item.answer_tokens)
            error = error or _only_a_call(answer, tools)
        except TimeoutError:
            error = item.late
        except CallError as failure:
            error = _stopped(failure, messages, item)
    log.calls += _calls_of(messages, item, error)
    log.trace += cast("Sequence[Mapping[str, object]]", ModelMessagesTypeAdapter.dump_python(messages, mode="json"))
    return log.complete("tools", answer or _last_text(messages), error)


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


def _calls_of(messages: Sequence[ModelMessage], item: WorkItem, error: str | None) -> tuple[Call, ...]:
    """One settlement line for each answer of the model, from its request to its response, and one for a failed call."""
    calls: list[Call] = []
    asked: ModelRequest | None = None
    for message in messages:
        if isinstance(message, ModelRequest):
            asked = message
            continue
        calls.append(item.call_line(usage_of(message), _seconds(asked, message.timestamp), None))
        asked = None
    # A request that a tool was still working on is interrupted; one that is complete was on its way to the model.
    on_its_way = asked is not None and asked.state == "complete"
    if error is not None and (not calls or (on_its_way and not error.startswith(OUT_OF_TURNS))):
        calls.append(item.call_line(Usage(), _seconds(asked, datetime.now(UTC)), error))
    return tuple(calls)


def _seconds(asked: ModelRequest | None, answered: datetime) -> float:
    if asked is None or asked.timestamp is None:
        return 0.0
    return max(0.0, (answered - asked.timestamp).total_seconds())


def _last_text(messages: Sequence[ModelMessage]) -> str:
    """Return the agent's last text before it was stopped: partial work is better than none, and is marked."""
    texts = [message.text for message in messages if isinstance(message, ModelResponse)]
    return next((text for text in reversed(texts) if text), "")
