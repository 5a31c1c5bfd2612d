"""Objectives that weights are fitted to, as estimators: settings to try, how to fit, which setting is best.

    objective.fit(table, outcomes).fitted.weights

`MinMax`, `Margin` and `Utility` come with sale, each in its own file; others are subclasses of `BaseObjective` with a
`fit` alone, and a grid where something is to be tuned. `sale.learning.heldout` chooses among settings on held-out
folds, the same way for all of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Self

import numpy as np

from sale.extensions import make
from sale.learning.dataset import Bools, CompletedOutcomes, Floats, Ints, Table
from sale.types import Weights

Setting = tuple[float, ...]
"""Values of what is tuned, one for each name in an objective's `tuned`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WeightCandidate:
    """Weights of one setting."""

    weights: Weights
    gap: float | None = None
    """Relative optimality gap; `None` where the objective has none, or no bound was sought."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """Results of each of S settings on folds it was not fitted on."""

    success: Floats
    """(S, T)"""
    dollars: Floats
    """(S, T) of work."""
    log_loss: Floats
    """(S, T) summed over the auction's judged executions; 0 for weights without a model."""
    group: Ints
    """(T,)"""


@dataclass
class BaseObjective:
    """An objective. A subclass is a dataclass whose fields are its parameters, and has `fit`.

    What `fit` finds is kept in `fitted`. Where nothing is tuned that is all: the other members have defaults.
    """

    name: ClassVar[str] = ""
    """As records and tables show it; the class name unless given."""
    tuned: ClassVar[tuple[str, ...]] = ()
    """The parameters that are chosen on held-out folds."""
    knows_worth: ClassVar[bool] = False
    """True where the worth of a solved task has an influence: `with_worth` is then called before anything is fitted."""
    predicts: ClassVar[bool] = False
    """True where its weights hold a success model: only then may a market hold an auction just where one pays."""
    timed: ClassVar[bool] = False
    """True where fitting ends when its time is over."""

    fitted: WeightCandidate = field(init=False, repr=False, compare=False)
    """The weights that `fit` has found."""

    @property
    def grid(self) -> tuple[Setting, ...]:
        """Settings to try, in the order in which ties are broken; just the one it has unless told otherwise."""
        return (tuple(float(getattr(self, name)) for name in self.tuned),)

    @property
    def parameters(self) -> Mapping[str, float | str]:
        """Parameters that are not tuned, for the record."""
        return {}

    @property
    def cache_key(self) -> Hashable | None:
        """Equal for objectives that find the same on the same records; `None` where that is not known."""
        return None

    def with_worth(self, dollars: float) -> Self:  # noqa: ARG002  most take no notice of it
        """The same objective, if a solved task is worth so many dollars."""
        return self

    def at(self, setting: Setting) -> Self:
        """The same objective with other values of what is tuned; nothing is fitted."""
        return replace(self, **dict(zip(self.tuned, setting, strict=True)))

    def fit(self, table: Table, outcomes: CompletedOutcomes, /) -> Self:
        """Fit to past auctions with the parameters it has, and keep what is found in `fitted`.

        Args:
            table: The auctions.
            outcomes: What came, or would have come, of every bid's work.
        """
        raise NotImplementedError(f"{type(self).__name__} has no fit")

    def path(
        self,
        table: Table,
        outcomes: CompletedOutcomes,
        settings: Sequence[Setting],
        *,
        seconds: float,  # noqa: ARG002  for those that are timed
        final: bool,  # noqa: ARG002  for those that take less trouble on folds
    ) -> list[WeightCandidate]:
        """Return the weights found for each setting; one after the other unless an objective can share work among them.

        Args:
            table: The auctions.
            outcomes: What came, or would have come, of every bid's work.
            settings: The settings.
            seconds: For all of them together.
            final: Whether this is the fit that counts, and not one on folds.
        """
        return [self.at(setting).fit(table, outcomes).fitted for setting in settings]

    def pick(self, trial: Trial, among: Bools) -> int:
        """The place of the best setting, judged by some auctions: most solved, then cheapest, then first."""
        solved, spent = trial.success[:, among].mean(axis=1), trial.dollars[:, among].mean(axis=1)
        best = np.flatnonzero(solved >= solved.max() - 1e-9)
        return int(best[np.argmin(spent[best])])

    def notes(self, setting: Setting, table: Table) -> list[str]:  # noqa: ARG002  for those that have something to say
        """Return notes for the reader on weights that were fitted with this setting."""
        return []


def objective_of(named: BaseObjective | str, options: Mapping[str, object] | None = None) -> BaseObjective:
    """An objective by its name or dotted path, with its own settings; one that is there already, as it is.

    Raises:
        ConfigError: There is none of this name, or it is told what it does not take.
    """
    if isinstance(named, BaseObjective):
        return named
    return make("objectives", named, BaseObjective, given={}, options=options or {}, where=f"objective {named!r}")


def name_of(objective: BaseObjective) -> str:
    """As records and tables show it."""
    return objective.name or type(objective).__name__
