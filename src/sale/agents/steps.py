"""Work one step at a time: a JSON object held to a schema names a tool and its inputs, until it is an answer.

For models that know no tool calls in the protocol's form, as the smallest do. A grammar leaves them nothing to get
wrong in form; on the last turn it leaves only the answer. Where there are several tools, a step may be asked for in two
calls: which tool, then what it is given. Whatever happens, what was spent is returned.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from sale.agents.execution import FAILURE_CHARACTERS, OUT_OF_TURNS
from sale.agents.inputs import MAX_TEXT_CHARACTERS, ToolInputs, inputs_of
from sale.agents.prompts import StepView, choose_prompt, fill_prompt, step_prompt
from sale.agents.protocol import SourcedTool, Tool
from sale.agents.worklog import WorkItem, Worklog, shortfall_of
from sale.agents.written_calls import MAX_TEXT, call_of, objects_in, written_calls
from sale.errors import SaleError
from sale.models.protocol import Model
from sale.types import Execution, Prompt, Task
from sale.wording import quantity

ANSWER = "answer"
BROKEN = ""
"""In place of a tool's name: what was written begins like a step, and is none."""
USE = "use"
SOURCES = "sources"
SEARCH = "search"
MAX_SOURCES = 99
_BEGUN = re.compile(r'\s*(?:```\w*\s*)?\{\s*"([\w.-]+)"\s*:\s*')
_FINAL = re.compile(r"^\W{0,2}Final Answer\W{0,2}:\**(.+)\Z", re.DOTALL | re.MULTILINE | re.IGNORECASE)
_ESCAPE = 12
"""Characters of the longest escape in JSON, a pair of surrogates."""


@dataclass(slots=True)
class _StepState(Worklog):
    """The state of the work so far."""

    steps: list[StepView] = field(default_factory=list[StepView])
    answer: str = ""
    truncated: bool = False
    """The last reply was cut."""

    async def ask_step(self, model: Model, prompt: Prompt, schema: Mapping[str, object]) -> str:
        """Ask for the next step, and return the text. The first prompt is on record: later ones repeat it."""
        if not self.calls:
            self.note_prompt(prompt)
        reply = await self.ask(model, prompt, schema=schema)
        self.truncated = reply.truncated
        return reply.text

    def note_step(self, use: str, given: object, result: str) -> None:
        """Put a step and its result on record."""
        self.note("tool", result)
        self.steps.append(StepView(action=json.dumps({"use": use, "input": given}, ensure_ascii=False), result=result))


async def work_in_steps(
    model: Model, tools: Sequence[Tool], item: WorkItem, task: Task, strategy: str | None
) -> Execution:
    """Do a task in at most `item.turns` steps."""
    state = _StepState(item)
    error = await state.finish(_steps(model, tools, task, strategy, state))
    return state.complete("choose" if item.choosing else "consult" if item.opening else "steps", state.answer, error)


async def _steps(
    model: Model, tools: Sequence[Tool], task: Task, strategy: str | None, state: _StepState
) -> str | None:
    item = state.item
    by_name = {tool.info.name: inputs_of(tool) for tool in item.meter(tools)}
    shown = tuple(by_name.values())
    sourced = any(isinstance(tool, SourcedTool) for tool in tools)
    if item.opening and SEARCH in by_name:
        await _search_first(by_name[SEARCH], task, state)
    if item.opening and item.turns == 1:
        shown = ()  # there is no step left to search in
    for turn in range(1, item.turns + 1):
        last = turn == item.turns or (item.account is not None and item.account.closing)
        chosen = None
        if item.choosing and len(shown) > 1 and not last:
            chosen = await _chosen(model, by_name, task, strategy, state)
            last = chosen == ANSWER
        if chosen in by_name:
            text = await _filled(model, by_name[chosen], task, strategy, state)
        else:
            prompt = step_prompt(task, strategy=strategy, tools=shown, steps=state.steps, last=last, sourced=sourced)
            schema = step_schema(() if last else shown, sourced=sourced)
            text = await state.ask_step(model, prompt, schema)
        use, given = read_step(text, by_name)
        if use == ANSWER:
            state.answer = str(given)
            cut = state.truncated and not _holds_a_step(text, by_name)
            return shortfall_of(state.answer, truncated=cut, tokens=item.answer_tokens)
        if use == BROKEN:
            state.note_step(use, given, "that is no whole JSON object")
        else:
            state.note_step(use, given, await _use(by_name.get(use), given))
    return f"{OUT_OF_TURNS}: not done within {quantity(item.turns, 'turn')}"


