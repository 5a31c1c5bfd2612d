"""What tasks cost where a failure that is found out goes on to another agent, for a whole table at once.

The plans of `sale.auction.sequence` as arrays: who tries first knows who may follow, and nobody follows where that is
not expected to pay. Not a second rule: tests hold it to the market's own, task by task.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from sale.auction.sequence import MOST
from sale.learning.choosing import Prospects, logistic
from sale.learning.dataset import MICRO, Bools, Floats, Ints
from sale.learning.unknowns import Completed


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
    value, move = _plans(prospects, best, worth, tries)
    # Where nothing is found out there is no plan: the bid that is best by itself.
    move[0] = np.where(checked, move[0], 0)
    rows = np.arange(len(best))
    failed, reached = np.zeros(len(best), np.intp), np.ones(len(best))
    total, solved = np.zeros((2, len(best)))
    for number in range(tries):
        if number:
            reached *= checked & (value[failed, rows] > 0.0)
        step = move[failed, rows]
        total += reached * spent[rows, step]
        good = np.clip(success[rows, step], 0.0, 1.0)
        solved += reached * good
        reached *= 1.0 - good
        failed |= 1 << step
    return Ends(dollars=total, success=solved)


def _plans(prospects: Prospects, best: Ints, worth: float, tries: int) -> tuple[Floats, Ints]:
    """(2^K, T) and (2^K, T): what the best plan is expected to be worth after some have failed, and who begins it.

    The first axis is the set of those that failed, as bits.
    """
    works, chance = (np.take_along_axis(part, best, axis=1) for part in (prospects.works, prospects.chance))
    odds = np.log(np.clip(chance, 1e-300, None)) - np.log(np.clip(1.0 - chance, 1e-300, None))
    count, many = len(best), best.shape[1]
    value, move = np.zeros((2**many, count)), np.zeros((2**many, count), np.intp)
    for failures in reversed(range(tries)):
        now = logistic(odds + failures * prospects.after_failure[:, None])
        gain = worth * MICRO * now - works
        for members in combinations(range(many), failures):
            failed = sum(1 << one for one in members)
            plans = np.full((count, many), -np.inf)
            for one in set(range(many)) - set(members):
                later = np.maximum(0.0, value[failed | 1 << one]) if failures + 1 < tries else 0.0
                plans[:, one] = gain[:, one] + (1.0 - now[:, one]) * later
            move[failed] = plans.argmax(axis=1)
            value[failed] = plans.max(axis=1)
    return value, move
