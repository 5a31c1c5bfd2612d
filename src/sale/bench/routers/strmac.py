"""STRMAC: the agent closest to the state of the work, in a space learnt by contrast, and again after a failure.

Source: STRMAC, arXiv 2511.02200v1: a small language model encodes the state of the interaction, each agent's own
knowledge is encoded once, and the agent of the highest cosine acts, until the task is answered. Contrastive learning:
agents on successful paths are positives, the others negatives; paths are found with the router itself, which saves
nine tenths of an exhaustive search. No code was found.

Reduced to whole tasks over an outcome table, which loses:
- the state's text: it is the task's sentence embedding, projected, plus a vector for each agent that has failed, in
  place of a history that is embedded again at every step.
- the agents' knowledge: a table has names alone, so that an agent's vector is learnt from nothing.
- the search for paths: every agent's outcome is in the training table. What stands in for longer paths are states after
  the failure of the cheapest agent that fails the task.

After a choice the table's check of the answer, where it has one, may send the task on, to three agents at most; that of
an agent that is not called is not looked at. Ours, since the paper's were not to be had: 32 dimensions, temperature
0.07, positives weighed by how cheap they are (the cheapest solver of a task weighs 1), the decision's price term
λ·log price, which is the knob, and a penalty of 1e-5 on squares. Tasks without a solver are left out.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from scipy import optimize as scipy_optimize
from scipy import special as scipy_special

from sale.bench.routers.estimators import SEED
from sale.bench.routers.features import Features, Vectorise, distinct, sum_by
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import Floats, Ints, OutcomeTable, Routing
from sale.errors import InputError

_optimize: Any = scipy_optimize  # scipy is untyped
_special: Any = scipy_special

DIMENSIONS = 32
TEMPERATURE = 0.07
PENALTY = 1e-5
STEPS = 80
ATTEMPTS = 3
MIN_PRICE = 1e-6
"""Of the dearest agent's price: a free agent counts as this cheap."""
GRID = np.concatenate([[0.0], np.logspace(-3, 0.5, 22)])


@dataclass(frozen=True, kw_only=True, slots=True)
class _Space:
    vectorise: Vectorise
    states: Floats
    """(d + 1 + A, D): projections of a task's embedding, of a constant, and of who has failed."""
    agents: Floats
    """(A, D)"""
    log_prices: Floats


class Strmac:
    """The agent closest to the state, less what its price weighs."""

    name = "STRMAC"

    def __init__(self, features: Features, *, price_weight: float = 0.0) -> None:
        """`price_weight` is λ, cosine for a price e times as high."""
        if not price_weight >= 0:
            raise InputError(f"the weight of price must not be negative, got {price_weight!r}", where=self.name)
        self._features = features
        self._price_weight = price_weight
        self._learnt: PoolFit[_Space] | None = None

    def fit(self, train: OutcomeTable, /) -> None:
        """Learn the space from every state that has a solver."""
        need_tasks(train, self.name)
        vectorise = self._features.learn(train.texts)
        known, agents = vectorise(train.texts), len(train.agents)
        prices = np.maximum(train.prices, MIN_PRICE * max(float(train.prices[-1]), MIN_PRICE))
        fails = train.success < train.success.max(axis=1, keepdims=True)
        failed = np.zeros_like(train.success)
        rows = np.flatnonzero(fails.any(axis=1))
        failed[rows, fails[rows].argmax(axis=1)] = 1.0
        states = np.vstack([_state(known, np.zeros_like(failed)), _state(known[rows], failed[rows])])
        success = np.vstack([train.success, np.where(failed[rows] > 0.0, 0.0, train.success[rows])])
        cheapest = np.where(success > 0.0, prices, np.inf).min(axis=1, keepdims=True, initial=np.inf)
        solved = np.isfinite(cheapest[:, 0])
        weights = success[solved] * cheapest[solved] / prices
        said = [(train.texts[task], failed[task].tobytes()) for task in rows]
        kinds = [*((text, b"") for text in train.texts), *said]
        first, place = distinct([kind for kind, one in zip(kinds, solved, strict=True) if one])
        found = _contrast(states[solved][first], place, weights, agents)
        space = _Space(vectorise=vectorise, states=found[0], agents=found[1], log_prices=np.log(prices))
        self._learnt = PoolFit(train.agents, space)

    def route(self, test: OutcomeTable, /) -> Routing:
        """Choose; where the check refuses the answer, choose again."""
        return next(iter(self.sweep(test, [self._price_weight])))

    def sweep(self, test: OutcomeTable, knobs: Iterable[float], /) -> Iterator[Routing]:
        """As `route` with each λ in turn."""
        space, shape = recall(self._learnt, test, self.name), test.success.shape
        known = space.vectorise(test.texts)
        for weight in knobs:
            failed, called = np.zeros(shape), np.zeros(shape, np.bool_)
            chosen, going = np.zeros(len(test), np.intp), np.arange(len(test))
            for _ in range(min(ATTEMPTS, shape[1])):
                if not len(going):
                    break
                near = _cosines(_state(known[going], failed[going]) @ space.states, space.agents)
                near = np.where(called[going], -np.inf, near - weight * space.log_prices)
                chosen[going] = near.argmax(axis=1)
                called[going, chosen[going]] = True
                if test.checks is None:
                    break
                going = going[test.checks[going, chosen[going]] < 0.0]
                failed[going, chosen[going]] = 1.0
            nothing = np.zeros(len(test))
            yield Routing(chosen=chosen, called=called, extra_dollars=nothing, extra_tokens=nothing)

    def grid(self, train: OutcomeTable, /) -> Floats:  # noqa: ARG002  the same for every table
        """λ from 0 to 3: beyond it price alone decides."""
        return GRID

    def at(self, knob: float, /) -> Self:
        """The same router, as far as it is fitted, with λ = `knob`."""
        other = copy.copy(self)
        other._price_weight = knob
        return other


