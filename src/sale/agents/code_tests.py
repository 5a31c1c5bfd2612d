"""Does the code in an answer pass its tests? Run in a sandbox, by a program that the answer cannot speak for."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from importlib import resources
from typing import ClassVar

from sale.agents.code_answer import complete, extract_code
from sale.agents.tools.runs import DEFAULT_LIMITS, RunLimits, RunReport, Sandbox
from sale.errors import SandboxError
from sale.types import Outcome, Task, Verdict

_HARNESS = resources.files("sale.agents").joinpath("harness.py").read_text(encoding="utf-8")
_LIMIT_NAMES = {"time": "the time limit", "memory": "the memory limit", "output": "the output limit"}
_LINE_SHOWN = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class TestReport:
    """The result of the tests of an answer, with the reason where it failed."""

    __test__ = False
    """Not a test itself, whatever a test runner thinks of its name."""

    passed: bool
    detail: str
    """Empty where it passed; else the failing line and the exception, the limit it hit, or that it never finished."""
    run: RunReport
    """The run underneath. Its output is the verdict's: the answer's own output is not kept."""


async def run_tests(
    answer: str, tests: str, *, sandbox: Sandbox, limits: RunLimits = DEFAULT_LIMITS, prelude: str = ""
) -> TestReport:
    """Run an answer's code, then the tests, in one module; it passes if the tests come to their end.

    Args:
        answer: What the model wrote; its code is found by `extract_code`.
        tests: Python that raises where the answer is wrong: `assert f(1) == 2`, or `def check(candidate): …` and
            `check(f)`.
        sandbox: Where it runs.
        limits: What it may use, all together.
        prelude: The beginning the answer was asked to complete, if any; see `complete`.

    Raises:
        SandboxError: The sandbox itself could not be set up.
    """
    secret = secrets.token_hex(16)
    parts = [*complete(extract_code(answer), prelude), ("tests", tests)]
    stdin = json.dumps({"secret": secret, "parts": parts})
    run = await sandbox.run(_HARNESS, stdin=stdin, limits=limits)
    passed = run.killed_reason is None and run.stdout == secret
    return TestReport(passed=passed, detail="" if passed else _why(run, dict(parts)), run=run)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTests:
    """A verifier: the answer's code passes these tests in this sandbox."""

    judged_by: ClassVar = "tests"
    tests: str
    sandbox: Sandbox
    limits: RunLimits = DEFAULT_LIMITS
    prelude: str = ""

    async def verify(self, task: Task, answer: str) -> Outcome:  # noqa: ARG002 - the shape is the Verifier's
        """Run the tests. Where they cannot be run the outcome is unknown, and says so."""
        try:
            report = await run_tests(answer, self.tests, sandbox=self.sandbox, limits=self.limits, prelude=self.prelude)
        except SandboxError as error:
            return Outcome(verdict="unknown", judged_by=self.judged_by, detail=f"{error.code}: {error.message}")
        verdict: Verdict = "success" if report.passed else "failure"
        return Outcome(verdict=verdict, judged_by=self.judged_by, detail=report.detail)


def _why(run: RunReport, parts: dict[str, str]) -> str:
    if run.killed_reason is not None:
        return f"stopped at {_LIMIT_NAMES[run.killed_reason]} after {run.seconds:.1f} s"
    match _record(run.stdout):
        case {"error": str(error), "part": str(part), "line": int(line)}:
            return f"{error} ({part} line {line}: {_source(parts.get(part, ''), line)})"
        case {"error": str(error)}:
            return error
        case _:
            return f"it ended before the tests did (exit status {run.exit_code})"


def _record(stdout: str) -> object:
    try:
        return json.loads(stdout)
    except (ValueError, RecursionError):
        return None


def _source(text: str, line: int) -> str:
    lines = text.splitlines()
    return lines[line - 1].strip()[:_LINE_SHOWN] if 0 < line <= len(lines) else ""
