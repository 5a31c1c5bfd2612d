"""Is an answer right? Tests are run, options compared, short answers matched as text, then shown to a judging model.

The string rule decides what it can: equal to the reference or an alias once both are normalised, or, as PopQA's
authors count (Mallen et al. 2023), naming it in a short answer. What it refuses a judging model may look at, with the
reference; how often that model agrees with the rule is reported beside every figure that uses it.
"""

from __future__ import annotations

from dataclasses import dataclass

from sale.agents.code_tests import RunTests
from sale.agents.options import chosen_option, shown_options
from sale.agents.protocol import Verifier
from sale.agents.tools.runs import DEFAULT_LIMITS, RunLimits, Sandbox
from sale.agents.verify import ExactMatch, normalise
from sale.bench.tasks.schema import BenchTask
from sale.types import Outcome, Task

MAX_WORDS = 20
"""A longer answer must be the reference itself: who names everything names the answer, too."""
_CLOSED = frozenset({"yes", "no"})


@dataclass(frozen=True, slots=True)
class NamesReference:
    """The string rule for short answers."""

    reference: str
    aliases: tuple[str, ...] = ()

    async def verify(self, task: Task, answer: str) -> Outcome:
        """Equal, or a short answer that holds the reference or an alias as whole words."""
        exact = await ExactMatch(self.reference, self.aliases).verify(task, answer)
        if exact.verdict == "success":
            return exact
        given = normalise(answer).split()
        for accepted in (self.reference, *self.aliases):
            wanted = normalise(accepted).split()
            if _named(wanted, given):
                return Outcome(verdict="success", judged_by="named in a short answer", detail=accepted)
        return Outcome(verdict="failure", judged_by="string rule", detail=exact.detail)


def _named(wanted: list[str], given: list[str]) -> bool:
    if not wanted or len(given) > MAX_WORDS:
        return False
    if len(wanted) == 1 and wanted[0] in _CLOSED:
        return given[:1] == wanted and not (_CLOSED - set(wanted)) & set(given)
    return any(given[at : at + len(wanted)] == wanted for at in range(len(given) - len(wanted) + 1))


@dataclass(frozen=True, slots=True)
class OptionChosen:
    """The option of a multiple-choice question, by its letter or by its text."""

    letter: str
    options: dict[str, str]
    """Letter to text, as the question shows them."""

    async def verify(self, task: Task, answer: str) -> Outcome:  # noqa: ARG002  the shape is the Verifier's
        """One option must be named, and be the right one."""
        chosen = chosen_option(answer, self.options)
        good = chosen == self.letter
        detail = "" if good else f"expected {self.letter}, got {chosen or 'no option'}"
        return Outcome(verdict="success" if good else "failure", judged_by="option", detail=detail)


def options_of(task: BenchTask) -> dict[str, str]:
    """The options a question shows, letter to text."""
    return shown_options(task.prompt)


def verifier_of(task: BenchTask, *, sandbox: Sandbox | None, limits: RunLimits = DEFAULT_LIMITS) -> Verifier:
    """Return the verifier of this task's answers.

    Args:
        task: The task.
        sandbox: Where code runs; needed for tasks judged by tests.
        limits: What a run may use.

    Raises:
        ValueError: The task is judged by tests, and there is no sandbox; or it is judged by a model.
    """
    match task.kind:
        case "tests":
            if sandbox is None or task.tests is None:
                raise ValueError(f"{task.id} is judged by running code: a sandbox is needed")
            return RunTests(tests=task.tests, sandbox=sandbox, limits=limits, prelude=task.prelude)
        case "choice":
            return OptionChosen(task.reference or "", options_of(task))
        case "short":
            return NamesReference(task.reference or "", task.aliases)
        case "judged":
            raise ValueError(f"{task.id} is judged by a model: there is no rule for it")
