"""Past auctions made ready to fit weights to, once for all objectives and prices."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

from sale.auction.attempt_order import PERFECT
from sale.errors import InputError
from sale.learning.dataset import CompletedOutcomes, Ints, Table, split, tabulate
from sale.learning.heldout import HeldOut, hold_out
from sale.learning.missing_outcomes import complete
from sale.learning.objectives import BaseObjective, WeightCandidate
from sale.learning.spending import SpendCurve, spend_curve
from sale.learning.utility import Utility
from sale.types import CheckErrors, Example, Holding
from sale.wording import quantity

MIN_TASKS = 20
"""Different tasks below which nothing is fitted.

What a solved task is worth is then read off so few that the market does worse than by its stated prior: on dev tasks of
docs/private-knowledge.md it solved 10 % with 10 of them known, and 50 % by the prior.
"""
MIN_OUTCOMES = 10
"""Judged executions below which nothing is fitted."""


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """Auctions as arrays, their folds, and what success models make of them: those need no price to be fitted."""

    table: Table
    fold: Ints
    """(T,)"""
    folds: int
    seed: int
    completed: CompletedOutcomes
    tasks: int
    """Number of different tasks."""
    judged: int
    """Executions with a known outcome."""
    _curves: dict[tuple[int, Holding, CheckErrors], SpendCurve] = field(
        default_factory=dict[tuple[int, Holding, CheckErrors], SpendCurve]
    )
    _solved: dict[Hashable, tuple[HeldOut, WeightCandidate]] = field(
        default_factory=dict[Hashable, tuple[HeldOut, WeightCandidate]]
    )
    _without: dict[int, CompletedOutcomes] = field(default_factory=dict[int, CompletedOutcomes])
    """Outcomes completed without each fold, by its number."""

    @property
    def models(self) -> tuple[HeldOut, WeightCandidate]:
        """Success models: what they said of tasks they had not seen, and the one of all tasks, neither priced yet."""
        return self.solve(Utility(), 0.0)

    def curve(self, attempts: int, hold: Holding, check: CheckErrors = PERFECT) -> SpendCurve:
        """Return success and spending of success models by the worth of a solved task, with so many agents to try."""
        key = attempts, hold, check
        if key not in self._curves:
            expected = self.models[0].prospects
            if expected is None:
                raise ValueError("success models have prospects")
            self._curves[key] = spend_curve(self.table, expected, self.completed, attempts, hold, check)
        return self._curves[key]

    def solve(self, how: BaseObjective, seconds: float) -> tuple[HeldOut, WeightCandidate]:
        """Return an objective's results on held-out folds, and on everything with the setting that they chose."""
        key = how.cache_key
        if key is not None and key in self._solved:
            return self._solved[key]
        held = hold_out(self.table, self.completed, self.fold, how, 0.6 * seconds, without=self._without)
        final = how.path(self.table, self.completed, (held.setting,), seconds=0.4 * seconds, final=True)[0]
        if key is not None:
            self._solved[key] = held, final
        return held, final


def prepare_data(examples: Sequence[Example], *, folds: int = 5, seed: int = 0) -> PreparedData:
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
    if tasks < MIN_TASKS or judged < MIN_OUTCOMES:
        raise InputError(
            f"there are records of {quantity(tasks, 'different task')} "
            f"with {quantity(judged, 'judged execution')}: too few to fit weights",
            hint=f"It takes at least {MIN_TASKS} tasks and {MIN_OUTCOMES} outcomes; a hundred tasks to trust them.",
        )
    used = min(folds, tasks)
    fold = split(table, used, seed)
    return PreparedData(
        table=table,
        fold=fold,
        folds=used,
        seed=seed,
        completed=complete(table, fold),
        tasks=tasks,
        judged=judged,
    )
