"""The cost of tasks where a detected failure is passed on to another agent, for a whole table at once.

By the plans of `sale.auction.attempt_order`: the first agent is chosen with those that may follow in mind, and none
follows where that is not expected to pay. Tests hold it to the market's own steps, task by task.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sale.auction.attempt_order import MAX_AGENTS, PERFECT, best_plans
from sale.auction.difficulty import chance_of_refusal
from sale.learning.dataset import MICRO, Bools, CompletedOutcomes, Floats
from sale.learning.decision import BidPredictions
from sale.types import CheckErrors


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptOutcomes:
    """The outcome of every task."""

    dollars: Floats
    """(T,) of all work on it."""
    success: Floats
    """(T,) whether it is solved in the end, or how likely that is."""


def follow_attempts(
    prospects: BidPredictions,
    completed: CompletedOutcomes,
    checked: Bools,
    worth: float,
    attempts: int,
    check: CheckErrors = PERFECT,
    believed: CheckErrors | None = None,
) -> AttemptOutcomes:
    """First awards and all that follow.

    Args:
        prospects: Of every bid.
        completed: What comes of every bid's work; of an outcome that is a probability the mean is taken.
        checked: (T,) where failures are found out; elsewhere the first award is the only one.
        worth: What a solved task is worth, in dollars.
        attempts: How many agents may try.
        check: How often the check is wrong: the mean over what it may say is taken.
        believed: What the plan counts with; the truth unless given.
    """
    net = prospects.works - worth * MICRO * prospects.chance
    best = np.argsort(net, axis=1, kind="stable")[:, :MAX_AGENTS]
    spent, success = (np.take_along_axis(part, best, axis=1) for part in (completed.dollars, completed.success))
    tries = min(attempts, best.shape[1])
    if tries == 1:
        return AttemptOutcomes(dollars=spent[:, 0], success=success[:, 0])
    chance, works = (np.take_along_axis(part, best, axis=1) for part in (prospects.chance, prospects.works))
    plans = best_plans(chance, works, prospects.difficulty, worth * MICRO, tries, check=believed or check)
    # Where nothing is found out there is no plan: the bid that is best by itself.
    plans.first[0] = np.where(checked, plans.first[0], 0)
    rows = np.arange(len(best))
    failed, reached = np.zeros(len(best), np.intp), np.ones(len(best))
    total, solved = np.zeros((2, len(best)))
    for _ in range(tries):
        step, again = plans.first[failed, rows], checked & plans.again[failed, rows]
        # A doubly robust value may lie outside [0, 1]: its mean is right as it is, but no chance of going on.
        estimate = success[rows, step]
        good = np.clip(estimate, 0.0, 1.0)
        total += reached * (spent[rows, step] + again * check.dollars)
        solved += reached * estimate * np.where(again, 1.0 - check.false_fail, 1.0)
        reached *= again * chance_of_refusal(good, check)
        failed |= 1 << step
    return AttemptOutcomes(dollars=total, success=solved)
