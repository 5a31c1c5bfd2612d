"""What is known of past tasks when a task is decided: a number of them, never the task itself.

A test task is decided by what was learnt from dev tasks and from the test tasks of the other folds; of these as many
are drawn as the row says. Everything that learns gets the same ones, with the outcomes of all agents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sale.bench.metrics import DecisionOutcomes, settle
from sale.bench.replay import RecordedTasks, merge_records
from sale.bench.report.cross_validation import FOLDS, join_routings
from sale.bench.routers.estimators import folds
from sale.bench.routers.protocol import Ints, OutcomeTable, Routing
from sale.errors import InputError

SEED = 20261128
PASTS: tuple[int | None, ...] = (0, 10, 30, 100, None)
"""How many past tasks; `None` is all there are."""
DRAWS = 1
"""Draws of the past for each number and fold; fitting every router on more takes hours."""

Decide = Callable[[RecordedTasks, RecordedTasks], Routing]
"""Given the past and the tasks to decide, who does them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lot:
    """Some test tasks with what is known when they are decided."""

    rows: Ints
    test: RecordedTasks
    past: RecordedTasks


def lots(test: RecordedTasks, dev: RecordedTasks | None, number: int | None, draw: int) -> Iterator[Lot]:
    """Every test task once, in folds, each with a past.

    Args:
        test: The test tasks.
        dev: The dev tasks.
        number: Of past tasks; all where `None`, or where there are no more.
        draw: Which draw.
    """
    known = test if dev is None else merge_records([test, dev])
    first = len(test.tasks)
    for fold, (train, held) in enumerate(folds(first, FOLDS, SEED)):
        able = np.concatenate([train, np.arange(first, len(known.tasks))])
        rng = np.random.default_rng([SEED, draw, fold])
        drawn = rng.permutation(able)[: len(able) if number is None else number]
        yield Lot(rows=held, test=some(known, held), past=some(known, np.sort(drawn)))


def some(recorded: RecordedTasks, rows: Ints | Sequence[int]) -> RecordedTasks:
    """Some tasks of a record."""
    return replace(recorded, tasks=[recorded.tasks[int(row)] for row in rows])


def decided(
    test: RecordedTasks, dev: RecordedTasks | None, table: OutcomeTable, number: int | None, decide: Decide
) -> DecisionOutcomes | None:
    """What comes of a way to decide with so large a past; `None` where that is too little for it.

    Runs over several draws of the past are one after the other; rows of one task are no news about other tasks.
    """
    runs: list[tuple[OutcomeTable, Routing]] = []
    for draw in range(1 if number in {0, None} else DRAWS):
        parts: list[tuple[Ints, Routing]] = []
        for lot in lots(test, dev, number, draw):
            try:
                parts.append((lot.rows, decide(lot.past, lot.test)))
            except (InputError, ValueError):
                return None
        runs.append((table, join_routings(parts, table)))
    return settle(*runs)