async def _search_first(search: ToolInputs, task: Task, state: _StepState) -> None:
    """The first step of `consult`: a search with the task's own words, which costs no call of the model."""
    words = " ".join(task.text.split())[:MAX_TEXT_CHARACTERS]
    state.note_step(SEARCH, words, await _use(search, words))


async def _chosen(
    model: Model, tools: Mapping[str, ToolInputs], task: Task, strategy: str | None, state: _StepState
) -> str | None:
    """Ask for the tool the next step needs, or the answer; return neither where the reply names none."""
    prompt = choose_prompt(task, strategy=strategy, tools=tuple(tools.values()), steps=state.steps)
    use = _object(await state.ask_step(model, prompt, choice_schema(tools))).get(USE)
    return use if isinstance(use, str) and (use in tools or use == ANSWER) else None


async def _filled(model: Model, tool: ToolInputs, task: Task, strategy: str | None, state: _StepState) -> str:
    """Ask for the inputs of a tool, and return the step."""
    prompt = fill_prompt(task, strategy=strategy, tool=tool, steps=state.steps)
    text = await state.ask_step(model, prompt, tool.whole)
    given = _object(text, outermost=True)
    if state.truncated and not given:
        return f"{{{json.dumps(tool.name)}: {text}"  # begun, and not whole
    if set(given) == {tool.name} and isinstance(inner := given[tool.name], dict):  # as in a whole step
        given = cast("dict[str, object]", inner)
    elif (call := call_of(given)) is not None and isinstance(call[1], dict):
        given = cast("dict[str, object]", call[1])
    value = given if tool.text is None else given.get(tool.text, text)
    return json.dumps({tool.name: value}, ensure_ascii=False)


def _object(text: str, *, outermost: bool = False) -> dict[str, object]:
    """The first JSON object of a text; an empty one where there is none: an endpoint may not enforce the schema.

    Args:
        text: The reply of a model.
        outermost: Only where it begins at the first brace: a later one may be a part of an object that was cut.
    """
    text = text[:MAX_TEXT]
    found = [(start, one) for start, _, one in objects_in(text)]
    objects = [(start, cast("dict[str, object]", one)) for start, one in found if isinstance(one, dict)]
    if not objects or (outermost and objects[0][0] != text.find("{")):
        return {}
    return objects[0][1]


def choice_schema(tools: Iterable[str]) -> dict[str, object]:
    """An object that names a tool, or the answer."""
    names = {"type": "string", "enum": [*tools, ANSWER]}
    return {"type": "object", "properties": {USE: names}, "required": [USE], "additionalProperties": False}


async def _use(tool: ToolInputs | None, given: object) -> str:
    """The tool's result; what it raises is shown to the model, not the end of the work."""
    if tool is None:
        return "there is no such tool"
    try:
        return await tool.use(given)
    except SaleError as error:
        return str(error)[:FAILURE_CHARACTERS]
    except Exception as error:  # noqa: BLE001  anybody's tool
        return f"{type(error).__name__}: {error}"[:FAILURE_CHARACTERS]


