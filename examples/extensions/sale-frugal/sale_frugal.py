"""An objective: every juror weighs alike, and the jury as much against cost as the records say that it should.

[learning]
objective = "frugal"
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from sale.learning.dataset import CompletedOutcomes, Table
from sale.learning.objectives import BaseObjective, Setting, WeightCandidate
from sale.types import Weights


@dataclass
class Frugal(BaseObjective):
    """One number is tuned: what a juror's point is worth, in micro-dollars of plan."""

    name: ClassVar[str] = "frugal"
    tuned: ClassVar[tuple[str, ...]] = ("point",)

    point: float = 1.0
    """Chosen on held-out folds: the most solved, then the cheapest (`BaseObjective.pick`)."""

    @property
    def grid(self) -> tuple[Setting, ...]:
        """The points that are tried."""
        return tuple((10.0**power,) for power in range(-2, 5))

    def fit(self, table: Table, outcomes: CompletedOutcomes, /) -> Self:
        """There is nothing to solve: the weights follow from the point."""
        jurors = dict.fromkeys(table.jurors, self.point)
        self.fitted = WeightCandidate(weights=Weights(cost=1.0, entropy=0.0, jurors=jurors, source="fitted"))
        return self
