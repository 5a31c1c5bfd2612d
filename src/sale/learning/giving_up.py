"""Giving up as a decision of its own: the money saved and the solved tasks lost by not trying hopeless tasks.

Tasks are put in the order of the best chance that any agent has by past outcomes, the task's own outcome left out.
Those with the least chance are not tried. The others go to the agent that solves most. Beside that: what would be saved
if one knew which tasks no agent solves. Giving up at random would lose as large a share as it saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sale.learning.break_even import PastOutcomes, interval, past_outcomes, resamples
from sale.learning.dataset import Bools, Floats
from sale.learning.intervals import Interval
from sale.types import Example

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
"""Of the tasks, that are not tried."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivingUp:
    """Savings and losses of not trying some of the tasks."""

    share: float
    """Of the tasks that are not tried."""
    saved: Interval
    """Share of the money of trying all."""
    lost: Interval
    """Share of the solved tasks of trying all."""
    hopeless: float
    """Share of the tasks not tried that no agent would have solved."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GivingUpMap:
    """Giving up on more and more tasks."""

    tasks: int
    best: str
    """The agent that does what is tried."""
    points: tuple[GivingUp, ...]
    known: GivingUp
    """Savings if one knew which tasks no agent solves: nothing is lost."""


def giving_up(examples: Sequence[Example], shares: Sequence[float] = SHARES) -> GivingUpMap:
    """Return the map of what giving up saves and loses.

    Args:
        examples: Past auctions; see `break_even_map`.
        shares: Of the tasks that are not tried.

    Raises:
        InputError: Too few tasks, a single agent, or work that costs nothing.
    """
    known = past_outcomes(examples)
    table = known.table
    best, work = known.best()
    able = np.where(table.present, known.success, 0.0)
    own = np.where(table.author == best, able, 0.0).max(axis=1)
    somebody = 1.0 - (1.0 - able).prod(axis=1)
    hope = np.where(table.present, known.chance, 0.0).max(axis=1)
    order = np.argsort(hope, kind="stable")
    found: list[GivingUp] = []
    for share in shares:
        left = np.zeros(len(table), np.bool_)
        left[order[: round(share * len(table))]] = True
        found.append(_given_up(known, left, work, own, somebody))
    hopeless = somebody < 0.5
    return GivingUpMap(
        tasks=len(known.by_task(work)),
        best=table.agents[best],
        points=tuple(found),
        known=_given_up(known, hopeless, work, own, somebody),
    )


def _given_up(known: PastOutcomes, left: Bools, work: Floats, solved: Floats, somebody: Floats) -> GivingUp:
    counts = resamples(known)

    def part(values: Floats) -> Interval:
        whole = np.maximum(counts @ known.by_task(values), np.finfo(np.float64).tiny)
        return interval(counts @ known.by_task(values * left) / whole)

    return GivingUp(
        share=float(left.mean()),
        saved=part(work),
        lost=part(solved),
        hopeless=float(1.0 - somebody[left].mean()) if left.any() else 1.0,
    )