def step_schema(tools: Sequence[ToolInputs], *, sourced: bool = False) -> dict[str, object]:
    """One object with one key, a tool's name, or the answer; with `sourced` the answer has its sources beside it."""
    answer: dict[str, object] = {ANSWER: {"type": "string", "maxLength": MAX_TEXT_CHARACTERS}}
    if sourced:
        numbers = {"type": "integer", "minimum": 1, "maximum": MAX_SOURCES}
        answer[SOURCES] = {"type": "array", "items": numbers, "maxItems": 5}
    steps = [
        {"type": "object", "properties": given, "required": list(given), "additionalProperties": False}
        for given in (*({tool.name: tool.step} for tool in tools), answer)
    ]
    return {"anyOf": steps} if len(steps) > 1 else dict(steps[0])


def read_step(text: str, tools: Mapping[str, ToolInputs]) -> tuple[str, object]:
    """Return which tool is used with which input; `ANSWER` with the answer, or `BROKEN` with what cannot be read.

    An endpoint may not enforce the schema: a step is found in a fence and in prose, too, and as a call in the form that
    the model was trained in. What holds no step is the answer.
    """
    for start, end, found in objects_in(text[:MAX_TEXT]):
        alone = not (text[:start] + text[end:]).strip(" \t\r\n`json")
        if (step := _step(found, tools, alone=alone)) is not None:
            return step
    for call in written_calls(text, [*tools, ANSWER]):
        return call.name, _fitting(call.given, tools.get(call.name))
    if (final := _FINAL.search(text)) is not None:
        return ANSWER, final[1].strip()
    begun = _BEGUN.match(text)
    if begun is None or begun[1] not in {*tools, ANSWER}:
        return ANSWER, text
    return (ANSWER, _as_far_as(text[begun.end() :]) or text) if begun[1] == ANSWER else (BROKEN, text)


def _holds_a_step(text: str, tools: Mapping[str, ToolInputs]) -> bool:
    """Return whether a step is there whole, though what comes after it was cut."""
    return any(_step(found, tools, alone=False) is not None for _, _, found in objects_in(text[:MAX_TEXT]))


def _as_far_as(cut: str) -> str:
    """Return the part of a JSON text that was cut off, as far as it can be read."""
    for end in range(len(cut), max(0, len(cut) - _ESCAPE), -1):  # it may have been cut within an escape
        with contextlib.suppress(ValueError, RecursionError):
            found: object = json.loads(f'{cut[:end]}"', strict=False)
            return found if isinstance(found, str) else ""
    return ""


def _step(found: object, tools: Mapping[str, ToolInputs], *, alone: bool) -> tuple[str, object] | None:
    """The step that a JSON value is, if any; one with a tool that is not there only where there is nothing beside."""
    if not isinstance(found, dict):
        return None
    steps = cast("dict[str, object]", found)
    if set(steps) == {ANSWER, SOURCES} and isinstance(steps[ANSWER], str):
        return ANSWER, with_sources(str(steps[ANSWER]), steps[SOURCES])
    if len(steps) == 1:
        name, given = next(iter(steps.items()))
        if name in tools:
            return name, _fitting(given, tools[name])
        if name == ANSWER:
            return name, given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        return (name, given) if alone and isinstance(given, str) else None
    call = call_of(steps)
    return (call[0], _fitting(call[1], tools.get(call[0]))) if call and call[0] in {*tools, ANSWER} else None


def _fitting(given: object, tool: ToolInputs | None) -> object:
    """Return the inputs of a tool without the name of its only input; of an answer, its text."""
    if not isinstance(given, dict):
        return given
    values = cast("dict[str, object]", given)
    return next(iter(values.values())) if len(values) == 1 and (tool is None or tool.text in values) else values


def with_sources(answer: str, sources: object) -> str:
    """An answer with the numbers of its sources behind it, as citations; those it cites already are not repeated."""
    given = cast("list[object]", sources) if isinstance(sources, list) else []
    numbers = dict.fromkeys(number for number in given if type(number) is int and 0 < number <= MAX_SOURCES)
    new = [f"[{number}]" for number in numbers if f"[{number}]" not in answer]
    return " ".join([answer.rstrip(), *new]) if answer.strip() and new else answer
