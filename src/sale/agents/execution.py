"""Doing the work: one direct answer, or Pydantic AI's tool loop. Whatever happens, what was spent is returned."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from pydantic_ai import Agent as ToolLoop
from pydantic_ai import Tool as LoopTool
from pydantic_ai import capture_run_messages
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.messages import ModelMessage, ModelMessagesTypeAdapter, ModelRequest, ModelResponse
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits

from sale.agents.protocol import Tool
from sale.errors import CallError, CallTimeoutError, SaleError
from sale.models.errors import mapped
from sale.models.protocol import Model
from sale.types import Call, Execution, Price, Prompt, Usage


@dataclass(frozen=True, kw_only=True, slots=True)
class Shift:
    """One piece of work for one agent."""

    agent: str
    price: Price
    prompt: Prompt
    followed_strategy: bool
    answer_tokens: int
    seconds: float
    turns: int = 1
    temperature: float = 0.0


async def answer_directly(model: Model, shift: Shift) -> Execution:
    """One call, whose text is the answer."""
    began = time.monotonic()
    error: str | None = None
    answer, usage = "", Usage()
    try:
        async with asyncio.timeout(shift.seconds):
            reply = await model.generate(shift.prompt, max_tokens=shift.answer_tokens)
        answer, usage = reply.text, reply.usage
        error = _shortfall(answer, truncated=reply.truncated, tokens=shift.answer_tokens)
    except TimeoutError:
        error = _describe(CallTimeoutError(f"no answer within {shift.seconds:g} s"))
    except CallError as failure:
        error = _describe(failure)
    seconds = time.monotonic() - began
    trace = (
        {"role": "system", "content": shift.prompt.system},
        {"role": "user", "content": shift.prompt.user},
        {"role": "assistant", "content": answer},
    )
    call = _call(shift, usage, seconds, error if not answer else None)
    return _execution(shift, "direct", answer, trace, (call,), seconds, error)


async def work_with_tools(model: Model, tools: Sequence[Tool], shift: Shift) -> Execution:
    """Pydantic AI's tool loop, within limits on turns and time."""
    began = time.monotonic()
    error: str | None = None
    answer = ""
    loop_tools = [
        LoopTool[object](tool.run, takes_ctx=False, name=tool.info.name, description=tool.info.description)
        for tool in tools
    ]
    with capture_run_messages() as messages:
        try:
            loop = ToolLoop(await model.for_tools(), instructions=shift.prompt.system, tools=loop_tools)
            async with asyncio.timeout(shift.seconds):
                with mapped(shift.agent):
                    run = await loop.run(
                        shift.prompt.user,
                        model_settings=ModelSettings(max_tokens=shift.answer_tokens, temperature=shift.temperature),
                        usage_limits=UsageLimits(request_limit=shift.turns),
                    )
            answer = run.output
        except TimeoutError:
            error = _describe(CallTimeoutError(f"not done within {shift.seconds:g} s"))
        except CallError as failure:
            limit = isinstance(failure.__cause__, UsageLimitExceeded)
            error = f"execution.turns: not done within {shift.turns} turns" if limit else _describe(failure)
    trace = cast("Sequence[Mapping[str, object]]", ModelMessagesTypeAdapter.dump_python(messages, mode="json"))
    seconds = time.monotonic() - began
    calls = _calls_of(messages, shift)
    if not calls:
        calls = (_call(shift, Usage(), seconds, error),)
    return _execution(shift, "tools", answer or _last_text(messages), tuple(trace), calls, seconds, error)


def _execution(
    shift: Shift,
    mode: str,
    answer: str,
    trace: tuple[Mapping[str, object], ...],
    calls: tuple[Call, ...],
    seconds: float,
    error: str | None,
) -> Execution:
    return Execution(
        agent=shift.agent,
        answer=answer,
        mode=mode,
        followed_strategy=shift.followed_strategy,
        trace=trace,
        calls=calls,
        seconds=seconds,
        error=error,
    )


def _shortfall(answer: str, *, truncated: bool, tokens: int) -> str | None:
    if not answer.strip():
        return "call.bad_reply: the answer is empty"
    return f"execution.tokens: the answer was cut at {tokens} tokens" if truncated else None


def _calls_of(messages: Sequence[ModelMessage], shift: Shift) -> tuple[Call, ...]:
    """One settlement line for each answer of the model; time from its request to its response."""
    calls: list[Call] = []
    asked = None
    for message in messages:
        if isinstance(message, ModelRequest):
            asked = message.timestamp
        elif isinstance(message, ModelResponse):  # pyright: ignore[reportUnnecessaryIsInstance]  the union may grow
            usage = Usage(input_tokens=message.usage.input_tokens, output_tokens=message.usage.output_tokens)
            seconds = max(0.0, (message.timestamp - asked).total_seconds()) if asked else 0.0
            calls.append(_call(shift, usage, seconds, None))
    return tuple(calls)


def _call(shift: Shift, usage: Usage, seconds: float, error: str | None) -> Call:
    return Call(
        stage="execute",
        agent=shift.agent,
        usage=usage,
        dollars=shift.price.dollars(usage),
        seconds=seconds,
        prompt=shift.prompt.template,
        error=error,
    )


def _last_text(messages: Sequence[ModelMessage]) -> str:
    """What the agent had to say when it was stopped: partial work is better than none, and it is marked as such."""
    texts = [message.text for message in messages if isinstance(message, ModelResponse)]
    return next((text for text in reversed(texts) if text), "")


def _describe(error: SaleError) -> str:
    return f"{error.code}: {error.message}"
