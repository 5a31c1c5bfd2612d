"""Everybody who takes part in a comparison, run over one record: single agents, baselines, the market, its ablations.

Baselines work as they would without a market: no plan is written, and the chosen agent answers directly. The market's
winner follows its plan, as the method has it; "plan as a signal" is the same choice with the work done directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sale.bench.market_router import ablations, default_weights, order_table
from sale.bench.metrics import Settled, settle
from sale.bench.online import Embed, Policy, examples_of, run
from sale.bench.replay import Recorded
from sale.bench.routers.baselines import fixed, learnt
from sale.bench.routers.estimators import folds
from sale.bench.routers.features import Features
from sale.bench.routers.fixed import Oracle, Random, SingleAgent
from sale.bench.routers.protocol import Ints, OutcomeTable, Router, Routing
from sale.errors import InputError
from sale.learning.fit import fit
from sale.learning.spending import HALF, Spend
from sale.types import Example, Objective, Weights

FOLDS = 5
SEED = 7
SOLVER_SECONDS = 20.0
"""What the exact solvers may take for one fit; at these sizes they finish long before."""
SAME_MONEY = Spend(1.0)
"""Another point on the market's curve of success against cost: first awards may cost what the best agent would."""
FEWEST_TRAINING = 30
"""Fewer training tasks than this are no training set: baselines are then fitted on the test tasks they do not route."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """One row of the comparison."""

    name: str
    settled: Settled
    runs: int = 1
    """Task orders, where it ran over several."""
    baseline: bool = True
    """Whether it is compared with the best single agent: not the oracle, which is out of competition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Field:
    """One domain's comparison."""

    recorded: Recorded
    direct: OutcomeTable
    planned: OutcomeTable
    contenders: tuple[Contender, ...]
    ablations: tuple[Contender, ...]
    orders: tuple[tuple[OutcomeTable, Routing], ...]
    trained_on: str
    """In words: the dev tasks, or how else."""

    def named(self, name: str) -> Contender:
        """A contender by its name."""
        return next(one for one in (*self.contenders, *self.ablations) if one.name == name)


def compare(recorded: Recorded, dev: Recorded | None, features: Features, embed: Embed) -> Field:
    """Everybody over one record.

    Args:
        recorded: The test tasks.
        dev: The training tasks; with fewer than `FEWEST_TRAINING` of them baselines are cross-fitted on the test ones.
        features: Shared sentence embeddings, for the baselines.
        embed: The same, as the market's memory sees them.
    """
    direct, planned = recorded.table(planned=False), recorded.table(planned=True)
    train = dev.table(planned=False) if dev is not None and len(dev.tasks) >= FEWEST_TRAINING else None
    # "Always the cheapest" and its like are one of the single agents under another name.
    plain = [router for router in fixed(direct.agents) if isinstance(router, Random) or type(router) is SingleAgent]
    contenders = [_alone(router, direct) for router in plain]
    for router in learnt(features, answers=True):
        routing = _trained(router, train, direct) if train is not None else cross_fitted(router, direct)
        contenders.append(Contender(name=router.name, settled=settle((direct, routing))))
    found = ablations(recorded, default_weights(recorded))
    market = found[0].route(planned)
    contenders.append(Contender(name="SALE without memory", settled=settle((planned, market))))
    contenders.append(Contender(name="SALE without memory, plan as a signal", settled=settle((direct, market))))
    orders = tuple(order_table(recorded, order) for order in recorded.orders)
    if orders:
        contenders.append(Contender(name="SALE", settled=settle(*orders), runs=len(orders)))
    contenders += _fitted(recorded, dev if train is not None else None, direct, embed)
    oracle = Oracle()
    oracle.fit(direct)
    contenders.append(Contender(name="oracle", settled=settle((direct, oracle.route(direct))), baseline=False))
    return Field(
        recorded=recorded,
        direct=direct,
        planned=planned,
        contenders=tuple(contenders),
        ablations=tuple(Contender(name=one.name, settled=settle((planned, one.route(planned)))) for one in found),
        orders=orders,
        trained_on=f"{len(train)} dev tasks"
        if train is not None
        else f"the test tasks themselves, cross-fitted in {FOLDS} folds: too few dev tasks are on record",
    )


def _fitted(recorded: Recorded, dev: Recorded | None, direct: OutcomeTable, embed: Embed) -> list[Contender]:
    """The market with weights fitted on what the baselines are trained on, and remembering no more than that.

    Work is done without a plan. With the objective `utility` auctions are held only where they pay; "next best bid"
    sends on work that fails the examples in the task's own text, as often as that is expected to pay. First awards may
    cost half of what the best agent alone would, by training tasks; "full spend" as much as it. The other objectives
    know bids alone, so they auction every task.
    """
    found: list[Contender] = []
    every = len(recorded.agents)
    variants: tuple[tuple[str, Objective, int, Spend], ...] = (
        ("SALE fitted", "utility", 1, HALF),
        ("SALE fitted, next best bid", "utility", every, HALF),
        ("SALE fitted, next best bid, full spend", "utility", every, SAME_MONEY),
        ("SALE fitted, margin", "margin", 1, HALF),
        ("SALE fitted, minmax", "minmax", 1, HALF),
    )
    lessons = _Lessons(embed=embed)
    for name, objective, attempts, spend in variants:
        market = _Fitted(name=name, objective=objective, attempts=attempts, spend=spend, lessons=lessons)
        routing = market.routing(dev, recorded) if dev is not None else _across(recorded, direct, market.routing)
        if routing is not None:
            found.append(Contender(name=name, settled=settle((direct, routing))))
    return found


