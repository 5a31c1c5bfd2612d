"""OI-MAS: a policy over models of several sizes, whose reward counts cost the more the surer success is.

Source: OI-MAS, arXiv 2601.04861v2: in each of up to four turns one network chooses roles and another a model for each,
from embeddings of the query and of what was said before. Policy gradient learns them from correctness less a cost that
is weighed by confidence, the answer's mean token log-probability: sure answers shall be cheap, unsure ones may be dear.
No code was found.

Reduced to one role and one turn over an outcome table, which loses:
- roles, turns and the context of earlier turns: left is who does the task, by its text.
- confidence: tables have no log-probabilities. What stands in is how likely the cheapest agent is to succeed, by its
  ten nearest training tasks of other folds. It weighs cost while learning, as in the paper, and is not asked later.
- sampling: with one turn the expected reward is a sum over agents, so that it is maximised itself (L-BFGS) in place of
  the policy gradient that estimates it, and the likeliest agent is taken.

The paper's logits are products of a projected query and an embedding of each model; with fewer agents than dimensions
that is any matrix, so one matrix is learnt. Ours, since the paper's were not to be had: the weight λ, which is the
knob, the sigmoid that weighs confidence, and a penalty of 1e-4 on squares.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import optimize as scipy_optimize
from scipy import special as scipy_special

from sale.bench.routers.estimators import SEED, folds, neighbour_means
from sale.bench.routers.features import Features, Vectorise, distinct, sum_by
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import Floats, OutcomeTable, Routing
from sale.errors import InputError

_optimize: Any = scipy_optimize  # scipy is untyped
_special: Any = scipy_special

FOLDS = 5
NEIGHBOURS = 10
STEPS = 100
PENALTY = 1e-4
STEEPNESS = 10.0
"""Of logits: embeddings have length one, and a matrix of moderate size shall be able to decide."""
GRID = np.array([0.0, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Policies:
    vectorise: Vectorise
    by_weight: Mapping[float, Floats]
    """(d + 1, A) for each λ of the grid."""


class OiMas:
    """The agent that the policy of a weight of cost thinks best."""

    name = "OI-MAS"

    def __init__(self, features: Features, *, cost_weight: float = 0.3) -> None:
        """`cost_weight` is λ; of those that policies are learnt for (`GRID`) the nearest is used."""
        if not cost_weight >= 0:
            raise InputError(f"the weight of cost must not be negative, got {cost_weight!r}", where=self.name)
        self._features = features
        self._cost_weight = cost_weight
        self._learnt: PoolFit[_Policies] | None = None

    def fit(self, train: OutcomeTable, /) -> None:
        """Learn a policy for each weight of the grid, each from where the one before ended."""
        need_tasks(train, self.name)
        vectorise = self._features.learn(train.texts)
        known = vectorise(train.texts)
        scale = float(train.dollars.mean(axis=0).max())
        cost = _confidence_weight(known, train)[:, None] * train.dollars / (scale if scale > 0 else 1.0)
        first, place = distinct(train.texts)
        inputs = _with_constant(known[first])
        policy: Floats = np.zeros((inputs.shape[1], len(train.agents)))
        found: dict[float, Floats] = {}
        for weight in GRID:
            # Tasks of one text have one chance: the sum of their rewards says all.
            reward = sum_by(place, train.success - weight * cost, len(first))
            policy = _learnt(inputs, reward, policy, len(train))
            found[float(weight)] = policy
        self._learnt = PoolFit(train.agents, _Policies(vectorise=vectorise, by_weight=found))

    def route(self, test: OutcomeTable, /) -> Routing:
        """The likeliest agent; the cheaper where equal."""
        return next(iter(self.sweep(test, [self._cost_weight])))

    def sweep(self, test: OutcomeTable, knobs: Iterable[float], /) -> Iterator[Routing]:
        """As `route` with each λ in turn."""
        policies = recall(self._learnt, test, self.name)
        inputs = _with_constant(policies.vectorise(test.texts))
        for knob in knobs:
            policy = policies.by_weight[float(GRID[int(np.argmin(np.abs(GRID - knob)))])]
            logits = inputs @ policy if len(test) else np.zeros(test.success.shape)
            yield Routing.of(np.argmax(logits, axis=1), len(test.agents))

    def grid(self, train: OutcomeTable, /) -> Floats:  # noqa: ARG002  the same for every table
        """The weights that policies are learnt for."""
        return GRID

    def at(self, knob: float, /) -> Self:
        """The same router, as far as it is fitted, with λ = `knob`."""
        other = copy.copy(self)
        other._cost_weight = knob
        return other


def _with_constant(features: Floats) -> Floats:
    return STEEPNESS * np.column_stack([features, np.ones(len(features))])


def _confidence_weight(known: Floats, train: OutcomeTable) -> Floats:
    """(T,) in (0, 1): the sigmoid of how much surer than usual the cheapest agent's success is."""
    cheapest = train.success[:, :1]
    confidence = np.full(len(train), float(cheapest.mean()))
    for rest, held in folds(len(train), FOLDS, SEED):
        confidence[held] = neighbour_means(known[rest], cheapest[rest], NEIGHBOURS)(known[held])[:, 0]
    spread = float(confidence.std())
    return np.asarray(_special.expit((confidence - confidence.mean()) / (spread if spread > 0 else 1.0)))


def _learnt(inputs: Floats, reward: Floats, start: Floats, tasks: int) -> Floats:
    """The policy of the largest expected reward for a task, less the penalty, found from `start` uphill."""

    def loss(flat: Floats) -> tuple[float, Floats]:
        policy = flat.reshape(start.shape)
        chance: Floats = np.asarray(_special.softmax(inputs @ policy, axis=1))
        expected = (chance * reward).sum(axis=1, keepdims=True)
        slope = inputs.T @ (chance * (reward - expected)) / tasks
        penalty = PENALTY * float((policy**2).sum())
        return penalty - float(expected.sum()) / tasks, (2 * PENALTY * policy - slope).ravel()

    found = _optimize.minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return np.asarray(found.x, np.float64).reshape(start.shape)
