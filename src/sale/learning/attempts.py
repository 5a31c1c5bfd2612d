"""What tasks cost where a failure that is found out goes on to another agent, for a whole table at once.

By the plans of `sale.auction.sequence`: who tries first knows who may follow, and nobody follows where that is not
expected to pay. Tests hold it to the market's own steps, task by task.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sale.auction.sequence import MOST, best_plans
from sale.learning.choosing import Prospects
from sale.learning.dataset import MICRO, Bools, Completed, Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Ends:
    """What comes of every task."""

    dollars: Floats
    """(T,) of all work on it."""
    success: Floats
    """(T,) whether it is solved in the end, or how likely that is."""


def ends(prospects: Prospects, completed: Completed, checked: Bools, worth: float, attempts: int) -> Ends:
    """First awards and all that follow.

    Args:
        prospects: Of every bid.
        completed: What comes of every bid's work; of an outcome that is a probability the mean is taken.
        checked: (T,) where failures are found out; elsewhere the first award is the only one.
        worth: What a solved task is worth, in dollars.
        attempts: How many agents may try.
    """
    net = prospects.works - worth * MICRO * prospects.chance
    best = np.argsort(net, axis=1, kind="stable")[:, :MOST]
    spent, success = (np.take_along_axis(part, best, axis=1) for part in (completed.dollars, completed.success))
    tries = min(attempts, best.shape[1])
    if tries == 1:
        return Ends(dollars=spent[:, 0], success=success[:, 0])
    chance, works = (np.take_along_axis(part, best, axis=1) for part in (prospects.chance, prospects.works))
    plans = best_plans(chance, works, prospects.difficulty, worth * MICRO, tries)
    # Where nothing is found out there is no plan: the bid that is best by itself.
    plans.first[0] = np.where(checked, plans.first[0], 0)
    rows = np.arange(len(best))
    failed, reached = np.zeros(len(best), np.intp), np.ones(len(best))
    total, solved = np.zeros((2, len(best)))
    for number in range(tries):
        if number:
            reached *= checked & (plans.value[failed, rows] > 0.0)
        step = plans.first[failed, rows]
        total += reached * spent[rows, step]
        good = np.clip(success[rows, step], 0.0, 1.0)
        solved += reached * good
        reached *= 1.0 - good
        failed |= 1 << step
    return Ends(dollars=total, success=solved)
