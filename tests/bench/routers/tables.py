"""Small outcome tables, made up, for the router tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from sale.bench.routers.baselines import RELATED, baselines, evoroute, oi_mas, strmac
from sale.bench.routers.features import WordNgrams
from sale.bench.routers.frugalgpt import FrugalGpt
from sale.bench.routers.protocol import Floats, OutcomeTable, Router

KINDS = (("apple", "pear", "plum", "fig"), ("sort", "list", "loop", "stack"), ("city", "river", "king", "war"))
PRICES = np.array([0.05, 0.09, 0.16, 0.36])
FEATURES = WordNgrams()
MAKERS = {"evoroute": evoroute, "oi-mas": oi_mas, "strmac": strmac}


def table_of(success: Sequence[Sequence[float]] | Floats, **changes: object) -> OutcomeTable:
    """A table of these outcomes; agent a costs a + 1 dollars, its price is a + 1, texts differ by task."""
    given = np.asarray(success, dtype=np.float64)
    tasks, agents = given.shape
    table = OutcomeTable(
        agents=tuple(f"agent-{agent}" for agent in range(agents)),
        prices=np.arange(1.0, agents + 1),
        ids=tuple(f"task-{task}" for task in range(tasks)),
        texts=tuple(f"{KINDS[task % 3][task % 4]} number {task}" for task in range(tasks)),
        success=given,
        dollars=np.tile(np.arange(1.0, agents + 1), (tasks, 1)),
        answers=tuple(tuple(f"answer {task} of {agent}" for agent in range(agents)) for task in range(tasks)),
    )
    return replace(table, **changes)  # pyright: ignore[reportArgumentType]


def separable(tasks: int, seed: int) -> OutcomeTable:
    """Three kinds of tasks told apart by their words; agents 0, 1 and 2 each do one kind, agent 3 none.

    An answer says whether it is right, so that a scorer can learn it.
    """
    rng = np.random.default_rng(seed)
    kinds = rng.integers(3, size=tasks)
    success = np.zeros((tasks, 4))
    success[np.arange(tasks), kinds] = 1.0
    said = ("wrong", "right")
    return OutcomeTable(
        agents=("a", "b", "c", "d"),
        prices=PRICES,
        ids=tuple(map(str, range(tasks))),
        texts=tuple(" ".join(rng.choice(KINDS[kind], size=3)) for kind in kinds),
        success=success,
        dollars=np.tile([1.0, 2.0, 3.0, 8.0], (tasks, 1)) * rng.uniform(0.9, 1.1, (tasks, 4)),
        answers=tuple(tuple(f"{said[int(done)]} answer" for done in row) for row in success),
    )


def everyone(table: OutcomeTable) -> list[Router]:
    """Every baseline and related system, over word n-grams: real features without a model."""
    return [*baselines(FEATURES, table), *(MAKERS[name](FEATURES) for name in RELATED)]


def names() -> list[str]:
    """Of every baseline but the agents alone, for parametrising."""
    return [router.name for router in everyone(separable(2, 0))[4:]]


def called(name: str, table: OutcomeTable) -> Router:
    """A fresh baseline."""
    return next(router for router in everyone(table) if router.name == name)


def cascade(budget: float = np.inf) -> FrugalGpt:
    """A fresh cascade."""
    return FrugalGpt(FEATURES, budget=budget)
