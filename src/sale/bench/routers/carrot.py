"""CARROT: predict quality and cost of each agent, then weigh one against the other.

Source: Somerstep et al. 2025, CARROT: A Cost Aware Rate Optimal Router, arXiv 2502.03261. With predicted success Ŝ and
cost Ĉ the task goes to argmin (1-μ)·(1-Ŝ) + μ·Ĉ, μ in [0, 1] in steps of 0.001. Two predictors:
- `CarrotNearest`, CARROT-KNN: cosine k-nearest-neighbour regression of all agents at once on sentence embeddings; k of
  2, 4, … 512 by the R² of 5-fold cross-validation, for success and for cost apart.
- `CarrotText`, after CARROT-RoBERTa: there a RoBERTa encoder is fine-tuned, once with a multi-label head (sigmoid,
  binary cross-entropy) for success, once with a regression head for cost.

Adapted:
- THE TEXT VARIANT DOES NOT FINE-TUNE AN ENCODER: no RoBERTa is at hand offline, and 50 to 100 tasks would not carry
  one. Its heads, the same losses, are trained on frozen features: sentence embeddings joined with word n-grams,
  logistic regression for each label, ridge regression on standardised cost.
- Ĉ is regressed on dollars directly, as the authors do where dollars are recorded, rather than on output tokens.
- Dollars are divided by the training mean of the dearest agent, so that μ = ½ weighs a failure like one such execution
  on any table (the authors multiply by a constant chosen by hand). Predicted costs below 0 count as 0.
- Folds and k are capped by the training tasks; R² is one number over all agents, so that an agent that never fails
  does not decide it alone. Embeddings are all-MiniLM-L6-v2 (theirs: L12, or a hosted model). Ties go to the cheaper.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from sale.bench.routers.estimators import (
    SEED,
    Predictor,
    folds,
    logistic_columns,
    nearest,
    neighbour_means,
    ridge_columns,
)
from sale.bench.routers.features import Features, Vectorise
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import Floats, Ints, OutcomeTable, Routing
from sale.errors import InputError

NEIGHBOURS = tuple(2**power for power in range(1, 10))
FOLDS = 5
GRID = np.linspace(0.0, 1.0, 1001)


@dataclass(frozen=True, kw_only=True, slots=True)
class _FittedCarrot:
    vectorise: Vectorise
    success: Predictor
    cost: Predictor
    scale: float


class Carrot:
    """The decision, which both variants share. Use `CarrotNearest` or `CarrotText`."""

    def __init__(self, name: str, features: Features, mu: float) -> None:
        """`mu` is the weight of cost against success: 0 looks at success alone, 1 at cost alone."""
        if not 0 <= mu <= 1:
            raise InputError(f"mu must be between 0 and 1, got {mu!r}", where=name)
        self.name = name
        self._features = features
        self._mu = mu
        self._learnt: PoolFit[_FittedCarrot] | None = None

    def fit(self, train: OutcomeTable, /) -> None:
        """Learn Ŝ and Ĉ from the training table."""
        need_tasks(train, self.name)
        vectorise = self._features.learn(train.texts)
        known = vectorise(train.texts)
        scale = float(train.dollars.mean(axis=0).max())
        fitted = _FittedCarrot(
            vectorise=vectorise,
            success=self._learn_success(known, train.success),
            cost=self._learn_cost(known, train.dollars),
            scale=scale if scale > 0 else 1.0,
        )
        self._learnt = PoolFit(train.agents, fitted)

    def _learn_success(self, features: Floats, success: Floats) -> Predictor:
        raise NotImplementedError

    def _learn_cost(self, features: Floats, dollars: Floats) -> Predictor:
        raise NotImplementedError

    def predict(self, test: OutcomeTable) -> tuple[Floats, Floats]:
        """Ŝ in [0, 1] and Ĉ in dollars, both of shape (T, A)."""
        fitted = recall(self._learnt, test, self.name)
        features = fitted.vectorise(test.texts)
        return fitted.success(features), np.maximum(fitted.cost(features), 0.0)

    def route(self, test: OutcomeTable, /) -> Routing:
        """The smallest risk; the cheaper where equal."""
        return next(iter(self.sweep(test, [self._mu])))

    def sweep(self, test: OutcomeTable, knobs: Iterable[float], /) -> Iterator[Routing]:
        """As `route` with each μ in turn; predicted once."""
        success, dollars = self.predict(test)
        cost = dollars / recall(self._learnt, test, self.name).scale
        for mu in knobs:
            yield Routing.of(decide(success, cost, mu), len(test.agents))

    def grid(self, train: OutcomeTable, /) -> Floats:  # noqa: ARG002  the same for every table
        """μ from 0 to 1 in steps of 0.001."""
        return GRID

    def at(self, knob: float, /) -> Self:
        """The same router, as far as it is fitted, with μ = `knob`."""
        other = copy.copy(self)
        other._mu = knob
        return other


class CarrotNearest(Carrot):
    """CARROT-KNN."""

    def __init__(self, features: Features, *, mu: float = 0.0) -> None:
        """The number of neighbours is found while fitting."""
        super().__init__("CARROT k-NN", features, mu)

    def _learn_success(self, features: Floats, success: Floats) -> Predictor:
        return neighbour_means(features, success, best_k(features, success))

    def _learn_cost(self, features: Floats, dollars: Floats) -> Predictor:
        return neighbour_means(features, dollars, best_k(features, dollars))


class CarrotText(Carrot):
    """CARROT's multi-label text classifier, on frozen features (see the module's text)."""

    def __init__(self, features: Features, *, mu: float = 0.0, strength: float = 1.0) -> None:
        """`strength` is the inverse of the logistic regression's penalty."""
        super().__init__("CARROT text", features, mu)
        self._strength = strength

    def _learn_success(self, features: Floats, success: Floats) -> Predictor:
        return logistic_columns(features, success, self._strength)

    def _learn_cost(self, features: Floats, dollars: Floats) -> Predictor:
        return ridge_columns(features, dollars)


def decide(success: Floats, cost: Floats, mu: float) -> Ints:
    """The least (1-μ)·(1-success) + μ·cost of each row; the first, and so the cheapest, where several are equal."""
    return np.argmin((1 - mu) * (1 - success) + mu * cost, axis=1)


def best_k(features: Floats, values: Floats) -> int:
    """The number of neighbours with the highest R² in 5-fold cross-validation, the smaller where equal.

    Numbers of neighbours that a fold's training part does not have are left out; with a single row it is 1.
    """
    parts = folds(len(features), FOLDS, SEED)
    if not parts:
        return 1
    most = min(len(train) for train, _ in parts)
    tried = [k for k in NEIGHBOURS if k <= most] or [1]
    errors = np.zeros(len(tried))
    for train, held in parts:
        close = nearest(features[train], features[held], tried[-1])
        sums = np.cumsum(values[train][close], axis=1)
        for place, k in enumerate(tried):
            errors[place] += np.sum((sums[:, k - 1] / k - values[held]) ** 2)
    # The folds are the same for every k, so the least squared error is the highest R².
    return tried[int(np.argmin(errors))]