@dataclass(frozen=True, kw_only=True, slots=True)
class _Fitted:
    """One way to fit the market."""

    name: str
    objective: Objective
    attempts: int
    spend: Spend
    lessons: _Lessons

    def routing(self, train: Recorded, test: Recorded) -> Routing:
        """Fit on some tasks, decide the others.

        Raises:
            InputError: The training tasks are too few.
        """
        weights = self.lessons.weights(self.objective, self.spend, train)
        policy = Policy(name=self.name, weights=weights, attempts=self.attempts, learn=False)
        return run(test, train, policy, self.lessons.embed, SEED).routing


@dataclass(frozen=True, kw_only=True, slots=True)
class _Lessons:
    """What is fitted on a training set, once: several ways to run the market share it."""

    embed: Embed
    _examples: dict[tuple[str, ...], tuple[Example, ...]] = field(
        default_factory=dict[tuple[str, ...], tuple[Example, ...]]
    )
    _weights: dict[tuple[Objective, Spend, tuple[str, ...]], Weights] = field(
        default_factory=dict[tuple[Objective, Spend, tuple[str, ...]], Weights]
    )

    def weights(self, objective: Objective, spend: Spend, train: Recorded) -> Weights:
        """The weights that these tasks give.

        Raises:
            InputError: They are too few.
        """
        tasks = tuple(task.id for task in train.tasks)
        if tasks not in self._examples:
            self._examples[tasks] = examples_of(train, self.embed)
        if (objective, spend, tasks) not in self._weights:
            found = fit(self._examples[tasks], objective, worth=spend, seconds=SOLVER_SECONDS)
            self._weights[objective, spend, tasks] = found.weights
        return self._weights[objective, spend, tasks]


def _across(
    recorded: Recorded, table: OutcomeTable, trained: Callable[[Recorded, Recorded], Routing]
) -> Routing | None:
    """Every task decided by weights that were fitted on the other folds; `None` where these are too few to fit."""
    parts: list[tuple[Ints, Routing]] = []
    for train, test in folds(len(table), FOLDS, SEED):
        try:
            parts.append((test, trained(_some(recorded, train), _some(recorded, test))))
        except InputError:
            return None
    return joined(parts, table)


def _some(recorded: Recorded, rows: Ints) -> Recorded:
    return replace(recorded, tasks=[recorded.tasks[int(row)] for row in rows])


def _alone(router: Router, table: OutcomeTable) -> Contender:
    router.fit(table)
    return Contender(name=router.name, settled=settle((table, router.route(table))))


def _trained(router: Router, train: OutcomeTable, test: OutcomeTable) -> Routing:
    router.fit(train)
    return router.route(test)


def cross_fitted(router: Router, table: OutcomeTable) -> Routing:
    """Every task routed by a router that was fitted on the other folds."""
    split = folds(len(table), FOLDS, SEED)
    return joined([(test, _trained(router, table.take(train), table.take(test))) for train, test in split], table)


def joined(parts: Iterable[tuple[Ints, Routing]], table: OutcomeTable) -> Routing:
    """Routings of some rows each, as one of all rows."""
    whole = Routing.of(np.zeros(len(table), dtype=np.intp), len(table.agents))
    chosen, called = whole.chosen.copy(), np.zeros_like(whole.called)
    dollars, tokens = whole.extra_dollars.copy(), whole.extra_tokens.copy()
    for rows, part in parts:
        chosen[rows], called[rows] = part.chosen, part.called
        dollars[rows], tokens[rows] = part.extra_dollars, part.extra_tokens
    return replace(whole, chosen=chosen, called=called, extra_dollars=dollars, extra_tokens=tokens)


def together(fields: Sequence[Field], name: str) -> Settled | None:
    """A contender over all domains, where it ran in all."""
    parts = [one.settled for field in fields for one in field.contenders if one.name == name]
    if len(parts) < len(fields):
        return None
    tokens = [part.tokens for part in parts if part.tokens is not None]
    return Settled(
        agents=parts[0].agents,
        ids=tuple(task for part in parts for task in part.ids),
        chosen=np.concatenate([part.chosen for part in parts]),
        success=np.concatenate([part.success for part in parts]),
        dollars=np.concatenate([part.dollars for part in parts]),
        extra=np.concatenate([part.extra for part in parts]),
        tokens=np.concatenate(tokens) if len(tokens) == len(parts) else None,
    )
