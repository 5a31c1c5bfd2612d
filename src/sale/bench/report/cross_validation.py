"""Training and deciding on the same tasks without mixing the two: every task by what was learnt on the other folds."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from sale.bench.replay import RecordedTasks
from sale.bench.routers.estimators import folds
from sale.bench.routers.protocol import Ints, OutcomeTable, Router, Routing
from sale.errors import InputError

FOLDS = 5
SEED = 7


def train_and_route(router: Router, train: OutcomeTable, test: OutcomeTable) -> Routing:
    """The test tasks routed by a router that was fitted on the training tasks."""
    router.fit(train)
    return router.route(test)


def cross_fit(router: Router, table: OutcomeTable) -> Routing:
    """Every task routed by a router that was fitted on the other folds."""
    split = folds(len(table), FOLDS, SEED)
    return join_routings(
        [(test, train_and_route(router, table.take(train), table.take(test))) for train, test in split], table
    )


def decide_across_folds(
    recorded: RecordedTasks, table: OutcomeTable, decide: Callable[[RecordedTasks, RecordedTasks], Routing]
) -> Routing | None:
    """Every task decided by what was learnt on the other folds; `None` where these are too few to learn from.

    Args:
        recorded: All tasks.
        table: The same, in this order.
        decide: Given the training tasks and those to route; an `InputError` says that the former are too few.
    """
    parts: list[tuple[Ints, Routing]] = []
    for train, test in folds(len(table), FOLDS, SEED):
        try:
            parts.append((test, decide(_some(recorded, train), _some(recorded, test))))
        except InputError:
            return None
    return join_routings(parts, table)


def join_routings(parts: Iterable[tuple[Ints, Routing]], table: OutcomeTable) -> Routing:
    """Routings of some rows each, as one of all rows."""
    whole = Routing.of(np.zeros(len(table), dtype=np.intp), len(table.agents))
    chosen, called = whole.chosen.copy(), np.zeros_like(whole.called)
    dollars, tokens = whole.extra_dollars.copy(), whole.extra_tokens.copy()
    for rows, part in parts:
        chosen[rows], called[rows] = part.chosen, part.called
        dollars[rows], tokens[rows] = part.extra_dollars, part.extra_tokens
    return replace(whole, chosen=chosen, called=called, extra_dollars=dollars, extra_tokens=tokens)


def _some(recorded: RecordedTasks, rows: Ints) -> RecordedTasks:
    return replace(recorded, tasks=[recorded.tasks[int(row)] for row in rows])
