"""Whether the records ask for new weights: by drift, by how much has come in since, or because none were ever fitted.

It proposes; whoever runs it decides whether that is said, or done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sale.learning.drift import drift
from sale.learning.material import LEAST_OUTCOMES, LEAST_TASKS
from sale.types import Example, WeightSet

GROWTH = 0.5
"""New outcomes, as a share of those the weights were fitted on, that make it worth fitting again."""
LEAST_NEW = 25
"""Fewer new outcomes than this change little, however few there were."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Due:
    """Whether weights should be fitted now."""

    due: bool
    reasons: tuple[str, ...]
    """Why, or why not, in words; at least one."""


def due(examples: Sequence[Example], used: WeightSet | None, since: Sequence[Example] = ()) -> Due:
    """Whether the records ask for new weights.

    Args:
        examples: All that would be fitted on.
        used: What is in use; `None`: the default weights.
        since: Of the examples, those begun after the weights in use were made, oldest first.
    """
    tasks, judged = len({example.task for example in examples}), _judged(examples)
    if tasks < LEAST_TASKS or judged < LEAST_OUTCOMES:
        least = f"it takes {LEAST_TASKS} tasks and {LEAST_OUTCOMES} outcomes"
        return Due(due=False, reasons=(f"too little on record: {tasks} tasks, {judged} outcomes; {least}",))
    if used is None:
        return Due(due=True, reasons=(f"the default weights decide, and {judged} outcomes are on record",))
    reasons: list[str] = []
    if used.weights.model is not None:
        reasons += [finding.message for finding in drift(since, used.weights.model)]
    named = f"weights {used.version}" if used.version else "the shipped weights"
    new, before = _judged(since), used.training.judged
    if new >= max(LEAST_NEW, GROWTH * before):
        reasons.append(f"{new} outcomes since {named} were fitted on {before}")
    if reasons:
        return Due(due=True, reasons=tuple(reasons))
    return Due(due=False, reasons=(f"{named} hold: {new} outcomes since, and no drift",))


def _judged(examples: Sequence[Example]) -> int:
    return sum(len(example.work) for example in examples)
