"""The plan of attempts as a router: who is called, what is paid, and that it does what the market does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sale.bench.routers.attempts import CheckedAttempts, CheckTerms, match
from sale.bench.routers.protocol import Floats, Ints, OutcomeTable
from sale.bench.routers.tuning import outcome
from sale.errors import InputError
from sale.learning.attempts import follow_attempts
from sale.learning.dataset import CompletedOutcomes
from sale.learning.decision import BidPredictions
from sale.types import CheckErrors
from tests.bench.routers.tables import table_of

SURE = CheckTerms(price=0.1)


def pool(tasks: int = 400, seed: int = 0, *, spread: float = 1.0) -> OutcomeTable:
    """A cheap agent that solves half, and a dear one, ten times as much, that solves three quarters."""
    rng = np.random.default_rng(seed)
    hard = rng.normal(size=(tasks, 1)) * spread
    chance = 1.0 / (1.0 + np.exp(hard - np.array([0.0, 1.3])))
    good = (rng.random((tasks, 2)) < chance).astype(float)
    return replace(
        table_of(good), dollars=np.tile([0.1, 1.0], (tasks, 1)) * rng.uniform(0.8, 1.2, (tasks, 2)), checks=told(good)
    )


def told(good: Floats, *, false_pass: float = 0.0, false_fail: float = 0.0, seed: int = 1) -> Floats:
    drawn = np.random.default_rng(seed).random(good.shape)
    return np.where(np.where(good > 0.5, drawn >= false_fail, drawn < false_pass), 1.0, -1.0)


def test_refused_work_goes_to_the_next_agent_and_all_is_paid() -> None:
    table = pool()
    router = CheckedAttempts(SURE, worth=5.0)
    router.fit(table)
    assert router.plan(table).order() == (0, 1)
    routing = router.route(table)
    failed = table.success[:, 0] == 0.0
    assert routing.called.tolist() == [[True, bool(one)] for one in failed]
    assert routing.chosen.tolist() == failed.astype(int).tolist()
    assert routing.extra_dollars == pytest.approx(0.1 * table.dollars[:, 0]), "the last work is not looked at"
    success, _ = outcome(routing, table)
    assert success.mean() == table.success.max(axis=1).mean()


def test_outcomes_are_not_looked_at_and_checks_only_where_paid_for() -> None:
    table = pool()
    router = CheckedAttempts(SURE, worth=5.0)
    router.fit(table)
    routing = router.route(table)
    assert table.checks is not None
    blind = replace(table, success=1.0 - table.success, checks=np.where(routing.called, table.checks, -table.checks))
    again = router.route(blind)
    assert np.array_equal(routing.chosen, again.chosen)
    assert np.array_equal(routing.called, again.called)


def test_without_a_check_the_first_award_is_the_only_one() -> None:
    table = replace(pool(), checks=None)
    router = CheckedAttempts(SURE, worth=5.0)
    router.fit(table)
    assert router.route(table).called.sum(axis=1).tolist() == [1] * len(table)


def test_a_check_that_tells_nothing_is_not_built_upon() -> None:
    table = pool()
    router = CheckedAttempts(CheckTerms(false_pass=1.0), worth=50.0)
    router.fit(table)
    assert router.plan(table).order() == (1,)


@pytest.mark.parametrize("worth", [0.5, 2.0, 8.0, 30.0])
@pytest.mark.parametrize("errors", [(0.0, 0.0), (0.2, 0.1), (0.5, 0.3)])
def test_it_does_what_the_market_does_on_the_mean(worth: float, errors: tuple[float, float]) -> None:
    table = pool()
    terms = CheckTerms(false_pass=errors[0], false_fail=errors[1])
    router = CheckedAttempts(terms, worth=worth, attempts=2)
    router.fit(table)
    drawn = [
        outcome(router.route(one), one)
        for seed in range(200)
        if (one := replace(table, checks=told(table.success, false_pass=errors[0], false_fail=errors[1], seed=seed)))
    ]
    known = router._known(table)  # pyright: ignore[reportPrivateUsage]
    shape = table.success.shape
    prospects = replace(
        BidPredictions.blank(shape),
        chance=np.tile(known.chance, (shape[0], 1)),
        works=1e6 * np.tile(known.works, (shape[0], 1)),
        difficulty=np.full(shape[0], known.spread),
    )
    completed = CompletedOutcomes(
        success=table.success, dollars=table.dollars, guess=np.zeros(shape), average=np.zeros(shape), notes=()
    )
    checked = np.ones(shape[0], np.bool_)
    check = CheckErrors(false_pass=errors[0], false_fail=errors[1])
    theirs = follow_attempts(prospects, completed, checked, worth, 2, check)
    assert np.mean([one[0].mean() for one in drawn]) == pytest.approx(theirs.success.mean(), abs=0.004)
    assert np.mean([one[1].mean() for one in drawn]) == pytest.approx(theirs.dollars.mean(), rel=0.01)


def test_a_plan_that_believes_too_much_of_a_check_pays_for_what_the_check_is() -> None:
    """A check that refuses all good work: by itself the dear agent is best, with a good check the cheap one begins."""
    shape = (1, 2)
    chance, works = np.array([[0.5, 0.9]]), np.array([[1e5, 1e6]])
    prospects = replace(BidPredictions.blank(shape), chance=chance, works=works, difficulty=np.zeros(1))
    completed = CompletedOutcomes(
        success=chance, dollars=works / 1e6, guess=np.zeros(shape), average=np.zeros(shape), notes=()
    )
    strict, checked = CheckErrors(false_fail=1.0), np.ones(1, np.bool_)
    warned = follow_attempts(prospects, completed, checked, 10.0, 2, strict)
    misled = follow_attempts(prospects, completed, checked, 10.0, 2, strict, CheckErrors())
    assert (warned.dollars.tolist(), warned.success.tolist()) == ([1.0], [0.9])
    assert misled.dollars == pytest.approx([1.1])
    paid = follow_attempts(prospects, completed, checked, 10.0, 2, CheckErrors(dollars=0.05))
    assert paid.dollars == pytest.approx([0.1 + 0.05 + 0.5 * 1.0]), "the last work is not checked"


def test_the_worth_is_as_little_as_matches_the_best_agent() -> None:
    table = pool(1200)
    router = CheckedAttempts(CheckTerms(price=0.02))
    router.fit(table)
    success, dollars = outcome(router.route(table), table)
    assert router.plan(table).order() == (0, 1)
    assert success.mean() > table.success[:, 1].mean()
    assert dollars.mean() < 0.7 * table.dollars[:, 1].mean()


def test_match_by_hand() -> None:
    table = replace(table_of(np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 1.0]])), dollars=np.ones((4, 2)) * 2)
    solved = np.array([[0.0, 0, 0, 1], [0, 1, 0, 1], [1, 1, 0, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    spent = np.repeat([[0.5], [0.6], [0.7], [1.9], [9.0]], 4, axis=1)
    assert match(solved, spent, table) == 3, "one more task of four is no more than a standard error"
    assert match(solved[:3], spent[:3], table) == 2
    assert match(np.ones((2, 4)), spent[:2], replace(table, success=np.array([[1.0, 0.0]] * 4))) == 0
    assert match(solved, spent + 9.0, table) == 0, "nothing is cheap enough: the cheapest"


def test_a_lead_of_more_than_a_standard_error_is_enough() -> None:
    table = replace(table_of(np.tile([[0.0, 1.0], [0.0, 0.0]], (20, 1))), dollars=np.ones((40, 2)) * 2)
    some = np.tile([1.0, 0.0], 20)
    some[1:9:2] = 1.0
    assert match(np.stack([some, np.ones(40)]), np.stack([np.full(40, 0.5), np.ones(40)]), table) == 0


def test_refusals() -> None:
    with pytest.raises(InputError, match="attempts must be at least 1"):
        CheckedAttempts(SURE, attempts=0)
    with pytest.raises(InputError, match="not been fitted"):
        CheckedAttempts(SURE).route(pool(4))
    with pytest.raises(InputError, match="no task to learn from"):
        CheckedAttempts(SURE).fit(pool(4).take([]))


@pytest.mark.parametrize("tasks", [1, 2, 7])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_tables_that_teach_nothing(value: float, tasks: int) -> None:
    train = table_of(np.full((tasks, 3), value))
    router = CheckedAttempts(SURE)
    router.fit(train)
    assert len(router.route(train).chosen) == tasks
    assert router.worth is not None
    assert router.worth > 0.0


def test_the_rule_looks_at_the_folds_it_is_given() -> None:
    table = pool(20)
    asked: list[int] = []
    even = np.arange(len(table)) % 2 == 0
    halves = [(np.flatnonzero(even), np.flatnonzero(~even)), (np.flatnonzero(~even), np.flatnonzero(even))]

    def divide(train: OutcomeTable) -> list[tuple[Ints, Ints]]:
        asked.append(len(train))
        return halves if len(asked) == 1 else []

    router = CheckedAttempts(SURE, divide=divide)
    router.fit(table)
    by_halves = router.worth
    router.fit(table)
    assert asked == [len(table)] * 2
    assert by_halves is not None
    assert by_halves != router.worth, "what is seen on the tasks themselves is another matter"
