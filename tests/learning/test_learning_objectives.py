"""Objectives as estimators: fitted alone, and one of somebody's own that says no more than how it is fitted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Self

import pytest

from sale.errors import InputError
from sale.learning.dataset import CompletedOutcomes, Table
from sale.learning.fit import fit
from sale.learning.margin import Margin
from sale.learning.minmax import MinMax
from sale.learning.objectives import BaseObjective, WeightCandidate
from sale.learning.prepared_data import prepare_data
from sale.learning.utility import Utility
from sale.types import Weights
from tests.learning.pools import auctions

READY = prepare_data(auctions(30))


@dataclass
class Constant(BaseObjective):
    """The same weights whatever the records say."""

    name: ClassVar[str] = "constant"
    tuned: ClassVar[tuple[str, ...]] = ("entropy",)
    entropy: float = 2.0

    def fit(self, table: Table, outcomes: CompletedOutcomes, /) -> Self:
        self.fitted = WeightCandidate(weights=Weights(cost=1.0, entropy=self.entropy, jurors={}, source="fitted"))
        return self


def test_each_is_fitted_with_the_values_it_has() -> None:
    minmax = MinMax(budget=4.0).fit(READY.table, READY.completed)
    assert minmax.fitted.weights.jurors
    other = MinMax().at((8.0,))
    assert other.budget == 8.0
    margin = Margin().with_worth(0.001).fit(READY.table, READY.completed)
    assert margin.fitted.weights.cost == 1.0
    assert Utility(lasso=0.25).fit(READY.table, READY.completed).fitted.weights.model is not None


def test_one_of_somebodys_own_needs_to_say_how_it_is_fitted_and_no_more() -> None:
    own = Constant()
    assert own.grid == ((2.0,),)
    assert own.at((3.0,)) == replace(own, entropy=3.0)
    (found,) = own.path(READY.table, READY.completed, ((3.0,),), seconds=1.0, final=True)
    assert found.weights.entropy == 3.0
    with pytest.raises(NotImplementedError, match="BaseObjective"):
        BaseObjective().fit(READY.table, READY.completed)


@pytest.mark.parametrize(("worth", "seconds", "said"), [(0.0, 20.0, "worth"), (0.001, 0.0, "seconds")])
def test_what_is_out_of_range_is_refused(worth: float, seconds: float, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(auctions(25), "utility", worth=worth, seconds=seconds)
