"""The runnable examples that stand in a task's own text, and whether an answer's code does what they show.

Three forms are read: interactive sessions (`>>> f(1)` and what it shows), `assert` statements, and, for functions the
text begins to define, lines such as `f(1) => 2`. What is in a task is known to whoever does it: checking it leaks no
hidden test, and passing is a sign, not a verdict on the whole. Nothing of an answer is ever read as an example.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from importlib import resources
from typing import ClassVar

from sale.agents.code_answer import complete, extract_code
from sale.agents.code_tests import run_tests
from sale.agents.example_lines import (
    BUILTINS,
    CodeExample,
    assertion_examples,
    informal_examples,
    names_in,
    python_lines,
    session_examples,
)
from sale.agents.tools.runs import DEFAULT_LIMITS, RunLimits, RunReport, Sandbox
from sale.errors import SandboxError
from sale.types import Outcome, Task

JUDGED_BY = "the task's examples"
MAX_EXAMPLES = 20
MAX_CHARACTERS = 50_000
"""Of a task's text that are looked at."""
_SHOWN = 200
_PROGRAM = resources.files("sale.agents").joinpath("example_run.py").read_text(encoding="utf-8")

_DEFINED = re.compile(r"^[^\S\n]*+(?:async +)?def +(\w+) *\(", re.MULTILINE)
_OUTERMOST = re.compile(r"^(?:(?:async +)?def|class) +(\w+)", re.MULTILINE)
_NAMED = re.compile(
    r"\b(?:write|implement|define|create|complete|provide)\b[^.\n]{0,80}?\bfunction\s+"
    r"(?:(?:named|called)\s+[`'\"]?(?P<named>[A-Za-z_]\w*)|[`'\"]?(?P<given>[A-Za-z_]\w*)[`'\"]?\s*\()",
    re.IGNORECASE,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TextExamples:
    """The examples in a task's text, with the beginning of the program it asks for."""

    prelude: str
    """The function the text begins, to be completed; empty where it begins none."""
    items: tuple[CodeExample, ...]
    modules: tuple[str, ...]
    """Of the standard library, that the examples use without saying so."""

    def __len__(self) -> int:
        return sum(item.way != "runs" for item in self.items)


@dataclass(frozen=True, kw_only=True, slots=True)
class ExamplesReport:
    """The results of an answer's code on the examples."""

    passed: int
    """Number of examples that hold; 0 where the code did not come that far or was stopped."""
    of: int
    loaded: bool
    """True where the code itself ran, before any example."""
    detail: str
    """Empty where all hold; else the first that does not, with expected and got."""

    @property
    def good(self) -> bool:
        """True where all hold."""
        return not self.detail


def examples_of(text: str) -> TextExamples | None:
    """The runnable examples of a task's text, in order; `None` where it has none.

    An example counts if it calls a function that the answer has to bring: one that is neither built in nor made by the
    examples themselves. One that uses variables without a value is left out.
    """
    text = text[:MAX_CHARACTERS].replace("\r\n", "\n")
    lines = python_lines(text)
    found = [
        *session_examples(lines),
        *assertion_examples(lines),
        *informal_examples(lines, set(_DEFINED.findall(text))),
    ]
    names = [names_in(item.code, item.expected if item.way == "equals" else "") for item in found]
    known = BUILTINS | set[str]().union(*(name.made for name in names))
    called = set[str]().union(*(name.called for name in names)) - known
    usable = [(item, name) for item, name in zip(found, names, strict=True) if name.free <= known | called]
    usable = usable[:MAX_EXAMPLES]
    if all(item.way == "runs" for item, _ in usable) or not any(name.called & called for _, name in usable):
        return None
    modules = set[str]().union(*(name.modules for _, name in usable)) - called
    return TextExamples(
        prelude=prelude_of(text), items=tuple(item for item, _ in usable), modules=tuple(sorted(modules))
    )


def prelude_of(text: str) -> str:
    """The code of a task's text if it begins a function that the answer is to complete, else nothing."""
    code = extract_code(text[:MAX_CHARACTERS])
    begins = bool(code) and len(complete("return None\n", code)) == 1
    return code if begins else ""


def functions_asked(text: str) -> tuple[str, ...]:
    """Names the answer must define, where the text says so: the function it begins, or one it names."""
    if prelude := prelude_of(text):
        return tuple(_OUTERMOST.findall(prelude)[-1:])
    named = {found["named"] or found["given"]: None for found in _NAMED.finditer(text[:MAX_CHARACTERS])}
    return tuple(named)


async def run_examples(
    answer: str, examples: TextExamples, *, sandbox: Sandbox, limits: RunLimits = DEFAULT_LIMITS
) -> ExamplesReport:
    """Run an answer's code, then a task's examples.

    Args:
        answer: What the model wrote; its code is found as for tests.
        examples: Of the task's own text.
        sandbox: Where it runs.
        limits: What it may use, all together.

    Raises:
        SandboxError: The sandbox itself could not be set up.
    """
    report = await run_tests(answer, _as_tests(examples), sandbox=sandbox, limits=limits, prelude=examples.prelude)
    count = len(examples)
    if report.passed:
        return ExamplesReport(passed=count, of=count, loaded=True, detail="")
    failed = _failed(report.run, examples)
    if failed is None:
        stopped = report.run.killed_reason is not None
        return ExamplesReport(passed=0, of=count, loaded=stopped, detail=report.detail)
    passed, item, happened = failed
    detail = f"{_told(item)} {happened}" + (f" ({passed} of {count} examples hold)" if count > 1 else "")
    return ExamplesReport(passed=passed, of=count, loaded=True, detail=detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskExamples:
    """A verifier: the answer's code does what the examples in the task's own text show.

    Examples are few, so success says less than hidden tests do. A task without any is `unknown`.
    """

    judged_by: ClassVar = JUDGED_BY
    sandbox: Sandbox
    limits: RunLimits = DEFAULT_LIMITS

    async def verify(self, task: Task, answer: str) -> Outcome:
        """Run the examples. Where there are none, or they cannot be run, the outcome is unknown and says so."""
        examples = examples_of(task.text)
        if examples is None:
            return Outcome(verdict="unknown", judged_by=JUDGED_BY, detail="there is no example in the task")
        try:
            report = await run_examples(answer, examples, sandbox=self.sandbox, limits=self.limits)
        except SandboxError as error:
            return Outcome(verdict="unknown", judged_by=JUDGED_BY, detail=f"{error.code}: {error.message}")
        return Outcome(verdict="success" if report.good else "failure", judged_by=JUDGED_BY, detail=report.detail)


def _as_tests(examples: TextExamples) -> str:
    """The program as one expression, in which nothing is looked up among the answer's names."""
    given = [(item.way, item.code, item.expected) for item in examples.items]
    return (
        "(lambda python, program: (python.exec(python.compile("
        f"{_PROGRAM!r}, 'examples', 'exec'), program), "
        f"program['try_all']({given!r}, {list(examples.modules)!r}, python.globals())))"
        "(__import__('builtins'), {'__name__': 'examples'})\n"
    )


def _failed(run: RunReport, examples: TextExamples) -> tuple[int, CodeExample, str] | None:
    """Return the number that held, the first that did not, and its result, where the program reported them."""
    try:
        record: object = json.loads(run.stdout)
    except (ValueError, RecursionError):
        return None
    match record:
        case {"part": "tests", "error": str(error)}:
            said = re.fullmatch(r"AssertionError: (\d{1,4}) (\d{1,4}) (.*)", error, re.DOTALL)
        case _:
            said = None
    if said is None or int(said[2]) >= len(examples.items) or int(said[1]) >= len(examples):
        return None
    return int(said[1]), examples.items[int(said[2])], said[3]


def _told(item: CodeExample) -> str:
    code = _brief(item.code)
    match item.way:
        case "true":
            return f"{code}: expected this to hold, but"
        case "raises":
            return f"{code}: expected {_brief(item.expected)} to be raised, but"
        case "runs":
            return f"{code}: it"
        case _:
            return f"{code}: expected {_brief(item.expected) or None}, but"


def _brief(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
