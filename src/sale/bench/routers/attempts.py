"""The market's plan of attempts as a router: where a check refuses an agent's work, another agent follows.

The plan is the market's own (`sale.auction.attempt_order`). What it knows of the agents are past outcomes and costs
alone, without bids: each agent's chance is its rate of success on the training table, drawn towards the pool's, its
work costs what it cost there on average, and the spread of difficulty is the likeliest there. So all tasks of a table
have one plan. The check of an answer is the table's `checks`, and what it costs is a share of the work it looks at.

How much a solved task is worth is set as the market's goal `match` sets it (`sale.learning.spending`): as little as
solves as many as the best agent. That module reads a worth between the worths tried, which is right where the curve of
success against cost has a step for each task. Here all tasks take the same few steps at once, and between two worths
lies a step; so one of the worths tried is taken.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np

from sale.auction.attempt_order import MAX_AGENTS, AttemptPlans, best_plans
from sale.bench.routers.estimators import SEED, folds
from sale.bench.routers.learning import PoolFit, need_tasks, recall
from sale.bench.routers.protocol import SOLVED, Bools, Floats, Ints, OutcomeTable, Routing
from sale.bench.routers.tuning import FOLDS, outcome
from sale.errors import InputError
from sale.learning.samples import PRIOR_TASKS
from sale.learning.spending import MAX_WORTH_FACTOR, MIN_WORTH_FACTOR, SHORT
from sale.learning.utility import likeliest_spread
from sale.types import CheckErrors

ATTEMPTS = 3
MARGIN = 1.0
"""Standard errors by which a plan must solve more than the best agent, as in `sale.learning.spending`."""
WORTHS = 60
"""Number of worths of a solved task that are tried, evenly by their logarithms."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckTerms:
    """The check that the plan counts on."""

    false_pass: float = 0.0
    """Share of wrong work that it passes."""
    false_fail: float = 0.0
    """Share of right work that it refuses."""
    price: float = 0.0
    """Its cost, as a share of the work it looks at."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Knowledge:
    """(A,) each, of the training table."""

    chance: Floats
    works: Floats
    spread: float

    @classmethod
    def of(cls, train: OutcomeTable) -> _Knowledge:
        tasks = len(train)
        chance = (train.success.sum(axis=0) + PRIOR_TASKS * float(train.success.mean())) / (tasks + PRIOR_TASKS)
        spread = _spread((train.success >= SOLVED).tobytes(), chance.tobytes())
        return cls(chance=chance, works=train.dollars.mean(axis=0), spread=spread)


@lru_cache(maxsize=128)
def _spread(outcomes: bytes, chances: bytes) -> float:
    """Return the likeliest spread of difficulty; kept, since the same tasks are asked about under every check."""
    chance = np.frombuffer(chances, np.float64)
    good = np.frombuffer(outcomes, np.bool_).reshape(-1, len(chance))
    return likeliest_spread(np.broadcast_to(chance, good.shape), good.astype(np.float64), np.ones_like(good))


@dataclass(frozen=True, kw_only=True, slots=True)
class AttemptPlan:
    """The order of attempts: an agent to try after each set of agents has failed."""

    agents: Ints
    """(K,) places in the table of those who may try, the best by itself first."""
    first: Ints
    """(2^K,) who of them begins after each set has failed."""
    again: Bools
    """(2^K,) whether the work is checked, and another follows if it is refused."""

    def order(self) -> tuple[int, ...]:
        """The places in the table of those who try one after the other, if all are refused."""
        found: list[int] = []
        failed = 0
        while True:
            step = int(self.first[failed])
            found.append(int(self.agents[step]))
            if not self.again[failed]:
                return tuple(found)
            failed |= 1 << step

    def follow(self, test: OutcomeTable, price: float) -> Routing:
        """Return what happens on the tasks of a table whose checks are known."""
        checks = np.zeros(test.success.shape) if test.checks is None else test.checks
        going = np.arange(len(test))
        found = Routing.of(np.zeros(len(test), np.intp), len(test.agents))
        chosen, called = found.chosen.copy(), np.zeros_like(found.called)
        extra = found.extra_dollars.copy()
        failed = 0
        for agent in self.order():
            chosen[going] = agent
            called[going, agent] = True
            if not self.again[failed]:
                break
            extra[going] += price * test.dollars[going, agent]
            failed |= 1 << int(self.first[failed])
            going = going[checks[going, agent] < 0.0]
        return Routing(chosen=chosen, called=called, extra_dollars=extra, extra_tokens=found.extra_tokens)


def by_task(train: OutcomeTable) -> Sequence[tuple[Ints, Ints]]:
    """Folds of single tasks, whatever they come from."""
    return folds(len(train), FOLDS, SEED)


@lru_cache(maxsize=1024)
def _planned(
    chances: bytes, costs: bytes, spread: float, attempts: int, errors: CheckErrors
) -> tuple[AttemptPlan, ...]:
    """Return a plan for each row of costs; kept, since no plan hangs on what a check went on to say."""
    chance = np.frombuffer(chances, np.float64)
    works = np.frombuffer(costs, np.float64).reshape(-1, len(chance))
    best = np.argsort(works - chance, axis=1, kind="stable")[:, :MAX_AGENTS]
    own = np.take_along_axis(works, best, axis=1)
    found: AttemptPlans = best_plans(chance[best], own, np.full(len(works), spread), 1.0, attempts, check=errors)
    return tuple(
        AttemptPlan(agents=best[row], first=found.first[:, row], again=found.again[:, row]) for row in range(len(works))
    )


class CheckedAttempts:
    """As little as solves as many tasks as the best agent alone, a check of stated errors being there."""

    def __init__(
        self,
        check: CheckTerms,
        *,
        attempts: int = ATTEMPTS,
        worth: float | None = None,
        margin: float = MARGIN,
        divide: Callable[[OutcomeTable], Sequence[tuple[Ints, Ints]]] = by_task,
        name: str = "attempts",
    ) -> None:
        """Set the terms.

        Args:
            check: What the plan believes of `checks`.
            attempts: Number of agents that may try a task.
            worth: Of a solved task, in dollars; by the rule of `match` unless given.
            margin: Standard errors by which more tasks must be solved than by the best agent, where the rule is used.
            divide: The folds of training tasks, as (rest, held out), on which the rule looks.
            name: As tables show it.
        """
        if attempts < 1:
            raise InputError(f"attempts must be at least 1, got {attempts!r}", where=name)
        self.name = name
        self._check = check
        self._attempts = attempts
        self._worth = worth
        self._margin = margin
        self._divide = divide
        self._learnt: PoolFit[_Knowledge] | None = None
        self._matched: float | None = None

    @property
    def worth(self) -> float | None:
        """Dollars that a solved task is taken to be worth; `None` before it is known."""
        return self._worth if self._worth is not None else self._matched

    def fit(self, train: OutcomeTable, /) -> None:
        """Learn chances, costs and the spread; then the worth, by cross-validation."""
        need_tasks(train, self.name)
        self._learnt = PoolFit(train.agents, _Knowledge.of(train))
        self._matched = self._match(train) if self._worth is None else None

    def route(self, test: OutcomeTable, /) -> Routing:
        """Follow the plan; `checks` are looked at where the agent was called and its work is checked."""
        return self.plan(test).follow(test, self._check.price)

    def plan(self, test: OutcomeTable) -> AttemptPlan:
        """Return the plan for all tasks of a table."""
        return self._plans(self._known(test), np.array([1.0 if self.worth is None else self.worth]))[0]

    def grid(self, train: OutcomeTable, /) -> Floats:
        """Worths from a tenth of the cheapest work to a thousand times the dearest."""
        works = train.dollars.mean(axis=0)
        works = works[works > 0.0]
        low, high = (float(works.min()), float(works.max())) if len(works) else (1.0, 1.0)
        return np.geomspace(MIN_WORTH_FACTOR * low, MAX_WORTH_FACTOR * high, WORTHS)

    def at(self, knob: float, /) -> Self:
        """The same router, as far as it is fitted, with the worth set."""
        other = copy.copy(self)
        other._worth = knob
        return other

    def sweep(self, test: OutcomeTable, knobs: Iterable[float], /) -> Iterator[Routing]:
        """As `at(knob).route(test)` for each knob."""
        for plan in self._plans(self._known(test), np.array([*knobs])):
            yield plan.follow(test, self._check.price)

    def _known(self, test: OutcomeTable) -> _Knowledge:
        return recall(self._learnt, test, self.name)

    def _plans(self, known: _Knowledge, worths: Floats) -> Sequence[AttemptPlan]:
        """Return the plan at each worth, all at once: only the ratio of cost and worth matters."""
        works = (1.0 + self._check.price) * known.works / worths[:, None]
        errors = CheckErrors(false_pass=self._check.false_pass, false_fail=self._check.false_fail)
        return _planned(known.chance.tobytes(), works.tobytes(), known.spread, self._attempts, errors)

    def _match(self, train: OutcomeTable) -> float:
        worths = self.grid(train)
        success, dollars = np.zeros((WORTHS, len(train))), np.zeros((WORTHS, len(train)))
        for rest, held in self._divide(train) or [(np.arange(len(train)),) * 2]:
            known, table = _Knowledge.of(train.take(rest)), train.take(held)
            done: dict[tuple[int, ...], tuple[Floats, Floats]] = {}
            for row, plan in enumerate(self._plans(known, worths)):
                order = plan.order()
                if order not in done:
                    done[order] = outcome(plan.follow(table, self._check.price), table)
                success[row, held], dollars[row, held] = done[order]
        return float(worths[match(success, dollars, train, self._margin)])


def match(success: Floats, dollars: Floats, train: OutcomeTable, margin: float = MARGIN) -> int:
    """Return the setting that is the least that matches the best agent; only what costs no more than it is taken.

    One matches that solves more by over `margin` standard errors of the paired difference. Where none does, those match
    that solve within half a task of the most; where none is cheap enough, the cheapest is taken.

    Args:
        success: (S, T) of each setting, where it did not see the task.
        dollars: (S, T)
        train: The tasks, with the best agent among its agents.
        margin: Standard errors.
    """
    best = int(np.argmax(train.success.mean(axis=0)))
    lead, cost = success - train.success[:, best], dollars.mean(axis=1)
    tasks = lead.shape[1]
    error = lead.std(axis=1, ddof=1) / np.sqrt(tasks) if tasks > 1 else np.zeros(len(lead))
    cheap = cost <= train.dollars[:, best].mean()
    if not cheap.any():
        return int(np.argmin(cost))
    good = cheap & (lead.mean(axis=1) > margin * error)
    if not good.any():
        solved = success.sum(axis=1)
        good = cheap & (solved >= solved[cheap].max() - SHORT)
    return int(np.flatnonzero(good)[np.argmin(cost[good])])
