"""The chance that work was right, where a check that is wrong at times says so: what is learnt from in its place.

A check that passes half of all wrong answers lets an agent that is right on a fifth of all tasks look as if it were on
three fifths. Weights fitted to its verdicts would take that for the chance to be right, and the plan of attempts would
count the errors of the check on top. So a verdict stands for the chance that the work was right given that verdict, the
errors of the check, and the agent's own rate; rates and chances are found together (EM, as in `check_errors`).

Verdicts of users, and of checks without errors, stay as they are. Within an agent all tasks are alike here, so what
tells an agent's good work from its bad is learnt a little weaker than it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from sale.learning.check_errors import STEPS, CheckHistory, chance_right, estimate_errors
from sale.types import CheckedAnswer, CheckErrors, Example, Worked

PRIOR_TASKS = 4.0
"""Number of outcomes that the pool's rate, or its tokens per task, counts for in an agent's own."""


def weigh_verdicts(
    examples: Sequence[Example], answers: Sequence[CheckedAnswer], prior: CheckErrors
) -> tuple[Example, ...]:
    """Return the examples with the chance that each piece of work was right (`Worked.right`).

    Args:
        examples: Past auctions.
        answers: What checks said of answers, and what users said later: those tell the errors of each check.
        prior: The errors of a check without feedback.
    """
    names = {work.check for example in examples for work in example.work.values() if work.check is not None}
    errors = {name: estimate_errors(CheckHistory.of(answers, name), prior) for name in names}
    errors = {name: one for name, one in errors.items() if one.false_pass > 0.0 or one.false_fail > 0.0}
    if not errors:
        return tuple(examples)

    def right(work: Worked, rate: float) -> float:
        known = None if work.check is None else errors.get(work.check)
        return float(work.success) if known is None else _right_by_verdict(known, rate, passed=work.success)

    done = Counter(
        (agent, replace(work, dollars=None, after=())) for example in examples for agent, work in example.work.items()
    )
    pool = _rate([(work, count) for (_, work), count in done.items()], right, 1.0, 2.0)
    rates = {
        agent: _rate(
            [(work, count) for (author, work), count in done.items() if author == agent],
            right,
            PRIOR_TASKS * pool,
            PRIOR_TASKS,
        )
        for agent in {agent for agent, _ in done}
    }
    return tuple(
        replace(
            example,
            work={agent: replace(work, right=right(work, rates[agent])) for agent, work in example.work.items()},
        )
        for example in examples
    )


def _rate(
    done: Iterable[tuple[Worked, int]], right: Callable[[Worked, float], float], prior: float, evidence: float
) -> float:
    """The share of right work, under a Beta prior."""
    kinds, rate = list(done), prior / evidence
    total = sum(count for _, count in kinds)
    for _ in range(STEPS):
        rate = (sum(count * right(work, rate) for work, count in kinds) + prior) / (total + evidence)
    return rate


def _right_by_verdict(errors: CheckErrors, rate: float, *, passed: bool) -> float:
    """The chance that work is right, of an agent with such a rate."""
    if passed:
        return chance_right(rate * (1.0 - errors.false_fail), (1.0 - rate) * errors.false_pass)
    return chance_right(rate * errors.false_fail, (1.0 - rate) * (1.0 - errors.false_pass))
