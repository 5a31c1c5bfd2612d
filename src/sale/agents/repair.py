"""Work that looks at itself: the code of an answer is tried on the examples in the task, and what failed is shown.

Only what the task itself says is tried, never a hidden test. Each answer is a single prompt to the model, the first one
the same as for a direct answer. Whatever happens, what was spent is returned, with the best answer so far.
"""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass, replace

from sale.agents.code_answer import extract_code
from sale.agents.code_tests import run_tests
from sale.agents.execution import answer_directly
from sale.agents.prompts import repair_prompt
from sale.agents.task_examples import examples_of, functions_asked, prelude_of, run_examples
from sale.agents.tools.runs import DEFAULT_LIMITS, RunLimits, Sandbox
from sale.agents.worklog import WorkItem, Worklog, describe, shortfall_of
from sale.errors import SandboxError
from sale.models.protocol import Model
from sale.types import Execution, Task

PATIENCE = 2
"""Corrections in a row that make nothing better before it is left at that, however many turns there are."""
CODE_CHARACTERS = 8000
"""Characters of its last answer that a model is shown."""
_BROKEN, _UNTRIED = -1, -2


@dataclass(frozen=True, kw_only=True, slots=True)
class Workbench:
    """Where an agent's code is tried."""

    sandbox: Sandbox
    limits: RunLimits = DEFAULT_LIMITS


@dataclass(frozen=True, kw_only=True, slots=True)
class _TrialResult:
    """The result of trying an answer's code."""

    rank: int
    """Examples that hold; below 0 where the code is broken as a whole."""
    fault: str = ""
    """The fault; empty where none is known."""
    note: str = ""
    """Instead of a fault, what was found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _AnswerAttempt:
    """An answer and how good it is."""

    answer: str
    rank: int
    shortfall: str | None


@dataclass(slots=True)
class _RepairState(Worklog):
    """The state of the work so far."""

    best: _AnswerAttempt | None = None


async def answer_and_repair(
    model: Model, workbench: Workbench, item: WorkItem, task: Task, strategy: str | None
) -> Execution:
    """Do a task in at most `item.turns` answers; a task that asks for no program is answered directly.

    It ends as soon as nothing is known to be wrong: all examples hold, or, where the task has none, the code is Python
    and defines what the task names. It ends too when a program is handed in for the second time, and after two
    corrections in a row with which no more examples hold than before. The answer is then the first of those with which
    most examples hold.
    """
    if task.domain != "coding" and (task.domain is not None or examples_of(task.text) is None):
        return await answer_directly(model, item)
    state = _RepairState(item)
    failure = await state.finish(_rounds(model, workbench, task, strategy, state))
    best = state.best
    return state.complete("repair", *((best.answer, best.shortfall) if best else ("", failure)))


async def _rounds(
    model: Model, workbench: Workbench, task: Task, strategy: str | None, state: _RepairState
) -> str | None:
    """Answer, and correct while it helps."""
    item = state.item
    prompt = item.prompt
    state.note_prompt(prompt)
    handed_in = set[str]()
    idle = 0
    for _ in range(item.turns):
        reply = await state.ask(model, prompt)
        code = extract_code(reply.text)
        if code in handed_in:
            return None
        handed_in.add(code)
        shortfall = shortfall_of(reply.text, truncated=reply.truncated, tokens=item.answer_tokens)
        attempt = _AnswerAttempt(answer=reply.text, rank=_UNTRIED, shortfall=shortfall)
        state.best = state.best or attempt  # should time run out now
        found = await _look_at(reply.text, task, workbench)
        state.note("tool", found.fault or found.note)
        better = found.rank > state.best.rank
        if better:
            state.best = replace(attempt, rank=found.rank)
        idle = 0 if better else idle + 1
        if not found.fault or idle >= PATIENCE:
            return None
        prompt = repair_prompt(task, strategy=strategy, code=code[:CODE_CHARACTERS], fault=found.fault)
    return None


async def _look_at(answer: str, task: Task, workbench: Workbench) -> _TrialResult:
    """Try an answer's code on what the task says of it."""
    try:
        if (examples := examples_of(task.text)) is not None:
            report = await run_examples(answer, examples, sandbox=workbench.sandbox, limits=workbench.limits)
            rank = report.passed if report.loaded else _BROKEN
            return _TrialResult(rank=rank, fault=report.detail, note="the examples in the task hold")
        if names := functions_asked(task.text):
            tests, prelude = "\n".join(names), prelude_of(task.text)
            told = await run_tests(answer, tests, sandbox=workbench.sandbox, limits=workbench.limits, prelude=prelude)
            return _TrialResult(
                rank=0 if told.passed else _BROKEN, fault=told.detail, note=f"it defines {', '.join(names)}"
            )
    except SandboxError as error:
        return _TrialResult(rank=0, note=f"it could not be tried: {describe(error)}")
    fault = _unreadable(extract_code(answer))
    return _TrialResult(rank=_BROKEN if fault else 0, fault=fault, note="it is Python")


def _unreadable(code: str) -> str:
    """Return the reason why code is not valid Python; empty if it is."""
    if not code.strip():
        return "there is no code in the answer"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except SyntaxError as error:
            return f"SyntaxError: {error.msg} (line {error.lineno})"
        except (ValueError, RecursionError, MemoryError) as error:
            return f"{type(error).__name__}: {error}"
    return ""
