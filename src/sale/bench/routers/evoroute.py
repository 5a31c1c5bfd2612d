"""EvoRoute: retrieve alike steps, keep the models that are Pareto-optimal on them, and draw one by Thompson sampling.

Source: EvoRoute, arXiv 2601.02695 (ACL 2026). Each step of an agent system is routed by records of past steps: those
alike in role, in the instruction's sentence embedding (MiniLM) and in the tools predicted are retrieved; success, cost
and time of each model on them are summed up; of the Pareto-optimal models the one with the best draw from
Normal-Inverse-Gamma posteriors is taken, and what came of it is added to the records. No code was public when this was
written.

Reduced to whole tasks over an outcome table, which loses:
- two of three ways to retrieve: a table has no roles and no tools. Left are the K = 20 tasks nearest by cosine.
- time, the third objective: tables have none.
- learning while it goes on: a router here may not look at an outcome, its own included. So the records are the training
  table, where every agent has done every task: the paper's exploration at the start, given to all routers alike. The
  exploring of Thompson sampling remains, and what it costs is charged, since the agent drawn is the agent paid.

Ours, since the paper's were not to be had: K; the priors (κ₀ = α₀ = 1, μ₀ and β₀ those of the agent's whole record);
the weight of cost λ, which is the knob, in shares of the dearest agent's mean dollars; one draw a task, by one seed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np

from sale.bench.routers.estimators import SEED, nearest
from sale.bench.routers.features import Features, Vectorise
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import Bools, Floats, Ints, OutcomeTable, Routing
from sale.errors import InputError

NEIGHBOURS = 20
PRIOR_COUNT = 1.0
"""κ₀: records that the agent's own mean counts like."""
PRIOR_SHAPE = 1.0
"""α₀ of the variance."""
GRID = np.concatenate([[0.0], np.logspace(-3, 1, 25)])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Records:
    vectorise: Vectorise
    known: Floats
    success: Floats
    dollars: Floats
    """(T, A) in shares of the dearest agent's mean."""


class EvoRoute:
    """The best draw among the Pareto-optimal agents."""

    name = "EvoRoute"

    def __init__(self, features: Features, *, cost_weight: float = 1.0, k: int = NEIGHBOURS, seed: int = SEED) -> None:
        """`cost_weight` is λ: the successes that the dearest agent's mean dollars weigh."""
        if not cost_weight >= 0:
            raise InputError(f"the weight of cost must not be negative, got {cost_weight!r}", where=self.name)
        self._features = features
        self._cost_weight = cost_weight
        self._k = k
        self._seed = seed
        self._learnt: PoolFit[_Records] | None = None

    def fit(self, train: OutcomeTable, /) -> None:
        """Keep the records."""
        need_tasks(train, self.name)
        vectorise = self._features.learn(train.texts)
        scale = float(train.dollars.mean(axis=0).max())
        dollars = train.dollars / (scale if scale > 0 else 1.0)
        records = _Records(vectorise=vectorise, known=vectorise(train.texts), success=train.success, dollars=dollars)
        self._learnt = PoolFit(train.agents, records)

    def route(self, test: OutcomeTable, /) -> Routing:
        """Retrieve, keep what no agent beats, draw."""
        return next(iter(self.sweep(test, [self._cost_weight])))

    def sweep(self, test: OutcomeTable, knobs: Iterable[float], /) -> Iterator[Routing]:
        """As `route` with each λ in turn, by the same draws."""
        records, shape = recall(self._learnt, test, self.name), test.success.shape
        rng = np.random.default_rng(self._seed)
        if len(test):
            rows = nearest(records.known, records.vectorise(test.texts), self._k)
            success, drawn = _posterior(records.success, rows, rng)
            cost, charged = _posterior(records.dollars, rows, rng)
            kept = pareto_set(success, cost)
        else:
            drawn = charged = np.zeros(shape)
            kept = np.ones(shape, np.bool_)
        for weight in knobs:
            worth = np.where(kept, drawn - weight * charged, -np.inf)
            yield Routing.of(np.argmax(worth, axis=1), shape[1])

    def grid(self, train: OutcomeTable, /) -> Floats:  # noqa: ARG002  the same for every table
        """λ from 0 to 10."""
        return GRID

    def at(self, knob: float, /) -> Self:
        """The same router, as far as it is fitted, with λ = `knob`."""
        other = copy.copy(self)
        other._cost_weight = knob
        return other


def pareto_set(success: Floats, cost: Floats) -> Bools:
    """(T, A) agents that no other beats on a task: none is as good in both and better in one; of equals the first."""
    here, there = (success[:, :, None], cost[:, :, None]), (success[:, None, :], cost[:, None, :])
    as_good = (there[0] >= here[0]) & (there[1] <= here[1])
    better = (there[0] > here[0]) | (there[1] < here[1])
    agents = success.shape[1]
    earlier: Bools = np.tri(agents, k=-1, dtype=np.bool_)
    return ~np.any(as_good & (better | earlier), axis=2)


def _posterior(values: Floats, rows: Ints, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Posterior means and draws of means, each (T, A), by the values in the rows retrieved."""
    seen = values[rows]
    count = seen.shape[1]
    middle, own = seen.mean(axis=1), values.mean(axis=0)
    squares = ((seen - middle[:, None]) ** 2).sum(axis=1)
    total = PRIOR_COUNT + count
    mean: Floats = (PRIOR_COUNT * own + count * middle) / total
    shape = PRIOR_SHAPE + count / 2
    scale: Floats = values.var(axis=0) + 0.5 * squares + PRIOR_COUNT * count * (middle - own) ** 2 / (2 * total)
    variance: Floats = scale / np.asarray(rng.gamma(shape, size=mean.shape), np.float64)
    return mean, mean + np.sqrt(variance / total) * rng.standard_normal(mean.shape)
