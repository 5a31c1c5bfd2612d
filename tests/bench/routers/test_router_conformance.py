"""What every router owes: the same decisions again, no look at outcomes, and an answer on any table, however small."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from sale.bench.routers.baselines import baselines
from sale.bench.routers.fixed import SingleAgent
from sale.bench.routers.protocol import OutcomeTable, Router, Routing
from sale.bench.routers.tuning import TunedRouter, outcome
from sale.errors import InputError
from tests.bench.routers.tables import FEATURES, called, names, separable, table_of

ALL = names()
LEARNT = [name for name in ALL if name not in {"always cheapest", "always largest", "random", "oracle (hindsight)"}]
TEXT = [name for name in LEARNT if name != "best single"]
TRAIN, TEST = separable(24, 1), separable(20, 2)


def each(chosen: list[str]) -> list[object]:
    """Parameters: tests of one router run in one worker, so that what is costly to fit is fitted once."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(f"router {name}")) for name in chosen]


@cache
def fitted(name: str) -> Router:
    """On `TRAIN`. Not to be fitted again."""
    router = called(name, TRAIN)
    router.fit(TRAIN)
    return router


def same(one: Routing, other: Routing) -> bool:
    return (
        np.array_equal(one.chosen, other.chosen)
        and np.array_equal(one.called, other.called)
        and np.array_equal(one.extra_dollars, other.extra_dollars)
        and np.array_equal(one.extra_tokens, other.extra_tokens)
    )


def check(routing: Routing, table: OutcomeTable) -> None:
    tasks, agents = table.success.shape
    assert routing.chosen.shape == (tasks,)
    assert routing.called.shape == (tasks, agents)
    assert routing.extra_dollars.shape == routing.extra_tokens.shape == (tasks,)
    assert np.all((routing.chosen >= 0) & (routing.chosen < agents))
    assert routing.called[np.arange(tasks), routing.chosen].all()


@pytest.mark.parametrize("name", each(ALL))
def test_same_table_same_router(name: str) -> None:
    first, second = fitted(name), called(name, TRAIN)
    routing = first.route(TEST)
    check(routing, TEST)
    assert same(routing, first.route(TEST))
    second.fit(separable(8, 9))
    second.fit(TRAIN)
    assert same(routing, second.route(TEST)), "what was learnt before must be forgotten"


@pytest.mark.parametrize("name", each([name for name in ALL if "oracle" not in name]))
def test_outcomes_are_not_looked_at(name: str) -> None:
    router = fitted(name)
    routing = router.route(TEST)
    nobody_knows = np.full(TEST.success.shape, np.nan)
    assert same(routing, router.route(replace(TEST, success=nobody_knows, groups=("g",) * len(TEST))))
    assert same(routing, router.route(replace(TEST, success=1 - TEST.success, dollars=nobody_knows)))


def test_the_oracle_does_look() -> None:
    oracle = called("oracle (hindsight)", TRAIN)
    assert not same(oracle.route(TEST), oracle.route(replace(TEST, success=1 - TEST.success)))


def test_a_cascade_looks_only_at_the_answers_it_pays_for() -> None:
    router = fitted("FrugalGPT")
    routing = router.route(TEST)
    assert TEST.answers is not None
    hidden = tuple(
        tuple(text if paid else "right answer" for text, paid in zip(row, paying, strict=True))
        for row, paying in zip(TEST.answers, routing.called, strict=True)
    )
    assert not routing.called.all()
    assert same(routing, router.route(replace(TEST, answers=hidden)))


@pytest.mark.parametrize("name", each(ALL))
@pytest.mark.parametrize("value", [0.0, 1.0, 0.5], ids=["all fail", "all succeed", "all half"])
@pytest.mark.parametrize("tasks", [1, 2, 7])
def test_tables_that_teach_nothing(name: str, value: float, tasks: int) -> None:
    train = table_of(np.full((tasks, 3), value))
    router = called(name, train)
    router.fit(train)
    test = table_of(np.full((4, 3), value))
    check(router.route(test), test)


@pytest.mark.parametrize("name", each(TEXT))
@pytest.mark.parametrize("value", [0.0, 1.0], ids=["all fail", "all succeed"])
def test_where_nothing_is_gained_the_cheapest_is_taken(name: str, value: float) -> None:
    train = table_of(np.full((12, 3), value))
    router = called(name, train)
    router.fit(train)
    assert set(router.route(train).chosen) == {0}


@pytest.mark.parametrize("name", each(ALL))
def test_a_pool_of_one(name: str) -> None:
    train = table_of([[1.0], [0.0], [1.0]])
    router = called(name, train)
    router.fit(train)
    assert list(router.route(train).chosen) == [0, 0, 0]


@pytest.mark.parametrize("name", each(ALL))
def test_no_tasks_to_route(name: str) -> None:
    check(fitted(name).route(TEST.take([])), TEST.take([]))


@pytest.mark.parametrize("name", each(ALL))
def test_texts_without_words(name: str) -> None:
    train = replace(TRAIN.take(range(6)), texts=("",) * 6, answers=(("", "", "", ""),) * 6)
    router = called(name, train)
    router.fit(train)
    check(router.route(train), train)


@pytest.mark.parametrize("name", each(LEARNT))
def test_refusals(name: str) -> None:
    router = called(name, TRAIN)
    with pytest.raises(InputError, match="not been fitted"):
        router.route(TEST)
    with pytest.raises(InputError, match="no task to learn from"):
        router.fit(TRAIN.take([]))
    with pytest.raises(InputError, match="asked about w, x, y, z"):
        fitted(name).route(replace(TEST, agents=("w", "x", "y", "z")))


@pytest.mark.parametrize("name", each(TEXT))
def test_a_separable_problem_is_learnt(name: str) -> None:
    train, test = separable(90, 3), separable(60, 4)
    router = called(name, train)
    router.fit(train)
    success, dollars = outcome(router.route(test), test)
    assert success.mean() >= 0.9
    if name == "FrugalGPT":
        # It learns to tell right answers, but must pay for the wrong ones first: each agent up to the right one.
        needed = np.cumsum(test.dollars, axis=1)[np.arange(len(test)), test.success.argmax(axis=1)]
        assert dollars.mean() <= 1.05 * needed.mean()
    else:
        assert dollars.mean() <= 2.5, "nobody needs the agent that costs 8 and solves nothing"


def test_without_answers_there_is_no_cascade() -> None:
    silent = replace(TRAIN, answers=None)
    assert "FrugalGPT" not in {router.name for router in baselines(FEATURES, silent)}
    router = called("FrugalGPT", TRAIN)
    with pytest.raises(InputError, match="this table has none"):
        router.fit(silent)
    with pytest.raises(InputError, match="this table has none"):
        fitted("FrugalGPT").route(replace(TEST, answers=None))


def test_names_are_told_apart() -> None:
    assert len(set(ALL)) == len(ALL)


def test_an_agent_that_is_not_there() -> None:
    with pytest.raises(InputError, match="no agent 'x'"):
        SingleAgent("x").fit(TRAIN)
    with pytest.raises(InputError, match="no agent 4"):
        SingleAgent(4).route(TRAIN)


def test_a_tuned_router_says_what_was_chosen() -> None:
    router = called("CARROT k-NN", TRAIN)
    assert isinstance(router, TunedRouter)
    assert router.setting is None
    router.fit(TRAIN)
    assert router.setting is not None
    assert router.setting.knob is not None
    assert 0 <= router.setting.knob <= 1
