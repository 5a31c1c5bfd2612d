"""Everybody who takes part in a comparison, run over one record: single agents, baselines, the market, its ablations.

Baselines work as they would without a market: no plan is written, and the chosen agent answers directly. The market's
winner follows its plan, as the method has it; "plan as a signal" is the same choice with the work done directly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sale.bench.market_router import ablations, default_weights, order_table
from sale.bench.metrics import DecisionOutcomes, settle
from sale.bench.replay import RecordedTasks
from sale.bench.report.by_hand import RULES
from sale.bench.report.cross_validation import FOLDS, cross_fit, train_and_route
from sale.bench.report.fitted import TrainedWeights, fitted_markets
from sale.bench.routers.baselines import fixed_routers, learnt_routers
from sale.bench.routers.features import Features
from sale.bench.routers.fixed import Oracle, Random, SingleAgent
from sale.bench.routers.protocol import OutcomeTable, Router, Routing
from sale.config import RouterSettings

MIN_TRAINING_TASKS = 30
"""Fewer training tasks than this are no training set: baselines are then fitted on the test tasks they do not route."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contender:
    """One row of the comparison."""

    name: str
    settled: DecisionOutcomes
    runs: int = 1
    """Task orders, where it ran over several."""
    baseline: bool = True
    """True where it is compared with the best single agent: not the oracle, which is out of competition."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DomainComparison:
    """One domain's comparison."""

    recorded: RecordedTasks
    direct: OutcomeTable
    planned: OutcomeTable
    contenders: tuple[Contender, ...]
    ablations: tuple[Contender, ...]
    orders: tuple[tuple[OutcomeTable, Routing], ...]
    train: RecordedTasks | None
    """The tasks learnt routers were fitted on; `None`: cross-fitted on the test tasks themselves."""
    trained_on: str
    """In words: the dev tasks, or how else."""

    def find(self, name: str) -> Contender:
        """A contender by its name."""
        return next(one for one in (*self.contenders, *self.ablations) if one.name == name)


def compare(
    recorded: RecordedTasks,
    dev: RecordedTasks | None,
    features: Features,
    lessons: TrainedWeights,
    more: Sequence[RouterSettings] = (),
) -> DomainComparison:
    """Everybody over one record.

    Args:
        recorded: The test tasks.
        dev: The training tasks; with fewer than `MIN_TRAINING_TASKS` of them baselines are cross-fitted on the test
            ones.
        features: Shared sentence embeddings, for the baselines.
        lessons: What the market learns on training sets.
        more: Routers that settings name, beside the baselines.
    """
    direct, planned = recorded.table(planned=False), recorded.table(planned=True)
    train = dev if dev is not None and len(dev.tasks) >= MIN_TRAINING_TASKS else None
    known = train.table(planned=False) if train is not None else None
    # "Always the cheapest" and its like are one of the single agents under another name.
    plain = [
        router for router in fixed_routers(direct.agents) if isinstance(router, Random) or type(router) is SingleAgent
    ]
    contenders = [_alone(router, direct) for router in plain]
    for router in learnt_routers(features, answers=True, more=more):
        routing = train_and_route(router, known, direct) if known is not None else cross_fit(router, direct)
        contenders.append(Contender(name=router.name, settled=settle((direct, routing))))
    for rule in RULES:
        if rule.suits(direct.agents):
            contenders.append(Contender(name=rule.name, settled=settle((direct, rule.route(recorded, direct)))))
    found = ablations(recorded, default_weights(recorded))
    market = found[0].route(planned)
    contenders.append(Contender(name="SALE without memory", settled=settle((planned, market))))
    contenders.append(Contender(name="SALE without memory, plan as a signal", settled=settle((direct, market))))
    orders = tuple(order_table(recorded, order) for order in recorded.orders)
    if orders:
        contenders.append(Contender(name="SALE", settled=settle(*orders), runs=len(orders)))
    for way in fitted_markets(len(direct.agents)):
        if (settled := way.decide(recorded, train, direct, lessons)) is not None:
            contenders.append(Contender(name=way.name, settled=settled))
    oracle = Oracle()
    oracle.fit(direct)
    contenders.append(Contender(name="oracle", settled=settle((direct, oracle.route(direct))), baseline=False))
    return DomainComparison(
        recorded=recorded,
        direct=direct,
        planned=planned,
        contenders=tuple(contenders),
        ablations=tuple(Contender(name=one.name, settled=settle((planned, one.route(planned)))) for one in found),
        orders=orders,
        train=train,
        trained_on=f"{len(train.tasks)} dev tasks"
        if train is not None
        else f"the test tasks themselves, cross-fitted in {FOLDS} folds: too few dev tasks are on record",
    )


def _alone(router: Router, table: OutcomeTable) -> Contender:
    router.fit(table)
    return Contender(name=router.name, settled=settle((table, router.route(table))))


def combine_domains(fields: Sequence[DomainComparison], name: str) -> DecisionOutcomes | None:
    """A contender over all domains, where it ran in all."""
    parts = [one.settled for field in fields for one in field.contenders if one.name == name]
    if len(parts) < len(fields):
        return None
    tokens = [part.tokens for part in parts if part.tokens is not None]
    return DecisionOutcomes(
        agents=parts[0].agents,
        ids=tuple(task for part in parts for task in part.ids),
        chosen=np.concatenate([part.chosen for part in parts]),
        success=np.concatenate([part.success for part in parts]),
        dollars=np.concatenate([part.dollars for part in parts]),
        extra=np.concatenate([part.extra for part in parts]),
        tokens=np.concatenate(tokens) if len(tokens) == len(parts) else None,
    )
