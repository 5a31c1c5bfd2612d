"""One fair way to set every router's trade-off, and the curve of all its settings.

The rule, the same for all: success first, cost second. By k-fold cross-validation on the training table find the
setting with the highest mean success; every setting whose mean success is lower by no more than one standard error of
the difference, task by task, counts as equal to it; of those the cheapest in mean dollars is taken (where equal the
more successful, then the earlier in the grid).

The standard error is that of the paired difference: two settings that route all but two tasks alike differ by what
happens on those two. The error of the best mean alone (`paired=False`, the one-standard-error rule of Breiman et al.
1984) is about five points of success on 80 tasks, which would let every router trade real failures for money.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from sale.bench.routers.estimators import SEED, folds
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import Floats, Ints, OutcomeTable, Router, Routing
from sale.errors import InputError

FOLDS = 5
ROUNDING = 1e-12


class Sweepable(Router, Protocol):
    """A router with a knob between success and cost."""

    def grid(self, train: OutcomeTable, /) -> Floats:
        """Values of the knob worth trying, in the same order for the same table."""
        ...

    def at(self, knob: float, /) -> Self:
        """The same router with the knob set; where it is fitted, what it learnt is kept and nothing is learnt anew."""
        ...

    def sweep(self, test: OutcomeTable, knobs: Iterable[float], /) -> Iterator[Routing]:
        """Yield the result of `at(knob).route(test)` for each knob, without predicting the same again."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class CurvePoint:
    """The result of one setting on a table."""

    knob: float
    success: float
    """Mean over tasks."""
    dollars: float
    """Mean over tasks, deciding included."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TunedSetting:
    """The choice of a tuner."""

    candidate: int
    """Place among the candidates."""
    knob: float | None
    """`None` where the table was too small to choose: the candidate's own."""
    success: float | None
    """Cross-validated mean."""
    dollars: float | None


def outcome(routing: Routing, table: OutcomeTable) -> tuple[Floats, Floats]:
    """Success and dollars of each task, both of shape (T,): everything called is paid for, and so is deciding."""
    success = table.success[np.arange(len(table)), routing.chosen]
    return success, (table.dollars * routing.called).sum(axis=1) + routing.extra_dollars


def curve(router: Sweepable, train: OutcomeTable, test: OutcomeTable) -> list[CurvePoint]:
    """Fit once on `train`; then one point on `test` for each value of the knob."""
    router.fit(train)
    knobs = [float(knob) for knob in router.grid(train)]
    points: list[CurvePoint] = []
    for knob, routing in zip(knobs, router.sweep(test, knobs), strict=True):
        success, dollars = outcome(routing, test)
        points.append(CurvePoint(knob=knob, success=float(success.mean()), dollars=float(dollars.mean())))
    return points


def choose(success: Floats, dollars: Floats, *, paired: bool = True) -> int:
    """The rule of this module.

    Args:
        success: Shape (settings, T): each task's success where the setting did not see it.
        dollars: Shape (settings, T).
        paired: Whose standard error: of the difference to the best, or of the best mean.

    Returns:
        The place of the setting.
    """
    means, costs = success.mean(axis=1), dollars.mean(axis=1)
    leader = int(np.lexsort((costs, -means))[0])
    compared = success[leader] - success if paired else np.broadcast_to(success[leader], success.shape)
    tasks = success.shape[1]
    errors = compared.std(axis=1, ddof=1) / np.sqrt(tasks) if tasks > 1 else np.zeros(len(means))
    equal = np.flatnonzero(means[leader] - means <= errors + ROUNDING)
    return int(equal[np.lexsort((equal, -means[equal], costs[equal]))[0]])


class TunedRouter:
    """A router whose variant and knob are set by cross-validation on whatever it is fitted on."""

    def __init__(
        self,
        name: str,
        candidates: Sequence[Sweepable],
        *,
        most_folds: int = FOLDS,
        seed: int = SEED,
        paired: bool = True,
    ) -> None:
        """Variants of one method are tried together, each with its whole grid, the first first.

        Args:
            name: As tables show it.
            candidates: At least one.
            most_folds: Fewer where there are fewer tasks. A single task chooses nothing.
            seed: Of the shuffle into folds.
            paired: See `choose`.
        """
        if not candidates:
            raise InputError("there is nothing to tune", where=name, hint="Give at least one router.")
        self.name = name
        self._candidates = tuple(candidates)
        self._most_folds = most_folds
        self._seed = seed
        self._paired = paired
        self._learnt: PoolFit[Sweepable] | None = None
        self._setting: TunedSetting | None = None

    @property
    def setting(self) -> TunedSetting | None:
        """The choice; `None` before it is fitted."""
        return self._setting

    def fit(self, train: OutcomeTable, /) -> None:
        """Choose, then fit what was chosen on the whole table."""
        need_tasks(train, self.name)
        parts = folds(len(train), self._most_folds, self._seed)
        self._setting = self._choice(train, [(train.take(rest), held, train.take(held)) for rest, held in parts])
        router = self._candidates[self._setting.candidate]
        router.fit(train)
        self._learnt = PoolFit(train.agents, router if self._setting.knob is None else router.at(self._setting.knob))

    def route(self, test: OutcomeTable, /) -> Routing:
        """As the router chosen does."""
        return recall(self._learnt, test, self.name).route(test)

    def _choice(self, train: OutcomeTable, parts: Sequence[tuple[OutcomeTable, Ints, OutcomeTable]]) -> TunedSetting:
        if not parts:
            return TunedSetting(candidate=0, knob=None, success=None, dollars=None)
        grids = [[float(knob) for knob in router.grid(train)] for router in self._candidates]
        settings = [(place, knob) for place, grid in enumerate(grids) for knob in grid]
        success, dollars = np.zeros((len(settings), len(train))), np.zeros((len(settings), len(train)))
        for rest, held, table in parts:
            for row, routing in enumerate(self._swept(grids, rest, table)):
                success[row, held], dollars[row, held] = outcome(routing, table)
        place, knob = settings[row := choose(success, dollars, paired=self._paired)]
        return TunedSetting(
            candidate=place, knob=knob, success=float(success[row].mean()), dollars=float(dollars[row].mean())
        )

    def _swept(self, grids: Sequence[Sequence[float]], train: OutcomeTable, test: OutcomeTable) -> Iterator[Routing]:
        """Every candidate with every value of its grid, in order, fitted on `train`."""
        for router, grid in zip(self._candidates, grids, strict=True):
            router.fit(train)
            yield from router.sweep(test, grid)
