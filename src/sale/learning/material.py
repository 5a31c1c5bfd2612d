"""Past auctions made ready to fit weights to, once for all objectives and prices."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from sale.errors import InputError
from sale.learning.dataset import Completed, Ints, Table, split, tabulate
from sale.learning.heldout import HeldOut, hold_out
from sale.learning.objectives import BaseObjective, Candidate
from sale.learning.spending import Curve, spend_curve
from sale.learning.unknowns import complete
from sale.learning.utility import Utility
from sale.types import Example

LEAST_TASKS = 8
"""Different tasks below which nothing is fitted."""
LEAST_OUTCOMES = 10
"""Judged executions below which nothing is fitted."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """Auctions as arrays, their folds, and what success models make of them: those need no price to be fitted."""

    table: Table
    fold: Ints
    """(T,)"""
    folds: int
    seed: int
    completed: Completed
    tasks: int
    """How many different ones."""
    judged: int
    """Executions with a known outcome."""
    _curves: dict[int, Curve] = field(default_factory=dict[int, Curve])
    _solved: dict[Hashable, tuple[HeldOut, Candidate]] = field(
        default_factory=dict[Hashable, tuple[HeldOut, Candidate]]
    )

    @property
    def models(self) -> tuple[HeldOut, Candidate]:
        """Success models: what they said of tasks they had not seen, and the one of all tasks, neither priced yet."""
        return self.solved(Utility(), 0.0)

    def curve(self, attempts: int) -> Curve:
        """What success models solve and spend by what a solved task is worth, if so many agents may try."""
        if attempts not in self._curves:
            expected = self.models[0].prospects
            if expected is None:
                raise ValueError("success models have prospects")
            self._curves[attempts] = spend_curve(self.table, expected, self.completed, attempts)
        return self._curves[attempts]

    def solved(self, how: BaseObjective, seconds: float) -> tuple[HeldOut, Candidate]:
        """What an objective does on held-out folds, and on everything with the setting that they chose."""
        key = how.cache_key
        if key is not None and key in self._solved:
            return self._solved[key]
        held = hold_out(self.table, self.completed, self.fold, how, 0.6 * seconds)
        final = how.path(self.table, self.completed, (held.setting,), seconds=0.4 * seconds, final=True)[0]
        if key is not None:
            self._solved[key] = held, final
        return held, final


def material(examples: Sequence[Example], *, folds: int = 5, seed: int = 0) -> Material:
    """Make auctions ready.

    Args:
        examples: The auctions.
        folds: Of the cross-validation, by task text.
        seed: Draws the folds.

    Raises:
        InputError: Too few tasks or outcomes to fit anything, or less than two folds.
    """
    if folds < 2:
        raise InputError(f"folds must be at least 2, got {folds!r}")
    table = tabulate(examples)
    tasks = int(table.group.max()) + 1
    judged = int((table.known & table.present).sum())
    if tasks < LEAST_TASKS or judged < LEAST_OUTCOMES:
        raise InputError(
            f"there are records of {tasks} different tasks with {judged} judged executions: too few to fit weights",
            hint=f"It takes at least {LEAST_TASKS} tasks and {LEAST_OUTCOMES} outcomes; a hundred tasks to trust them.",
        )
    used = min(folds, tasks)
    fold = split(table, used, seed)
    return Material(
        table=table,
        fold=fold,
        folds=used,
        seed=seed,
        completed=complete(table, fold),
        tasks=tasks,
        judged=judged,
    )
