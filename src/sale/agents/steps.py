"""Work one step at a time: a JSON object held to a schema names a tool and its input, until it is an answer.

For models that know no tool calls in the protocol's form, as the smallest do. A grammar leaves them nothing to get
wrong in form; on the last turn it leaves only the answer. Whatever happens, what was spent is returned.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from inspect import signature
from typing import cast

from sale.agents.execution import FAILURE_CHARACTERS, OUT_OF_TURNS, Shift, describe, execution_of, line_of
from sale.agents.prompts import StepTaken, step_prompt
from sale.agents.protocol import Tool
from sale.errors import CallError, CallTimeoutError, ConfigError, SaleError
from sale.models.protocol import Model
from sale.types import Call, Execution, Prompt, Reply, Task, Usage

ANSWER = "answer"
INPUT_CHARACTERS = 400
"""The longest input of a step: a query or a short answer. Without an end a small model writes until it is cut."""


def check_tools(tools: Sequence[Tool]) -> None:
    """Steps have one input each: a tool that takes more, or none, cannot be used this way.

    Raises:
        ConfigError: There is such a tool.
    """
    for tool in tools:
        taken = len(signature(tool.run).parameters)
        if taken != 1:
            raise ConfigError(
                f"the tool {tool.info.name!r} takes {taken} inputs; work in steps gives each one",
                hint='Use execution = "tools" for it.',
            )


@dataclass(slots=True)
class _Course:
    """What has been done so far."""

    steps: list[StepTaken] = field(default_factory=list[StepTaken])
    calls: list[Call] = field(default_factory=list[Call])
    trace: list[Mapping[str, object]] = field(default_factory=list[Mapping[str, object]])
    answer: str = ""


async def work_in_steps(
    model: Model, tools: Sequence[Tool], shift: Shift, task: Task, strategy: str | None
) -> Execution:
    """Do a task in at most `shift.turns` steps."""
    began = time.monotonic()
    course = _Course()
    error: str | None = None
    try:
        async with asyncio.timeout(shift.seconds):
            error = await _steps(model, tools, shift, task, strategy, course)
    except TimeoutError:
        error = describe(CallTimeoutError(f"not done within {shift.seconds:g} s"))
    return execution_of(
        shift, "steps", course.answer, tuple(course.trace), tuple(course.calls), time.monotonic() - began, error
    )


async def _steps(
    model: Model, tools: Sequence[Tool], shift: Shift, task: Task, strategy: str | None, course: _Course
) -> str | None:
    by_name = {tool.info.name: tool for tool in tools}
    infos = [tool.info for tool in tools]
    for turn in range(1, shift.turns + 1):
        last = turn == shift.turns
        prompt = step_prompt(task, strategy=strategy, tools=infos, steps=course.steps, last=last)
        reply, failure = await _ask(model, prompt, _schema([] if last else list(by_name)), shift, course)
        if reply is None:
            return failure
        use, given = _read(reply.text)
        course.trace.append({"role": "assistant", "content": reply.text})
        if use == ANSWER:
            course.answer = given
            return None if given.strip() else "call.bad_reply: the answer is empty"
        result = await _use(by_name.get(use), given)
        course.trace.append({"role": "tool", "content": result})
        course.steps.append(
            StepTaken(action=json.dumps({"use": use, "input": given}, ensure_ascii=False), result=result)
        )
    return f"{OUT_OF_TURNS}: not done within {shift.turns} turns"


async def _ask(
    model: Model, prompt: Prompt, schema: Mapping[str, object], shift: Shift, course: _Course
) -> tuple[Reply | None, str | None]:
    began = time.monotonic()
    asked = replace(shift, prompt=prompt)
    if not course.trace:
        course.trace += [{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}]
    try:
        reply = await model.generate(prompt, max_tokens=shift.answer_tokens, schema=schema)
    except CallError as error:
        course.calls.append(line_of(asked, Usage(), time.monotonic() - began, describe(error)))
        return None, describe(error)
    course.calls.append(line_of(asked, reply.usage, reply.seconds, None))
    return reply, None


async def _use(tool: Tool | None, given: str) -> str:
    """The tool's result; what it raises is shown to the model, not the end of the work."""
    if tool is None:
        return "there is no such tool"
    try:
        return await tool.run(given)
    except SaleError as error:
        return str(error)[:FAILURE_CHARACTERS]
    except Exception as error:  # noqa: BLE001  anybody's tool
        return f"{type(error).__name__}: {error}"[:FAILURE_CHARACTERS]


def _schema(tools: Sequence[str]) -> dict[str, object]:
    """One object with one key: a tool's name, or the answer."""
    given = {"type": "string", "maxLength": INPUT_CHARACTERS}
    steps = [
        {"type": "object", "properties": {name: given}, "required": [name], "additionalProperties": False}
        for name in (*tools, ANSWER)
    ]
    return {"anyOf": steps} if len(steps) > 1 else dict(steps[0])


def _read(text: str) -> tuple[str, str]:
    """Which tool with which input. What is no step is taken for the answer: an endpoint may not enforce the schema."""
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError):
        return ANSWER, text
    if isinstance(found, dict):
        steps = cast("dict[str, object]", found)
        if len(steps) == 1:
            name, given = next(iter(steps.items()))
            if isinstance(given, str):
                return name, given
    return ANSWER, text