def _state(known: Floats, failed: Floats) -> Floats:
    return np.column_stack([known, np.ones(len(known)), failed])


def _unit(rows: Floats) -> tuple[Floats, Floats]:
    length = np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return rows / length, length


def _cosines(states: Floats, agents: Floats) -> Floats:
    return _unit(states)[0] @ _unit(agents)[0].T


def _contrast(states: Floats, place: Ints, weights: Floats, agents: int) -> tuple[Floats, Floats]:
    """Projection of states and vectors of agents; of the positives a state weighs the cheapest pulls most.

    Args:
        states: (S, d + 1 + A), each once.
        place: (n,) the state of each example.
        weights: (n, A) of the agents there.
        agents: A.
    """
    rng = np.random.default_rng(SEED)
    width = states.shape[1]
    start = rng.standard_normal((width + agents, DIMENSIONS)) / np.sqrt(DIMENSIONS)
    if not len(states):
        # Nothing is solved: with all agents alike the cheapest is taken.
        return np.zeros((width, DIMENSIONS)), np.ones((agents, DIMENSIONS))

    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)

    def loss(flat: Floats) -> tuple[float, Floats]:
        held = flat.reshape(start.shape)
        (near, near_length), (own, own_length) = _unit(states @ held[:width]), _unit(held[width:])
        scores = (near @ own.T / TEMPERATURE)[place]
        pulled = scores + log_weights
        all_of, good_of = (_special.logsumexp(one, axis=1, keepdims=True) for one in (scores, pulled))
        slope = (np.exp(scores - all_of) - np.exp(pulled - good_of)) / (TEMPERATURE * len(place))
        slope = sum_by(place, slope, len(states))
        near_slope = _through_unit(slope @ own, near, near_length)
        own_slope = _through_unit(slope.T @ near, own, own_length)
        found = np.vstack([states.T @ near_slope, own_slope]) + 2 * PENALTY * held
        return float((all_of - good_of).mean()) + PENALTY * float((held**2).sum()), found.ravel()

    found = _optimize.minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    held = np.asarray(found.x, np.float64).reshape(start.shape)
    return held[:width], held[width:]


def _through_unit(slope: Floats, unit: Floats, length: Floats) -> Floats:
    """The slope with respect to rows before they were brought to length one."""
    return (slope - unit * (unit * slope).sum(axis=1, keepdims=True)) / length
