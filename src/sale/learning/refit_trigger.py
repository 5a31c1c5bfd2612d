"""Tests that ask for new weights: by drift, by the number of new outcomes, or because none were ever fitted.

It proposes; whoever runs it decides whether that is said, or done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sale.learning.drift import drift
from sale.learning.prepared_data import MIN_OUTCOMES, MIN_TASKS
from sale.types import Example, WeightSet
from sale.wording import quantity

GROWTH = 0.5
"""New outcomes, as a share of those the weights were fitted on, that make it worth fitting again."""
MIN_NEW_OUTCOMES = 25
"""Fewer new outcomes than this change little, however few there were."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RefitTrigger:
    """A decision on whether to fit weights now."""

    due: bool
    reasons: tuple[str, ...]
    """Why, or why not, in words; at least one."""


def check_refit(examples: Sequence[Example], used: WeightSet | None, since: Sequence[Example] = ()) -> RefitTrigger:
    """Decide whether the records ask for new weights.

    Args:
        examples: All that would be fitted on.
        used: What is in use; `None`: the default weights.
        since: Of the examples, those begun after the weights in use were made, oldest first.
    """
    tasks, judged = len({example.task for example in examples}), _judged(examples)
    if tasks < MIN_TASKS or judged < MIN_OUTCOMES:
        least = f"it takes {MIN_TASKS} tasks and {MIN_OUTCOMES} outcomes"
        return RefitTrigger(
            due=False,
            reasons=(f"too little on record: {quantity(tasks, 'task')}, {quantity(judged, 'outcome')}; {least}",),
        )
    if used is None:
        return RefitTrigger(
            due=True, reasons=(f"the default weights decide; on record: {quantity(judged, 'outcome')}",)
        )
    reasons: list[str] = []
    if used.weights.model is not None:
        reasons += [finding.message for finding in drift(since, used.weights.model)]
    named = f"weights {used.version}" if used.version else "the shipped weights"
    new, before = _judged(since), used.training.judged
    if new >= max(MIN_NEW_OUTCOMES, GROWTH * before):
        reasons.append(f"{quantity(new, 'outcome')} since {named} were fitted on {before}")
    if reasons:
        return RefitTrigger(due=True, reasons=tuple(reasons))
    return RefitTrigger(due=False, reasons=(f"{named} hold: {quantity(new, 'outcome')} since, and no drift",))


def _judged(examples: Sequence[Example]) -> int:
    return sum(len(example.work) for example in examples)
