"""COPE over small made-up tables of crossed cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from sale.bench.routers.cope import STAGES, Cope, Thresholds
from sale.bench.routers.protocol import Floats, OutcomeTable
from sale.bench.routers.tuning import TunedRouter, curve, outcome
from sale.errors import InputError
from tests.bench.routers.tables import FEATURES, table_of

COSTS = np.array([1.0, 2.0, 5.0])


def cells(success: Sequence[Sequence[float]], checks: Floats | None = None) -> OutcomeTable:
    """A table of these outcomes; an answer says whether it is right, so that a scorer can learn it."""
    said = ("wrong", "right")
    return replace(
        table_of(success),
        agents=STAGES,
        prices=np.array([1.0, 1.0, 3.0]),
        dollars=np.tile(COSTS, (len(success), 1)),
        answers=tuple(tuple(f"{said[int(done)]} answer" for done in row) for row in success),
        checks=checks,
    )


def fitted(table: OutcomeTable, budget: float = np.inf) -> Cope:
    router = Cope(FEATURES, budget=budget)
    router.fit(table)
    return router


MIXED = cells([[1, 1, 1], [0, 1, 1], [0, 0, 1], [0, 0, 0]] * 6)


def test_a_stage_whose_examples_fail_is_not_the_last() -> None:
    success = [[1, 0, 0], [0, 1, 0], [0, 0, 1]] * 4
    table = cells(success, checks=2 * np.array(success, dtype=np.float64) - 1)
    routing = fitted(table).route(table)
    assert routing.chosen.tolist() == [0, 1, 2] * 4
    assert routing.called.tolist() == [[True, False, False], [True, True, False], [True, True, True]] * 4
    done, dollars = outcome(routing, table)
    assert done.tolist() == [1.0] * 12
    assert dollars.tolist() == [1.0, 3.0, 8.0] * 4, "every stage on the way is paid"


def test_where_there_are_no_examples_the_answer_is_scored() -> None:
    done, dollars = outcome(fitted(MIXED).route(MIXED), MIXED)
    assert done.reshape(6, 4).mean(axis=0).tolist() == [1.0, 1.0, 1.0, 0.0]
    # Nobody solves the last task of four: it goes through all stages, as a task that the third one solves does.
    assert dollars.reshape(6, 4).mean(axis=0).tolist() == [1.0, 3.0, 8.0, 8.0]


def test_a_budget_buys_fewer_stages() -> None:
    assert outcome(fitted(MIXED, budget=1.0).route(MIXED), MIXED)[1].tolist() == [1.0] * len(MIXED)
    done, dollars = outcome(fitted(MIXED, budget=3.0).route(MIXED), MIXED)
    assert dollars.mean() <= 3.0
    assert done.mean() == 0.5
    too_little = fitted(MIXED, budget=0.5)
    assert too_little.choice == Thresholds(first=0.0, second=0.0), "the cheapest there is"


def test_where_stages_are_equal_the_cheaper_is_taken() -> None:
    table = cells([[1, 1, 1], [0, 0, 0]] * 8)
    done, dollars = outcome(fitted(table).route(table), table)
    assert done.mean() == 0.5
    assert dollars.mean() == 1.0


def test_outcomes_and_answers_beyond_the_last_stage_are_not_looked_at() -> None:
    router = fitted(MIXED)
    routing = router.route(MIXED)
    assert MIXED.answers is not None
    hidden = tuple(
        tuple(answer if paid else "never seen" for answer, paid in zip(answers, called, strict=True))
        for answers, called in zip(MIXED.answers, routing.called.tolist(), strict=True)
    )
    blind = replace(MIXED, success=np.zeros(MIXED.success.shape), answers=hidden)
    again = router.route(blind)
    assert again.chosen.tolist() == routing.chosen.tolist()
    assert again.called.tolist() == routing.called.tolist()


def test_its_knob_is_the_budget() -> None:
    points = curve(Cope(FEATURES), MIXED, MIXED)
    assert [point.success for point in points] == sorted(point.success for point in points)
    assert points[0].success == 0.25
    assert points[-1].success == 0.75
    tuned = TunedRouter("COPE", [Cope(FEATURES)])
    tuned.fit(MIXED)
    assert outcome(tuned.route(MIXED), MIXED)[0].mean() >= 0.5


def test_it_decides_nothing_where_there_is_nothing() -> None:
    routing = fitted(MIXED).route(MIXED.take([]))
    assert routing.called.shape == (0, 3)
    with pytest.raises(InputError, match="no task to learn from"):
        Cope(FEATURES).fit(MIXED.take([]))
    with pytest.raises(InputError, match="not been fitted"):
        Cope(FEATURES).route(MIXED)
    free = replace(MIXED, dollars=np.zeros(MIXED.dollars.shape))
    assert Cope(FEATURES).grid(free).tolist() == [0.0, np.inf]


def test_a_table_of_agents_is_refused() -> None:
    with pytest.raises(InputError, match="need crossed cells"):
        Cope(FEATURES).fit(table_of([[1, 0, 1]]))
    with pytest.raises(InputError, match="has none"):
        Cope(FEATURES).fit(replace(MIXED, answers=None))
    with pytest.raises(InputError, match="must not be negative"):
        Cope(FEATURES, budget=-1.0)
